/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/compare.c - vitrine-img compare: whether two images read the same */
#include "app/cli/vitrine-img/img.h"

#include "block/jobs/jobs.h"

enum { EQUAL = 0, DIFFERENT = 1, NOT_OPENED = 2, STATUS_FAILED = 3, READ_FAILED = 4 };

static int tell_failure(Img *img, const VitBlockCompared *found, char **names)
{
    if (found->no_status)
        return img_fail(img, STATUS_FAILED, "Sector allocation test failed for %s",
                        names[found->side]);
    return img_fail(img, READ_FAILED, "Error while reading offset %" G_GUINT64_FORMAT " of %s: %s",
                    found->offset, names[found->side], g_strerror(-found->error));
}

static int compare(Img *img, VitBlockNode *const images[2], char **names, bool strict)
{
    g_autoptr(GError) error = NULL;
    VitBlockCompared found = { 0 };
    bool other_size = vit_block_info(images[0]).size != vit_block_info(images[1]).size;
    VitBlockJob *job = vit_block_compare_new(img->jobs, NULL, IMG_JOB_FLAGS, images, strict, &found,
                                             &error);

    if (!job) return img_fail(img, NOT_OPENED, "%s", vit_block_error_text(error));
    if (!img_wait_job(img, job, &error))
        return found.error ? tell_failure(img, &found, names)
                           : img_fail(img, READ_FAILED, "%s", vit_block_error_text(error));
    if (other_size && !strict) img_say(img, "Warning: Image size mismatch!\n");
    switch (found.result) {
    case VIT_COMPARE_EQUAL: img_say(img, "Images are identical.\n"); return EQUAL;
    case VIT_COMPARE_CONTENT:
        img_say(img, "Content mismatch at offset %" G_GUINT64_FORMAT "!\n", found.offset);
        break;
    case VIT_COMPARE_ALLOCATION:
        img_say(img, "Strict mode: Offset %" G_GUINT64_FORMAT " block status mismatch!\n",
                found.offset);
        break;
    case VIT_COMPARE_SIZE: img_say(img, "Strict mode: Image size mismatch!\n"); break;
    }
    return DIFFERENT;
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
    VitBlockNode *images[2] = { NULL, NULL };
    const char *cache = NULL, *second = NULL;
    unsigned flags = VIT_OPEN_READ_ONLY;
    bool fua, strict = false;
    int letter, status = DIFFERENT; /* of bad usage, as scripts know it */

    img->late_checks = true;
    while ((letter = img_next_option(img, argc, argv, "hqpf:F:sT:U", options, &status)) != -1) {
        switch (letter) {
        case 'F': second = optarg; break;
        case 's': strict = true; break;
        case 'T': cache = optarg; break;
        default: return status;
        }
    }
    if (optind != argc - 2) return img_fail_usage(img, DIFFERENT, "Expecting two image file names");
    if (img->image_opts && (img->format || second))
        return img_fail(img, NOT_OPENED, "--image-opts and --format are mutually exclusive");
    if (!img_cache_flags(cache, &flags, &fua))
        return img_fail(img, NOT_OPENED, "Invalid source cache option: %s", cache);
    status = NOT_OPENED;
    for (int i = 0; i < 2; i++) {
        images[i] = img_open(img, argv[optind + i], i ? second : img->format, img->image_opts,
                             flags);
        if (!images[i]) break;
    }
    if (images[0] && images[1]) status = compare(img, images, argv + optind, strict);
    img_progress_end(img);
    vit_block_node_unref(images[0]);
    vit_block_node_unref(images[1]);
    return status;
}
