/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-nbd/main.c - offers an image over NBD, or lists what a server offers, as qemu-nbd
 * does */
#include "app/cli/overlay.h"
#include "app/cli/snapshot.h"
#include "app/cli/tool.h"
#include "app/cli/vitrine-nbd/list.h"
#include "block/driver.h"
#include "block/export.h"
#include "block/nbd/server.h"
#include "engine/core/fiber.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT_ID "vitrine-nbd-export"

typedef struct {
    const NbdOptions *options;
    VitIoThread *thread;
    VitBlockGraph *graph;
    VitBlockExports *exports;
    GPtrArray *nodes; /* of VitBlockNode* references */
    GMainLoop *loop;
} Serve;

static bool report(const char *what, GError *error)
{
    fprintf(stderr, "%s: %s%s%s\n", program_invocation_short_name, what ?: "", what ? ": " : "",
            vit_block_error_text(error));
    return false;
}

/* ---- the image ------------------------------------------------------------------------------- */

static JsonObject *extra_options(const NbdOptions *o)
{
    JsonObject *extra = json_object_new();

    if (o->detect_zeroes) json_object_set_string_member(extra, "detect-zeroes", o->detect_zeroes);
    if (o->aio) json_object_set_string_member(extra, "file.aio", o->aio);
    return extra;
}

static unsigned open_flags(const NbdOptions *o)
{
    return o->flags | (o->read_only || o->temporary ? VIT_OPEN_READ_ONLY : 0u) |
           (o->read_only ? VIT_OPEN_SHARE : 0u);
}

static VitBlockNode *open_given(Serve *s, GError **error)
{
    const NbdOptions *o = s->options;
    g_autoptr(JsonObject) extra = extra_options(o);

    if (!o->image_opts)
        return vit_block_graph_open_image(s->graph, o->file, o->format, extra, open_flags(o),
                                          error);
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("", o->file, "file", error);
    if (!args) return NULL;
    if (o->detect_zeroes) vit_block_args_set_default(args, "detect-zeroes", o->detect_zeroes);
    return vit_block_graph_open_with(s->graph, args, open_flags(o), error);
}

typedef struct {
    VitBlockNode *node;
    const char *what;
    GError **error;
    bool good;
} Load;

static void load_fiber(void *opaque)
{
    Load *l = opaque;

    l->good = cli_co_load_snapshot(l->node, l->what, l->error);
}

static VitBlockNode *keep(Serve *s, VitBlockNode *node)
{
    if (node) g_ptr_array_add(s->nodes, node);
    return node;
}

/* The node to be exported: borrowed; NULL: a message has been printed. */
static VitBlockNode *open_node(Serve *s)
{
    const NbdOptions *o = s->options;
    g_autoptr(GError) error = NULL;
    VitBlockNode *node = keep(s, open_given(s, &error));

    if (!node) {
        g_autofree char *what = g_strdup_printf("Failed to blk_new_open '%s'", o->file);
        report(what, error);
        return NULL;
    }
    cli_warn_probed(node);
    if (o->temporary && !(node = keep(s, cli_open_overlay(s->graph, node, &error)))) {
        report(NULL, error);
        return NULL;
    }
    Load load = { .node = node, .what = o->snapshot, .error = &error };
    if (o->snapshot) {
        vit_fiber_run_sync(s->thread, load_fiber, &load);
        if (!load.good) {
            report(NULL, error);
            return NULL;
        }
    }
    if (o->offset > 0) {
        g_autofree char *offset = g_strdup_printf("%" G_GUINT64_FORMAT, o->offset);
        g_autoptr(VitBlockArgs) args = vit_block_args_new("--offset", NULL, &error);
        vit_block_args_set(args, "driver", "raw");
        vit_block_args_set(args, "offset", offset);
        vit_block_args_set(args, "file", vit_block_node_name(node));
        if (o->read_only) vit_block_args_set(args, "read-only", "on");
        if (!(node = keep(s, vit_block_graph_open(s->graph, args, &error)))) {
            report("Failed to use the offset", error);
            return NULL;
        }
    }
    return node;
}

