/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp.h - the command table: it drives validation, query-commands and the schema */
#pragma once
#include "engine/control/control-private.h"
#include "engine/control/qmp-type.h"

typedef struct {
    const char   *name;
    const QmpArg *args;         /* ended by a NULL name */
    const QmpType *result;      /* of what "return" holds; NULL: an empty object */
    /* Arguments have been checked.  *result stays NULL for an empty object. */
    bool (*run)(VitControl *c, JsonObject *args, JsonNode **result, GError **error);
    /* Instead of run, of the block commands: see qmp-block.h. */
    bool (*co_run)(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error);
    const QmpType *type;        /* of the arguments, instead of args: where some depend on others */
} QmpCommand;

typedef struct {
    const char *name;
    const QmpArg *data;         /* ended by a NULL name */
    bool of_machines;           /* the storage daemon has none */
} QmpEvent;

/* qmp-commands.c, qmp-query.c; each ended by a NULL name.  Common: without a machine as well. */
extern const QmpCommand qmp_action_commands[], qmp_query_commands[], qmp_common_commands[];
/* All of them that c has; NULL past the end. */
const QmpCommand *qmp_command(VitControl *c, unsigned n);
static inline QmpType qmp_command_type(const QmpCommand *row)
{
    return row->type ? *row->type : (QmpType) { QMP_OBJECT, .members = row->args };
}
/* qmp-events.c; ended by a NULL name */
extern const QmpEvent qmp_events[];
void qmp_check_event(const char *name, JsonObject *data);   /* a mistake of ours is logged */
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
