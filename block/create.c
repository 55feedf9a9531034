/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/create.c - new images: what all formats check, their files, and taking these back */
#include "block/node-private.h"

#include <glib/gi18n-lib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ----------------------------------------------------------------------------------- */

void vit_block_remove_file(const char *path)
{
    char *real = realpath(path, NULL); /* not the link that leads to it */
    struct stat st;

    if (real && lstat(real, &st) == 0 && S_ISREG(st.st_mode)) unlink(real);
    free(real);
}

void vit_block_remove_made(GPtrArray *made)
{
    for (guint i = 0; made && i < made->len; i++) vit_block_remove_file(made->pdata[i]);
    if (made) g_ptr_array_set_size(made, 0);
}

static bool has_option(const VitBlockOption *list, const char *name)
{
    for (; list && list->name; list++)
        if (!strcmp(list->name, name)) return true;
    return false;
}

/* The options of an image that are its file's and not its format's ("nocow"); taken. */
static VitBlockArgs *file_options(VitBlockCreate *create, const VitBlockDriver *file,
                                  GError **error)
{
    g_autoptr(JsonObject) own = json_object_new();
    const VitBlockOption *o = create->driver && create->options ? file->create_options : NULL;

    for (; o && o->name; o++) {
        if (!strcmp(o->name, "size") || has_option(create->driver->create_options, o->name))
            continue;
        JsonNode *value = vit_block_args_node(create->options, o->name);
        if (value) json_object_set_member(own, o->name, json_node_copy(value));
    }
    return vit_block_args_new(create->filename, own, error);
}

VitBlockNode *vit_co_create_file(VitBlockCreate *create, uint64_t size, GError **error)
{
    g_autoptr(JsonObject)
        options = vit_block_filename_options(create->filename, create->thread, error);
    VitBlockOptions how = { .lock = true };
    VitBlockCreate file = { .graph = create->graph,
                            .thread = create->thread,
                            .filename = create->filename,
                            .size = size,
                            .format = create->driver ? create->driver->name : NULL };

    if (!options) return NULL;
    const char *name = json_object_get_string_member_with_default(options, "driver", "file");
    file.driver = vit_block_driver_find(name);
    if (file.driver && !(file.driver = vit_co_driver_load(file.driver, create->thread, error)))
        return NULL;
    if (!file.driver || !file.driver->co_create) {
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("Protocol driver '%s' does not support image creation"), name);
        return NULL;
    }
    if (vit_block_protocol_driver("file") == file.driver) /* "file:disk.img" is disk.img */
        file.filename = json_object_get_string_member_with_default(options, "filename",
                                                                   create->filename);
    g_autoptr(VitBlockArgs) own = file_options(create, file.driver, error);
    if (!own) return NULL;
    file.options = own;
    if (!file.driver->co_create(&file, error)) return NULL;
    VitBlockNode *node = vit_co_open_image(create->graph, create->thread, create->filename, NULL,
                                           NULL, &how, true, error);
    if (node && create->made && !strcmp(node->driver->name, "file"))
        g_ptr_array_add(create->made, g_strdup(node->filename));
    return node;
}

VitBlockNode *vit_co_create_begin(VitBlockCreate *create, GError **error)
{
    VitBlockNode *file = create->file ? vit_block_node_ref(create->file)
                                      : vit_co_create_file(create, 0, error);

    if (!file) return NULL;
    bool good = !create->file || vit_co_truncate(file, 0, false, VIT_PREALLOC_OFF, error);
    if (good && file->size > 0 && !create->driver->fits_devices)
        good = vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s” keeps its size: an image of format '%s' needs a file that "
                                "grows"),
                              file->filename, create->driver->name);
    if (good) return file;
    vit_block_node_unref(file);
    return NULL;
}

/* ---- images ---------------------------------------------------------------------------------- */

static bool backing_size(VitBlockCreate *c, GError **error)
{
    g_autofree char *name = vit_block_filename_join(c->filename, c->backing_file);
    VitBlockOptions how = { .read_only = true, .lock = true, .no_io = true };
    VitBlockNode *node = vit_co_open_image(c->graph, c->thread, name, c->backing_format, NULL, &how,
                                           false, error);

    if (!node) return false;
    c->size = node->size;
    vit_block_node_unref(node);
    return true;
}

static bool check(VitBlockCreate *c, GError **error)
{
    if (!c->driver->co_create)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Format driver '%s' does not support image creation"),
                              c->driver->name);
    if (c->backing_file && !c->driver->supports_backing)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Backing file not supported for file format '%s'"),
                              c->driver->name);
    if (c->size == UINT64_MAX && !c->backing_file)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Image creation needs a size parameter"));
    if (c->size == UINT64_MAX && !backing_size(c, error)) return false;
    if (c->size > INT64_MAX - 511)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("An image has at most 8 EiB"));
    return true;
}

bool vit_co_create(VitBlockCreate *create, GError **error)
{
    VitBlockCreate c = *create;
    g_autoptr(VitBlockArgs) none = c.options ? NULL : vit_block_args_new(c.filename, NULL, NULL);
    g_autoptr(GPtrArray) own = c.made ? NULL : g_ptr_array_new_with_free_func(g_free);

    if (!(c.driver = vit_co_driver_load(c.driver, c.thread, error)) || !check(&c, error))
        return false;
    c.size = (c.size + 511) & ~UINT64_C(511);
    if (none) c.options = none;
    if (own) c.made = own;
    if (c.driver->co_create(&c, error) && vit_block_args_finish(c.options, error)) return true;
    vit_block_remove_made(c.made);
    return false;
}

typedef struct {
    VitBlockCreate create;
    GError **error;
    bool good;
} Create;

static void create_fiber(void *opaque)
{
    Create *o = opaque;

    o->good = vit_co_create(&o->create, o->error);
}

bool vit_block_graph_create(VitBlockGraph *graph, const char *filename, const char *format,
                            uint64_t size, const char *backing_file, const char *backing_format,
                            VitBlockArgs *options, GError **error)
{
    Create o = { .create = { .graph = graph,
                             .thread = vit_block_graph_here(graph),
                             .filename = filename,
                             .size = size,
                             .backing_file = backing_file,
                             .backing_format = backing_format,
                             .options = options,
                             .driver = vit_block_driver_find(format) },
                 .error = error };

    if (!o.create.driver)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Unknown file format '%s'"),
                              format);
    vit_fiber_run_sync(o.create.thread, create_fiber, &o);
    return o.good;
}
