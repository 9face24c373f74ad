#!/usr/bin/env bash
# Puts the plug-in's pure-Python packages, and the contract generated from drag.proto, into its private vendor folder.
#
#   vendor.sh [DIR]      DIR: the plug-in's folder; gimp_plugin/drag_diffusion of this checkout unless told
#
# GIMP brings its own Python (3.9 to 3.14, MSYS2 on Windows, signed on macOS), so nothing compiled may come in: the wheels are
# pinned by their SHA-256 in gimp_plugin/vendor-requirements.txt, and the result is checked.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
plugin=${1:-$root/gimp_plugin/drag_diffusion}
requirements=$root/gimp_plugin/vendor-requirements.txt
python=${PYTHON:-$root/.venv/bin/python}
[[ -x $python ]] || python=$(command -v python3)

stamp=$(cat "$requirements" "$root"/protos/dragdiffusion_rpc/*.py | sha256sum | cut -d' ' -f1)
if [[ $(cat "$plugin/vendor/.stamp" 2>/dev/null) == "$stamp" ]]; then
    echo "The plug-in's packages are up to date: $plugin/vendor"
    exit 0
fi

fresh=$(mktemp -d "$plugin/.vendor-XXXXXX")
trap 'rm -rf "$fresh"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes \
    --target "$fresh" --only-binary=:all: --platform any --implementation py --abi none --python-version 3.9 \
    --requirement "$requirements" || {
    echo "vendor.sh: the packages in $plugin/vendor are missing or out of date, and pip could not get them: see above." >&2
    exit 1
}
mkdir "$fresh/dragdiffusion_rpc"
cp "$root"/protos/dragdiffusion_rpc/{__init__,drag_pb2}.py "$fresh/dragdiffusion_rpc/"
rm -rf "$fresh/bin"

compiled=$(find "$fresh" -type f \( -name '*.so' -o -name '*.pyd' -o -name '*.dylib' -o -name '*.dll' -o -name '*.pyc' \))
if [[ -n $compiled ]]; then
    printf 'vendor.sh: compiled files came in, which GIMP may not be able to load:\n%s\n' "$compiled" >&2
    exit 1
fi

echo "$stamp" >"$fresh/.stamp"
chmod 755 "$fresh"
rm -rf "$plugin/vendor"
mv "$fresh" "$plugin/vendor"
trap - EXIT
echo "The plug-in's packages are in $plugin/vendor"
