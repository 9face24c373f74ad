#!/usr/bin/env bash
# Every check of the project in one command; the same on a laptop and in CI.
#
#   bash tests/run.sh                  everything
#   bash tests/run.sh -m "not slow"    arguments go to pytest
#
# Makes .venv in the checkout, provisions GIMP 3 for the tests (as root, cached), and leaves the rest of the machine alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source install/python.sh

unset PYTHONDONTWRITEBYTECODE  # each of the many processes would compile all that it imports

step() { printf '\n== %s\n' "$*"; }

step "environment"
python=.venv/bin/python
[ -x "$python" ] || "$(find_python)" -m venv .venv
stamp=$(cat pyproject.toml install/torch_build.py | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ]; then
  "$python" -m pip install -qq --no-compile --upgrade pip
  "$python" install/torch_build.py cpu
  "$python" -m pip install -qq --no-compile --editable '.[dev]'
  "$python" -c 'import torch, diffusers, transformers, peft'  # compiles them, once
  echo "$stamp" >.venv/stamp
fi
"$python" -c 'from importlib.metadata import version; print(*(f"{name} {version(name)}" for name in ("torch", "diffusers", "transformers")), sep=", ")'
export PATH="$PWD/.venv/bin:$PATH"
# One thread in each of the processes that test; waiting threads that spin for long starve everything else on a busy machine.
export OMP_NUM_THREADS=1 GOMP_SPINCOUNT=10000

step "format, lint, types, import contracts"
ruff format --check .
ruff check .
mypy
mypy install/*.py docs/make_*.py docs/take_screenshots.py
PYTHONPATH=gimp_plugin/drag_diffusion lint-imports

step "generated protobuf code"
bash protos/generate.sh --check

step "the plug-in's packages"
python install/vendor.py

step "GIMP 3"
if [ "$(id -u)" = 0 ]; then
  bash install/gimp_tree.sh --tests
elif [ -z "$(bash install/gimp_tree.sh --where)" ]; then
  printf '%s\n' "!!! GIMP 3 is not installed and this is not root: the GIMP tests will be SKIPPED." >&2
fi

step "tests"
python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
