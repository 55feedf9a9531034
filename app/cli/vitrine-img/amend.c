/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/amend.c - vitrine-img amend: changes options of an image that exists */
#include "app/cli/vitrine-img/create.h"

#include <stdio.h>
#include <string.h>

enum { OPT_FORCE = IMG_OPT_OWN };

typedef struct {
    Img *img;
    VitBlockNode *node;
    VitBlockArgs *args;
    bool force, good;
    GError *error;
} Amend;

static void progress(void *opaque, uint64_t done, uint64_t total)
{
    Amend *a = opaque;

    img_progress(a->img, done, total, NULL);
}

static void run(void *opaque)
{
    Amend *a = opaque;

    a->good = a->node->driver->co_amend(a->node, a->args, a->force, progress, a, &a->error) &&
              vit_block_args_finish(a->args, &a->error);
    int code = a->good ? vit_co_flush(a->node) : 0;
    if (code < 0) a->good = vit_block_fail_errno(&a->error, code, "Could not flush the image");
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
    Amend a = { .img = img };
    const char *cache = NULL;
    unsigned flags = 0;
    bool fua;
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hqpf:o:t:", options, &status)) != -1) {
        switch (c) {
        case 'o': g_ptr_array_add(texts, optarg); break;
        case 't': cache = optarg; break;
        case OPT_FORCE: a.force = true; break;
        default: return status;
        }
    }
    if (texts->len == 0) return img_fail_usage(img, 1, "Must specify options (-o)");
    g_ptr_array_add(texts, NULL);
    const VitBlockDriver *driver = img->format ? vit_block_driver_find(img->format) : NULL;
    if (driver && img_amend_help(driver, (char **)texts->pdata)) return 0;
    if (optind != argc - 1) return img_fail(img, 1, "Expecting one image file name");
    if (!img_cache_flags(cache, &flags, &fua))
        return img_fail(img, 1, "Invalid cache option: %s", cache);
    a.node = img_open(img, argv[optind], img->format, img->image_opts, flags);
    if (!a.node) return 1;
    driver = a.node->driver;
    status = 1;
    if (img_amend_help(driver, (char **)texts->pdata)) status = 0;
    else if (!driver->co_amend)
        img_fail(img, 1, "Format driver '%s' does not support option amendment", driver->name);
    else if ((a.args = img_amend_options(img, driver, (char **)texts->pdata))) {
        img_progress(img, 0, 100, NULL);
        img_run(img, run, &a);
        if (a.good) img_progress(img, 100, 100, NULL);
        img_progress_end(img);
        status = a.good ? 0 : img_fail_error(img, 1, a.error);
    }
    vit_block_args_free(a.args);
    vit_block_node_unref(a.node);
    return status;
}
