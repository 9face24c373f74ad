#!/usr/bin/env bash
# Installs DragDiffusion for GIMP for the current user, and shows it at work. Safe to run again.
#
#   bash install/install.sh [--yes] [--no-gimp] [--no-demo] [--cpu | --cuda]
#   bash install/install.sh --uninstall [--purge]
#
#   --yes        answer every question with yes (where GIMP 3 is missing and this is root: install it)
#   --no-gimp    do not offer to install GIMP 3
#   --no-demo    leave out the demonstration at the end
#   --cpu        the CPU build of PyTorch, --cuda the NVIDIA build; else as the machine has it
#   --uninstall  remove the daemon, prepared images and the plug-in; with --purge also downloaded models and logs
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=install/python.sh
source "$root/install/python.sh"

home=${XDG_DATA_HOME:-$HOME/.local/share}/dragdiffusion
venv=$home/venv
daemon=$venv/bin/dragdiffusion
link=$HOME/.local/bin/dragdiffusion
gimp_tree=/var/cache/dragdiffusion/gimp3-trixie
demo=$home/demo

assume_yes=false offer_gimp=true show_demo=true uninstall=false purge=false
for option in "$@"; do
  case $option in
    --yes) assume_yes=true ;;
    --no-gimp) offer_gimp=false ;;
    --no-demo) show_demo=false ;;
    --cpu | --cuda) DRAGDIFFUSION_TORCH=${option#--} ;;
    --uninstall) uninstall=true ;;
    --purge) purge=true ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
    *) echo "Unknown option $option; --help lists them." >&2; exit 2 ;;
  esac
done

say() { printf '%s\n' "$*"; }
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

agreed() {
  $assume_yes && return 0
  [ -t 0 ] || return 1
  local answer
  read -r -p "$1 [Y/n] " answer
  [[ -z $answer || $answer == [yY]* ]]
}

# The GIMP profiles to serve: this user's, and that of a GIMP in the Debian 13 tree.
place_plugin() {
  local action=$1 where=$2 python=$3 extra=()
  [ "$action" = place ] && extra=(--daemon "$daemon")
  "$python" "$root/install/place_plugin.py" "$action" "${extra[@]}"
  if [ "$where" = "$gimp_tree" ]; then
    "$python" "$root/install/place_plugin.py" "$action" "${extra[@]}" --profile "$gimp_tree/root/.config/GIMP/3.0"
  fi
}

remove_everything() {
  local placed
  if [ -x "$daemon" ]; then
    "$daemon" cache clear || true  # of no use without the daemon, and made from the user's pictures
    "$daemon" stop || true
  fi
  placed=$(place_plugin remove "$(bash "$root/install/gimp_tree.sh" --where "$gimp_tree")" "$(find_python)")
  [ -n "$placed" ] && say "Removed the plug-in: $placed"
  if [ -L "$link" ] && [ "$(readlink "$link")" = "$daemon" ]; then rm "$link"; fi
  rm -rf "$venv" "$demo"
  rmdir "${XDG_CACHE_HOME:-$HOME/.cache}"/dragdiffusion{/prepared,} 2>/dev/null || true
  say "Removed the daemon: $venv"
  if $purge; then
    rm -rf "$home" "${XDG_STATE_HOME:-$HOME/.local/state}/dragdiffusion"
    say "Removed models and logs."
  else
    say "Downloaded models and logs were kept; --uninstall --purge removes them too."
  fi
}

if $uninstall; then
  remove_everything
  exit
fi

step "1/4  The daemon"
build=$(torch_build)
python=$(find_python)
say "Python: $("$python" --version), PyTorch: $TORCH_VERSION for $build, into $venv"
mkdir -p "$home" "$(dirname "$link")"
"$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"
if [ -x "$daemon" ]; then "$daemon" stop >/dev/null || true; fi  # an older daemon must not serve the new plug-in
"$venv/bin/python" -m pip install -qq --upgrade pip
install_torch "$venv/bin/python" "$build"
"$venv/bin/python" -m pip install -qq "$root"
"$venv/bin/python" -m pip install -qq --force-reinstall --no-deps "$root"  # the same version may have changed
ln -sfn "$daemon" "$link"
"$daemon" --version

step "2/4  GIMP 3"
where=$(bash "$root/install/gimp_tree.sh" --where "$gimp_tree")
if [ -z "$where" ] && $offer_gimp && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  if agreed "GIMP 3 is not on this machine. Set it up now?"; then
    bash "$root/install/gimp_tree.sh" "$gimp_tree"
    where=$(bash "$root/install/gimp_tree.sh" --where "$gimp_tree")
  fi
fi
case $where in
  host) say "GIMP 3 is installed." ;;
  "") say "GIMP 3 was not found: install it (https://www.gimp.org/downloads), then run this again." ;;
  *) say "GIMP 3 is in $where." ;;
esac

step "3/4  The plug-in"
PYTHON="$venv/bin/python" bash "$root/install/vendor.sh"
placed=$(place_plugin place "$where" "$venv/bin/python")
if [ -n "$placed" ]; then say "$placed"; else say "No GIMP 3 profile was found: start GIMP 3 once, then run this again."; fi

step "4/4  A drag, for real"
if $show_demo; then
  bash "$root/install/demo.sh" "$venv/bin/python" "$demo" "$where"
fi

step "Ready"
case $where in
  "$gimp_tree")
    say "Start this GIMP, with a daemon that it can reach, in a desktop session:"
    say "  export DRAGDIFFUSION_ENDPOINT_FILE=$gimp_tree/tmp/dragdiffusion.json"
    say "  $link serve & bash $root/install/gimp_tree.sh --run $gimp_tree gimp"
    ;;
  *) "$daemon" doctor || true ;;  # its lines say what is still to do
esac
say "In GIMP: open a picture, select what may change, then Filters ▸ Drag Edit…"
say "Press on what should move, pull to where it should go, and press Drag."
[ ! -e "$demo/before.png" ] || say "A picture for a first try: $demo/before.png"
say "Without GIMP: $link edit PICTURE.png --point 40,60:90,60 --output RESULT.png"
