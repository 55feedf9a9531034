/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-qom.c - the tree of objects by command: qom-list, qom-get, qom-set
 *
 * It has the character devices and what object-add made; of properties, each one's type and the
 * limits of throttle groups. */
#include "engine/control/qmp-block.h"

#include "block/objects/throttle-group.h"

#include <string.h>

/* ---- Paths ----------------------------------------------------------------------------------- */

typedef enum { ROOT, CHARDEVS, OBJECTS, CHARDEV, OBJECT } Place;

typedef struct {
    Place place;
    char *type; /* owned: what the thing is */
    VitBlockObject *object; /* a use; of an OBJECT */
} Thing;

static void thing_clear(Thing *thing)
{
    g_clear_pointer(&thing->type, g_free);
    g_clear_pointer(&thing->object, vit_block_object_release);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Thing, thing_clear)

static char *chardev_type(VitControl *c, const char *id)
{
    char *type = NULL;

    vit_system_lock(c->sys);
    for (guint i = 0; i < c->sys->chars->len && !type; i++) {
        const VitChar *chr = c->sys->chars->pdata[i];
        if (!strcmp(chr->id, id)) type = g_strconcat("chardev-", chr->back->name, NULL);
    }
    vit_system_unlock(c->sys);
    return type;
}

/* "/objects/ID", "objects", or the name of a thing alone. */
static bool find(VitControl *c, const char *path, Thing *thing, GError **error)
{
    static const char *const containers[] = { "/", "/chardevs", "/objects" };
    bool anywhere = *path != '/';
    const char *id = path;

    for (Place place = ROOT; place <= OBJECTS; place++) {
        const char *name = containers[place];
        if (strcmp(path, name) && !(anywhere && !strcmp(path, name + 1) && *path)) continue;
        *thing = (Thing){ place, g_strdup("container"), NULL };
        return true;
    }
    if (anywhere || g_str_has_prefix(path, "/chardevs/")) {
        char *type = chardev_type(c, anywhere ? path : path + strlen("/chardevs/"));
        *thing = (Thing){ CHARDEV, type, NULL };
        if (type) return true;
    }
    if (anywhere || g_str_has_prefix(path, "/objects/")) {
        if (!anywhere) id = path + strlen("/objects/");
        VitBlockObject *object = vit_block_objects_use(c->block->objects, id, NULL, NULL);
        *thing = (Thing){ OBJECT, g_strdup(object ? vit_block_object_type(object) : NULL), object };
        if (object) return true;
    }
    g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found",
                path);
    return false;
}

static bool is_group(const Thing *thing)
{
    return thing->place == OBJECT && !strcmp(thing->type, "throttle-group");
}

static bool no_property(GError **error, const Thing *thing, const char *property)
{
    return control_fail(error, "Property '%s.%s' not found", thing->type, property);
}

/* ---- Commands -------------------------------------------------------------------------------- */

static const QmpArg get_args[] = { { "path", QMP_STR }, { "property", QMP_STR }, { 0 } };
static const QmpArg set_args[] = {
    { "path", QMP_STR }, { "property", QMP_STR }, { "value", QMP_ANY }, { 0 }
};
static const QmpArg list_args[] = { { "path", QMP_STR }, { 0 } };
static const QmpArg property_members[] = { { "name", QMP_STR }, { "type", QMP_STR }, { 0 } };
static const QmpType any_type = { QMP_ANY };
static const QmpType property_type = { QMP_OBJECT, .members = property_members };
static const QmpType properties_type = { QMP_ARRAY, .element = &property_type };

static bool run_get(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    const char *property = block_text(args, "property");
    g_auto(Thing) thing = { 0 };

    if (!find(c, block_text(args, "path"), &thing, error)) return false;
    if (!strcmp(property, "type")) {
        *result = json_node_init_string(json_node_alloc(), thing.type);
        return true;
    }
    if (!is_group(&thing)) return no_property(error, &thing, property);
    VitThrottleLimits limits = vit_throttle_group_limits(thing.object);
    g_autoptr(JsonObject) all = vit_throttle_limits_describe(&limits);
    if (!strcmp(property, "limits")) *result = qmp_object(json_object_ref(all));
    else if (g_str_has_prefix(property, "x-") && json_object_has_member(all, property + 2))
        *result = json_object_dup_member(all, property + 2);
    else return no_property(error, &thing, property);
    return true;
}

