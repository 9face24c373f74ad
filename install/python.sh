# Sourced by install.sh and tests/run.sh: one place that decides which Python a machine's environment is made with.
# shellcheck shell=bash

# Prints the first Python that can make the daemon's environment. PYTHON=/path/to/python3 is asked first.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "No Python 3.10 or newer with venv was found (on Debian: apt install python3-venv), or name one with PYTHON=/path/to/python3." >&2
  return 1
}
