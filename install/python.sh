# Sourced by install.sh and tests/run.sh: one place that decides which Python and which build of PyTorch a machine gets.
# shellcheck shell=bash

TORCH_VERSION=2.13.0
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu

# Prints the first Python that can make the daemon's environment. PYTHON=/path/to/python3 is asked first.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "No Python 3.10 or newer with venv was found (on Debian: apt install python3-venv), or name one with PYTHON=/path/to/python3." >&2
  return 1
}

# Prints "cuda" where an NVIDIA driver answers, else "cpu". DRAGDIFFUSION_TORCH=cpu|cuda decides it by hand.
torch_build() {
  if [ -n "${DRAGDIFFUSION_TORCH:-}" ]; then
    echo "$DRAGDIFFUSION_TORCH"
  elif command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo cuda
  else
    echo cpu
  fi
}

# install_torch PYTHON BUILD: the pinned PyTorch into PYTHON's environment. With BUILD cpu the index of CPU wheels is
# added: its "+cpu" version outranks the plain one, which on Linux brings gigabytes of CUDA.
install_torch() {
  local python=$1 build=$2 index=()
  if "$python" -c "import torch, sys; sys.exit(torch.__version__.split('+')[0] != '$TORCH_VERSION')" 2>/dev/null; then
    return
  fi
  case $build in
    cuda) ;;
    cpu) index=(--extra-index-url "$TORCH_CPU_INDEX" --retries 1 --timeout 30) ;;
    *) echo "DRAGDIFFUSION_TORCH is '$build': set it to cpu or cuda." >&2; return 2 ;;
  esac
  "$python" -m pip install -qq "torch==$TORCH_VERSION" "${index[@]}"
}