/* ---- serving --------------------------------------------------------------------------------- */

static bool start_server(Serve *s, GError **error)
{
    const NbdOptions *o = s->options;
    g_autoptr(VitBlockArgs) args = vit_block_args_new("vitrine-nbd", NULL, error);
    g_autofree char *shared = g_strdup_printf("%u", o->shared);
    g_autofree char *limit = g_strdup_printf("%u", o->handshake_limit);

    if (o->socket_activated) {
        vit_block_args_set(args, "addr.type", "fd");
        vit_block_args_set(args, "addr.str", "3");
    } else if (o->socket) {
        vit_block_args_set(args, "addr.type", "unix");
        vit_block_args_set(args, "addr.path", o->socket);
    } else {
        vit_block_args_set(args, "addr.type", "inet");
        vit_block_args_set(args, "addr.host", o->bind ?: "0.0.0.0");
        vit_block_args_set(args, "addr.port", o->port ?: "10809");
    }
    if (o->tls_creds) vit_block_args_set(args, "tls-creds", o->tls_creds);
    if (o->tls_authz) vit_block_args_set(args, "tls-authz", o->tls_authz);
    vit_block_args_set(args, "max-connections", shared);
    vit_block_args_set(args, "handshake-max-seconds", limit);
    return vit_block_exports_nbd_start(s->exports, args, error);
}

static bool add_export(Serve *s, VitBlockNode *node, GError **error)
{
    const NbdOptions *o = s->options;
    g_autoptr(VitBlockArgs) args = vit_block_args_new("vitrine-nbd", NULL, error);
    JsonArray *bitmaps = json_array_new();

    for (guint i = 0; i < o->bitmaps->len; i++)
        json_array_add_string_element(bitmaps, o->bitmaps->pdata[i]);
    json_object_set_array_member(vit_block_args_object(args), "bitmaps", bitmaps);
    vit_block_args_set(args, "type", "nbd");
    vit_block_args_set(args, "id", EXPORT_ID);
    vit_block_args_set(args, "node-name", vit_block_node_name(node));
    vit_block_args_set(args, "name", o->export_name ?: "");
    vit_block_args_set(args, "writable", o->read_only ? "off" : "on");
    vit_block_args_set(args, "writethrough", o->writethrough ? "on" : "off");
    vit_block_args_set(args, "allocation-depth", o->allocation_depth ? "on" : "off");
    if (o->description) vit_block_args_set(args, "description", o->description);
    return vit_block_exports_add(s->exports, args, error);
}

static gboolean on_signal(void *opaque)
{
    g_main_loop_quit(opaque);
    return G_SOURCE_CONTINUE;
}

/* On the iothread. */
static void on_closed(void *opaque, bool negotiated)
{
    Serve *s = opaque;

    if (negotiated && vit_nbd_server_connections(vit_block_exports_nbd(s->exports)) == 0)
        g_main_context_invoke(NULL, (GSourceFunc)on_signal, s->loop);
}

typedef struct {
    Serve *serve;
    VitBlockNode *node;
    GError **error;
    bool good;
} Begin;

/* In one go on the thread: no client comes before there is something to be had. */
static void begin_fiber(void *opaque)
{
    Begin *b = opaque;
    Serve *s = b->serve;

    b->good = start_server(s, b->error) && add_export(s, b->node, b->error);
    if (b->good && !s->options->persistent)
        vit_nbd_server_on_closed(vit_block_exports_nbd(s->exports), on_closed, s);
}

static bool make_objects(const Serve *s)
{
    const NbdOptions *o = s->options;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < o->objects->len; i++)
        if (!vit_block_objects_add_text(vit_block_graph_objects(s->graph), o->objects->pdata[i],
                                        &error))
            return report(NULL, error);
    return true;
}

static void say_ready(int ready_fd)
{
    int null = open("/dev/null", O_RDWR);

    if (ready_fd < 0) return;
    if (write(ready_fd, "", 1) != 1)
        fprintf(stderr, "%s: nobody waits for it to start\n", program_invocation_short_name);
    for (int fd = 0; fd <= 2 && null >= 0; fd++) dup2(null, fd);
    close(ready_fd);
    if (null > 2) close(null);
}

