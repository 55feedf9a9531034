/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/commit.c - vitrine-img commit: what an image stores goes into what it stands
 * on */
#include "app/cli/vitrine-img/img.h"

#include "block/jobs/jobs.h"

#include <stdio.h>
#include <string.h>

/* The image of the chain under top that is called name, as the one above it says or by its path. */
static VitBlockNode *find_base(VitBlockNode *top, const char *name)
{
    for (VitBlockNode *n = top; n->backing; n = n->backing->node) {
        VitBlockNode *below = n->backing->node;
        g_autofree char *wanted = g_canonicalize_filename(name, NULL),
                        *have = g_canonicalize_filename(below->filename, NULL);
        if (strcmp(below->filename, name) == 0 || strcmp(wanted, have) == 0 ||
            (n->backing_file && strcmp(n->backing_file, name) == 0))
            return below;
    }
    return NULL;
}

static int commit(Img *img, VitBlockNode *top, const char *name, const char *base_name, bool drop,
                  uint64_t rate, bool fua)
{
    g_autoptr(GError) error = NULL;
    VitBlockNode *base = top->backing ? top->backing->node : NULL;

    if (base_name && !(base = find_base(top, base_name)))
        return img_fail(img, 1, "Did not find '%s' in the backing chain of '%s'", base_name, name);
    if (!base) return img_fail(img, 1, "Image does not have a backing file");
    VitBlockCommit how = {
        .top = top,
        .base = base,
        .make_empty = !drop && !base_name,
        .write_flags = fua ? VIT_BLOCK_FUA : 0,
    };
    VitBlockJob *job = vit_block_commit_new(img->jobs, NULL, IMG_JOB_FLAGS, &how, &error);
    if (job) vit_block_job_set_speed(job, rate);
    int status = img_run_job(img, job, error);
    if (status == 0) img_say(img, "Image committed.\n");
    return status;
}

int img_commit(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_QUIET,
        IMG_PROGRESS,
        IMG_FORMAT,
        IMG_IMAGE_OPTS,
        { "cache", required_argument, NULL, 't' },
        { "drop", no_argument, NULL, 'd' },
        { "base", required_argument, NULL, 'b' },
        { "rate", required_argument, NULL, 'r' },
        IMG_OBJECT,
        { NULL },
    };
    const char *cache = NULL, *base = NULL;
    bool drop = false, fua;
    uint64_t rate = 0;
    unsigned flags = VIT_OPEN_DISCARD;
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hqpf:t:db:r:", options, &status)) != -1) {
        switch (c) {
        case 't': cache = optarg; break;
        case 'd': drop = true; break;
        case 'b': base = optarg; break;
        case 'r':
            if (!vit_parse_size_strict(optarg, &rate))
                return img_fail(img, 1, "Invalid rate limit specified: '%s'.", optarg);
            break;
        default: return status;
        }
    }
    if (optind != argc - 1) return img_fail_usage(img, 1, "Expecting one image file name");
    if (!img_cache_flags(cache, &flags, &fua))
        return img_fail(img, 1, "Invalid cache option: %s", cache);
    VitBlockNode *top = img_open(img, argv[optind], img->format, img->image_opts, flags);
    if (!top) return 1;
    status = commit(img, top, argv[optind], base, drop, rate, fua);
    vit_block_node_unref(top);
    return status;
}
