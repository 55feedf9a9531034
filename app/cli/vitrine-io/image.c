/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-io/image.c - the commands about the image as a whole: open, close, reopen, map,
 * info */
#include "app/cli/vitrine-io/io.h"

#include "app/cli/modes.h"
#include "app/cli/values.h"
#include "block/driver.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    IoTool *tool;
    uint64_t offset, bytes, allocated;
    VitPrealloc prealloc;
    int result;
    GError *error; /* owned */
    JsonObject *specific; /* a reference */
} Work;

/* ---- facts ----------------------------------------------------------------------------------- */

static int cmd_length(IoTool *tool, int argc, char **argv)
{
    g_autofree char *size = io_size((double)vit_block_info(tool->node).size);

    printf("%s\n", size);
    return 0;
}

static void map_fiber(void *opaque)
{
    Work *w = opaque;
    VitBlockNode *node = w->tool->node;
    uint64_t start = 0;
    bool state = false, any = false;

    for (uint64_t at = 0; at <= node->size;) {
        VitBlockExtent e = { 0 };
        if (at < node->size && (w->result = vit_co_status(node, at, node->size - at, &e)) < 0)
            return;
        bool now = e.flags & VIT_EXTENT_ALLOCATED;
        if (any && (now != state || at == node->size)) {
            g_autofree char *bytes = io_size((double)(at - start)), *where = io_size((double)start);
            printf("%s (0x%" G_GINT64_MODIFIER "x) bytes %s at offset %s (0x%" G_GINT64_MODIFIER
                   "x)\n",
                   bytes, at - start, state ? "    allocated" : "not allocated", where, start);
            any = false;
        }
        if (at == node->size) break;
        if (!any) {
            start = at;
            state = now;
            any = true;
        }
        at += MAX(e.bytes, 1);
    }
}

static int cmd_map(IoTool *tool, int argc, char **argv)
{
    Work w = { .tool = tool };

    vit_fiber_run_sync(tool->thread, map_fiber, &w);
    if (w.result < 0) printf("Failed to query allocation: %s\n", g_strerror(-w.result));
    return w.result;
}

static void alloc_fiber(void *opaque)
{
    Work *w = opaque;
    uint64_t end = MIN(w->offset + w->bytes, w->tool->node->size);

    for (uint64_t at = w->offset; at < end;) {
        VitBlockExtent e;
        if ((w->result = vit_co_status(w->tool->node, at, end - at, &e)) < 0) return;
        if (e.flags & VIT_EXTENT_ALLOCATED) w->allocated += e.bytes;
        at += MAX(e.bytes, 1);
    }
}

static int cmd_alloc(IoTool *tool, int argc, char **argv)
{
    int64_t offset = io_number(argv[1]), bytes = argc > 2 ? io_number(argv[2]) : 512;
    Work w = { .tool = tool, .offset = (uint64_t)offset, .bytes = (uint64_t)bytes };

    if (offset < 0 || bytes < 0) return -1;
    vit_fiber_run_sync(tool->thread, alloc_fiber, &w);
    if (w.result < 0) {
        printf("is_allocated failed: %s\n", g_strerror(-w.result));
        return -1;
    }
    uint64_t size = tool->node->size;
    uint64_t within = w.offset < size ? MIN(w.bytes, size - w.offset) : 0;
    g_autofree char *where = io_size((double)offset);
    printf("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT " bytes allocated at offset %s\n",
           w.allocated, within, where);
    return 0;
}

static void specific_fiber(void *opaque)
{
    Work *w = opaque;
    VitBlockNode *node = w->tool->node;

    if (node->driver->co_specific) w->specific = node->driver->co_specific(node, &w->error);
}

