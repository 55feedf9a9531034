/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/measure.c - vitrine-img measure: how big the file of a new image would be */
#include "app/cli/vitrine-img/create.h"

#include "app/cli/snapshot.h"
#include "app/cli/values.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const VitBlockDriver *driver;
    VitBlockNode *source; /* NULL: of the size alone */
    const char *snapshot;
    VitBlockArgs *args;
    uint64_t size;
    VitBlockMeasure result;
    bool good;
    GError *error;
} Measure;

static void run(void *opaque)
{
    Measure *m = opaque;

    if (m->snapshot && !cli_co_load_snapshot(m->source, m->snapshot, &m->error)) return;
    if (m->source) m->size = m->source->size;
    m->good = m->driver->co_measure(m->args, m->source, m->size, &m->result, &m->error) &&
              vit_block_args_finish(m->args, &m->error);
}

static void print(const Img *img, const VitBlockMeasure *r)
{
    if (img->json) {
        g_autoptr(JsonNode) node = json_node_alloc();
        JsonObject *o = json_object_new();
        json_node_take_object(node, o);
        if (r->has_bitmaps) json_object_set_int_member(o, "bitmaps", (int64_t)r->bitmaps);
        json_object_set_int_member(o, "required", (int64_t)r->required);
        json_object_set_int_member(o, "fully-allocated", (int64_t)r->fully_allocated);
        cli_print_json(node);
        return;
    }
    printf("required size: %" G_GUINT64_FORMAT "\nfully allocated size: %" G_GUINT64_FORMAT "\n",
           r->required, r->fully_allocated);
    if (r->has_bitmaps) printf("bitmaps size: %" G_GUINT64_FORMAT "\n", r->bitmaps);
}

static int measure(Img *img, Measure *m, const char *format, char **texts)
{
    m->driver = vit_block_driver_find(format);
    if (!m->driver) return img_fail(img, 1, "Unknown file format '%s'", format);
    if (!m->driver->co_measure)
        return img_fail(img, 1, "Block driver '%s' does not support size measurement",
                        m->driver->name);
    m->args = img_create_options(img, "", m->driver, texts);
    if (!m->args) return img_fail(img, 1, "Invalid options for file format '%s'", m->driver->name);
    img_run(img, run, m);
    if (!m->good) return img_fail_error(img, 1, m->error);
    print(img, &m->result);
    return 0;
}

int img_measure(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_FORMAT,
        IMG_IMAGE_OPTS,
        { "target-format", required_argument, NULL, 'O' },
        { "options", required_argument, NULL, 'o' },
        { "snapshot", required_argument, NULL, 'l' },
        { "size", required_argument, NULL, 's' },
        IMG_FORCE_SHARE,
        IMG_OUTPUT,
        IMG_OBJECT,
        { NULL },
    };
    g_autoptr(GPtrArray) texts = g_ptr_array_new();
    Measure m = { 0 };
    const char *format = "raw", *size = NULL;
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hf:O:o:l:s:U", options, &status)) != -1) {
        switch (c) {
        case 'O': format = optarg; break;
        case 'o': g_ptr_array_add(texts, optarg); break;
        case 'l': m.snapshot = optarg; break;
        case 's': size = optarg; break;
        default: return status;
        }
    }
    g_ptr_array_add(texts, NULL);
    if (size && !vit_parse_size_strict(size, &m.size)) return img_fail_create_size(img, size);
    if (argc - optind > 1) return img_fail(img, 1, "At most one filename argument is allowed.");
    bool named = optind < argc;
    if (!named && (img->image_opts || img->format || m.snapshot))
        return img_fail(img, 1, "--image-opts, -f, and -l require a filename argument.");
    if (!named && !size)
        return img_fail(img, 1, "Either --size N or one filename must be specified.");
    if (named && size) return img_fail(img, 1, "--size N cannot be used together with a filename.");
    if (named) {
        m.source = img_open(img, argv[optind], img->format, img->image_opts, VIT_OPEN_READ_ONLY);
        if (!m.source) return 1;
    }
    status = measure(img, &m, format, (char **)texts->pdata);
    vit_block_args_free(m.args);
    vit_block_node_unref(m.source);
    return status;
}
