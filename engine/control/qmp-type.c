/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-type.c - see qmp-type.h: checking values
 *
 * Recursion ends with the value, whose depth json-stream.h bounds. */
#include "engine/control/qmp-type.h"

#include "engine/control/control-private.h"

#include <string.h>

const QmpType qmp_str_type = { QMP_STR }, qmp_null_type = { QMP_NULL };
const QmpArg qmp_no_members[] = { { 0 } };

/* ---- Names in messages ----------------------------------------------------------------------- */

typedef struct Path {
    const struct Path *up; /* NULL: a member of the outermost object */
    const char *name; /* NULL: an element of a list */
    guint index;
} Path;

static void append(GString *text, const Path *path)
{
    if (!path) return;
    append(text, path->up);
    if (path->name) g_string_append_printf(text, "%s%s", text->len ? "." : "", path->name);
    else g_string_append_printf(text, "[%u]", path->index);
}

static char *describe(const Path *path)
{
    GString *text = g_string_new(NULL);

    append(text, path);
    return g_string_free(text, FALSE);
}

/* Where only the last part is said. */
static const char *leaf(const Path *path)
{
    return path && path->name ? path->name : "null";
}

static bool wrong_type(const Path *path, const char *expected, GError **error)
{
    g_autofree char *name = describe(path);

    return control_fail(error, "Invalid parameter type for '%s', expected: %s", name, expected);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool holds(JsonNode *node, GType type)
{
    return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

bool qmp_has_kind(JsonNode *node, QmpKind kind)
{
    switch (kind) {
    case QMP_OBJECT: return JSON_NODE_HOLDS_OBJECT(node);
    case QMP_ARRAY: return JSON_NODE_HOLDS_ARRAY(node);
    case QMP_STR: return holds(node, G_TYPE_STRING);
    case QMP_BOOL: return holds(node, G_TYPE_BOOLEAN);
    case QMP_INT: return holds(node, G_TYPE_INT64);
    case QMP_NUMBER: return holds(node, G_TYPE_INT64) || holds(node, G_TYPE_DOUBLE);
    case QMP_NULL: return JSON_NODE_HOLDS_NULL(node);
    case QMP_ANY:
    case QMP_ALTERNATE: return true;
    }
    return false;
}

QmpType qmp_member_type(const QmpArg *row)
{
    if (row->kind == QMP_ARRAY) return (QmpType){ QMP_ARRAY, .element = row->type };
    if (row->type) return *row->type;
    return (QmpType){ row->kind, .values = row->values };
}

const char *const *qmp_values(const QmpType *type, char ***made)
{
    *made = type->list ? type->list() : NULL;
    return *made ? (const char *const *)*made : type->values;
}

static bool check(const Path *path, const QmpType *type, JsonNode *value, GError **error);

static bool check_string(const Path *path, const QmpType *type, JsonNode *value, GError **error)
{
    g_auto(GStrv) made = NULL;
    const char *const *values = qmp_values(type, &made);

    return !values || type->open || g_strv_contains(values, json_node_get_string(value)) ||
           control_fail(error, "Parameter '%s' does not accept value '%s'", leaf(path),
                        json_node_get_string(value));
}

static bool check_elements(const Path *path, const QmpType *type, JsonArray *array, GError **error)
{
    for (guint i = 0; type->element && i < json_array_get_length(array); i++) {
        Path here = { path, NULL, i };
        if (!check(&here, type->element, json_array_get_element(array, i), error)) return false;
    }
    return true;
}

static const QmpType *branch_of(const QmpType *type, JsonObject *object)
{
    JsonNode *tag = type->tag ? json_object_get_member(object, type->tag) : NULL;

    return tag && qmp_has_kind(tag, QMP_STR) ? type->branch(json_node_get_string(tag)) : NULL;
}

static bool check_members(const Path *path, const QmpType *type, JsonObject *object, GError **error)
{
    for (const QmpArg *row = type->members; row && row->name; row++) {
        JsonNode *value = json_object_get_member(object, row->name);
        Path here = { path, row->name, 0 };
        QmpType own = qmp_member_type(row);
        if (value && !check(&here, &own, value, error)) return false;
        if (value || row->optional) continue;
        g_autofree char *name = describe(&here);
        return control_fail(error, "Parameter '%s' is missing", name);
    }
    const QmpType *more = branch_of(type, object);
    return !more || check_members(path, more, object, error);
}

static bool knows(const QmpType *type, JsonObject *object, const char *name)
{
    for (const QmpArg *row = type->members; row && row->name; row++)
        if (!strcmp(row->name, name)) return true;
    const QmpType *more = branch_of(type, object);
    return type->open || !type->members || (more && knows(more, object, name));
}

static bool check_fields(const Path *path, const QmpType *type, JsonObject *object, GError **error)
{
    g_autoptr(GList) names = json_object_get_members(object);

    if (!check_members(path, type, object, error)) return false;
    for (GList *l = names; l; l = l->next) {
        if (knows(type, object, l->data)) continue;
        Path here = { path, l->data, 0 };
        g_autofree char *name = describe(&here);
        return control_fail(error, "Parameter '%s' is unexpected", name);
    }
    return true;
}

static bool check_choices(const Path *path, const QmpType *type, JsonNode *value, GError **error)
{
    for (const QmpType *const *choice = type->choices; *choice; choice++)
        if (qmp_has_kind(value, (*choice)->kind)) return check(path, *choice, value, error);
    return control_fail(error, "Invalid parameter type for '%s', expected: %s", leaf(path),
                        type->name);
}

static bool check(const Path *path, const QmpType *type, JsonNode *value, GError **error)
{
    static const char *const kinds[] = {
        [QMP_STR] = "string",   [QMP_INT] = "integer",   [QMP_NUMBER] = "number",
        [QMP_BOOL] = "boolean", [QMP_NULL] = "null",     [QMP_ANY] = "value",
        [QMP_ARRAY] = "array",  [QMP_OBJECT] = "object", [QMP_ALTERNATE] = "value",
    };

    if (!qmp_has_kind(value, type->kind)) return wrong_type(path, kinds[type->kind], error);
    switch (type->kind) {
    case QMP_STR: return check_string(path, type, value, error);
    case QMP_ARRAY: return check_elements(path, type, json_node_get_array(value), error);
    case QMP_OBJECT: return check_fields(path, type, json_node_get_object(value), error);
    case QMP_ALTERNATE: return check_choices(path, type, value, error);
    default: return true;
    }
}

bool qmp_check(const QmpType *type, JsonNode *value, GError **error)
{
    return check(NULL, type, value, error);
}

bool qmp_check_object(const QmpType *type, JsonObject *object, GError **error)
{
    return check_fields(NULL, type, object, error);
}
