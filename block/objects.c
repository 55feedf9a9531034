/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/objects.c - see objects.h: the table of user-created objects and their types */
#include "block/objects.h"

#include "block/driver.h"
#include "block/objects/object.h"
#include "engine/core/suggest.h"

#include <glib/gi18n-lib.h>
#include <string.h>

struct VitBlockObjects {
    GMutex mutex;
    GPtrArray *list; /* of VitBlockObject*, a reference each, in order; guarded by mutex */
};

static const VitBlockObjectClass *const classes[] = {
    &vit_block_iothread_class,       &vit_block_secret_class,   &vit_block_secret_keyring_class,
    &vit_block_throttle_group_class, &vit_block_tls_anon_class, &vit_block_tls_psk_class,
    &vit_block_tls_x509_class,
};

static const char *const type_names[] = {
    "iothread",       "secret",        "secret_keyring", "throttle-group",
    "tls-creds-anon", "tls-creds-psk", "tls-creds-x509", NULL,
};

/* Types of QEMU's that say who may connect, or tune its own threads: refused rather than ignored.
 */
static const char *const refused[] = {
    "authz-list", "authz-list-file",   "authz-pam",      "authz-simple",
    "main-loop",  "pr-manager-helper", "thread-context", NULL,
};

static_assert(G_N_ELEMENTS(type_names) == G_N_ELEMENTS(classes) + 1);

const char *const *vit_block_object_types(void)
{
    return type_names;
}

VitBlockObjects *vit_block_objects_new(void)
{
    VitBlockObjects *objects = g_new0(VitBlockObjects, 1);

    g_mutex_init(&objects->mutex);
    objects->list = g_ptr_array_new();
    return objects;
}

void vit_block_object_release(VitBlockObject *object)
{
    VitBlockObjects *objects = object && object->internal ? object->table : NULL;

    if (objects) g_mutex_lock(&objects->mutex); /* it must not be found any more */
    bool last = object && g_atomic_int_dec_and_test(&object->references);
    if (last && objects) g_ptr_array_remove(objects->list, object);
    if (objects) g_mutex_unlock(&objects->mutex);
    if (!last) return;
    if (object->klass->destroy) object->klass->destroy(object);
    g_free(object->id);
    g_free(object);
}

void vit_block_objects_free(VitBlockObjects *objects)
{
    if (!objects) return;
    for (guint i = objects->list->len; i-- > 0;) { /* those that need others come after them */
        VitBlockObject *object = objects->list->pdata[i];
        object->table = NULL;
        if (!object->internal) vit_block_object_release(object);
    }
    g_ptr_array_unref(objects->list);
    g_mutex_clear(&objects->mutex);
    g_free(objects);
}

const char *vit_block_object_type(const VitBlockObject *object)
{
    return object->klass->type;
}

const char *vit_block_object_id(const VitBlockObject *object)
{
    return object->id;
}

/* Table locked. */
static VitBlockObject *find(VitBlockObjects *objects, const char *id)
{
    for (guint i = 0; i < objects->list->len; i++) {
        VitBlockObject *object = objects->list->pdata[i];
        if (strcmp(object->id, id) == 0) return object;
    }
    return NULL;
}

VitBlockObject *vit_block_objects_use(VitBlockObjects *objects, const char *id, const char *type,
                                      GError **error)
{
    VitBlockObject *object = NULL;

    if (objects) {
        g_mutex_lock(&objects->mutex);
        object = find(objects, id);
        if (object) g_atomic_int_inc(&object->references);
        g_mutex_unlock(&objects->mutex);
    }
    if (!object) {
        vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                       _("No %s with id '%s'; make one with --object %s,id=%s,..."),
                       type ?: "object", id, type ?: "TYPE", id);
        return NULL;
    }
    if (type && strcmp(type, object->klass->type) != 0) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Object with id '%s' is a %s, not a %s"),
                       id, object->klass->type, type);
        vit_block_object_release(object);
        return NULL;
    }
    return object;
}

VitBlockObject *vit_block_objects_use_group(VitBlockObjects *objects, const char *id,
                                            GError **error)
{
    const VitBlockObjectClass *klass = &vit_block_throttle_group_class;
    g_autoptr(VitBlockArgs) none = vit_block_args_new(id, NULL, NULL);

    g_mutex_lock(&objects->mutex);
    VitBlockObject *object = find(objects, id);
    if (!object) {
        object = g_malloc0(klass->instance_size);
        *object = (VitBlockObject){ klass, g_strdup(id), 0, true, objects };
        if (!klass->create(object, none, error)) g_assert_not_reached(); /* nothing to refuse */
        g_ptr_array_add(objects->list, object);
    }
    bool fits = object->klass == klass;
    if (fits) g_atomic_int_inc(&object->references);
    g_mutex_unlock(&objects->mutex);
    /* One of another type is refused there. */
    return fits ? object : vit_block_objects_use(objects, id, klass->type, error);
}

void vit_block_objects_each(VitBlockObjects *objects, VitBlockObjectFunc fn, void *opaque)
{
    g_mutex_lock(&objects->mutex);
    for (guint i = 0; i < objects->list->len; i++) {
        VitBlockObject *object = objects->list->pdata[i];
        if (!object->internal) fn(opaque, object->id, object->klass->type);
    }
    g_mutex_unlock(&objects->mutex);
}

/* ---- adding and removing --------------------------------------------------------------------- */