static bool set_limits(VitBlockObject *group, JsonObject *value, GError **error)
{
    VitThrottleLimits limits = vit_throttle_group_limits(group);
    g_autoptr(VitBlockArgs) args = vit_block_args_new("limits", value, error);

    if (!args || !vit_throttle_limits_take(&limits, args, "", error) ||
        !vit_block_args_finish(args, error))
        return false;
    vit_throttle_group_set_limits(group, &limits);
    return true;
}

static bool run_set(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    const char *property = block_text(args, "property");
    JsonNode *value = json_object_get_member(args, "value");
    g_auto(Thing) thing = { 0 };

    if (!find(c, block_text(args, "path"), &thing, error)) return false;
    if (!strcmp(property, "type"))
        return control_fail(error, "Property '%s.type' is not writable", thing.type);
    if (!is_group(&thing)) return no_property(error, &thing, property);
    VitThrottleLimits limits = vit_throttle_group_limits(thing.object);
    g_autoptr(JsonObject) all = vit_throttle_limits_describe(&limits);
    if (g_str_has_prefix(property, "x-") && json_object_has_member(all, property + 2))
        return control_fail(error, "Property cannot be set after initialization");
    if (strcmp(property, "limits")) return no_property(error, &thing, property);
    if (!JSON_NODE_HOLDS_OBJECT(value))
        return control_fail(error, "Invalid parameter type for 'limits', expected: object");
    return set_limits(thing.object, json_node_get_object(value), error);
}

static void add_property(JsonArray *list, const char *name, const char *type)
{
    JsonObject *entry = json_object_new();

    json_object_set_string_member(entry, "name", name);
    json_object_set_string_member(entry, "type", type);
    json_array_add_object_element(list, entry);
}

static void add_child(void *opaque, const char *id, const char *type)
{
    g_autofree char *child = g_strdup_printf("child<%s>", type);

    add_property(opaque, id, child);
}

static void add_chardevs(VitControl *c, JsonArray *list)
{
    vit_system_lock(c->sys);
    for (guint i = 0; i < c->sys->chars->len; i++) {
        const VitChar *chr = c->sys->chars->pdata[i];
        g_autofree char *type = g_strconcat("chardev-", chr->back->name, NULL);
        add_child(list, chr->id, type);
    }
    vit_system_unlock(c->sys);
}

static void add_limits(JsonArray *list)
{
    g_autoptr(JsonObject) all = vit_throttle_limits_describe(&vit_throttle_no_limits);
    g_autoptr(GList) members = json_object_get_members(all);

    add_property(list, "limits", "ThrottleLimits");
    for (GList *l = members; l; l = l->next) {
        g_autofree char *name = g_strconcat("x-", l->data, NULL);
        add_property(list, name, "int");
    }
}

static bool run_list(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    g_auto(Thing) thing = { 0 };

    if (!find(c, block_text(args, "path"), &thing, error)) return false;
    JsonArray *list = json_array_new();
    add_property(list, "type", "string");
    if (thing.place == ROOT) {
        add_child(list, "objects", "container");
        add_child(list, "chardevs", "container");
    }
    if (thing.place == CHARDEVS) add_chardevs(c, list);
    if (thing.place == OBJECTS) vit_block_objects_each(c->block->objects, add_child, list);
    if (is_group(&thing)) add_limits(list);
    *result = qmp_array(list);
    return true;
}

const QmpCommand qmp_qom_commands[] = { { "qom-get", get_args, &any_type, run_get },
                                        { "qom-list", list_args, &properties_type, run_list },
                                        { "qom-set", set_args, NULL, run_set },
                                        { 0 } };
