#!/bin/bash
# dev.d/setup.sh TOP CACHE - makes the environment: host packages on Debian 13, a cached root elsewhere.
# SPDX-License-Identifier: GPL-3.0-or-later
# Everything is made beside its final place and renamed when complete, under a lock, so that an
# interrupted set-up starts clean and two at once make one.
set -euo pipefail

top=$1 cache=$2
. "$top/dev.d/environment.sh"
log=$cache/setup.log
part=

say() { echo "dev: $*"; }

as_root()
{
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

fail() # MESSAGE: one line, with the reason if the log shows a known one
{
    local reason=
    if [ -s "$log" ]; then
        reason=$(grep -m1 -oE 'No space left on device|Temporary failure resolving.*|Could not resolve.*|Could not connect.*|Unable to connect.*|Unable to locate package.*|Permission denied|Operation not permitted|dpkg frontend lock.*' "$log" || true)
        reason=${reason:-$(grep -E '^(E|error)[: ]' "$log" | tail -1 || true)}
    fi
    die "$1${reason:+: $reason} (log: $log)"
}

cleanup()
{
    [ -z "$part" ] || [ ! -e "$part" ] || as_root rm -rf --one-file-system "$part" || true
}

need_privileges()
{
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -v; } ||
        die "set-up installs packages; run ./dev setup as root, or install and configure sudo"
}

need_space() # MEBIBYTES
{
    local free
    free=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$1" ] || die "set-up needs $1 MiB free in $cache, which has $free MiB"
}

apt_install()
{
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"
}

# Installs host packages; refreshes the lists only when they do not know a name.
host_install()
{
    apt_install "$@" >>"$log" 2>&1 && return
    as_root apt-get -q update >>"$log" 2>&1 || fail "cannot refresh apt's package lists"
    apt_install "$@" >>"$log" 2>&1 || fail "cannot install $*"
}

# The mirror for a suite of this host's release, as apt's own configuration has it.
mirror_of() # RELEASE
{
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Identifier: Packages' |
        awk -v r="$1" '$1 == r && $2 == "main" { print $3; exit }'
}

make_root()
{
    local codename mirror security key_ring include conf
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ "$(. /etc/os-release && echo "${ID:-}")" = debian ] ||
        die "set-up knows Debian 12 and 13; this is $(. /etc/os-release && echo "$PRETTY_NAME")"
    need_privileges
    need_space 4500
    [ -x "$(command -v mmdebstrap)" ] || host_install mmdebstrap

    mirror=$(mirror_of "$codename")
    security=$(mirror_of "$codename-security")
    [ -n "$mirror" ] || die "apt has no source for Debian $codename main to take the mirror from"
    key_ring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$key_ring" ] || host_install debian-archive-keyring
    include=$(package_names packages | paste -sd,)

    part=$root.part
    as_root rm -rf --one-file-system "$part"
    conf=$cache/apt.conf
    { apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-|Force)' || true
      echo 'APT::Install-Recommends "false";'; } >"$conf"

    say "making a Debian 13 root in $root (once; a minute or two)"
    # in a mount namespace of its own, so that nothing stays mounted when it is killed
    as_root unshare --mount --propagation private mmdebstrap --variant=apt --include="$include" --aptopt="$conf" --keyring="$key_ring" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='mkdir -p "$1/usr/libexec/vitrine.d"' \
        --customize-hook="copy-in '$top/dev.d/unpack-data.sh' '$top/dev.d/data-packages' '$top/dev.d/enter.c' /usr/libexec/vitrine.d" \
        --customize-hook='chroot "$1" bash /usr/libexec/vitrine.d/unpack-data.sh / /usr/libexec/vitrine.d/data-packages' \
        --customize-hook='chroot "$1" gcc -std=gnu2x -O2 -static -o /usr/libexec/vitrine-enter /usr/libexec/vitrine.d/enter.c' \
        --customize-hook='rm -rf "$1/usr/libexec/vitrine.d"' \
        trixie "$part" \
        "deb $mirror trixie main" "deb $mirror trixie-updates main" \
        ${security:+"deb $security trixie-security main"} \
        >>"$log" 2>&1 || fail "cannot make the Debian 13 root"

    # D-Bus wants a machine-id, which mmdebstrap resets at its end; resolv.conf is a place to mount on.
    as_root sh -c "tr -d - </proc/sys/kernel/random/uuid >'$part/etc/machine-id' &&
        rm -f '$part/var/lib/dbus/machine-id' && : >>'$part/etc/resolv.conf' &&
        echo '$key' >'$part$marker' && mv -T '$part' '$root'"
    part=
}

install_on_host()
{
    local missing
    missing=$(package_names packages | while read -r name; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
            echo "$name"
    done)
    if [ -n "$missing" ]; then
        need_privileges
        say "installing $(wc -w <<<"$missing") packages"
        # shellcheck disable=SC2086
        host_install $missing
    fi
    need_space 1500
    part=$data.part
    rm -rf "$part"
    mkdir -p "$part"
    say "unpacking the systems that tests boot into $data"
    bash "$top/dev.d/unpack-data.sh" "$part" "$top/dev.d/data-packages" >>"$log" 2>&1 ||
        fail "cannot fetch the data packages"
    touch "$part/.complete"
    rm -rf "$data"
    mv -T "$part" "$data"
    part=
}

# Roots and data of other package lists that nothing has entered for a month.
remove_old()
{
    local old
    for old in "$cache"/root-* "$cache"/data-*; do
        [ -d "$old" ] && [ "$old" != "$root" ] && [ "$old" != "$data" ] || continue
        [ -n "$(find "$cache/used-${old##*-}" -mtime -30 2>/dev/null)" ] ||
            [ -n "$(find "$old$marker" "$old/.complete" -mtime -30 2>/dev/null)" ] ||
            as_root rm -rf --one-file-system "$old" || true
    done
}

mkdir -p "$cache" 2>/dev/null || die "cannot make $cache"
exec 8>"$cache/setup.lock"
flock -n 8 || { say "waiting for another set-up"; flock 8; }
is_set_up && exit 0
: >"$log"
trap cleanup EXIT
trap 'echo "dev: set-up interrupted; nothing is left half-made" >&2; exit 130' INT
trap 'exit 143' TERM HUP
if host_is_baseline; then install_on_host; else make_root; fi
remove_old
say "environment ready"
