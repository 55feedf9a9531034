# dev.d/commands.sh - the commands of ./dev.
# SPDX-License-Identifier: GPL-3.0-or-later

usage()
{
    cat <<'END'
usage: ./dev COMMAND [ARGUMENT...]

  setup             install or make the environment (every other command does so too)
  build             configure and compile into build/
  run [ARGUMENT...] build and start the application
  test [SUITE...]   build and run the tests: quick asan block clients cpu guest ui (all when none is
                    named), clients-long
  bench [NAME]      run a benchmark from tests/bench
  fuzz NAME [SECS]  run a fuzz target from tests/fuzz
  lint              check formatting, house rules and UI files
  format            reformat C and Blueprint files
  shell             a shell inside the environment
  exec COMMAND...   run a command inside the environment, in the present folder

./dev COMMAND --help says more.
END
}

usage_of()
{
    case $1 in
        setup) cat <<'END' ;;
usage: ./dev setup
On Debian 13: installs the packages of dev.d/packages. On Debian 12: makes a Debian 13 root in
~/.cache/vitrine (about 4 GB while it is made) in which the other commands run. Needs root or sudo
and the package mirror that apt is configured for. Does nothing when all is there.
END
        build) cat <<'END' ;;
usage: ./dev build [NINJA-ARGUMENT...]
Compiles into build/ with optimisation, debug information, assertions and ccache.
END
        run) cat <<'END' ;;
usage: ./dev run [ARGUMENT...]
Builds Vitrine and opens it with a ready machine, "Debian 13 installer", which starts; its serial
port is logged in build/serial.log. With arguments it starts Vitrine with those instead. Without a
display it runs on a virtual one, says each stage as it is reached, writes build/screenshot.png when
the installer asks its first question, and ends.
END
        test) cat <<'END' ;;
usage: ./dev test [SUITE...]
Suites: quick (unit and device tests), block (disk images against the distribution's tools), clients
(libvirt, libguestfs, virt-v2v and scripts with our disk tools), cpu (differential tests of the
processor), guest (boots real systems), ui (drives the real window), asan (the quick suite and disks
that change their thread, under address and undefined-behaviour sanitizers, in build-asan/); by name
only: clients-long (what takes libguestfs minutes). The last line is "N passed, N failed, N skipped".
END
        bench) cat <<'END' ;;
usage: ./dev bench [NAME [ARGUMENT...]]
Runs tests/bench/NAME; without a name, lists them.
END
        fuzz) cat <<'END' ;;
usage: ./dev fuzz [NAME [SECONDS]]
Runs tests/fuzz/NAME (60 seconds unless told); without a name, lists them.
END
        lint) echo "usage: ./dev lint"; echo "Checks formatting, house rules and UI files; changes nothing." ;;
        format) echo "usage: ./dev format [FILE...]"; echo "Reformats the C files that differ from main, or those named, and all Blueprint files." ;;
        shell) echo "usage: ./dev shell"; echo "Starts a shell inside the environment." ;;
        exec) echo "usage: ./dev exec COMMAND [ARGUMENT...]"; echo "Runs a command inside the environment, in the present folder." ;;
    esac
}

configure() # DIRECTORY [MESON-ARGUMENT...]
{
    local dir=$1
    shift
    [ -e "$dir/build.ninja" ] && return
    rm -rf "$dir/meson-private"         # of a configuration that failed or was interrupted
    meson setup "$dir" "$top" -Dbuildtype=debugoptimized -Db_ndebug=false "$@"
}

build_main()
{
    configure "$top/build" && ninja -C "$top/build" "$@"
}

cmd_setup()
{
    ensure_setup
    inside || host_is_baseline || enter_program
}

