/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-storage-daemon/main.c - disks without a machine: nodes, exports and jobs by
 * options and QMP, as qemu-storage-daemon does
 *
 * Options take effect in the order in which they are given. */
#include "app/cli/shared-memory.h"
#include "app/cli/tool.h"
#include "app/cli/vitrine-storage-daemon/usage.h"
#include "block/driver.h"
#include "engine/control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    VitSystem *sys; /* owned, like what follows */
    VitIoThread *thread;
    VitBlockService *service;
    VitControl *control;
    GMainLoop *loop;
    char *pid_file;
    bool daemonize;
} Daemon;

/* ---- options --------------------------------------------------------------------------------- */

enum { BLOCKDEV = 1000, CHARDEV, DAEMONIZE, EXPORT, MONITOR, NBD_SERVER, OBJECT, PID_FILE };

static const struct option long_options[] = {
    { "blockdev", required_argument, NULL, BLOCKDEV },
    { "chardev", required_argument, NULL, CHARDEV },
    { "daemonize", no_argument, NULL, DAEMONIZE },
    { "export", required_argument, NULL, EXPORT },
    { "help", no_argument, NULL, 'h' },
    { "monitor", required_argument, NULL, MONITOR },
    { "nbd-server", required_argument, NULL, NBD_SERVER },
    { "object", required_argument, NULL, OBJECT },
    { "pidfile", required_argument, NULL, PID_FILE },
    { "trace", required_argument, NULL, 'T' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

/* "a=b,c.d=e" or JSON. */
static VitBlockArgs *parse(const char *text, const char *implied, GError **error)
{
    g_autoptr(JsonNode) json = NULL;

    if (*text != '{') return vit_block_args_parse(NULL, text, implied, error);
    json = json_from_string(text, error);
    if (!json) return NULL;
    if (!JSON_NODE_HOLDS_OBJECT(json)) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "JSON object expected");
        return NULL;
    }
    VitBlockArgs *args = vit_block_args_new(NULL, json_node_get_object(json), error);
    if (args) vit_block_args_set_strict(args);
    return args;
}

static bool add_blockdev(Daemon *d, const char *text, GError **error)
{
    g_autoptr(VitBlockArgs) args = parse(text, "driver", error);

    if (!args) return false;
    if (!vit_block_args_has(args, "node-name"))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              "'node-name' must be specified for the root node");
    VitBlockNode *node = vit_block_graph_open(d->service->graph, args, error);
    bool good = node && vit_block_graph_add(d->service->graph, node, error);
    vit_block_node_unref(node);
    return good;
}

static bool add_monitor(Daemon *d, const char *text, GError **error)
{
    static const char *const modes[] = { "control", NULL };
    g_autoptr(VitBlockArgs) args = parse(text, "chardev", error);
    bool pretty = false;
    int mode = 0;

    if (!args || !vit_block_args_enum(args, "mode", modes, &mode, error) ||
        !vit_block_args_bool(args, "pretty", &pretty, error))
        return false;
    const char *id = vit_block_args_str(args, "chardev");
    (void)vit_block_args_str(args, "id");
    if (!vit_block_args_finish(args, error)) return false;
    if (!id)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "Parameter 'chardev' is missing");
    if (pretty)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, "pretty=on is not supported");
    VitChar *chr = vit_char_find(d->sys, id);
    if (!chr)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, "chardev \"%s\" not found", id);
    vit_system_lock(d->sys);
    vit_control_attach_qmp(d->control, chr);
    vit_system_unlock(d->sys);
    return true;
}

static bool start_nbd(Daemon *d, const char *text, GError **error)
{
    g_autoptr(VitBlockArgs) args = parse(text, NULL, error);

    if (!args) return false;
    if (!vit_block_args_has(args, "addr"))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "Parameter 'addr' is missing");
    return vit_block_exports_nbd_start(d->service->exports, args, error);
}

static bool add_export(Daemon *d, const char *text, GError **error)
{
    g_autoptr(VitBlockArgs) args = parse(text, "type", error);

    return args && vit_block_exports_add(d->service->exports, args, error);
}

static bool apply(Daemon *d, int option, const char *value, GError **error)
{
    switch (option) {
    case BLOCKDEV: return add_blockdev(d, value, error);
    case CHARDEV: return vit_char_open_options(d->sys, "--chardev", value, error) != NULL;
    case EXPORT: return add_export(d, value, error);
    case MONITOR: return add_monitor(d, value, error);
    case NBD_SERVER: return start_nbd(d, value, error);
    case OBJECT:
        return vit_block_objects_add_text(vit_block_graph_objects(d->service->graph), value, error);
    case 'T':
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              "tracing is not built in; leave --trace out");
    default: return true;
    }
}

