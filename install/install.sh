#!/usr/bin/env bash
# Installs DragDiffusion for GIMP (install.py; --help lists its options) with the first Python here that is new enough.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=install/python.sh
source "$here/python.sh"
python=$(find_python)
exec "$python" "$here/install.py" "$@"
