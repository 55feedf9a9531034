# dev.d/environment.sh - where commands run: on a Debian 13 host, or in a cached Debian 13 root.
# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by ./dev; needs $top and $cache. See docs/decisions/0001-environment.md.

die() # MESSAGE [STATUS]
{
    echo "dev: $1" >&2
    exit "${2:-1}"
}

package_names() # FILE
{
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$top/dev.d/$1"
}

read -r key _ < <(cat "$top/dev.d/packages" "$top/dev.d/data-packages" | sha256sum)
key=${key:0:16}
root=$cache/root-$key       # the Debian root, where the host is not Debian 13
data=$cache/data-$key       # the unpacked data packages, where it is
marker=/etc/vitrine-root    # exists inside the root only

inside() { [ -e "$marker" ]; }

host_is_baseline()
{
    (. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-0}" -ge 13 ]) \
        2>/dev/null
}

is_set_up()
{
    inside || if host_is_baseline; then [ -e "$data/.complete" ]; else [ -e "$root$marker" ]; fi
}

ensure_setup()
{
    is_set_up || bash "$top/dev.d/setup.sh" "$top" "$cache" || exit 1
}

# What programs inside see. VITRINE_DATA is where the data packages lie.
set_variables()
{
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export LANG=C.UTF-8 VITRINE_DATA=$1
    export CCACHE_DIR=$cache/ccache CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=4G
    unset LC_ALL LANGUAGE LD_LIBRARY_PATH LD_PRELOAD PYTHONPATH PYTHONHOME GI_TYPELIB_PATH
    unset LIBRARY_PATH CPATH C_INCLUDE_PATH XDG_DATA_DIRS GSETTINGS_SCHEMA_DIR PKG_CONFIG_PATH CC CXX CFLAGS CXXFLAGS LDFLAGS
}

# The program that enters the root, rebuilt by its predecessor when its source has changed.
enter_program()
{
    local hash
    read -r hash _ < <(sha256sum "$top/dev.d/enter.c")
    enter=$cache/enter-${hash:0:16}
    [ -x "$enter" ] && return
    if ! { "$root/usr/libexec/vitrine-enter" "$root" "$top" "$cache" -- gcc -std=gnu2x -O2 -static \
           -o "$enter.$$" "$top/dev.d/enter.c" && mv "$enter.$$" "$enter"; }; then
        rm -f "$enter.$$"
        die "cannot build $top/dev.d/enter.c; removing $root and running ./dev setup starts afresh"
    fi
}

# Runs a command in the environment, in the present folder. Does not return.
enter_exec()
{
    ensure_setup
    if inside; then
        set_variables /
        exec "$@"
    elif host_is_baseline; then
        set_variables "$data"
        exec "$@"
    fi
    enter_program
    set_variables /
    : >"$cache/used-$key"       # set-up removes roots that are long unused
    exec "$enter" "$root" "$top" "$HOME" "$cache" -- "$@"
}

# The same for a command of this script: run it again inside.
enter_self()
{
    inside && return
    if host_is_baseline; then
        ensure_setup
        set_variables "$data"
        return
    fi
    enter_exec "$top/dev" "$@"
}
