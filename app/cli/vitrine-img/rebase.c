/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/rebase.c - vitrine-img rebase: gives an image another backing file */
#include "app/cli/vitrine-img/img.h"

#include "block/jobs/jobs.h"

#include <string.h>

static int rebase(Img *img, VitBlockRebase *r, const char *name, unsigned flags,
                  unsigned backing_flags)
{
    g_autoptr(GError) error = NULL;

    if (r->format && !vit_block_driver_find(r->format))
        return img_fail(img, 1, "Invalid format name: '%s'", r->format);
    r->node = img_open(img, name, img->format, img->image_opts,
                       flags | (r->unsafe ? VIT_OPEN_NO_BACKING : 0));
    if (!r->node) return 1;
    if (!r->unsafe && r->file && *r->file) {
        g_autofree char *full = vit_block_filename_join(r->node->filename, r->file);
        r->backing = vit_block_graph_open_image(img->graph, full, r->format, NULL,
                                                backing_flags | VIT_OPEN_READ_ONLY, &error);
        if (!r->backing)
            return img_fail(img, 1, "Could not open new backing file '%s': %s", r->file,
                            vit_block_error_text(error));
    }
    VitBlockJob *job = vit_block_rebase_new(img->jobs, NULL, IMG_JOB_FLAGS, r, &error);
    return img_run_job(img, job, error);
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
    VitBlockRebase r = { 0 };
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
    img_progress_begin(img);
    status = rebase(img, &r, argv[optind], flags, backing_flags);
    vit_block_node_unref(r.backing);
    vit_block_node_unref(r.node);
    return status;
}
