/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/check.c - vitrine-img check: whether an image is whole, and repairing it */
#include "app/cli/vitrine-img/img.h"

#include "app/cli/values.h"
#include "block/jobs/jobs.h"

#include <stdio.h>
#include <string.h>

enum {
    CHECK_OK = 0,
    CHECK_FAILED = 1,
    CHECK_CORRUPT = 2,
    CHECK_LEAKS = 3,
    CHECK_NOT_SUPPORTED = 63
};

typedef struct {
    Img *img;
    VitBlockNode *node;
    VitBlockCheck found;
    unsigned fix;
    bool good;
} Check;

static void message(void *opaque, const char *text)
{
    fprintf(stderr, "%s\n", text);
}

/* False: it could not be made; said why. */
static bool run_check(Check *c)
{
    g_autoptr(GError) error = NULL;

    c->found = (VitBlockCheck){ .message = message, .opaque = c };
    VitBlockJob *job = vit_block_check_new(c->img->jobs, NULL, IMG_JOB_FLAGS, c->node, c->fix,
                                           &c->found, &error);
    return img_run_job(c->img, job, error) == 0;
}

static void print_json(const Check *c, const char *filename)
{
    const VitBlockCheck *f = &c->found;
    g_autoptr(JsonNode) node = json_node_alloc();
    JsonObject *o = json_object_new();
    const struct {
        const char *key;
        uint64_t value;
        bool show;
    } fields[] = {
                   /* in qemu-img's order */
        { "image-end-offset", f->image_end_offset, f->image_end_offset > 0 },
        { "compressed-clusters", f->compressed_clusters, f->compressed_clusters > 0 },
        { "total-clusters", f->total_clusters, f->total_clusters > 0 },
        { "corruptions", f->corruptions, f->corruptions > 0 },
        { "corruptions-fixed", f->corruptions_fixed, f->corruptions_fixed > 0 },
        { "check-errors", f->check_errors, true },
        { "leaks", f->leaks, f->leaks > 0 },
        { "leaks-fixed", f->leaks_fixed, f->leaks_fixed > 0 },
        { "allocated-clusters", f->allocated_clusters, f->allocated_clusters > 0 },
    };

    json_node_take_object(node, o);
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++)
        if (fields[i].show) json_object_set_int_member(o, fields[i].key, (int64_t)fields[i].value);
    json_object_set_string_member(o, "filename", filename);
    json_object_set_string_member(o, "format", vit_block_node_format(c->node));
    if (f->fragmented_clusters)
        json_object_set_int_member(o, "fragmented-clusters", (int64_t)f->fragmented_clusters);
    cli_print_json(node);
}

static void print_human(const Check *c)
{
    const VitBlockCheck *f = &c->found;
    Img *img = c->img;

    if (!(f->corruptions || f->leaks || f->check_errors)) {
        img_say(img, "No errors were found on the image.\n");
    } else {
        if (f->corruptions)
            img_say(img,
                    "\n%" G_GUINT64_FORMAT " errors were found on the image.\nData may be "
                    "corrupted, or further writes to the image may corrupt it.\n",
                    f->corruptions);
        if (f->leaks)
            img_say(img,
                    "\n%" G_GUINT64_FORMAT " leaked clusters were found on the image.\nThis means "
                    "waste of disk space, but no harm to data.\n",
                    f->leaks);
        if (f->check_errors)
            img_say(img,
                    "\n%" G_GUINT64_FORMAT " internal errors have occurred during the check.\n",
                    f->check_errors);
    }
    if (f->total_clusters && f->allocated_clusters)
        img_say(img,
                "%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT
                " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
                f->allocated_clusters, f->total_clusters,
                (double)f->allocated_clusters * 100 / (double)f->total_clusters,
                (double)f->fragmented_clusters * 100 / (double)f->allocated_clusters,
                (double)f->compressed_clusters * 100 / (double)f->allocated_clusters);
    if (f->image_end_offset)
        img_say(img, "Image end offset: %" G_GUINT64_FORMAT "\n", f->image_end_offset);
}

static int conclude(Check *c, const char *filename)
{
    const VitBlockCheck *f = &c->found;
    Img *img = c->img;

    if (f->corruptions_fixed || f->leaks_fixed) {
        uint64_t corruptions = f->corruptions_fixed, leaks = f->leaks_fixed;
        bool twice = c->good && !f->check_errors;
        if (!img->json)
            img_say(img,
                    "The following inconsistencies were found and repaired:\n\n"
                    "    %" G_GUINT64_FORMAT " leaked clusters\n    %" G_GUINT64_FORMAT
                    " corruptions\n\n%s",
                    leaks, corruptions, twice ? "Double checking the fixed image now...\n" : "");
        if (twice) {
            c->fix = 0;
            c->good = run_check(c);
            c->found.corruptions_fixed = corruptions;
            c->found.leaks_fixed = leaks;
        }
    }
    if (img->json && !img->quiet) print_json(c, filename);
    else if (!img->json && c->good) print_human(c);
    if (!c->good || f->check_errors) return CHECK_FAILED;
    return f->corruptions ? CHECK_CORRUPT : f->leaks ? CHECK_LEAKS : CHECK_OK;
}

int img_check(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,        IMG_QUIET,
        IMG_PROGRESS,    IMG_FORMAT,
        IMG_IMAGE_OPTS,  { "cache", required_argument, NULL, 'T' },
        IMG_FORCE_SHARE, { "repair", required_argument, NULL, 'r' },
        IMG_OUTPUT,      IMG_OBJECT,
        { NULL },
    };
    Check c = { .img = img };
    unsigned flags = VIT_OPEN_CHECK;
    const char *cache = NULL;
    bool fua;
    int letter, status = 1;

    while ((letter = img_next_option(img, argc, argv, "hqpf:T:Ur:", options, &status)) != -1) {
        switch (letter) {
        case 'T': cache = optarg; break;
        case 'r':
            if (strcmp(optarg, "leaks") == 0) c.fix = VIT_FIX_LEAKS;
            else if (strcmp(optarg, "all") == 0) c.fix = VIT_FIX_LEAKS | VIT_FIX_ERRORS;
            else
                return img_fail_usage(img, 1, "--repair (-r) expects 'leaks' or 'all' not '%s'",
                                      optarg);
            break;
        default: return status;
        }
    }
    if (optind != argc - 1) return img_fail_usage(img, 1, "Expecting one image file name");
    if (!img_cache_flags(cache, &flags, &fua))
        return img_fail(img, 1, "Invalid source cache option: %s", cache);
    if (!c.fix) flags |= VIT_OPEN_READ_ONLY;
    img->progress &= !img->json;
    c.node = img_open(img, argv[optind], img->format, img->image_opts, flags);
    if (!c.node) return 1;
    if (c.node->driver->co_check) {
        c.good = run_check(&c);
        status = conclude(&c, argv[optind]);
    } else {
        status = img_fail(img, CHECK_NOT_SUPPORTED, "This image format does not support checks");
    }
    vit_block_node_unref(c.node);
    return status;
}