static bool list_objects(const char *value)
{
    if (strcmp(value, "help") != 0 && strcmp(value, "?") != 0) return false;
    puts("List of user creatable objects:");
    for (const char *const *type = vit_block_object_types(); *type; type++) printf("  %s\n", *type);
    return true;
}

/* What must be known before the first thread: help, --daemonize.  Returns -1 to go on, else the
 * exit code. */
static int look_ahead(Daemon *d, int argc, char **argv)
{
    int c;

    while ((c = getopt_long(argc, argv, "-hT:V", long_options, NULL)) != -1) {
        switch (c) {
        case 'h': print_usage(program_invocation_short_name); return 0;
        case 'V': cli_print_version("version "); return 0;
        case DAEMONIZE: d->daemonize = true; break;
        case PID_FILE:
            g_free(d->pid_file);
            d->pid_file = g_strdup(optarg);
            break;
        case OBJECT:
            if (list_objects(optarg)) return 0;
            break;
        case '?': return 1; /* getopt has said it */
        case 1:
            fprintf(stderr, "%s: %s: Unexpected argument\n", program_invocation_short_name, optarg);
            return 1;
        default: break;
        }
    }
    optind = 0;
    return -1;
}

static const char *option_name(int option)
{
    for (const struct option *o = long_options; o->name; o++) {
        if (o->val == option) return o->name;
    }
    return "";
}

static bool apply_all(Daemon *d, int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int c;

    while ((c = getopt_long(argc, argv, "-hT:V", long_options, NULL)) != -1) {
        if (apply(d, c, optarg, &error)) continue;
        fprintf(stderr, "%s: --%s %s: %s\n", program_invocation_short_name, option_name(c),
                optarg ?: "", vit_block_error_text(error));
        return false;
    }
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

static gboolean quit_loop(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_REMOVE;
}

static void on_quit(void *opaque)
{
    g_idle_add(quit_loop, opaque);
}

static gboolean on_signal(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

static bool write_pid_file(const char *path)
{
    g_autofree char *text = g_strdup_printf("%ld\n", (long)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t length = (ssize_t)strlen(text);

    if (fd >= 0 && write(fd, text, (size_t)length) == length && close(fd) == 0) return true;
    fprintf(stderr, "%s: cannot create PID file: Could not create '%s': %s\n",
            program_invocation_short_name, path, g_strerror(errno));
    return false;
}

static int serve(Daemon *d, int argc, char **argv, int ready_fd)
{
    signal(SIGPIPE, SIG_IGN);
    d->loop = g_main_loop_new(NULL, FALSE);
    d->sys = vit_system_new();
    d->thread = vit_io_thread_new("block");
    d->service = vit_block_service_new(d->thread);
    vit_block_exports_set_memory_guard(d->service->exports, cli_guard_shared_memory());
    d->control = vit_control_new_storage(d->sys, d->service, on_quit, d->loop);
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
        g_unix_signal_add(signals[i], on_signal, d->loop);

    bool good = apply_all(d, argc, argv) && (!d->pid_file || write_pid_file(d->pid_file));
    if (good && ready_fd >= 0) { /* the parent may go */
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; null >= 0 && fd < 3; fd++) dup2(null, fd);
        good = write(ready_fd, "", 1) == 1;
    }
    if (good) g_main_loop_run(d->loop);
    vit_control_free(d->control);
    vit_block_service_free(d->service);
    vit_system_free(d->sys);
    vit_io_thread_free(d->thread);
    g_main_loop_unref(d->loop);
    if (good && d->pid_file) g_unlink(d->pid_file);
    return good ? 0 : 1;
}

/* --daemonize: the parent stays until the child is ready or has failed. */
static int serve_in_background(Daemon *d, int argc, char **argv)
{
    int ends[2], status = 0;
    char byte;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        fprintf(stderr, "%s: cannot make a pipe: %s\n", program_invocation_short_name,
                g_strerror(errno));
        return 1;
    }
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "%s: failed to fork: %s\n", program_invocation_short_name,
                g_strerror(errno));
        return 1;
    }
    if (child == 0) {
        close(ends[0]);
        setsid();
        return serve(d, argc, argv, ends[1]);
    }
    close(ends[1]);
    ssize_t got;
    while ((got = read(ends[0], &byte, 1)) < 0 && errno == EINTR);
    if (got == 1) return 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR);
    return 1;
}

int main(int argc, char **argv)
{
    Daemon d = { 0 };
    g_autofree char *name = g_strdup(program_invocation_short_name);

    argv[0] = name; /* what getopt's messages begin with */
    int code = look_ahead(&d, argc, argv);
    if (code < 0)
        code = d.daemonize ? serve_in_background(&d, argc, argv) : serve(&d, argc, argv, -1);
    g_free(d.pid_file);
    return code;
}
