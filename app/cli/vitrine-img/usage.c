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
    "[-f FMT | --image-opts] [-T MODE] [-r leaks|all] [-U] [-p] [-q]\n"
    "        [--output human|json] [--object OBJDEF] FILENAME\n\n" FORMAT IMAGE_OPTS
    "  -r, --repair leaks|all  give leaked clusters back, or repair all errors\n"
    "  -T, --cache MODE        how the image is cached\n" SHARE SHOW QUIET OUTPUT OBJECT LAST_HELP
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
    "[-f FMT] [-o OPTIONS] [-b BACKING [-F FMT]] [-u] [-p] [-q] [--object OBJDEF]\n"
    "        FILENAME [SIZE]\n\n"
    "  -f, --format FMT        the new image's format (raw)\n"
    "  -o, --options OPTIONS   its options; -o help lists them\n"
    "  -b, --backing BACKING   what the new image stands on\n"
    "  -F, --backing-format F  its format\n"
    "  -u, --backing-unsafe    do not open it\n" SHOW QUIET OBJECT LAST_HELP
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
    "[-f FMT | --image-opts] [--preallocation MODE] [--shrink] [-p] [-q]\n"
    "        [--object OBJDEF] FILENAME [+-]SIZE\n\n" FORMAT IMAGE_OPTS
    "  --preallocation MODE    off, metadata, falloc or full\n"
    "  --shrink                the image may lose its end\n" SHOW QUIET OBJECT LAST_HELP;

const char img_usage_amend[] =
    "[-f FMT | --image-opts] [-t MODE] [--force] [-p] [-q]\n"
    "        [--object OBJDEF] -o OPTIONS FILENAME\n\n" FORMAT IMAGE_OPTS
    "  -o, --options OPTIONS   what to change; -o help lists what can be\n"
    "  -t, --cache MODE        how the image is cached\n"
    "  --force                 allow what may make the image unreadable\n" SHOW QUIET OBJECT
        LAST_HELP;

const char img_usage_bench[] =
    "[-f FMT | --image-opts] [-t MODE] [-c COUNT] [-d DEPTH] [-o OFFSET] [-s SIZE]\n"
    "        [-S STEP] [-w [--pattern BYTE] [--flush-interval N [--no-drain]]] [-i AIO] [-n]\n"
    "        [-U] [-q] FILENAME\n\n" FORMAT IMAGE_OPTS
    "  -c, --count COUNT       requests (75000)\n"
    "  -d, --depth DEPTH       at a time (64)\n"
    "  -o, --offset OFFSET     of the first\n"
    "  -s, --buffer-size SIZE  of each (4096)\n"
    "  -S, --step-size STEP    from one to the next (SIZE)\n"
    "  -w, --write             writes (default: reads)\n"
    "  --pattern BYTE          written (0)\n"
    "  --flush-interval N      a flush after so many\n"
    "  --no-drain              without waiting for those before it\n"
    "  -t, --cache MODE        how the image is cached\n"
    "  -i, --aio AIO, -n       accepted; the host's best is used\n" SHARE QUIET OBJECT LAST_HELP;

const char img_usage_bitmap[] =
    "(--add [-g SIZE] | --remove | --clear | --enable | --disable | --merge SOURCE)...\n"
    "        [-f FMT | --image-opts] [-b FILE [-F FMT]] [--object OBJDEF] FILENAME BITMAP\n\n"
        FORMAT
        IMAGE_OPTS
    "  --add                   makes BITMAP, which records writes from now on\n"
    "  -g, --granularity SIZE  of each bit of it (64k)\n"
    "  --remove                removes it\n"
    "  --clear                 forgets what it recorded\n"
    "  --enable, --disable     begins and ends recording\n"
    "  --merge SOURCE          adds what the bitmap SOURCE recorded\n"
    "  -b, --source-file FILE  where SOURCE is (FILENAME)\n"
    "  -F, --source-format F   FILE's format\n" OBJECT LAST_HELP;

const char img_usage_commit[] =
    "[-f FMT | --image-opts] [-t MODE] [-b BASE] [-d] [-r RATE] [-p] [-q]\n"
    "        [--object OBJDEF] FILENAME\n\n" FORMAT IMAGE_OPTS
    "  -b, --base BASE         the image of the chain to write to (the next one)\n"
    "  -d, --drop              do not empty FILENAME afterwards; implied by -b\n"
    "  -r, --rate RATE         bytes per second at most\n"
    "  -t, --cache MODE        how the images are cached\n" SHOW QUIET OBJECT LAST_HELP;

const char img_usage_dd[] =
    "[-f FMT | --image-opts] [-O FMT] [-U] [--object OBJDEF]\n"
    "        [bs=SIZE] [count=BLOCKS] [skip=BLOCKS] if=INPUT of=OUTPUT\n\n" FORMAT IMAGE_OPTS
    "  -O, --output-format FMT OUTPUT's format (raw)\n" SHARE OBJECT LAST_HELP
    "  bs=SIZE                 of a block (512)\n"
    "  count=BLOCKS            of INPUT (all); those skipped count\n"
    "  skip=BLOCKS             at the beginning of INPUT\n";

const char img_usage_measure[] =
    "[-f FMT | --image-opts] [-O FMT] [-o OPTIONS] [-l SNAPSHOT] [-U]\n"
    "        [--output human|json] [--object OBJDEF] (--size SIZE | FILENAME)\n\n" FORMAT IMAGE_OPTS
    "  -O, --target-format FMT the new image's format (raw)\n"
    "  -o, --options OPTIONS   its options\n"
    "  -l, --snapshot SNAPSHOT of FILENAME\n"
    "  -s, --size SIZE         of an empty image\n" SHARE OUTPUT OBJECT LAST_HELP;

const char img_usage_rebase[] =
    "[-f FMT | --image-opts] [-t MODE] [-T MODE] (-b BACKING [-F FMT] | -u) [-c]\n"
    "        [-U] [-p] [-q] [--object OBJDEF] FILENAME\n\n" FORMAT IMAGE_OPTS
    "  -b, --backing BACKING   the new backing file; \"\": none\n"
    "  -F, --backing-format F  its format\n"
    "  -u, --backing-unsafe    only say so in the image: it may read differently\n"
    "  -c, --compress          compress what is copied\n"
    "  -t, --cache MODE        how FILENAME is cached\n"
    "  -T, --backing-cache M   how the new backing file is cached\n" SHARE SHOW QUIET OBJECT
        LAST_HELP;

const char img_usage_snapshot[] =
    "[-f FMT | --image-opts] [-l | -c NAME | -a NAME | -d NAME] [-U] [-q]\n"
    "        [--object OBJDEF] FILENAME\n\n" FORMAT IMAGE_OPTS
    "  -l, --list              list them (the default)\n"
    "  -c, --create NAME       make one\n"
    "  -a, --apply NAME        go back to one\n"
    "  -d, --delete NAME       delete one\n" SHARE QUIET OBJECT LAST_HELP;
