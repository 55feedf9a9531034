/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/usage.c - see usage.h: synopsis and options, after "vitrine-img COMMAND " */
#include "app/cli/vitrine-img/usage.h"

#define LAST_HELP "  -h, --help              this help\n"
#define FORMAT    "  -f, --format FMT        the image's format; probed unless given\n"
#define IMAGE_OPTS                                                                                 \
    "  --image-opts            FILENAME is a list of options: driver=qcow2,file.filename=...\n"
#define SHARE      "  -U, --force-share       open it although another program writes to it\n"
#define QUIET      "  -q, --quiet             say nothing but errors\n"
#define SHOW       "  -p, --progress          show progress\n"
#define OBJECT     "  --object OBJDEF         an object, such as secret,id=s0,file=PATH\n"
#define OUTPUT     "  --output human|json     how to print\n"
#define CACHE_HELP "  MODE: none, writeback (default), writethrough, directsync, unsafe\n"

const char img_usage_check[] =
    "[-f FMT | --image-opts] [-T MODE] [-r leaks|all] [-U] [-q]\n"
    "        [--output human|json] [--object OBJDEF] FILENAME\n\n" FORMAT IMAGE_OPTS
    "  -r, --repair leaks|all  give leaked clusters back, or repair all errors\n"
    "  -T, --cache MODE        how the image is cached\n" SHARE QUIET OUTPUT OBJECT LAST_HELP
    "Status 0: no errors; 1: the check failed; 2: errors; 3: leaks only; 63: not supported\n";

const char img_usage_compare[] =
    "[-f FMT] [-F FMT] [--image-opts] [-s] [-T MODE] [-U] [-p] [-q]\n"
    "        [--object OBJDEF] FILENAME1 FILENAME2\n\n"
    "  -f, --a-format FMT      the first image's format\n"
    "  -F, --b-format FMT      the second image's format\n" IMAGE_OPTS
    "  -s, --strict            sizes and allocation must be equal too\n"
    "  -T, --cache MODE        how the images are cached\n" SHARE SHOW QUIET OBJECT LAST_HELP
    "Status 0: equal; 1: different; 2 to 4: errors\n";

const char img_usage_convert[] =
    "[-f FMT | --image-opts] [-O FMT | --target-image-opts] [-c] [-n] [-p] [-q]\n"
    "        [-o OPTIONS] [-B BACKING [-F FMT]] [-l SNAPSHOT] [-S SIZE] [-m N] [-W] [-r RATE]\n"
    "        [-t MODE] [-T MODE] [--target-is-zero] [--bitmaps [--skip-broken-bitmaps]]\n"
    "        [--salvage] [-C] [-U] [--object OBJDEF] SOURCE [SOURCE...] TARGET\n\n"
    "  -f, --source-format FMT the sources' format\n" IMAGE_OPTS
    "  -O, --target-format FMT the target's format (raw)\n"
    "  --target-image-opts     TARGET is a list of options (with -n)\n"
    "  -o, --target-options O  options of the new image; -o help lists them\n"
    "  -c, --compress          compress\n"
    "  -n, --no-create         the target exists\n"
    "  --target-is-zero        and reads as zeroes (with -n)\n"
    "  -B, --backing FILE      the new image stores what differs from FILE\n"
    "  -F, --backing-format F  FILE's format\n"
    "  -l, --source-snapshot S an internal snapshot: its ID or name, or snapshot.id=, "
    "snapshot.name=\n"
    "  -S, --sparse-size SIZE  shortest run of zeroes that becomes a hole (4k); 0: none\n"
    "  -m, --parallel N        requests at a time (8)\n"
    "  -W, --oob-writes        write in any order\n"
    "  -C, --copy-range-offloading  let the file system copy\n"
    "  -r, --rate RATE         bytes per second at most\n"
    "  -t, --target-cache MODE how the target is cached (unsafe)\n"
    "  -T, --source-cache MODE how the sources are cached (writeback)\n"
    "  --bitmaps               copy persistent dirty bitmaps too\n"
    "  --skip-broken-bitmaps   leave inconsistent ones out\n"
    "  --salvage               zeroes where the source cannot be read\n" SHARE SHOW QUIET OBJECT
        LAST_HELP CACHE_HELP;

const char img_usage_create[] =
    "[-f FMT] [-o OPTIONS] [-b BACKING [-F FMT]] [-u] [-q] [--object OBJDEF]\n"
    "        FILENAME [SIZE]\n\n"
    "  -f, --format FMT        the new image's format (raw)\n"
    "  -o, --options OPTIONS   its options; -o help lists them\n"
    "  -b, --backing BACKING   what the new image stands on\n"
    "  -F, --backing-format F  its format\n"
    "  -u, --backing-unsafe    do not open it\n" QUIET OBJECT LAST_HELP
    "SIZE in bytes, or with k, M, G, T, P, E\n";

const char img_usage_info[] =
    "[-f FMT | --image-opts] [--backing-chain] [-U] [--output human|json]\n"
    "        [--object OBJDEF] FILENAME\n\n" FORMAT IMAGE_OPTS
    "  -b, --backing-chain     also what it stands on\n" SHARE OUTPUT OBJECT LAST_HELP;

const char img_usage_map[] =
    "[-f FMT | --image-opts] [-s OFFSET] [-l LENGTH] [-U] [--output human|json]\n"
    "        [--object OBJDEF] FILENAME\n\n" FORMAT IMAGE_OPTS "  -s, --start-offset OFFSET\n"
    "  -l, --max-length LENGTH\n" SHARE OUTPUT OBJECT LAST_HELP;

const char img_usage_resize[] =
    "[-f FMT | --image-opts] [--preallocation MODE] [--shrink] [-q]\n"
    "        [--object OBJDEF] FILENAME [+-]SIZE\n\n" FORMAT IMAGE_OPTS
    "  --preallocation MODE    off, metadata, falloc or full\n"
    "  --shrink                the image may lose its end\n" QUIET OBJECT LAST_HELP;
