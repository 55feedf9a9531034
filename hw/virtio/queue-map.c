/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/queue-map.c - see queue-map.h.  Rules and words are QEMU's. */
#include "hw/virtio/queue-map.h"

#include "block/driver.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum { NONE = VIT_VIRTIO_QUEUES };

static bool wrong_type(GError **error, const char *name, const char *wanted)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("Invalid parameter type for '%s', expected: %s"), name, wanted);
}

static bool take_object(VitVirtioMap *map, VitBlockObjects *objects, const char *id, GError **error)
{
    for (guint i = 0; i < map->objects->len; i++)
        if (!strcmp(vit_block_object_id(map->objects->pdata[i]), id))
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("duplicate IOThread name \"%s\" in iothread-vq-mapping"), id);
    VitBlockObject *object = vit_block_objects_use(objects, id, "iothread", NULL);
    if (!object)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("IOThread \"%s\" object does not exist"), id);
    g_ptr_array_add(map->objects, object);
    return true;
}

static bool take_queues(VitVirtioMap *map, unsigned entry, JsonArray *vqs, GError **error)
{
    const char *id = vit_block_object_id(map->objects->pdata[entry]);

    for (guint i = 0; i < json_array_get_length(vqs); i++) {
        JsonNode *node = json_array_get_element(vqs, i);
        int64_t n = json_node_get_value_type(node) == G_TYPE_INT64 ? json_node_get_int(node) : -1;
        if (n < 0 || n > UINT16_MAX)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("Parameter 'iothread-vq-mapping[%u].vqs[%u]' expects uint16_t"),
                                  entry, i);
        if (n >= map->n_queues)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_INVALID,
                _("vq index %u for IOThread \"%s\" must be less than num_queues %u in "
                  "iothread-vq-mapping"),
                (unsigned)n, id, map->n_queues);
        if (map->object_of[n] != NONE)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_INVALID,
                _("cannot assign vq %u to IOThread \"%s\" because it is already assigned"),
                (unsigned)n, id);
        map->object_of[n] = entry;
    }
    return true;
}

static bool take_entry(VitVirtioMap *map, VitBlockObjects *objects, unsigned number, JsonNode *node,
                       unsigned *with_vqs, GError **error)
{
    g_autofree char *name = g_strdup_printf("iothread-vq-mapping[%u]", number);

    if (!JSON_NODE_HOLDS_OBJECT(node)) return wrong_type(error, name, "object");
    JsonObject *entry = json_node_get_object(node);
    JsonNode *id = json_object_get_member(entry, "iothread"),
             *vqs = json_object_get_member(entry, "vqs");
    g_autofree char *id_name = g_strconcat(name, ".iothread", NULL);
    if (!id)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter '%s' is missing"),
                              id_name);
    if (json_node_get_value_type(id) != G_TYPE_STRING) return wrong_type(error, id_name, "string");
    g_autofree char *vqs_name = g_strconcat(name, ".vqs", NULL);
    if (vqs && !JSON_NODE_HOLDS_ARRAY(vqs)) return wrong_type(error, vqs_name, "array");
    g_autoptr(GList) members = json_object_get_members(entry);
    for (GList *l = members; l; l = l->next)
        if (strcmp(l->data, "iothread") != 0 && strcmp(l->data, "vqs") != 0)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("Parameter '%s.%s' is unexpected"), name, (char *)l->data);

    bool some = vqs && json_array_get_length(json_node_get_array(vqs)) > 0;
    *with_vqs += some;
    if (*with_vqs != 0 && *with_vqs != number + 1)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("either all items in iothread-vq-mapping must have vqs or none of "
                                "them must have it"));
    return take_object(map, objects, json_node_get_string(id), error) &&
           (!some || take_queues(map, number, json_node_get_array(vqs), error));
}

bool vit_virtio_map_take(VitVirtioMap *map, VitBlockObjects *objects, const char *json,
                         const char *iothread, unsigned n_queues, GError **error)
{
    g_autoptr(JsonNode) root = json && *json == '[' ? json_from_string(json, NULL) : NULL;
    unsigned with_vqs = 0;

    if (!json) return true;
    if (!root || !JSON_NODE_HOLDS_ARRAY(root))
        return wrong_type(error, "iothread-vq-mapping", "array");
    JsonArray *list = json_node_get_array(root);
    if (json_array_get_length(list) == 0) return true;
    if (iothread)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("iothread and iothread-vq-mapping properties cannot be set at the "
                                "same time"));
    map->objects = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_object_release);
    map->n_queues = n_queues;
    for (unsigned i = 0; i < n_queues; i++) map->object_of[i] = NONE;
    for (guint i = 0; i < json_array_get_length(list); i++)
        if (!take_entry(map, objects, i, json_array_get_element(list, i), &with_vqs, error))
            return false;
    for (unsigned i = 0; i < n_queues; i++) {
        if (with_vqs == 0) map->object_of[i] = i % map->objects->len;
        else if (map->object_of[i] == NONE)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("missing vq %u IOThread assignment in iothread-vq-mapping"), i);
    }
    return true;
}

const char *vit_virtio_map_home(const VitVirtioMap *map)
{
    return map->objects ? vit_block_object_id(map->objects->pdata[map->object_of[0]]) : NULL;
}

void vit_virtio_map_apply(const VitVirtioMap *map, VitVirtio *v, unsigned first)
{
    for (unsigned i = 0; map->objects && i < map->n_queues; i++)
        vit_virtio_set_queue_thread(
            v, first + i, vit_block_object_io_thread(map->objects->pdata[map->object_of[i]]));
}

void vit_virtio_map_leave(VitVirtioMap *map)
{
    g_clear_pointer(&map->objects, g_ptr_array_unref);
}
