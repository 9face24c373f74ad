#!/usr/bin/env bash
# Generates the Python code of the contract. With --check: fails if what is committed is out of date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python}
out=protos
[ "${1:-}" = --check ] && out=$(mktemp -d) && trap 'rm -r "$out"' EXIT

"$python" -m grpc_tools.protoc -Iprotos --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
  protos/dragdiffusion_rpc/drag.proto

if [ "${1:-}" = --check ]; then
  for generated in "$out"/dragdiffusion_rpc/*; do
    cmp "$generated" "protos/dragdiffusion_rpc/$(basename "$generated")" || {
      echo "The generated code is out of date: run protos/generate.sh and commit the result." >&2
      exit 1
    }
  done
fi
