/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-nbd/options.c - see options.h */
#include "app/cli/vitrine-nbd/options.h"

#include "app/cli/modes.h"
#include "app/cli/tool.h"
#include "block/graph.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CACHE = 256,
    AIO,
    DISCARD,
    DETECT_ZEROES,
    OBJECT,
    TLS_CREDS,
    TLS_HOSTNAME,
    TLS_AUTHZ,
    IMAGE_OPTS,
    FORK,
    PID_FILE,
    SELINUX,
    HANDSHAKE
};

static const struct option long_options[] = {
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { "bind", required_argument, NULL, 'b' },
    { "port", required_argument, NULL, 'p' },
    { "socket", required_argument, NULL, 'k' },
    { "offset", required_argument, NULL, 'o' },
    { "read-only", no_argument, NULL, 'r' },
    { "allocation-depth", no_argument, NULL, 'A' },
    { "bitmap", required_argument, NULL, 'B' },
    { "connect", required_argument, NULL, 'c' },
    { "disconnect", no_argument, NULL, 'd' },
    { "list", no_argument, NULL, 'L' },
    { "snapshot", no_argument, NULL, 's' },
    { "load-snapshot", required_argument, NULL, 'l' },
    { "nocache", no_argument, NULL, 'n' },
    { "cache", required_argument, NULL, CACHE },
    { "aio", required_argument, NULL, AIO },
    { "discard", required_argument, NULL, DISCARD },
    { "detect-zeroes", required_argument, NULL, DETECT_ZEROES },
    { "shared", required_argument, NULL, 'e' },
    { "format", required_argument, NULL, 'f' },
    { "persistent", no_argument, NULL, 't' },
    { "verbose", no_argument, NULL, 'v' },
    { "object", required_argument, NULL, OBJECT },
    { "export-name", required_argument, NULL, 'x' },
    { "description", required_argument, NULL, 'D' },
    { "tls-creds", required_argument, NULL, TLS_CREDS },
    { "tls-hostname", required_argument, NULL, TLS_HOSTNAME },
    { "tls-authz", required_argument, NULL, TLS_AUTHZ },
    { "image-opts", no_argument, NULL, IMAGE_OPTS },
    { "trace", required_argument, NULL, 'T' },
    { "fork", no_argument, NULL, FORK },
    { "pid-file", required_argument, NULL, PID_FILE },
    { "selinux-label", required_argument, NULL, SELINUX },
    { "handshake-limit", required_argument, NULL, HANDSHAKE },
    { NULL, 0, NULL, 0 },
};

static const char help[] =
    "Usage: %s [OPTIONS] FILE\n"
    "  or:  %s -L [OPTIONS]\n"
    "Offers a disk image over NBD (Network Block Device)\n\n"
    "  -h, --help                this text\n"
    "  -V, --version             the version\n\n"
    "Connection:\n"
    "  -p, --port=PORT           TCP port (default 10809)\n"
    "  -b, --bind=ADDRESS        address to listen on (default 0.0.0.0)\n"
    "  -k, --socket=PATH         Unix socket to listen on instead\n"
    "  -e, --shared=NUM          clients at a time (default 1, 0: any number)\n"
    "  -t, --persistent          stay when the last client leaves\n"
    "  -v, --verbose             accepted, changes nothing\n"
    "  -x, --export-name=NAME    name of the export (default empty)\n"
    "  -D, --description=TEXT    description of the export\n"
    "      --handshake-limit=N   seconds that a client may take to begin (default 10, 0: any)\n\n"
    "Part of the image:\n"
    "  -o, --offset=OFFSET       begin here, in bytes\n"
    "  -A, --allocation-depth    offer the context qemu:allocation-depth\n"
    "  -B, --bitmap=NAME         offer a persistent dirty bitmap as a context\n\n"
    "General:\n"
    "  -L, --list                list the exports of another server\n"
    "      --object TYPE,id=ID,...  a secret, TLS credentials, ...\n"
    "      --tls-creds=ID        TLS with the credentials of this object\n"
    "      --tls-hostname=NAME   whom the server's certificate must name (-L)\n"
    "      --fork                go to the background when ready\n"
    "      --pid-file=PATH       write the process ID there when ready\n\n"
    "Image:\n"
    "  -f, --format=FORMAT       raw, qcow2, ...\n"
    "  -r, --read-only           refuse writes\n"
    "  -s, --snapshot            writes go to a temporary file\n"
    "  -l, --load-snapshot=SNAPSHOT  offer an internal snapshot, read-only: ID or name,\n"
    "                            snapshot.id=ID,snapshot.name=NAME\n"
    "  -n, --nocache             the same as --cache=none\n"
    "      --cache=MODE          none, writeback (default), writethrough, directsync, unsafe\n"
    "      --aio=MODE            native, io_uring, threads\n"
    "      --discard=MODE        ignore, unmap\n"
    "      --detect-zeroes=MODE  off, on, unmap\n"
    "      --image-opts          FILE is a list of options: driver=qcow2,file.filename=...\n";

