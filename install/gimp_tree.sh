#!/usr/bin/env bash
# Provides a GIMP 3 for the plug-in.
#
#   gimp_tree.sh [--tests] [DIR]        set it up (root; does nothing when it is there already); --tests: with the tests' tools
#   gimp_tree.sh --run DIR COMMAND…     run a command where that GIMP is
#   gimp_tree.sh --where [DIR]          print "host", or DIR (root, who alone can use it), or nothing; changes nothing
#   gimp_tree.sh --packaged             succeed where this system's own packages have GIMP 3; changes nothing
#   gimp_tree.sh --remove DIR           take the tree away
#
# On a system whose own packages have GIMP 3 (Debian 13 or later, Ubuntu 25.04 or later) they are installed as they are. On an
# older one, or where GIMP_TREE_SUITE asks for another Debian, that is unpacked into DIR, always with the tests' tools, and
# commands run in it by chroot. No mount is needed: inside the tree a link makes DIR/tmp/x the name of the same file as outside.
# Everything listens on 127.0.0.1 as usual, so a daemon outside is reached.
set -euo pipefail

suite=${GIMP_TREE_SUITE:-trixie}  # sid has the newest GIMP
default_tree=${GIMP_TREE:-/var/cache/dragdiffusion/gimp3-$suite}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
test_tools=(python3 python3-gi python3-gi-cairo gir1.2-gtk-3.0 xvfb xauth xdotool openbox imagemagick fonts-dejavu-core
    adwaita-icon-theme fonts-wqy-microhei)
packages=(gimp "${test_tools[@]}")  # of the tree

say() { printf '%s\n' "$*" >&2; }
die() { say "gimp_tree.sh: $*"; exit 1; }

is_root() { [[ $(id -u) -eq 0 ]]; }
another_is_asked_for() { [[ -n ${GIMP_TREE_SUITE-} ]]; }
# What programs say differs from language to language; the number does not. No grep -q: it ends before they do, which fails them.
host_has_gimp3() { ! another_is_asked_for && [[ $(gimp-console --version 2>/dev/null) =~ (^|[^0-9.])3\.[0-9] ]]; }
host_can_install_gimp3() { ! another_is_asked_for && [[ $(LC_ALL=C apt-cache policy gimp 2>/dev/null) == *'Candidate: 3.'* ]]; }
is_on_host() { [[ $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) == *' installed' ]]; }
tree_is_complete() { [[ -x $1/usr/bin/gimp-console && "$(cat "$1/.complete" 2>/dev/null)" == "${packages[*]}" ]]; }

run_in_tree() {
    local tree=$1
    shift
    [[ -e $tree/proc/self ]] || mount -t proc proc "$tree/proc" 2>/dev/null || true  # GIMP runs without it
    if [[ -n ${DISPLAY-} ]]; then copy_cookie "${XAUTHORITY:-${HOME-}/.Xauthority}" "$tree/root/.Xauthority"; fi
    exec chroot "$tree" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=/root \
        ${GIMP3_DIRECTORY:+GIMP3_DIRECTORY="$GIMP3_DIRECTORY"} \
        ${DRAGDIFFUSION_ENDPOINT_FILE:+DRAGDIFFUSION_ENDPOINT_FILE="$DRAGDIFFUSION_ENDPOINT_FILE"} \
        ${DRAGDIFFUSION_DAEMON_COMMAND:+DRAGDIFFUSION_DAEMON_COMMAND="$DRAGDIFFUSION_DAEMON_COMMAND"} \
        ${DISPLAY:+DISPLAY="$DISPLAY"} "$@"
}

copy_cookie() {  # with which the screen lets programs in
    [[ -r $1 ]] || return 0
    local fresh
    fresh=$(mktemp "$2-XXXXXX")
    cat "$1" >"$fresh"
    mv -f "$fresh" "$2"
}

set_up() {
    local tree=$1 with_tools=$2 missing=() package
    if host_has_gimp3; then
        for package in ${with_tools:+"${test_tools[@]}"}; do is_on_host "$package" || missing+=("$package"); done
        if [[ ${#missing[@]} -eq 0 ]]; then say "GIMP 3 is installed here: run gimp-console."; return; fi
        command -v apt-get >/dev/null || die "the tests need what Debian calls ${missing[*]}: install it"
    elif tree_is_complete "$tree"; then
        say "GIMP 3 is in $tree. Run it with: $0 --run $tree gimp-console --version"
        return
    fi
    is_root || die "setting GIMP 3 up needs root: sudo $0 $tree"
    apt-get update -qq || say "apt-get update failed; going on with the lists that are here"
    if [[ ${#missing[@]} -gt 0 ]]; then
        install_on_host --no-install-recommends "${missing[@]}"
    elif ! host_can_install_gimp3; then
        unpack_tree "$tree"
    elif [[ -n $with_tools ]]; then
        install_on_host --no-install-recommends "${packages[@]}"
    else
        install_on_host gimp
    fi
    say "GIMP 3 is ready: $0 --run $tree gimp-console --version"
}

install_on_host() {
    say "Installing from this system's packages, which can take minutes: $* …"
    local told
    told=$(DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" 2>&1) || die "apt-get failed: $told"
}

unpack_tree() {
    local tree=$1
    command -v debootstrap >/dev/null || install_on_host debootstrap
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

remove_tree() {
    local tree=$1
    [[ -e $tree/.base ]] || die "$tree is no tree of this script"
    if mountpoint -q "$tree/proc"; then umount "$tree/proc"; fi
    rm -rf --one-file-system "$tree"
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
        if host_has_gimp3; then echo host; elif is_root && tree_is_complete "$tree"; then echo "$tree"; fi
        ;;
    --packaged) host_can_install_gimp3 ;;
    --remove) remove_tree "${2:?usage: gimp_tree.sh --remove DIR}" ;;
    *)
        with_tools=
        if [[ ${1-} == --tests ]]; then
            with_tools=yes
            shift
        fi
        tree=${1:-$default_tree}
        [[ $tree == /* ]] || die "unknown option, or DIR is not absolute: $tree"
        set_up "$tree" "$with_tools"
        ;;
esac
