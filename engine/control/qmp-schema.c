/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-schema.c - the tables told to clients: query-commands, query-qmp-schema
 * (QEMU documentation, "How to use the QAPI code generator", section "Client JSON Protocol
 * introspection")
 *
 * Types have numbers for names, as clients are not to rely on them; each is told once. */
#include "engine/control/qmp.h"

bool qmp_query_commands_list(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    JsonArray *list = json_array_new();
    const QmpCommand *row;

    for (unsigned n = 0; (row = qmp_command(c, n)); n++) {
        JsonObject *entry = json_object_new();
        json_object_set_string_member(entry, "name", row->name);
        json_array_add_object_element(list, entry);
    }
    *result = qmp_array(list);
    return true;
}

typedef struct {
    JsonArray *list;
    GHashTable *names; /* of a type, its members, values or list -> its name, owned */
    GHashTable *arrays; /* of names of arrays that have been told */
    unsigned next;
} Schema;

static JsonObject *add(Schema *s, const char *name, const char *meta)
{
    JsonObject *entry = json_object_new();

    json_object_set_string_member(entry, "name", name);
    json_object_set_string_member(entry, "meta-type", meta);
    json_array_add_object_element(s->list, entry);
    return entry;
}

/* True: key has a name already.  Else it gets one, and is to be told. */
static bool has_name(Schema *s, const void *key, const char **name)
{
    *name = g_hash_table_lookup(s->names, key);
    if (*name) return true;
    *name = g_strdup_printf("%u", ++s->next);
    g_hash_table_insert(s->names, (void *)key, (char *)*name);
    return false;
}

static const char *type_name(Schema *s, const QmpType *type);

static const char *enum_name(Schema *s, const void *key, const char *const *values)
{
    const char *name;

    if (has_name(s, key, &name)) return name;
    JsonObject *entry = add(s, name, "enum");
    JsonArray *members = json_array_new(), *plain = json_array_new();
    for (; *values; values++) {
        JsonObject *member = json_object_new();
        json_object_set_string_member(member, "name", *values);
        json_array_add_object_element(members, member);
        json_array_add_string_element(plain, *values);
    }
    json_object_set_array_member(entry, "members", members);
    json_object_set_array_member(entry, "values", plain);
    return name;
}

static const char *array_name(Schema *s, const QmpType *element)
{
    const char *of = element ? type_name(s, element) : "any";
    char *name = g_strdup_printf("[%s]", of);
    char *known = g_hash_table_lookup(s->arrays, name);

    if (known) {
        g_free(name);
        return known;
    }
    json_object_set_string_member(add(s, name, "array"), "element-type", of);
    g_hash_table_add(s->arrays, name);
    return name;
}

static const char *member_name(Schema *s, const QmpArg *row)
{
    if (row->kind == QMP_ARRAY) return array_name(s, row->type);
    if (row->type) return type_name(s, row->type);
    if (row->values) return enum_name(s, row->values, row->values);
    return type_name(s, &(QmpType){ row->kind });
}

static JsonArray *members_of(Schema *s, const QmpArg *row)
{
    JsonArray *list = json_array_new();

    for (; row && row->name; row++) {
        JsonObject *member = json_object_new();
        json_object_set_string_member(member, "name", row->name);
        if (row->optional) json_object_set_null_member(member, "default");
        json_object_set_string_member(member, "type", member_name(s, row));
        json_array_add_object_element(list, member);
    }
    return list;
}

/* The values that the tag may have, each with the type of the further members. */
static JsonArray *variants_of(Schema *s, const QmpType *type)
{
    JsonArray *list = json_array_new();
    g_auto(GStrv) made = NULL;
    const QmpArg *row = type->members;

    while (strcmp(row->name, type->tag) != 0) row++;
    QmpType tag = qmp_member_type(row);
    const char *const *values = qmp_values(&tag, &made);
    for (; values && *values; values++) {
        const QmpType *more = type->branch(*values);
        JsonObject *variant = json_object_new();
        json_object_set_string_member(variant, "case", *values);
        json_object_set_string_member(variant, "type", more ? type_name(s, more) : "0");
        json_array_add_object_element(list, variant);
    }
    return list;
}

/* key: what is the same where the type is the same. */
static const char *object_name(Schema *s, const void *key, const QmpType *type)
{
    const char *name;

    if (!type->members) return "any";
    if (!type->members->name && !type->tag) return "0";
    if (has_name(s, key, &name)) return name;
    JsonObject *entry = add(s, name, "object");
    json_object_set_array_member(entry, "members", members_of(s, type->members));
    if (!type->tag) return name;
    json_object_set_string_member(entry, "tag", type->tag);
    json_object_set_array_member(entry, "variants", variants_of(s, type));
    return name;
}

static const char *alternate_name(Schema *s, const QmpType *type)
{
    JsonArray *list = json_array_new();
    const char *name;

    if (has_name(s, type, &name)) {
        json_array_unref(list);
        return name;
    }
    json_object_set_array_member(add(s, name, "alternate"), "members", list);
    for (const QmpType *const *choice = type->choices; *choice; choice++) {
        JsonObject *member = json_object_new();
        json_object_set_string_member(member, "type", type_name(s, *choice));
        json_array_add_object_element(list, member);
    }
    return name;
}

static const char *type_name(Schema *s, const QmpType *type)
{
    g_auto(GStrv) made = NULL;
    const char *const *values;

    switch (type->kind) {
    case QMP_STR:
        values = qmp_values(type, &made);
        return values ? enum_name(s, made ? (const void *)type->list : values, values) : "str";
    case QMP_INT: return "int";
    case QMP_NUMBER: return "number";
    case QMP_BOOL: return "bool";
    case QMP_NULL: return "null";
    case QMP_ANY: return "any";
    case QMP_ARRAY: return array_name(s, type->element);
    case QMP_OBJECT: return object_name(s, type, type);
    case QMP_ALTERNATE: return alternate_name(s, type);
    }
    return "any";
}

static void add_builtins(Schema *s)
{
    static const struct {
        const char *name, *json;
    } builtins[] = {
        { "str", "string" },   { "int", "int" },   { "number", "number" },
        { "bool", "boolean" }, { "null", "null" }, { "any", "value" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(builtins); i++)
        json_object_set_string_member(add(s, builtins[i].name, "builtin"), "json-type",
                                      builtins[i].json);
    json_object_set_array_member(add(s, "0", "object"), "members", json_array_new());
}

/* What is not to be relied on says so by its name. */
static void add_features(JsonObject *entry, const char *name)
{
    JsonArray *list;

    if (!g_str_has_prefix(name, "x-")) return;
    list = json_array_new();
    json_array_add_string_element(list, "unstable");
    json_object_set_array_member(entry, "features", list);
}

bool qmp_query_schema(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    Schema s = { .list = json_array_new(),
                 .names = g_hash_table_new_full(NULL, NULL, NULL, g_free),
                 .arrays = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };
    const QmpCommand *row;

    add_builtins(&s);
    for (unsigned n = 0; (row = qmp_command(c, n)); n++) {
        QmpType type = qmp_command_type(row);
        const void *key = row->type ? (const void *)row->type : row->args;
        JsonObject *entry = add(&s, row->name, "command");
        json_object_set_string_member(entry, "arg-type", object_name(&s, key, &type));
        json_object_set_string_member(entry, "ret-type",
                                      row->result ? type_name(&s, row->result) : "0");
        add_features(entry, row->name);
    }
    for (const QmpEvent *event = qmp_events; event->name; event++) {
        QmpType type = { QMP_OBJECT, .members = event->data };
        if (event->of_machines && !c->engine) continue;
        json_object_set_string_member(add(&s, event->name, "event"), "arg-type",
                                      object_name(&s, event->data, &type));
    }
    g_hash_table_unref(s.names);
    g_hash_table_unref(s.arrays);
    *result = qmp_array(s.list);
    return true;
}
