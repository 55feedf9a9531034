/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/rebase.c - vitrine-img rebase: gives an image another backing file
 *
 * Unless it is told to be unsafe, what reads differently on the new one is copied into the image
 * first; the image changes its backing file only when all of that is on stable storage. */
#include "app/cli/vitrine-img/img.h"

#include <stdio.h>
#include <string.h>

enum { PIECE = 2 << 20, BLOCK = 64 << 10 };

typedef struct {
    Img *img;
    VitBlockNode *node, *fresh; /* fresh: the new backing image, NULL: none */
    const char *file, *format; /* to be stored */
    bool unsafe, compress;
    uint8_t *old_data, *new_data; /* PIECE bytes each */
    int status;
} Rebase;

static int fail_code(Rebase *r, const char *what, int code)
{
    return img_fail(r->img, 1, "error while %s: %s", what, g_strerror(-code));
}

/* What a chain reads as: zeroes past its end, or without one. */
static int read_chain(VitBlockNode *top, uint64_t at, uint8_t *buf, uint64_t bytes)
{
    uint64_t size = top ? top->size : 0, have = at < size ? MIN(bytes, size - at) : 0;
    int code = have ? vit_co_read(top, at, buf, have) : 0;

    memset(buf + have, 0, bytes - have);
    return code;
}

/* Whether both read as zeroes there; shortens *bytes to a stretch that it is true or false for. */
static int both_zero(Rebase *r, uint64_t at, uint64_t *bytes, bool *zero)
{
    VitBlockNode *old = r->node->backing ? r->node->backing->node : NULL;
    VitBlockNode *chains[] = { old, r->fresh };

    *zero = true;
    for (int i = 0; i < 2; i++) {
        VitBlockExtent x;
        if (!chains[i] || at >= chains[i]->size) continue;
        int code = vit_co_status_above(chains[i], NULL, at, *bytes, &x);
        if (code < 0) return code;
        if (x.bytes > 0) *bytes = MIN(*bytes, x.bytes);
        *zero &= (x.flags & VIT_EXTENT_ZERO) != 0;
    }
    return 0;
}

/* Writes the old content of the blocks that differ. */
static int copy_different(Rebase *r, uint64_t at, uint64_t bytes, uint64_t block)
{
    for (uint64_t done = 0; done < bytes;) {
        uint64_t end = done;
        while (end < bytes &&
               memcmp(r->old_data + end, r->new_data + end, MIN(block, bytes - end)) != 0) {
            end += MIN(block, bytes - end);
            if (r->compress) break; /* a cluster at a time */
        }
        if (end == done) {
            done += MIN(block, bytes - done);
            continue;
        }
        int code = 0;
        if (vit_block_is_zero(r->old_data + done, end - done))
            code = vit_co_zero(r->node, at + done, end - done, 0);
        else
            code = vit_co_write(r->node, at + done, r->old_data + done, end - done,
                                r->compress ? VIT_BLOCK_COMPRESSED : 0);
        if (code < 0) return fail_code(r, "writing", code);
        done = end;
    }
    return 0;
}

static int copy_all(Rebase *r)
{
    VitBlockNode *node = r->node;
    uint64_t size = node->size, cluster = vit_block_info(node).cluster_size;
    uint64_t block = cluster && cluster <= PIECE ? cluster : BLOCK;

    for (uint64_t at = 0; at < size;) {
        VitBlockExtent x;
        bool zero = false;
        int code = vit_co_status(node, at, size - at, &x);
        if (code < 0 || x.bytes == 0)
            return fail_code(r, "reading image metadata", code < 0 ? code : -5);
        uint64_t bytes = x.bytes;
        if (!(x.flags & (VIT_EXTENT_ALLOCATED | VIT_EXTENT_ZERO))) {
            code = both_zero(r, at, &bytes, &zero);
            if (code == 0 && !zero) {
                /* Whole blocks of the image, so that none is written twice. */
                bytes = MIN(MIN(MAX(bytes, block), x.bytes), PIECE - at % block);
                code = read_chain(node->backing ? node->backing->node : NULL, at, r->old_data,
                                  bytes);
                if (code == 0) code = read_chain(r->fresh, at, r->new_data, bytes);
                if (code == 0 && copy_different(r, at, bytes, block) != 0) return 1;
            }
            if (code < 0) return fail_code(r, "reading from backing file", code);
        }
        at += bytes;
        img_progress(r->img, at, size, NULL);
    }
    int code = vit_co_flush(node);
    return code < 0 ? fail_code(r, "flushing the image", code) : 0;
}