cmd_exec()
{
    [ $# -gt 0 ] || die "exec needs a command; ./dev exec --help" 2
    enter_exec "$@"
}

cmd_shell()
{
    export VITRINE_SHELL=1
    enter_exec "${SHELL_IN_ENV:-/bin/bash}" "$@"
}

cmd_build()
{
    enter_self build "$@"
    build_main "$@"
}

cmd_run()
{
    enter_self run "$@"
    build_main --quiet >&2
    [ -x "$top/build/app/vitrine" ] || die "this tree builds no application yet (build/app/vitrine)"
    if [ $# -eq 0 ]; then
        local description
        description=$(python3 "$top/dev.d/ready-machine.py") || exit 1
        set -- --stages --import "$description"
    fi
    if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        exec python3 "$top/dev.d/run-virtual.py" "$top/build/app/vitrine" "$@"
    fi
    exec "$top/build/app/vitrine" "$@"
}

cmd_test()
{
    enter_self test "$@"
    local suites=("$@") suite status=0 logs=() main=()
    [ ${#suites[@]} -gt 0 ] || suites=(quick block clients cpu guest ui asan)
    for suite in "${suites[@]}"; do
        case $suite in
            quick | block | clients | clients-long | cpu | guest | ui) main+=(--suite "$suite") ;;
            asan) ;;
            *) die "no test suite \"$suite\"; there are quick, block, clients, clients-long, cpu, guest, ui and asan" 2 ;;
        esac
    done
    rm -f "$top"/build/meson-logs/testlog.json "$top"/build-asan/meson-logs/testlog.json
    if [ ${#main[@]} -gt 0 ]; then
        build_main
        meson test -C "$top/build" --print-errorlogs "${main[@]}" || status=1
        logs+=("$top/build/meson-logs/testlog.json")
    fi
    if [[ " ${suites[*]} " == *" asan "* ]]; then
        configure "$top/build-asan" -Db_sanitize=address,undefined -Dwerror=false
        meson test -C "$top/build-asan" --suite quick --suite sanitized --print-errorlogs \
            --timeout-multiplier 4 || status=1
        logs+=("$top/build-asan/meson-logs/testlog.json")
    fi
    python3 "$top/tests/summary.py" "${logs[@]}" || status=1
    exit "$status"
}

# Names of the runnable scripts in a folder of tests/.
scripts_in()
{
    local f
    for f in "$top/tests/$1"/*; do
        [ -f "$f" ] && [ -x "$f" ] && echo "${f##*/}"
    done
    return 0
}

run_script() # FOLDER NAME ARGUMENT...
{
    local script=$top/tests/$1/$2
    [ -f "$script" ] && [ -x "$script" ] && [[ $2 != */* ]] ||
        die "no $1 \"$2\"; there are: $(scripts_in "$1" | paste -sd' ')" 2
    shift 2
    build_main --quiet
    exec "$script" "$@"
}

cmd_bench()
{
    [ $# -gt 0 ] || { scripts_in bench; exit 0; }
    enter_self bench "$@"
    run_script bench "$@"
}

cmd_fuzz()
{
    [ $# -gt 0 ] || { scripts_in fuzz; exit 0; }
    enter_self fuzz "$@"
    run_script fuzz "$1" "${2:-60}"
}

# C files that differ from main, committed or not.
changed_c_files()
{
    { git diff --name-only --diff-filter=d "$(git merge-base HEAD main 2>/dev/null || echo HEAD)" -- '*.c' '*.h'
      git ls-files --others --exclude-standard '*.c' '*.h'; } | sort -u
}

cmd_lint()
{
    enter_self lint "$@"
    local status=0
    cd "$top"
    git ls-files '*.blp' | xargs -r blueprint-compiler format || status=1
    python3 tests/house/check_files.py "$top" || status=1
    python3 tests/house/check_headers.py "$top" "$top/build" || status=1
    local differing
    differing=$(changed_c_files | while read -r f; do
        clang-format "$f" | cmp -s - "$f" || echo "$f"
    done)
    if [ -n "$differing" ]; then
        echo "clang-format would lay out differently (tables are aligned by hand, so this is advice):"
        sed 's/^/  /' <<<"$differing"
    fi
    exit "$status"
}

cmd_format()
{
    enter_self format "$@"
    cd "$top"
    if [ $# -gt 0 ]; then
        clang-format -i "$@"
    else
        changed_c_files | xargs -r clang-format -i
    fi
    git ls-files '*.blp' | xargs -r blueprint-compiler format --fix
}
