/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/amend.c - vitrine-img amend: changes options of an image that exists */
#include "app/cli/vitrine-img/create.h"

#include "block/jobs/jobs.h"

#include <stdio.h>
#include <string.h>

enum { OPT_FORCE = IMG_OPT_OWN };

static int amend(Img *img, VitBlockNode *node, VitBlockArgs *args /* takes it */, bool force)
{
    g_autoptr(GError) error = NULL;
    VitBlockJob *job = vit_block_amend_new(img->jobs, NULL, IMG_JOB_FLAGS, node, args, force,
                                           &error);

    return img_run_job(img, job, error);
}

int img_amend(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_QUIET,
        IMG_PROGRESS,
        IMG_FORMAT,
        IMG_IMAGE_OPTS,
        { "options", required_argument, NULL, 'o' },
        { "cache", required_argument, NULL, 't' },
        { "force", no_argument, NULL, OPT_FORCE },
        IMG_OBJECT,
        { NULL },
    };
    g_autoptr(GPtrArray) texts = g_ptr_array_new();
    const char *cache = NULL;
    unsigned flags = 0;
    bool fua, force = false;
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hqpf:o:t:", options, &status)) != -1) {
        switch (c) {
        case 'o': g_ptr_array_add(texts, optarg); break;
        case 't': cache = optarg; break;
        case OPT_FORCE: force = true; break;
        default: return status;
        }
    }
    if (texts->len == 0) return img_fail_usage(img, 1, "Must specify options (-o)");
    g_ptr_array_add(texts, NULL);
    if (!img_check_options(img, (char **)texts->pdata)) return 1;
    const VitBlockDriver *driver = img->format ? vit_block_driver_find(img->format) : NULL;
    if (driver && img_amend_help(img, driver, (char **)texts->pdata, &status)) return status;
    if (optind != argc - 1) return img_fail(img, 1, "Expecting one image file name");
    if (!img_cache_flags(cache, &flags, &fua))
        return img_fail(img, 1, "Invalid cache option: %s", cache);
    VitBlockNode *node = img_open(img, argv[optind], img->format, img->image_opts, flags);
    if (!node) return 1;
    driver = node->driver;
    VitBlockArgs *args;
    status = 1;
    if (img_amend_help(img, driver, (char **)texts->pdata, &status)) {
        vit_block_node_unref(node);
        return status;
    }
    if (!driver->co_amend)
        img_fail(img, 1, "Format driver '%s' does not support option amendment", driver->name);
    else if ((args = img_amend_options(img, driver, (char **)texts->pdata)))
        status = amend(img, node, args, force);
    vit_block_node_unref(node);
    return status;
}
