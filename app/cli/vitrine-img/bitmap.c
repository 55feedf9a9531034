/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/bitmap.c - vitrine-img bitmap: persistent dirty bitmaps of an image */
#include "app/cli/vitrine-img/img.h"

#include "block/bitmap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { OPT_ADD = IMG_OPT_OWN, OPT_REMOVE, OPT_CLEAR, OPT_ENABLE, OPT_DISABLE, OPT_MERGE };
enum { LEAST_GRANULARITY = 4 << 10, MOST_GRANULARITY = 64 << 10, MAX_STEPS = 64 }; /* unless told */

typedef struct {
    int what;
    const char *source; /* of OPT_MERGE */
} Step;

typedef struct {
    Img *img;
    VitBlockNode *node, *source; /* source: where --merge looks */
    const char *name;
    uint64_t granularity;
    Step steps[MAX_STEPS];
    unsigned n_steps;
    int status;
    bool added; /* by one of the steps */
} Bitmap;

static bool add(Bitmap *b, GError **error)
{
    const VitBlockDriver *d = b->node->driver;
    uint32_t cluster = vit_block_info(b->node).cluster_size ?: MOST_GRANULARITY;
    uint64_t granularity = b->granularity ?: CLAMP(cluster, LEAST_GRANULARITY, MOST_GRANULARITY);

    if (granularity < 512 || (granularity & (granularity - 1)) || granularity > UINT32_MAX)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              "Granularity must be power of 2 and at least 512");
    if (vit_block_bitmap_find(b->node, b->name))
        return vit_block_fail(error, VIT_BLOCK_ERROR_EXISTS, "Bitmap already exists: %s", b->name);
    if (!d->co_bitmap_can_store)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              "Can't store persistent bitmaps to %s: Operation not supported",
                              b->node->name);
    if (*b->name && !d->co_bitmap_can_store(b->node, b->name, (uint32_t)granularity, error)) {
        g_prefix_error(error, "Can't make bitmap '%s' persistent in '%s': ", b->name,
                       b->node->name);
        return false;
    }
    VitBlockBitmap *bitmap = vit_block_bitmap_new(b->node, b->name, (uint32_t)granularity, error);
    if (bitmap) vit_block_bitmap_set_persistent(bitmap, true);
    return bitmap != NULL;
}

static VitBlockBitmap *find(VitBlockNode *node, const char *name, GError **error)
{
    VitBlockBitmap *bitmap = vit_block_bitmap_find(node, name);

    if (!bitmap)
        vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, "Dirty bitmap '%s' not found", name);
    return bitmap;
}

static VitBlockBitmap *find_sound(VitBlockNode *node, const char *name, GError **error)
{
    VitBlockBitmap *bitmap = find(node, name, error);

    if (bitmap && vit_block_bitmap_inconsistent(bitmap)) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       "Bitmap '%s' is inconsistent and cannot be used", name);
        return NULL;
    }
    return bitmap;
}

static bool remove_bitmap(Bitmap *b, GError **error)
{
    VitBlockBitmap *bitmap = find(b->node, b->name, error);
    const VitBlockDriver *d = b->node->driver;

    if (!bitmap) return false;
    if (vit_block_bitmap_persistent(bitmap) && d->co_bitmap_remove &&
        !d->co_bitmap_remove(b->node, b->name, error))
        return false;
    bitmap = vit_block_bitmap_find(b->node, b->name);
    if (bitmap) vit_block_bitmap_free(bitmap);
    return true;
}

