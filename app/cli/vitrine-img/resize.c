/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/resize.c - vitrine-img resize: a new virtual size */
#include "app/cli/vitrine-img/img.h"

#include "block/jobs/jobs.h"

#include <stdio.h>
#include <string.h>

enum { OPT_PREALLOCATION = IMG_OPT_OWN, OPT_SHRINK };

typedef struct {
    VitBlockNode *node;
    char sign; /* '+' and '-': the amount changes the size that it has; else 0 */
    uint64_t amount, size;
    VitPrealloc prealloc;
} Resize;

static int resize(Img *img, Resize *r, bool shrink, bool prealloc_given)
{
    uint64_t amount = r->amount, now = vit_block_info(r->node).size;
    char sign = r->sign;

    r->size = amount;
    if (sign == '+' && __builtin_add_overflow(now, amount, &r->size))
        return img_fail(img, 1, "New image size is too large");
    if (sign == '-') r->size = amount < now ? now - amount : 0;
    if (r->size == 0) return img_fail(img, 1, "New image size must be positive");
    if (r->size > INT64_MAX - 511) return img_fail(img, 1, "New image size is too large");
    if (r->size <= now && prealloc_given && r->prealloc != VIT_PREALLOC_OFF)
        return img_fail(img, 1, "Preallocation can only be used for growing images");
    if (r->size < now && !shrink) {
        img_fail(img, 1, "Use the --shrink option to perform a shrink operation.");
        return img_fail(img, 1,
                        "warning: Shrinking an image will delete all data beyond the shrunken "
                        "image's end. Before performing such an operation, make sure there is no "
                        "important data there.");
    }
    g_autoptr(GError) error = NULL;
    VitBlockJob *job = vit_block_resize_new(img->jobs, NULL, IMG_JOB_FLAGS, r->node, r->size,
                                            r->prealloc, &error);
    int status = img_run_job(img, job, error);
    if (status == 0) img_say(img, "Image resized.\n");
    return status;
}

int img_resize(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_QUIET,
        IMG_PROGRESS,
        IMG_FORMAT,
        IMG_IMAGE_OPTS,
        IMG_OBJECT,
        { "preallocation", required_argument, NULL, OPT_PREALLOCATION },
        { "shrink", no_argument, NULL, OPT_SHRINK },
        { NULL },
    };
    static const char *const modes[] = { "off", "metadata", "falloc", "full", NULL };
    Resize r = { 0 };
    const char *mode = NULL, *size = NULL;
    bool shrink = false;
    int c, status = 1;

    /* "-5G" at the end is an amount, not options. */
    if (argc > 1 && argv[argc - 1][0] == '-' && g_ascii_isdigit(argv[argc - 1][1]))
        size = argv[--argc];
    while ((c = img_next_option(img, argc, argv, "hqpf:", options, &status)) != -1) {
        switch (c) {
        case OPT_SHRINK: shrink = true; break;
        case OPT_PREALLOCATION:
            mode = optarg;
            while (modes[r.prealloc] && strcmp(modes[r.prealloc], mode) != 0) r.prealloc++;
            if (!modes[r.prealloc])
                return img_fail(img, 1, "Invalid preallocation mode '%s'", optarg);
            break;
        default: return status;
        }
    }
    if (!size && argc - optind == 2) size = argv[--argc];
    if (!size || argc - optind != 1)
        return img_fail_usage(img, 1, "Expecting image file name and size");
    if (*size == '+' || *size == '-') r.sign = *size++;
    if (!vit_parse_size_strict(size, &r.amount)) return img_fail_size(img, "", "size", size);
    r.node = img_open(img, argv[optind], img->format, img->image_opts, 0);
    if (!r.node) return 1;
    status = resize(img, &r, shrink, mode != NULL);
    vit_block_node_unref(r.node);
    return status;
}