static int cmd_info(IoTool *tool, int argc, char **argv)
{
    VitBlockInfo info = vit_block_info(tool->node);
    g_autofree char *cluster = io_size(info.cluster_size),
                    *state = io_size((double)info.vm_state_offset);
    Work w = { .tool = tool };

    vit_fiber_run_sync(tool->thread, specific_fiber, &w);
    if (w.error) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, vit_block_error_text(w.error));
        g_error_free(w.error);
        return -1;
    }
    printf("format name: %s\n", vit_block_node_format(tool->node));
    printf("cluster size: %s\n", cluster);
    printf("vm state offset: %s\n", state);
    if (!w.specific) return 0;
    JsonObject *data = json_object_get_object_member(w.specific, "data");
    printf("Format specific information:\n");
    if (data) cli_print_values(data, 4);
    json_object_unref(w.specific);
    return 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static void flush_fiber(void *opaque)
{
    Work *w = opaque;

    w->result = vit_co_flush(w->tool->node);
}

static int cmd_flush(IoTool *tool, int argc, char **argv)
{
    Work w = { .tool = tool };

    vit_fiber_run_sync(tool->thread, flush_fiber, &w);
    if (w.result < 0) printf("flush failed: %s\n", g_strerror(-w.result));
    return w.result;
}

static void truncate_fiber(void *opaque)
{
    Work *w = opaque;

    w->result = vit_co_truncate(w->tool->node, w->bytes, false, w->prealloc, &w->error) ? 0 : -1;
}

static int cmd_truncate(IoTool *tool, int argc, char **argv)
{
    static const char *const modes[] = { "off", "metadata", "falloc", "full" };
    Work w = { .tool = tool };
    int c;

    while ((c = getopt(argc, argv, "m:")) != -1) {
        size_t mode = 0;
        while (c == 'm' && mode < G_N_ELEMENTS(modes) && strcmp(optarg, modes[mode]) != 0) mode++;
        if (c != 'm') {
            io_usage(io_find("truncate"));
            return -1;
        }
        if (mode == G_N_ELEMENTS(modes)) {
            fprintf(stderr, "%s: Invalid preallocation mode '%s'\n", program_invocation_short_name,
                    optarg);
            return -1;
        }
        w.prealloc = (VitPrealloc)mode;
    }
    int64_t size = optind < argc ? io_number(argv[optind]) : -1;
    if (size < 0) return -1;
    w.bytes = (uint64_t)size;
    if (vit_block_info(tool->node).read_only) {
        fprintf(stderr, "%s: Block node is read-only\n", program_invocation_short_name);
        return -1;
    }
    vit_fiber_run_sync(tool->thread, truncate_fiber, &w);
    if (w.error) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, vit_block_error_text(w.error));
        g_error_free(w.error);
    }
    return w.result;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int cmd_open(IoTool *tool, int argc, char **argv)
{
    unsigned flags = tool->flags;
    g_autoptr(VitBlockArgs) options = NULL;
    g_autoptr(GError) error = NULL;
    const char *aio = NULL;
    bool writethrough, temporary = false;
    int c;

    while ((c = getopt(argc, argv, "rsCnkUi:t:d:o:")) != -1) {
        switch (c) {
        case 'r': flags |= VIT_OPEN_READ_ONLY; break;
        case 's': temporary = true; break;
        case 'n': flags |= VIT_OPEN_DIRECT; break;
        case 'U': flags |= VIT_OPEN_FORCE_SHARE; break;
        case 'k': aio = "native"; break;
        case 'i': aio = optarg; break;
        case 't':
            if (!cli_cache_mode(optarg, &flags, &writethrough)) {
                fprintf(stderr, "%s: Invalid cache option: %s\n", program_invocation_short_name,
                        optarg);
                return -1;
            }
            break;
        case 'd':
            if (!cli_discard_mode(optarg, &flags)) {
                fprintf(stderr, "%s: Invalid discard option: %s\n", program_invocation_short_name,
                        optarg);
                return -1;
            }
            break;
        case 'o':
            if (!(options = vit_block_args_parse("-o", optarg, NULL, &error))) {
                fprintf(stderr, "%s: %s\n", program_invocation_short_name,
                        vit_block_error_text(error));
                return -1;
            }
            break;
        default: io_usage(io_find("open")); return -1;
        }
    }
    if (aio && !options) options = vit_block_args_new("", NULL, NULL);
    if (aio) vit_block_args_set(options, "file.aio", aio);
    JsonObject *object = options ? vit_block_args_object(options) : NULL;
    return io_open(tool, optind < argc ? argv[optind] : NULL, NULL, object, flags, temporary) ? 0
                                                                                              : -1;
}