static bool step(Bitmap *b, const Step *s, const char **verb, GError **error)
{
    VitBlockBitmap *bitmap, *from;

    switch (s->what) {
    case OPT_ADD: *verb = "add"; return b->added = add(b, error);
    case OPT_REMOVE: *verb = "remove"; return remove_bitmap(b, error);
    case OPT_MERGE:
        *verb = "merge";
        bitmap = find_sound(b->node, b->name, error);
        from = bitmap ? find_sound(b->source ?: b->node, s->source, error) : NULL;
        return from && vit_block_bitmap_merge(bitmap, from, error);
    default:
        *verb = s->what == OPT_CLEAR ? "clear" : s->what == OPT_ENABLE ? "enable" : "disable";
        if (!(bitmap = find_sound(b->node, b->name, error))) return false;
        if (s->what == OPT_CLEAR) vit_block_bitmap_clear(bitmap, 0, b->node->size);
        else vit_block_bitmap_enable(bitmap, s->what == OPT_ENABLE);
        return true;
    }
}

static void run(void *opaque)
{
    Bitmap *b = opaque;

    for (unsigned i = 0; i < b->n_steps; i++) {
        g_autoptr(GError) error = NULL;
        const char *verb = "";
        if (step(b, &b->steps[i], &verb, &error)) continue;
        b->status = img_fail(b->img, 1, "Operation %s on bitmap %s failed: %s", verb, b->name,
                             error ? vit_block_error_text(error) : "Operation not supported");
        if (b->added) (void)remove_bitmap(b, NULL); /* as if nothing had been asked for */
        return;
    }
}

static bool has(const Bitmap *b, int what)
{
    for (unsigned i = 0; i < b->n_steps; i++)
        if (b->steps[i].what == what) return true;
    return false;
}

int img_bitmap(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_FORMAT,
        IMG_IMAGE_OPTS,
        IMG_OBJECT,
        { "add", no_argument, NULL, OPT_ADD },
        { "remove", no_argument, NULL, OPT_REMOVE },
        { "clear", no_argument, NULL, OPT_CLEAR },
        { "enable", no_argument, NULL, OPT_ENABLE },
        { "disable", no_argument, NULL, OPT_DISABLE },
        { "merge", required_argument, NULL, OPT_MERGE },
        { "granularity", required_argument, NULL, 'g' },
        { "source-file", required_argument, NULL, 'b' },
        { "source-format", required_argument, NULL, 'F' },
        { NULL },
    };
    Bitmap b = { .img = img };
    const char *source = NULL, *source_format = NULL;
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hf:b:F:g:", options, &status)) != -1) {
        switch (c) {
        case '?': return status;
        case 'b': source = optarg; break;
        case 'F': source_format = optarg; break;
        case 'g':
            errno = 0;
            if (vit_parse_size_strict(optarg, &b.granularity)) break;
            if (errno == ERANGE)
                return img_fail(img, 1,
                                "Invalid granularity specified. Must be between 0 and "
                                "%" G_GINT64_FORMAT ".",
                                INT64_MAX);
            return img_fail(img, 1, "Invalid granularity specified: '%s'.", optarg);
        default:
            if (b.n_steps == MAX_STEPS) return img_fail(img, 1, "Too many operations");
            b.steps[b.n_steps++] = (Step){ c, optarg };
        }
    }
    if (b.n_steps == 0)
        return img_fail(img, 1,
                        "Need at least one of --add, --remove, --clear, --enable, --disable, or "
                        "--merge");
    if (optind != argc - 2) return img_fail(img, 1, "Expecting filename and bitmap name");
    if (b.granularity && !has(&b, OPT_ADD))
        return img_fail(img, 1, "granularity only supported with --add");
    if (source_format && !source) return img_fail(img, 1, "-F only supported with -b");
    if (source && !has(&b, OPT_MERGE))
        return img_fail(img, 1, "Merge bitmap source file only supported with --merge");
    b.name = argv[optind + 1];
    b.node = img_open(img, argv[optind], img->format, img->image_opts, VIT_OPEN_NO_BACKING);
    if (!b.node) return 1;
    if (source) {
        b.source = img_open(img, source, source_format, false,
                            VIT_OPEN_READ_ONLY | VIT_OPEN_NO_BACKING);
        b.status = b.source ? 0 : 1;
    }
    if (b.status == 0) img_run(img, run, &b);
    vit_block_node_unref(b.source);
    vit_block_node_unref(b.node);
    return b.status;
}