static bool complain(const char *format, ...) G_GNUC_PRINTF(1, 2);
static bool complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return false;
}

static void set(char **to, const char *value)
{
    g_free(*to);
    *to = g_strdup(value);
}

/* As strtol() takes it: programs write "-e 2" as one word. */
static bool number(const char *text, uint64_t max, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = g_ascii_strtoull(text, &end, 0);
    return end != text && !*end && !strchr(text, '-') && errno == 0 && *value <= max;
}

typedef struct {
    bool cache, discard, detect, device_settings, disconnect, bad;
} Seen;

static bool take_value(NbdOptions *o, Seen *seen, int option, const char *arg)
{
    uint64_t value;

    switch (option) {
    case 'n':
    case CACHE:
        if (seen->cache) return complain("-n and --cache can only be specified once");
        seen->cache = true;
        return cli_cache_mode(option == 'n' ? "none" : arg, &o->flags, &o->writethrough) ||
               complain("Invalid cache mode `%s'", arg);
    case AIO:
        if (o->aio) return complain("--aio can only be specified once");
        if (!cli_aio_mode(arg)) return complain("Invalid aio mode '%s'", arg);
        set(&o->aio, arg);
        return true;
    case DISCARD:
        if (seen->discard) return complain("--discard can only be specified once");
        seen->discard = true;
        return cli_discard_mode(arg, &o->flags) || complain("Invalid discard mode `%s'", arg);
    case DETECT_ZEROES:
        if (!cli_detect_zeroes_mode(arg))
            return complain("Failed to parse detect_zeroes mode: invalid parameter value: %s", arg);
        set(&o->detect_zeroes, arg);
        return true;
    case 'o':
        if (!number(arg, INT64_MAX, &o->offset)) return complain("Invalid offset '%s'", arg);
        return true;
    case 'e':
        if (!number(arg, INT32_MAX, &value))
            return complain("Invalid shared device number '%s'", arg);
        o->shared = (unsigned)value;
        return true;
    case HANDSHAKE:
        if (!number(arg, UINT32_MAX / 1000, &value))
            return complain("Invalid handshake limit '%s'", arg);
        o->handshake_limit = (unsigned)value;
        return true;
    case 'k':
        if (arg[0] != '/') return complain("socket path must be absolute");
        set(&o->socket, arg);
        return true;
    case 'l':
        o->read_only = true;
        set(&o->snapshot, arg);
        return true;
    case SELINUX:
        return complain("--selinux-label: SELinux labels are not supported; set the label of the "
                        "socket with the system's policy");
    case 'T': return complain("-T: there are no trace events");
    default: return false;
    }
}

