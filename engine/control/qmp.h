/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp.h - the command table: it drives validation, query-commands and the schema */
#pragma once
#include "engine/control/control-private.h"

typedef enum { QMP_STR, QMP_INT, QMP_NUMBER, QMP_BOOL, QMP_ARRAY, QMP_OBJECT } QmpKind;

typedef struct {
    const char *name;
    QmpKind     kind;
    bool        optional;
    const char *const *values;  /* of a string that names one of these, ended by NULL; or NULL */
} QmpArg;

typedef struct {
    const char   *name;
    const QmpArg *args;         /* ended by a NULL name, or NULL */
    QmpKind       result;       /* of what "return" holds */
    /* Arguments have been checked.  *result stays NULL for an empty object. */
    bool (*run)(VitControl *c, JsonObject *args, JsonNode **result, GError **error);
    /* Instead of run, of the block commands: see qmp-block.h. */
    bool (*co_run)(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error);
    bool          open;         /* takes further arguments, which it checks itself */
} QmpCommand;

/* qmp-commands.c, qmp-query.c; each ended by a NULL name.  Common: without a machine as well. */
extern const QmpCommand qmp_action_commands[], qmp_query_commands[], qmp_common_commands[];
/* All of them that c has; NULL past the end. */
const QmpCommand *qmp_command(VitControl *c, unsigned n);
/* Checks the members of an object against rows; names what is wrong. */
[[nodiscard]] bool qmp_check(const QmpArg *rows, JsonObject *object, GError **error);
/* qmp-schema.c */
bool qmp_query_schema(VitControl *c, JsonObject *args, JsonNode **result, GError **error);
bool qmp_query_commands_list(VitControl *c, JsonObject *args, JsonNode **result, GError **error);

/* Takes over object or array. */
static inline JsonNode *qmp_object(JsonObject *object)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}
static inline JsonNode *qmp_array(JsonArray *array)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, array);
    return node;
}
