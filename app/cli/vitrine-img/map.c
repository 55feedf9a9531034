/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/map.c - vitrine-img map: where each stretch of an image is stored */
#include "app/cli/vitrine-img/img.h"

#include <stdio.h>

typedef struct {
    Img *img;
    VitBlockNode *node;
    uint64_t start, length;
    int status;
} Map;

typedef struct {
    uint64_t start, bytes, offset;
    int depth;
    bool present, zero, data, compressed, has_offset;
    VitBlockNode *file; /* borrowed */
} Entry;

static int look(Map *m, uint64_t at, uint64_t bytes, Entry *e)
{
    VitBlockExtent x;
    int result = vit_co_status_above(m->node, NULL, at, bytes, &x);

    if (result < 0) return result;
    *e = (Entry){ .start = at,
                  .bytes = x.bytes,
                  .depth = x.depth,
                  .present = x.flags & VIT_EXTENT_ALLOCATED,
                  .zero = x.flags & VIT_EXTENT_ZERO,
                  .data = x.flags & VIT_EXTENT_DATA,
                  .compressed = x.flags & VIT_EXTENT_COMPRESSED,
                  .has_offset = x.flags & VIT_EXTENT_OFFSET,
                  .offset = x.host_offset,
                  .file = x.file };
    return 0;
}

static bool continues(const Entry *a, const Entry *b)
{
    return a->present == b->present && a->zero == b->zero && a->data == b->data &&
           a->compressed == b->compressed && a->depth == b->depth &&
           a->has_offset == b->has_offset &&
           (!a->has_offset || (a->file == b->file && a->offset + a->bytes == b->offset));
}

static int print_entry(Map *m, const Entry *e, bool first, bool last)
{
    if (!m->img->json) {
        if (e->data && !e->has_offset)
            return img_fail(m->img, 1, "File contains external, encrypted or compressed clusters.");
        if (e->data && !e->zero)
            printf("%#-16" G_GINT64_MODIFIER "x%#-16" G_GINT64_MODIFIER "x%#-16" G_GINT64_MODIFIER
                   "x%s\n",
                   e->start, e->bytes, e->has_offset ? e->offset : 0,
                   e->file ? vit_block_node_filename(e->file) : "");
        return 0;
    }
    if (first) putchar('[');
    printf("{ \"start\": %" G_GUINT64_FORMAT ", \"length\": %" G_GUINT64_FORMAT
           ", \"depth\": %d, \"present\": %s, \"zero\": %s, \"data\": %s, \"compressed\": %s",
           e->start, e->bytes, e->depth, e->present ? "true" : "false", e->zero ? "true" : "false",
           e->data ? "true" : "false", e->compressed ? "true" : "false");
    if (e->has_offset) printf(", \"offset\": %" G_GUINT64_FORMAT, e->offset);
    printf("}%s", last ? "]\n" : ",\n");
    return 0;
}

static void map_fiber(void *opaque)
{
    Map *m = opaque;
    uint64_t size = vit_block_info(m->node).size;
    uint64_t end = m->length < size - MIN(m->start, size) ? m->start + m->length : size;
    Entry now = { .start = m->start }, next;
    bool first = true;

    if (!m->img->json) printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    for (uint64_t at = m->start; at < end; at += next.bytes) {
        int result = look(m, at, end - at, &next);
        if (result < 0 || next.bytes == 0) {
            m->status = img_fail(m->img, 1, "Failed to read image metadata: %s",
                                 g_strerror(result < 0 ? -result : 5));
            return;
        }
        if (now.bytes > 0 && continues(&now, &next)) {
            now.bytes += next.bytes;
            continue;
        }
        if (now.bytes > 0) {
            m->status = print_entry(m, &now, first, false);
            if (m->status) return;
            first = false;
        }
        now = next;
    }
    m->status = print_entry(m, &now, first, true);
}

int img_map(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_FORMAT,
        IMG_IMAGE_OPTS,
        IMG_FORCE_SHARE,
        IMG_OBJECT,
        IMG_OUTPUT,
        { "start-offset", required_argument, NULL, 's' },
        { "max-length", required_argument, NULL, 'l' },
        { NULL },
    };
    Map m = { .img = img, .length = UINT64_MAX };
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hf:s:l:U", options, &status)) != -1) {
        if (c == '?') return status;
        if (!vit_parse_size_strict(optarg, c == 's' ? &m.start : &m.length))
            return img_fail(img, 1, "Invalid %s specified: '%s'.",
                            c == 's' ? "start offset" : "max length", optarg);
    }
    if (optind != argc - 1) return img_fail_usage(img, 1, "Expecting one image file name");
    m.node = img_open(img, argv[optind], img->format, img->image_opts, VIT_OPEN_READ_ONLY);
    if (!m.node) return 1;
    img_run(img, map_fiber, &m);
    vit_block_node_unref(m.node);
    return m.status;
}