static bool take(NbdOptions *o, Seen *seen, int option, const char *arg)
{
    switch (option) {
    case 'h':
        printf(help, program_invocation_short_name, program_invocation_short_name), o->done = 0;
        return true;
    case 'V': cli_print_version(""), o->done = 0; return true;
    case 'b': set(&o->bind, arg); return true;
    case 'p': set(&o->port, arg); return true;
    case 't': o->persistent = true; return true;
    case 'v': return true;
    case 'L': o->list = true; return true;
    case 'd': seen->disconnect = true; return true;
    case 'c': set(&o->device, arg); break;
    case 'r': o->read_only = true; break;
    case 's': o->temporary = true; break;
    case 'A': o->allocation_depth = true; break;
    case 'B': g_ptr_array_add(o->bitmaps, g_strdup(arg)); break;
    case 'f': set(&o->format, arg); break;
    case 'x': set(&o->export_name, arg); break;
    case 'D': set(&o->description, arg); break;
    case IMAGE_OPTS: o->image_opts = true; break;
    case FORK: o->fork = true; return true;
    case PID_FILE: set(&o->pid_file, arg); return true;
    case OBJECT: g_ptr_array_add(o->objects, g_strdup(arg)); return true;
    case TLS_CREDS: set(&o->tls_creds, arg); return true;
    case TLS_HOSTNAME: set(&o->tls_hostname, arg); return true;
    case TLS_AUTHZ: set(&o->tls_authz, arg); return true;
    case '?':
        return complain("Try `%s --help' for more information.", program_invocation_short_name);
    default:
        if (option != 'k' && option != 'e' && option != HANDSHAKE) seen->device_settings = true;
        return take_value(o, seen, option, arg);
    }
    seen->device_settings = true;
    return true;
}

void nbd_options_clear(NbdOptions *o)
{
    char **texts[] = { &o->bind,     &o->port,        &o->socket,       &o->file,
                       &o->format,   &o->export_name, &o->description,  &o->snapshot,
                       &o->aio,      &o->tls_creds,   &o->tls_hostname, &o->tls_authz,
                       &o->pid_file, &o->device,      &o->disconnect,   &o->detect_zeroes };

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) g_clear_pointer(texts[i], g_free);
    g_clear_pointer(&o->objects, g_ptr_array_unref);
    g_clear_pointer(&o->bitmaps, g_ptr_array_unref);
}

/* A parent that has bound the socket already hands it over as descriptor 3 (sd_listen_fds(3)). */
static bool find_activation(NbdOptions *o)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint64_t value;

    if (!pid || !fds || !number(pid, INT32_MAX, &value) || (pid_t)value != getpid()) return true;
    if (!number(fds, 1024, &value) || value == 0) return true;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (value > 1)
        return complain("vitrine-nbd does not support socket activation with LISTEN_FDS > 1");
    if (o->bind || o->port || o->socket)
        return complain("Unix and TCP socket options cannot be used with socket activation");
    o->socket_activated = true;
    return true;
}

static bool check(NbdOptions *o, const Seen *seen, int left)
{
    if (o->list) {
        if (left > 0) return complain("List mode is incompatible with a file name");
        if (seen->device_settings || seen->disconnect || o->fork || o->pid_file)
            return complain("List mode is incompatible with per-device settings");
    } else if (left != 1) {
        complain("Invalid number of arguments");
        fprintf(stderr, "Try `%s --help' for more information.\n", program_invocation_short_name);
        return false;
    } else if (o->tls_hostname) {
        return complain("TLS hostname is only supported with -L");
    }
    if (o->socket && (o->bind || o->port))
        return complain("Unix socket path and TCP options are mutually exclusive");
    if (o->image_opts && o->format) return complain("--image-opts and -f are mutually exclusive");
    if (!(o->flags & VIT_OPEN_DISCARD) && g_strcmp0(o->detect_zeroes, "unmap") == 0)
        return complain("setting detect-zeroes to unmap is not allowed without setting discard "
                        "operation to unmap");
    return o->list || find_activation(o);
}

bool nbd_options_parse(NbdOptions *o, int argc, char **argv)
{
    Seen seen = { 0 };
    int option;

    *o = (NbdOptions){ .shared = 1, .handshake_limit = 10, .done = -1 };
    o->objects = g_ptr_array_new_with_free_func(g_free);
    o->bitmaps = g_ptr_array_new_with_free_func(g_free);
    argv[0] = program_invocation_short_name; /* for getopt's messages */
    while ((option = getopt_long(argc, argv, "hVb:o:p:rsnc:dvk:e:f:tl:x:T:D:AB:L", long_options,
                                 NULL)) != -1) {
        if (!take(o, &seen, option, optarg)) return false;
        if (o->done >= 0) return true;
    }
    argv[0] = NULL;
    if (!check(o, &seen, argc - optind)) return false;
    if (seen.disconnect) set(&o->disconnect, argv[optind]);
    else if (!o->list) set(&o->file, argv[optind]);
    return true;
}
