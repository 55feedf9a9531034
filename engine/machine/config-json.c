/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/config-json.c - the JSON description of a machine, by the rows of config.c
 *
 * Members that hold their default are left out; unknown ones are refused, since a typing error must
 * not silently lose a disk. */
#include "engine/core/suggest.h"
#include "engine/machine/config-private.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>
#include <string.h>

enum { SCHEMA = 1 };

/* ---- Writing --------------------------------------------------------------------------------- */

static JsonNode *rows_to_json(const void *object, const void *defaults, const ConfigRow *rows);

static JsonNode *string_array(char *const *strings, guint n)
{
    JsonArray *array = json_array_new();

    for (guint i = 0; i < n; i++)
        json_array_add_string_element(array, strings[i]);
    JsonNode *node = json_node_alloc();
    json_node_init_array(node, array);
    json_array_unref(array);
    return node;
}

static JsonNode *drives_to_json(const GPtrArray *drives)
{
    g_autoptr(JsonArray) array = json_array_new();
    VitDriveConfig *defaults = vit_drive_config_new(NULL);

    for (guint i = 0; i < drives->len; i++)
        json_array_add_element(array, rows_to_json(drives->pdata[i], defaults, config_drive_rows));
    vit_drive_config_free(defaults);
    JsonNode *node = json_node_alloc();
    json_node_init_array(node, array);
    return node;
}

static JsonNode *member_to_json(const void *m, const void *d, ConfigKind kind)
{
    switch (kind) {
    case CONFIG_STRING: {
        const char *s = *(char *const *) m;
        return g_strcmp0(s, *(char *const *) d) ? json_node_init_string(json_node_alloc(), s)
                                                : NULL;
    }
    case CONFIG_STRINGS: {
        const GPtrArray *a = *(GPtrArray *const *) m;
        return a->len ? string_array((char *const *) a->pdata, a->len) : NULL;
    }
    case CONFIG_STRV: {
        char *const *v = *(char **const *) m;
        return v ? string_array(v, g_strv_length((char **) v)) : NULL;
    }
    case CONFIG_DRIVES: {
        const GPtrArray *a = *(GPtrArray *const *) m;
        return a->len ? drives_to_json(a) : NULL;
    }
    case CONFIG_BOOL:
        return *(const bool *) m != *(const bool *) d
                   ? json_node_init_boolean(json_node_alloc(), *(const bool *) m) : NULL;
    case CONFIG_UINT: case CONFIG_INT:
        return *(const int *) m != *(const int *) d
                   ? json_node_init_int(json_node_alloc(), *(const int *) m) : NULL;
    case CONFIG_INTERFACE:
        return *(const int *) m != *(const int *) d
                   ? json_node_init_string(json_node_alloc(),
                                           config_interface_names[*(const int *) m])
                   : NULL;
    case CONFIG_UINT64: case CONFIG_INT64:
        return *(const int64_t *) m != *(const int64_t *) d
                   ? json_node_init_int(json_node_alloc(), *(const int64_t *) m) : NULL;
    }
    return NULL;
}

static JsonNode *rows_to_json(const void *object, const void *defaults, const ConfigRow *rows)
{
    g_autoptr(JsonObject) json = json_object_new();

    if (rows == config_rows)
        json_object_set_int_member(json, "schema", SCHEMA);
    for (const ConfigRow *row = rows; row->name; row++) {
        JsonNode *node = member_to_json((const char *) object + row->offset,
                                        (const char *) defaults + row->offset, row->kind);
        if (node)
            json_object_set_member(json, row->name, node);
    }
    return json_node_init_object(json_node_alloc(), json);
}

char *vit_machine_config_to_json(const VitMachineConfig *config)
{
    g_autoptr(VitMachineConfig) defaults = vit_machine_config_new();
    g_autoptr(JsonNode) root = rows_to_json(config, defaults, config_rows);
    g_autofree char *text = json_to_string(root, TRUE);

    return g_strconcat(text, "\n", NULL);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool bad(GError **error, const char *name, const char *expected)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                _("machine description: member “%s” is not %s"), name, expected);
    return false;
}

static bool rows_from_json(void *object, JsonObject *json, const ConfigRow *rows, GError **error);