static void run(void *opaque)
{
    Rebase *r = opaque;
    const VitBlockDriver *d = r->node->driver;
    const char *file = r->file && *r->file ? r->file : NULL;
    g_autoptr(GError) error = NULL;

    if (!r->unsafe) {
        r->old_data = g_malloc(PIECE);
        r->new_data = g_malloc(PIECE);
        r->status = copy_all(r);
        g_free(r->old_data);
        g_free(r->new_data);
        if (r->status) return;
    }
    if (!d->co_change_backing) {
        r->status = img_fail(r->img, 1,
                             "Could not change the backing file to '%s': Operation not supported",
                             file ?: "");
    } else if (file && !r->format) {
        r->status = img_fail(r->img, 1,
                             "Could not change the backing file to '%s': backing format must be "
                             "specified",
                             file);
    } else if (!d->co_change_backing(r->node, file, file ? r->format : NULL, &error)) {
        r->status = img_fail(r->img, 1, "Could not change the backing file to '%s': %s", file ?: "",
                             error->message);
    } else {
        int code = vit_co_flush(r->node);
        if (code < 0) r->status = fail_code(r, "flushing the image", code);
    }
}

static int rebase(Img *img, Rebase *r, const char *name, unsigned flags, unsigned backing_flags)
{
    if (r->format && !vit_block_driver_find(r->format))
        return img_fail(img, 1, "Invalid format name: '%s'", r->format);
    r->node = img_open(img, name, img->format, img->image_opts,
                       flags | (r->unsafe ? VIT_OPEN_NO_BACKING : 0));
    if (!r->node) return 1;
    if (!r->unsafe && r->file && *r->file) {
        g_autofree char *full = vit_block_filename_join(r->node->filename, r->file);
        g_autoptr(GError) error = NULL;
        r->fresh = vit_block_graph_open_image(img->graph, full, r->format, NULL,
                                              backing_flags | VIT_OPEN_READ_ONLY, &error);
        if (!r->fresh)
            return img_fail(img, 1, "Could not open new backing file '%s': %s", r->file,
                            error->message);
    }
    img_progress(img, 0, 100, NULL);
    img_run(img, run, r);
    if (r->status == 0) img_progress(img, 100, 100, NULL);
    img_progress_end(img);
    return r->status;
}

int img_rebase(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_QUIET,
        IMG_PROGRESS,
        IMG_FORMAT,
        IMG_IMAGE_OPTS,
        { "cache", required_argument, NULL, 't' },
        { "compress", no_argument, NULL, 'c' },
        { "backing", required_argument, NULL, 'b' },
        { "backing-format", required_argument, NULL, 'F' },
        { "backing-cache", required_argument, NULL, 'T' },
        { "backing-unsafe", no_argument, NULL, 'u' },
        IMG_FORCE_SHARE,
        IMG_OBJECT,
        { NULL },
    };
    Rebase r = { .img = img };
    const char *cache = NULL, *source_cache = NULL;
    unsigned flags = 0, backing_flags = 0;
    bool fua;
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hqpf:t:cb:F:T:uU", options, &status)) != -1) {
        switch (c) {
        case 't': cache = optarg; break;
        case 'T': source_cache = optarg; break;
        case 'c': r.compress = true; break;
        case 'b': r.file = optarg; break;
        case 'F': r.format = optarg; break;
        case 'u': r.unsafe = true; break;
        default: return status;
        }
    }
    if (optind != argc - 1) return img_fail_usage(img, 1, "Expecting one image file name");
    if (!r.unsafe && !r.file)
        return img_fail_usage(img, 1, "Must specify backing file (-b) or use unsafe mode (-u)");
    if (!img_cache_flags(cache, &flags, &fua))
        return img_fail(img, 1, "Invalid cache option: %s", cache);
    if (!img_cache_flags(source_cache, &backing_flags, &fua))
        return img_fail(img, 1, "Invalid source cache option: %s", source_cache);
    status = rebase(img, &r, argv[optind], flags, backing_flags);
    vit_block_node_unref(r.fresh);
    vit_block_node_unref(r.node);
    return status;
}
