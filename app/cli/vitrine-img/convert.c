/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/convert.c - vitrine-img convert: a copy in another format */
#include "app/cli/vitrine-img/create.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 2 << 20, ZERO_RUN = 4096 };

typedef struct {
    Img *img;
    GPtrArray *sources; /* of VitBlockNode* */
    VitBlockNode *target;
    uint64_t total, done;
    bool compressed, target_zero;
    uint8_t *buffer;
    int status;
} Convert;

/* Writes what is not zero, in runs of whole ZERO_RUN blocks. */
static int write_piece(Convert *c, uint64_t to, uint64_t bytes)
{
    if (c->compressed) {
        if (vit_block_is_zero(c->buffer, bytes) && c->target_zero) return 0;
        return vit_co_write(c->target, to, c->buffer, bytes, VIT_BLOCK_COMPRESSED);
    }
    for (uint64_t at = 0; at < bytes;) {
        bool zero = vit_block_is_zero(c->buffer + at, MIN(ZERO_RUN, bytes - at));
        uint64_t end = at;
        while (end < bytes &&
               vit_block_is_zero(c->buffer + end, MIN(ZERO_RUN, bytes - end)) == zero)
            end += MIN(ZERO_RUN, bytes - end);
        int result = 0;
        if (!zero) result = vit_co_write(c->target, to + at, c->buffer + at, end - at, 0);
        else if (!c->target_zero)
            result = vit_co_zero(c->target, to + at, end - at, VIT_BLOCK_MAY_UNMAP);
        if (result < 0) return result;
        at = end;
    }
    return 0;
}

static bool copy_source(Convert *c, VitBlockNode *source)
{
    uint64_t size = vit_block_info(source).size;
    uint64_t cluster = vit_block_info(c->target).cluster_size;
    uint64_t piece = c->compressed && cluster ? cluster : PIECE;

    for (uint64_t at = 0; at < size;) {
        VitBlockExtent x;
        uint64_t bytes = MIN(piece, size - at);
        int result = vit_co_status_above(source, NULL, at, c->compressed ? bytes : size - at, &x);
        if (result == 0 && (x.flags & VIT_EXTENT_ZERO) && (!c->compressed || x.bytes >= bytes)) {
            bytes = x.bytes;
            if (!c->target_zero)
                result = vit_co_zero(c->target, c->done, bytes, VIT_BLOCK_MAY_UNMAP);
        } else if (result == 0) {
            if (!c->compressed) bytes = MIN(x.bytes, bytes);
            result = vit_co_read(source, at, c->buffer, bytes);
            if (result < 0) {
                c->status = img_fail(c->img, 1,
                                     "error while reading at byte %" G_GUINT64_FORMAT ": %s", at,
                                     g_strerror(-result));
                return false;
            }
            result = write_piece(c, c->done, bytes);
        }
        if (result < 0) {
            c->status = img_fail(c->img, 1, "error while writing at byte %" G_GUINT64_FORMAT ": %s",
                                 c->done, g_strerror(-result));
            return false;
        }
        at += bytes;
        c->done += bytes;
        img_progress(c->img, c->done, c->total, NULL);
    }
    return true;
}

static void convert_fiber(void *opaque)
{
    Convert *c = opaque;

    c->buffer = g_malloc(PIECE);
    img_progress(c->img, 0, 100, NULL);
    bool good = true;
    for (guint i = 0; i < c->sources->len && good; i++) good = copy_source(c, c->sources->pdata[i]);
    int result = good ? vit_co_flush(c->target) : 0;
    if (result < 0)
        c->status = img_fail(c->img, 1, "error while flushing: %s", g_strerror(-result));
    if (good) img_progress(c->img, 100, 100, NULL);
    g_free(c->buffer);
}

typedef struct {
    const char *format; /* of the target */
    const char *backing, *backing_format;
    const char *cache, *source_cache;
    bool compressed, no_create;
    char **texts;
} Given;