static bool read_array(GPtrArray *out, JsonNode *node, const ConfigRow *row, GError **error)
{
    if (!JSON_NODE_HOLDS_ARRAY(node))
        return bad(error, row->name, _("a list"));
    JsonArray *array = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *e = json_array_get_element(array, i);

        if (row->kind == CONFIG_DRIVES) {
            if (!JSON_NODE_HOLDS_OBJECT(e))
                return bad(error, row->name, _("a list of objects"));
            VitDriveConfig *drive = vit_drive_config_new(NULL);
            g_ptr_array_add(out, drive);
            if (!rows_from_json(drive, json_node_get_object(e), config_drive_rows, error))
                return false;
        } else {
            if (json_node_get_value_type(e) != G_TYPE_STRING)
                return bad(error, row->name, _("a list of texts"));
            g_ptr_array_add(out, g_strdup(json_node_get_string(e)));
        }
    }
    return true;
}

static bool read_interface(int *out, const char *text)
{
    for (int i = 0; config_interface_names[i]; i++) {
        if (!strcmp(config_interface_names[i], text)) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool read_member(void *m, JsonNode *node, const ConfigRow *row, GError **error)
{
    GType type = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_INVALID;

    switch (row->kind) {
    case CONFIG_STRING:
        if (type != G_TYPE_STRING)
            return bad(error, row->name, _("a text"));
        g_free(*(char **) m);
        *(char **) m = json_node_dup_string(node);
        return true;
    case CONFIG_STRINGS: case CONFIG_DRIVES:
        return read_array(*(GPtrArray **) m, node, row, error);
    case CONFIG_STRV: {
        g_autoptr(GPtrArray) a = g_ptr_array_new_with_free_func(g_free);
        if (!read_array(a, node, row, error))
            return false;
        g_ptr_array_add(a, NULL);
        g_strfreev(*(char ***) m);
        *(char ***) m = (char **) g_ptr_array_free(g_steal_pointer(&a), FALSE);
        return true;
    }
    case CONFIG_BOOL:
        if (type != G_TYPE_BOOLEAN)
            return bad(error, row->name, _("true or false"));
        *(bool *) m = json_node_get_boolean(node);
        return true;
    case CONFIG_INTERFACE:
        if (type != G_TYPE_STRING || !read_interface(m, json_node_get_string(node)))
            return bad(error, row->name, _("one of ide, virtio, none"));
        return true;
    default:
        break;
    }
    if (type != G_TYPE_INT64)
        return bad(error, row->name, _("a whole number"));
    int64_t v = json_node_get_int(node);
    if (row->kind == CONFIG_UINT64 || row->kind == CONFIG_INT64) {
        if (row->kind == CONFIG_UINT64 && v < 0)
            return bad(error, row->name, _("zero or above"));
        *(int64_t *) m = v;
        return true;
    }
    if (v > INT32_MAX || v < (row->kind == CONFIG_UINT ? 0 : INT32_MIN))
        return bad(error, row->name, _("in range"));
    *(int *) m = (int) v;
    return true;
}

static const ConfigRow *find_row(const ConfigRow *rows, const char *name)
{
    for (; rows->name; rows++) {
        if (!strcmp(rows->name, name))
            return rows;
    }
    return NULL;
}

static bool rows_from_json(void *object, JsonObject *json, const ConfigRow *rows, GError **error)
{
    g_autoptr(GList) members = json_object_get_members(json);

    for (GList *l = members; l; l = l->next) {
        const char *name = l->data;
        const ConfigRow *row = find_row(rows, name);

        if (!row && rows == config_rows && !strcmp(name, "schema"))
            continue;
        if (!row) {
            g_autoptr(GPtrArray) names = g_ptr_array_new();
            for (const ConfigRow *r = rows; r->name; r++)
                g_ptr_array_add(names, (char *) r->name);
            g_ptr_array_add(names, NULL);
            g_autofree char *hint = vit_suggest_phrase(name, (const char *const *) names->pdata);
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        _("machine description: member “%s” is not known%s"), name, hint);
            return false;
        }
        if (!read_member((char *) object + row->offset, json_object_get_member(json, name), row,
                         error))
            return false;
    }
    return true;
}

VitMachineConfig *vit_machine_config_from_json(const char *text, gssize length, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(VitMachineConfig) config = vit_machine_config_new();

    if (!json_parser_load_from_data(parser, text, length, error)) {
        g_prefix_error(error, _("machine description: "));
        return NULL;
    }
    JsonNode *root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    _("machine description: not an object"));
        return NULL;
    }
    JsonObject *json = json_node_get_object(root);
    if (json_object_get_int_member_with_default(json, "schema", 0) != SCHEMA) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            _("machine description: written by another version of Vitrine (schema is not %d)"),
            SCHEMA);
        return NULL;
    }
    if (!rows_from_json(config, json, config_rows, error))
        return NULL;
    return g_steal_pointer(&config);
}
