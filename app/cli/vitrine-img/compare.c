/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/compare.c - vitrine-img compare: whether two images read the same */
#include "app/cli/vitrine-img/img.h"

#include <stdio.h>
#include <string.h>

enum { EQUAL = 0, DIFFERENT = 1, NOT_OPENED = 2, STATUS_FAILED = 3, READ_FAILED = 4 };
enum { PIECE = 2 << 20 };

typedef struct {
    Img *img;
    const char *names[2];
    VitBlockNode *nodes[2];
    uint8_t *buffers[2]; /* PIECE bytes each */
    bool strict;
    int status;
} Compare;

static uint64_t first_difference(const uint8_t *a, const uint8_t *b, uint64_t bytes)
{
    uint64_t at = 0;

    while (at + 512 < bytes && memcmp(a + at, b + at, 512) == 0) at += 512;
    return at;
}

static int read_piece(Compare *c, int which, uint64_t at, uint64_t bytes)
{
    int result = vit_co_read(c->nodes[which], at, c->buffers[which], bytes);

    if (result == 0) return 0;
    return img_fail(c->img, READ_FAILED,
                    "Error while reading offset %" G_GUINT64_FORMAT " of %s: %s", at,
                    c->names[which], g_strerror(-result));
}

static int status_of(Compare *c, int which, uint64_t at, uint64_t bytes, VitBlockExtent *x)
{
    int result = vit_co_status_above(c->nodes[which], NULL, at, bytes, x);

    if (result == 0 && x->bytes > 0) return 0;
    return img_fail(c->img, STATUS_FAILED, "Sector allocation test failed for %s", c->names[which]);
}

static int mismatch(Compare *c, uint64_t at)
{
    img_say(c->img, "Content mismatch at offset %" G_GUINT64_FORMAT "!\n", at);
    return DIFFERENT;
}

/* The part that both have. */
static int compare_common(Compare *c, uint64_t end, uint64_t total)
{
    for (uint64_t at = 0; at < end;) {
        VitBlockExtent x[2];
        int status = status_of(c, 0, at, end - at, &x[0]);
        if (status == 0) status = status_of(c, 1, at, end - at, &x[1]);
        if (status) return status;
        uint64_t bytes = MIN(x[0].bytes, x[1].bytes);
        bool zero[2] = { x[0].flags & VIT_EXTENT_ZERO, x[1].flags & VIT_EXTENT_ZERO };
        bool stored[2] = { x[0].flags & VIT_EXTENT_ALLOCATED, x[1].flags & VIT_EXTENT_ALLOCATED };
        if (c->strict && stored[0] != stored[1]) {
            img_say(c->img, "Strict mode: Offset %" G_GUINT64_FORMAT " block status mismatch!\n",
                    at);
            return DIFFERENT;
        }
        if (!zero[0] || !zero[1]) {
            bytes = MIN(bytes, PIECE);
            for (int i = 0; i < 2 && status == 0; i++)
                if (!zero[i]) status = read_piece(c, i, at, bytes);
            if (status) return status;
            if (!zero[0] && !zero[1]) {
                if (memcmp(c->buffers[0], c->buffers[1], bytes) != 0)
                    return mismatch(c, at + first_difference(c->buffers[0], c->buffers[1], bytes));
            } else {
                uint8_t *data = c->buffers[zero[0] ? 1 : 0];
                uint64_t same = 0;
                if (!vit_block_is_zero(data, bytes)) {
                    while (vit_block_is_zero(data + same, MIN(512, bytes - same))) same += 512;
                    return mismatch(c, at + same);
                }
            }
        }
        at += bytes;
        img_progress(c->img, at, total, NULL);
    }
    return EQUAL;
}

/* What only the longer one has must read as zeroes. */
static int compare_rest(Compare *c, int which, uint64_t at, uint64_t end)
{
    while (at < end) {
        VitBlockExtent x;
        int status = status_of(c, which, at, end - at, &x);
        if (status) return status;
        uint64_t bytes = x.bytes;
        if (!(x.flags & VIT_EXTENT_ZERO)) {
            uint64_t same = 0;
            bytes = MIN(bytes, PIECE);
            status = read_piece(c, which, at, bytes);
            if (status) return status;
            while (same < bytes &&
                   vit_block_is_zero(c->buffers[which] + same, MIN(512, bytes - same)))
                same += 512;
            if (same < bytes) return mismatch(c, at + same);
        }
        at += bytes;
        img_progress(c->img, at, end, NULL);
    }
    return EQUAL;
}

static void compare_fiber(void *opaque)
{
    Compare *c = opaque;
    uint64_t size[2] = { vit_block_info(c->nodes[0]).size, vit_block_info(c->nodes[1]).size };
    int longer = size[1] > size[0] ? 1 : 0;

    img_progress(c->img, 0, 100, NULL);
    if (c->strict && size[0] != size[1]) {
        img_say(c->img, "Strict mode: Image size mismatch!\n");
        c->status = DIFFERENT;
        return;
    }
    c->status = compare_common(c, size[!longer], size[longer]);
    if (c->status == EQUAL && size[0] != size[1]) {
        img_say(c->img, "Warning: Image size mismatch!\n");
        c->status = compare_rest(c, longer, size[!longer], size[longer]);
    }
    if (c->status != EQUAL) return;
    img_progress(c->img, 100, 100, NULL);
    img_say(c->img, "Images are identical.\n");
}

int img_compare(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_QUIET,
        IMG_PROGRESS,
        { "a-format", required_argument, NULL, 'f' },
        { "b-format", required_argument, NULL, 'F' },
        IMG_IMAGE_OPTS,
        { "strict", no_argument, NULL, 's' },
        { "cache", required_argument, NULL, 'T' },
        IMG_FORCE_SHARE,
        IMG_OBJECT,
        { NULL },
    };
    Compare c = { .img = img };
    const char *cache = NULL, *second = NULL;
    unsigned flags = VIT_OPEN_READ_ONLY;
    bool fua;
    int letter, status = DIFFERENT; /* of bad usage, as scripts know it */

    while ((letter = img_next_option(img, argc, argv, "hqpf:F:sT:U", options, &status)) != -1) {
        switch (letter) {
        case 'F': second = optarg; break;
        case 's': c.strict = true; break;
        case 'T': cache = optarg; break;
        default: return status;
        }
    }
    if (img->image_opts && second)
        return img_fail(img, NOT_OPENED, "--image-opts and --format are mutually exclusive");
    if (optind != argc - 2) return img_fail_usage(img, DIFFERENT, "Expecting two image file names");
    if (!img_cache_flags(cache, &flags, &fua))
        return img_fail(img, NOT_OPENED, "Invalid source cache option: %s", cache);
    c.status = NOT_OPENED;
    for (int i = 0; i < 2; i++) {
        c.names[i] = argv[optind + i];
        c.nodes[i] = img_open(img, c.names[i], i ? second : img->format, img->image_opts, flags);
        if (!c.nodes[i]) goto out;
        c.buffers[i] = g_malloc(PIECE);
    }
    img_run(img, compare_fiber, &c);
    img_progress_end(img);
out:
    for (int i = 0; i < 2; i++) {
        vit_block_node_unref(c.nodes[i]);
        g_free(c.buffers[i]);
    }
    return c.status;
}
