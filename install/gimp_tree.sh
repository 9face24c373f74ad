#!/usr/bin/env bash
# Provides a GIMP 3 with which the plug-in is tested.
#
#   gimp_tree.sh [DIR]                  set it up (root; does nothing when it is there already)
#   gimp_tree.sh --run DIR COMMAND…     run a command where that GIMP is
#   gimp_tree.sh --where [DIR]          print "host", or DIR, or nothing when there is none; changes nothing
#
# On a system whose own packages have GIMP 3 (Debian 13 or later, Ubuntu 25.04 or later) they are installed as they are. On an
# older one, or where GIMP_TREE_SUITE asks for another Debian, that is unpacked into DIR and commands run in it by chroot. No
# mount is needed: inside the tree a link makes DIR/tmp/x the name of the same file as outside. Everything listens on 127.0.0.1
# as usual, so a daemon outside is reached.
set -euo pipefail

suite=${GIMP_TREE_SUITE:-trixie}  # sid has the newest GIMP
default_tree=${GIMP_TREE:-/var/cache/dragdiffusion/gimp3-$suite}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=(gimp python3 python3-gi python3-gi-cairo gir1.2-gtk-3.0 xvfb xauth xdotool openbox imagemagick fonts-dejavu-core
    adwaita-icon-theme fonts-wqy-microhei)

say() { printf '%s\n' "$*" >&2; }
die() { say "gimp_tree.sh: $*"; exit 1; }

another_is_asked_for() { [[ -n ${GIMP_TREE_SUITE-} ]]; }
host_has_gimp3() { ! another_is_asked_for && gimp-console --version 2>/dev/null | grep -q 'version 3\.'; }
host_can_install_gimp3() { ! another_is_asked_for && apt-cache policy gimp 2>/dev/null | grep -q 'Candidate: 3\.'; }
tree_is_complete() { [[ -x $1/usr/bin/gimp-console && "$(cat "$1/.complete" 2>/dev/null)" == "${packages[*]}" ]]; }

run_in_tree() {
    local tree=$1
    shift
    [[ -e $tree/proc/self ]] || mount -t proc proc "$tree/proc" 2>/dev/null || true  # GIMP runs without it
    exec chroot "$tree" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=/root \
        ${GIMP3_DIRECTORY:+GIMP3_DIRECTORY="$GIMP3_DIRECTORY"} \
        ${DRAGDIFFUSION_ENDPOINT_FILE:+DRAGDIFFUSION_ENDPOINT_FILE="$DRAGDIFFUSION_ENDPOINT_FILE"} \
        ${DRAGDIFFUSION_DAEMON_COMMAND:+DRAGDIFFUSION_DAEMON_COMMAND="$DRAGDIFFUSION_DAEMON_COMMAND"} \
        ${DISPLAY:+DISPLAY="$DISPLAY"} "$@"
}

install_on_host() {
    say "Installing GIMP 3 from this system's packages …"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

unpack_tree() {
    local tree=$1
    command -v debootstrap >/dev/null || {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap
    }
    if [[ ! -e $tree/.base ]]; then
        say "Unpacking Debian $suite into $tree (about 1.2 GB, some minutes) …"
        rm -rf --one-file-system "$tree"
        mkdir -p "$tree"
        debootstrap --variant=minbase "$suite" "$tree" "$mirror" >&2
        touch "$tree/.base"
    fi
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"  # packages start no services
    chmod +x "$tree/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    chroot "$tree" apt-get update -qq
    chroot "$tree" env DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 \
        apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
    chroot "$tree" apt-get clean
    mkdir -p "$tree$(dirname "$tree")"
    ln -sfn / "$tree$tree"  # so that a file of the tree has one name, inside and outside
    echo "${packages[*]}" >"$tree/.complete"  # a later list brings the tree up to date
}

case ${1-} in
    --run)
        [[ $# -ge 3 ]] || die "usage: gimp_tree.sh --run DIR COMMAND…"
        tree=$2
        shift 2
        if tree_is_complete "$tree"; then run_in_tree "$tree" "$@"; fi
        host_has_gimp3 && exec "$@"
        die "no GIMP 3 in $tree; set it up with: sudo $0 $tree"
        ;;
    --where)
        tree=${2:-$default_tree}
        if host_has_gimp3; then echo host; elif tree_is_complete "$tree"; then echo "$tree"; fi
        ;;
    -*) die "unknown option $1" ;;
    *)
        tree=${1:-$default_tree}
        [[ $tree == /* ]] || die "DIR must be absolute"
        if host_has_gimp3; then
            say "GIMP 3 is installed here: run gimp-console."
        elif tree_is_complete "$tree"; then
            say "GIMP 3 is in $tree. Run it with: $0 --run $tree gimp-console --version"
        else
            [[ $EUID -eq 0 ]] || die "setting GIMP 3 up needs root: sudo $0 $tree"
            apt-get update -qq || say "apt-get update failed; going on with the lists that are here"
            if host_can_install_gimp3; then install_on_host; else unpack_tree "$tree"; fi
            say "GIMP 3 is ready: $0 --run $tree gimp-console --version"
        fi
        ;;
esac
