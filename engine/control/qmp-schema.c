/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-schema.c - the command table told to clients: query-commands, query-qmp-schema
 *
 * Results are given as "any"; members of nested objects are not described. */
#include "engine/control/qmp.h"

static const char *const kind_types[] = { "str", "int", "number", "bool", "[any]", "any" };

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

static JsonObject *add(JsonArray *schema, const char *name, const char *meta)
{
    JsonObject *entry = json_object_new();

    json_object_set_string_member(entry, "name", name);
    json_object_set_string_member(entry, "meta-type", meta);
    json_array_add_object_element(schema, entry);
    return entry;
}

static void add_builtins(JsonArray *schema)
{
    static const struct { const char *name, *json; } builtins[] = {
        { "str", "string" }, { "int", "int" }, { "number", "number" }, { "bool", "boolean" },
        { "any", "value" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(builtins); i++)
        json_object_set_string_member(add(schema, builtins[i].name, "builtin"), "json-type",
                                      builtins[i].json);
    json_object_set_string_member(add(schema, "[any]", "array"), "element-type", "any");
    json_object_set_array_member(add(schema, "0", "object"), "members", json_array_new());
}

static void add_enum(JsonArray *schema, const char *name, const char *const *values)
{
    JsonObject *type = add(schema, name, "enum");
    JsonArray *members = json_array_new(), *plain = json_array_new();

    for (; *values; values++) {
        JsonObject *member = json_object_new();
        json_object_set_string_member(member, "name", *values);
        json_array_add_object_element(members, member);
        json_array_add_string_element(plain, *values);
    }
    json_object_set_array_member(type, "members", members);
    json_object_set_array_member(type, "values", plain);
}

/* The name of the type of a command's arguments, which is added to the schema. */
static char *add_args(JsonArray *schema, const QmpCommand *row)
{
    if (!row->args || !row->args->name)
        return g_strdup("0");
    char *name = g_strdup_printf("%s-arguments", row->name);
    JsonArray *members = json_array_new();
    for (const QmpArg *arg = row->args; arg->name; arg++) {
        JsonObject *member = json_object_new();
        g_autofree char *type = arg->values ? g_strdup_printf("%s-%s", row->name, arg->name)
                                            : g_strdup(kind_types[arg->kind]);
        if (arg->values)
            add_enum(schema, type, arg->values);
        json_object_set_string_member(member, "name", arg->name);
        json_object_set_string_member(member, "type", type);
        if (arg->optional)
            json_object_set_null_member(member, "default");
        json_array_add_object_element(members, member);
    }
    json_object_set_array_member(add(schema, name, "object"), "members", members);
    return name;
}

bool qmp_query_schema(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    static const char *const events[] = { "SHUTDOWN", "POWERDOWN", "RESET", "STOP", "RESUME",
                                         "BLOCK_EXPORT_DELETED", "BLOCK_IO_ERROR",
                                         "BLOCK_JOB_CANCELLED", "BLOCK_WRITE_THRESHOLD",
                                         "BLOCK_JOB_COMPLETED", "BLOCK_JOB_ERROR",
                                         "BLOCK_JOB_PENDING", "BLOCK_JOB_READY",
                                         "JOB_STATUS_CHANGE" };
    JsonArray *schema = json_array_new();
    const QmpCommand *row;

    add_builtins(schema);
    for (unsigned n = 0; (row = qmp_command(c, n)); n++) {
        g_autofree char *type = add_args(schema, row);
        JsonObject *command = add(schema, row->name, "command");
        json_object_set_string_member(command, "arg-type", type);
        json_object_set_string_member(command, "ret-type", kind_types[row->result]);
        json_object_set_boolean_member(command, "allow-oob", FALSE);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(events); i++)
        json_object_set_string_member(add(schema, events[i], "event"), "arg-type", "any");
    *result = qmp_array(schema);
    return true;
}