static const VitBlockObjectClass *find_class(const char *type, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++) {
        if (strcmp(classes[i]->type, type) == 0) return classes[i];
    }
    if (g_strv_contains(refused, type)) {
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("Objects of type '%s' are not supported by this program"), type);
        return NULL;
    }
    g_autofree char *phrase = vit_suggest_phrase(type, type_names);
    vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                   _("Parameter 'qom-type' does not accept value '%s'%s"), type, phrase);
    return NULL;
}

bool vit_block_objects_add(VitBlockObjects *objects, VitBlockArgs *args, GError **error)
{
    const char *type = vit_block_args_str(args, "qom-type"), *id = vit_block_args_str(args, "id");

    if (!type)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter 'qom-type' is missing"));
    const VitBlockObjectClass *klass = find_class(type, error);
    if (!klass) return false;
    if (!id) return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter 'id' is missing"));
    if (!vit_block_id_is_valid(id))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Parameter 'id' expects an identifier"));

    VitBlockObject *object = g_malloc0(klass->instance_size);
    *object = (VitBlockObject){ klass, g_strdup(id), 1, false, objects };
    if (!klass->create(object, args, error) || !vit_block_args_finish(args, error)) {
        vit_block_object_release(object);
        return false;
    }
    g_mutex_lock(&objects->mutex);
    bool fresh = !find(objects, id);
    if (fresh) g_ptr_array_add(objects->list, object);
    g_mutex_unlock(&objects->mutex);
    if (fresh) return true;
    vit_block_object_release(object);
    return vit_block_fail(error, VIT_BLOCK_ERROR_EXISTS,
                          _("attempt to add duplicate property '%s' to object (type 'container')"),
                          id);
}

bool vit_block_objects_add_text(VitBlockObjects *objects, const char *text, GError **error)
{
    g_autoptr(VitBlockArgs) args = NULL;

    if (*text == '{') {
        g_autoptr(JsonParser) parser = json_parser_new();
        g_autoptr(GError) why = NULL;
        if (!json_parser_load_from_data(parser, text, -1, &why) ||
            !JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser)))
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("Could not parse the JSON of --object%s%s"), why ? ": " : "",
                                  why ? why->message : "");
        args = vit_block_args_new("--object", json_node_get_object(json_parser_get_root(parser)),
                                  error);
    } else {
        args = vit_block_args_parse("--object", text, "qom-type", error);
    }
    return args && vit_block_objects_add(objects, args, error);
}

bool vit_block_objects_remove(VitBlockObjects *objects, const char *id, GError **error)
{
    g_mutex_lock(&objects->mutex);
    VitBlockObject *object = find(objects, id);
    if (object && object->internal) object = NULL;
    bool used = object && g_atomic_int_get(&object->references) > 1;
    if (object && !used) g_ptr_array_remove(objects->list, object);
    g_mutex_unlock(&objects->mutex);
    if (!object)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, _("object '%s' not found"), id);
    if (used)
        return vit_block_fail(error, VIT_BLOCK_ERROR_BUSY,
                              _("object '%s' is in use, can not be deleted"), id);
    object->table = NULL;
    vit_block_object_release(object);
    return true;
}

/* ---- iothread -------------------------------------------------------------------------------- */

typedef struct {
    VitBlockObject parent;
    VitIoThread *thread; /* owned */
    VitBlockIoThreadInfo info; /* what was given */
} IoThread;

static bool iothread_create(VitBlockObject *object, VitBlockArgs *args, GError **error)
{
    IoThread *t = (IoThread *)object;
    VitBlockIoThreadInfo *info = &t->info;
    uint64_t pool; /* of worker threads, which has a size of its own here */
    const struct {
        const char *name;
        uint64_t *value;
    } hints[] = {
        { "poll-max-ns", &info->poll_max_ns },     { "poll-grow", &info->poll_grow },
        { "poll-shrink", &info->poll_shrink },     { "aio-max-batch", &info->aio_max_batch },
        { "thread-pool-min", &pool },              { "thread-pool-max", &pool },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(hints); i++) {
        if (!vit_block_args_uint(args, hints[i].name, INT64_MAX, hints[i].value, error))
            return false;
    }
    t->thread = vit_io_thread_new(object->id);
    return true;
}

static void clear_info(void *info)
{
    g_free(((VitBlockIoThreadInfo *)info)->id);
}

GArray *vit_block_objects_io_threads(VitBlockObjects *objects)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(VitBlockIoThreadInfo));

    g_array_set_clear_func(list, clear_info);
    g_mutex_lock(&objects->mutex);
    for (guint i = 0; i < objects->list->len; i++) {
        IoThread *t = objects->list->pdata[i];
        if (t->parent.klass != &vit_block_iothread_class) continue;
        VitBlockIoThreadInfo info = t->info;
        info.id = g_strdup(t->parent.id);
        info.thread_id = vit_io_thread_id(t->thread);
        g_array_append_val(list, info);
    }
    g_mutex_unlock(&objects->mutex);
    return list;
}

static void iothread_destroy(VitBlockObject *object)
{
    IoThread *t = (IoThread *)object;

    if (t->thread) vit_io_thread_free(t->thread);
}

VitIoThread *vit_block_object_io_thread(VitBlockObject *object)
{
    return ((IoThread *)object)->thread;
}

const VitBlockObjectClass vit_block_iothread_class = {
    .type = "iothread",
    .instance_size = sizeof(IoThread),
    .create = iothread_create,
    .destroy = iothread_destroy,
};