static int cmd_close(IoTool *tool, int argc, char **argv)
{
    (void)io_run_line(tool, "aio_flush");
    io_close(tool);
    return 0;
}

static int cmd_reopen(IoTool *tool, int argc, char **argv)
{
    bool read_only = vit_block_info(tool->node).read_only;
    g_autoptr(GError) error = NULL;
    unsigned flags = tool->flags;
    bool writethrough;
    int c, mode = 0;

    while ((c = getopt(argc, argv, "rwc:")) != -1) {
        if (c == '?') {
            io_usage(io_find("reopen"));
            return -1;
        }
        if (c == 'c' && !cli_cache_mode(optarg, &flags, &writethrough)) {
            fprintf(stderr, "%s: Invalid cache option: %s\n", program_invocation_short_name,
                    optarg);
            return -1;
        }
        if (c == 'c') continue;
        if (mode) {
            fprintf(stderr, "%s: Only one -r/-w option may be given\n",
                    program_invocation_short_name);
            return -1;
        }
        mode = c;
        read_only = c == 'r';
    }
    if (optind < argc) {
        io_usage(io_find("reopen"));
        return -1;
    }
    if (flags != tool->flags) {
        fprintf(stderr, "%s: Cannot change the cache mode of an open image; close and open it\n",
                program_invocation_short_name);
        return -1;
    }
    if (vit_block_set_read_only(tool->node, read_only, &error)) return 0;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, vit_block_error_text(error));
    return -1;
}

static int cmd_sleep(IoTool *tool, int argc, char **argv)
{
    char *end;
    long milliseconds = strtol(argv[1], &end, 10);

    if (end == argv[1] || *end || milliseconds < 0) {
        printf("%s is not a valid number\n", argv[1]);
        return -1;
    }
    g_usleep((gulong)milliseconds * 1000);
    return 0;
}

static int cmd_sigraise(IoTool *tool, int argc, char **argv)
{
    int64_t signal = io_number(argv[1]);

    if (signal < 0) return -1;
    fflush(stdout); /* what was said is not to die with us */
    raise((int)signal);
    return 0;
}

static int cmd_abort(IoTool *tool, int argc, char **argv)
{
    abort();
}

const IoCommand io_image_commands[] = {
    { "abort", NULL, cmd_abort, 0, 0, false, "", "simulate a program crash using abort(3)", NULL },
    { "alloc", "a", cmd_alloc, 1, 2, true, "offset [count] ",
      "checks if offset is allocated in the file", NULL },
    { "close", "c", cmd_close, 0, 0, true, "", "close the current open file", NULL },
    { "flush", "f", cmd_flush, 0, 0, true, "", "flush all in-core file state to disk", NULL },
    { "info", "i", cmd_info, 0, 0, true, "", "prints information about the current file", NULL },
    { "length", "l", cmd_length, 0, 0, true, "", "gets the length of the current file", NULL },
    { "map", NULL, cmd_map, 0, 0, true, " ", "prints the allocated areas of a file", NULL },
    { "open", "o", cmd_open, 1, -1, false, "[-rsCnkU] [-t cache] [-d discard] [-o options] [path] ",
      "open the file specified by path", " Example: 'open -n -o driver=raw /tmp/data'\n" },
    { "reopen", NULL, cmd_reopen, 0, -1, true, "[(-r|-w)] [-c cache] ",
      "reopens an image read-only or for writing", NULL },
    { "sigraise", NULL, cmd_sigraise, 1, 1, false, "signal ", "raises a signal", NULL },
    { "sleep", NULL, cmd_sleep, 1, 1, false, "", "waits for the given value in milliseconds",
      NULL },
    { "truncate", "t", cmd_truncate, 1, 3, true, "[-m prealloc_mode] off ",
      "truncates the current file at the given offset", NULL },
    { .name = NULL },
};