static int convert(Img *img, Convert *c, const Given *g, char **names, int count,
                   const char *target)
{
    unsigned flags = VIT_OPEN_READ_ONLY, target_flags = 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonObject) secrets = json_object_new();
    bool fua;

    if (!img_cache_flags(g->source_cache, &flags, &fua))
        return img_fail(img, 1, "Invalid source cache option: %s", g->source_cache);
    if (!img_cache_flags(g->cache ?: "unsafe", &target_flags, &fua))
        return img_fail(img, 1, "Invalid cache option: %s", g->cache);
    for (int i = 0; i < count; i++) {
        VitBlockNode *node = img_open(img, names[i], img->format, img->image_opts, flags);
        if (!node) return 1;
        g_ptr_array_add(c->sources, node);
        c->total += vit_block_info(node).size;
    }
    const VitBlockDriver *driver = img_create_driver(img, "", g->format);
    if (!driver) return 1;
    if (!g->no_create) {
        const char *backing = g->backing, *backing_format = g->backing_format;
        g_autoptr(VitBlockArgs) args = img_create_options(img, "", driver, g->texts);
        uint64_t ignored = 0;
        if (args) img_add_key_secrets(secrets, args);
        if (!args || !img_create_take(img, "", args, &ignored, &backing, &backing_format)) return 1;
        if (!vit_block_graph_create(img->graph, target, driver->name, c->total, backing,
                                    backing_format, args, &error))
            return img_fail(img, 1, "%s: error while converting %s: %s", target, driver->name,
                            error->message);
    }
    c->target = img_open_target(img, target, driver->name, secrets, target_flags);
    if (!c->target) return 1;
    VitBlockInfo info = vit_block_info(c->target);
    if (info.size < c->total) return img_fail(img, 1, "output file is smaller than input file");
    c->compressed = g->compressed || info.must_compress;
    if (c->compressed && !info.can_compress)
        return img_fail(img, 1, "Compression not supported for this file format");
    c->target_zero = !g->no_create && info.zero_init;
    img_run(img, convert_fiber, c);
    img_progress_end(img);
    return c->status;
}

int img_convert(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_QUIET,
        IMG_PROGRESS,
        { "source-format", required_argument, NULL, 'f' },
        IMG_IMAGE_OPTS,
        { "source-cache", required_argument, NULL, 'T' },
        { "target-format", required_argument, NULL, 'O' },
        { "target-options", required_argument, NULL, 'o' },
        { "compress", no_argument, NULL, 'c' },
        { "target-cache", required_argument, NULL, 't' },
        { "backing", required_argument, NULL, 'B' },
        { "backing-format", required_argument, NULL, 'F' },
        { "no-create", no_argument, NULL, 'n' },
        IMG_FORCE_SHARE,
        { "oob-writes", no_argument, NULL, 'W' },
        { "parallel", required_argument, NULL, 'm' },
        IMG_OBJECT,
        { NULL },
    };
    g_autoptr(GPtrArray) texts = g_ptr_array_new();
    Convert c = { .img = img };
    Given given = { .format = "raw" };
    int letter, status = 1;

    while ((letter = img_next_option(img, argc, argv, "hqpf:T:O:o:ct:B:F:nUWm:", options,
                                     &status)) != -1) {
        switch (letter) {
        case 'O': given.format = optarg; break;
        case 'o': g_ptr_array_add(texts, optarg); break;
        case 'c': given.compressed = true; break;
        case 'B': given.backing = optarg; break;
        case 'F': given.backing_format = optarg; break;
        case 't': given.cache = optarg; break;
        case 'T': given.source_cache = optarg; break;
        case 'n': given.no_create = true; break;
        case 'W':
        case 'm': break;
        default: return status;
        }
    }
    g_ptr_array_add(texts, NULL);
    given.texts = (char **)texts->pdata;
    const VitBlockDriver *driver = vit_block_driver_find(given.format);
    if (driver && img_create_help(driver, argc - optind >= 2, given.texts)) return 0;
    if (argc - optind < 2) return img_fail(img, 1, "Must specify image file name");
    c.sources = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_node_unref);
    status = convert(img, &c, &given, argv + optind, argc - optind - 1, argv[argc - 1]);
    vit_block_node_unref(c.target);
    g_ptr_array_unref(c.sources);
    return status;
}