static bool listen_and_wait(Serve *s, VitBlockNode *node, int ready_fd)
{
    const NbdOptions *o = s->options;
    g_autoptr(GError) error = NULL;

    Begin begin = { .serve = s, .node = node, .error = &error };

    vit_fiber_run_sync(s->thread, begin_fiber, &begin);
    if (!begin.good) return report(NULL, error);
    if (o->pid_file) {
        FILE *file = fopen(o->pid_file, "we");
        bool written = file && fprintf(file, "%d\n", (int)getpid()) > 0;
        if ((file && fclose(file) != 0) || !written) {
            fprintf(stderr, "%s: Could not create '%s': %s\n", program_invocation_short_name,
                    o->pid_file, g_strerror(errno));
            return false;
        }
    }
    say_ready(ready_fd);
    g_main_loop_run(s->loop);
    return true; /* the PID file stays, as scripts that remove it expect */
}

static int serve(const NbdOptions *o, int ready_fd)
{
    Serve s = { .options = o, .thread = vit_io_thread_new("nbd") };

    s.graph = vit_block_graph_new(s.thread);
    s.exports = vit_block_exports_new(s.graph);
    s.nodes = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_node_unref);
    s.loop = g_main_loop_new(NULL, FALSE);
    VitBlockNode *node = make_objects(&s) ? open_node(&s) : NULL;
    /* Until the image is closed: clients kill their server when they have disconnected. */
    guint sources[] = { g_unix_signal_add(SIGINT, on_signal, s.loop),
                        g_unix_signal_add(SIGTERM, on_signal, s.loop),
                        g_unix_signal_add(SIGHUP, on_signal, s.loop) };
    bool good = node && listen_and_wait(&s, node, ready_fd);
    /* The socket goes last: scripts take that for the sign that the image is closed. */
    (void)vit_block_exports_remove(s.exports, EXPORT_ID, true, NULL);
    while (s.nodes->len > 0) g_ptr_array_set_size(s.nodes, (int)s.nodes->len - 1);
    g_ptr_array_unref(s.nodes);
    vit_block_exports_free(s.exports);
    vit_block_graph_free(s.graph);
    vit_io_thread_free(s.thread);
    for (unsigned i = 0; i < G_N_ELEMENTS(sources); i++) g_source_remove(sources[i]);
    g_main_loop_unref(s.loop);
    return good ? 0 : 1;
}

/* --fork: the parent stays until the child is ready or has failed. */
static int serve_in_background(const NbdOptions *o)
{
    int ends[2], status;
    char byte;

    if (!g_unix_open_pipe(ends, O_CLOEXEC, NULL)) return 1;
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "%s: Failed to fork: %s\n", program_invocation_short_name,
                g_strerror(errno));
        return 1;
    }
    if (child == 0) {
        close(ends[0]);
        setsid();
        _exit(serve(o, ends[1]));
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) == 1) return 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- the kernel's devices -------------------------------------------------------------------- */

static int refuse_device(const NbdOptions *o)
{
    const char *device = o->device ?: o->disconnect;
    int fd = open(device, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        fprintf(stderr, "%s: %s %s: %s\n", program_invocation_short_name,
                o->device ? "Failed to open" : "Cannot open", device, g_strerror(errno));
        return 1;
    }
    close(fd);
    fprintf(stderr,
            "%s: %s: kernel NBD devices are not supported; serve a socket with -k and use "
            "nbd-client(8)\n",
            program_invocation_short_name, device);
    return 1;
}

int main(int argc, char **argv)
{
    NbdOptions o;
    int code = 1;

    signal(SIGPIPE, SIG_IGN);
    bool good = nbd_options_parse(&o, argc, argv);
    if (good && o.done >= 0) code = o.done;
    else if (good && (o.device || o.disconnect)) code = refuse_device(&o);
    else if (good && o.list) code = nbd_list(&o);
    else if (good) code = o.fork ? serve_in_background(&o) : serve(&o, -1);
    nbd_options_clear(&o);
    return code;
}
