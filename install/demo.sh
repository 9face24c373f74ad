#!/usr/bin/env bash
# The main job on a sample scene: a path and a selection, dragged by the plug-in in real GIMP 3 where it is, else by the
# command line.
#
#   demo.sh PYTHON FOLDER WHERE     WHERE: "host", the folder of a GIMP 3 tree, or "" for none
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$1 folder=$2 where=$3
daemon=$(dirname "$python")/dragdiffusion
mkdir -p "$folder"

gimp_batch='-i --batch-interpreter=python-fu-eval --quit'

drag_in_gimp() {  # FOLDER PREFIX…: PREFIX runs a command where GIMP is
  local scene=$1
  shift
  # shellcheck disable=SC2086
  "$@" env DEMO_FOLDER="$scene" gimp-console $gimp_batch -b "exec(open('$scene/demo_gimp.py').read())" \
    >"$folder/gimp.log" 2>&1 || { tail -n 20 "$folder/gimp.log" >&2; return 1; }
}

drag_in_host_gimp() {
  cp "$here/demo_gimp.py" "$folder/"
  drag_in_gimp "$folder" env
}

# The plug-in in the tree cannot start a daemon outside it: this one is started here and found through its endpoint file.
drag_in_tree_gimp() {
  local scene=$where/tmp/dragdiffusion-demo
  rm -rf "$scene"
  cp -r "$folder" "$scene"
  cp "$here/demo_gimp.py" "$scene/"
  export DRAGDIFFUSION_ENDPOINT_FILE=$scene/endpoint.json
  "$daemon" serve >"$folder/daemon.log" 2>&1 &
  trap '"$daemon" stop >/dev/null 2>&1 || true' EXIT
  drag_in_gimp "$scene" bash "$here/gimp_tree.sh" --run "$where"
  cp "$scene/after.png" "$scene/drag.xcf" "$folder/"
}

drag_by_command_line() {
  local edit
  mapfile -t edit < <("$python" -c '
import json, sys
scene = json.load(open(sys.argv[1]))
point = ":".join(",".join(str(value) for value in scene[name]) for name in ("handle", "target"))
print("--point", point, "--prompt", scene["prompt"], sep="\n")' "$folder/scene.json")
  "$daemon" edit "$folder/before.png" "${edit[@]}" --mask "$folder/mask.png" --output "$folder/after.png"
}

rm -f "$folder"/{after.png,drag.xcf}
"$python" "$here/demo_scene.py" "$folder"
case $where in
  "") by="dragdiffusion edit"; drag_by_command_line ;;
  host) by="GIMP 3"; drag_in_host_gimp ;;
  *) by="GIMP 3"; drag_in_tree_gimp ;;
esac
[ -s "$folder/after.png" ]

printf '%s\n' "Dragged by $by. Look at:" "  $folder/before.png" "  $folder/after.png"
[ -s "$folder/drag.xcf" ] && printf '%s\n' "  $folder/drag.xcf (with its layers, for GIMP)"
exit 0
