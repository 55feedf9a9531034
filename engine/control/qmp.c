/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp.c - the QEMU Machine Protocol: greeting, negotiation, requests and answers
 * (QEMU documentation, "QEMU Machine Protocol Specification"; no out-of-band commands) */
#include "engine/control/json-stream.h"
#include "engine/control/qmp-block.h"

#include <string.h>

typedef struct {
    ControlSession *session;    /* borrowed */
    JsonStream      stream;
    bool            negotiated; /* left the capabilities negotiation */
} Qmp;

/* ---- Output ---------------------------------------------------------------------------------- */

/* Takes over object. */
static void send(Qmp *q, JsonObject *object)
{
    g_autoptr(JsonNode) node = qmp_object(object);
    g_autofree char *line = json_stream_line(node);

    control_session_write(q->session, line, strlen(line));
}

static void send_error(Qmp *q, const GError *error, JsonNode *id)
{
    JsonObject *answer = json_object_new(), *body = json_object_new();

    json_object_set_string_member(body, "class", control_error_class(error));
    const char *text = vit_block_error_text(error); /* further lines are hints for people */
    g_autofree char *first = g_strndup(text, strcspn(text, "\n"));
    json_object_set_string_member(body, "desc", first);
    json_object_set_object_member(answer, "error", body);
    if (id)
        json_object_set_member(answer, "id", json_node_copy(id));
    send(q, answer);
}

/* Takes over result; NULL is an empty object. */
static void send_return(Qmp *q, JsonNode *result, JsonNode *id)
{
    JsonObject *answer = json_object_new();

    json_object_set_member(answer, "return", result ?: qmp_object(json_object_new()));
    if (id)
        json_object_set_member(answer, "id", json_node_copy(id));
    send(q, answer);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static const QmpArg capability_args[] = { { "enable", QMP_ARRAY, true, .type = &qmp_str_type },
                                          { 0 } };

/* Only the session can leave the negotiation, so the row does no more than refuse capabilities. */
static bool run_capabilities(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    if (json_object_has_member(args, "enable") &&
        json_array_get_length(json_object_get_array_member(args, "enable"))) {
        g_set_error_literal(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC,
                            "There is no such capability to enable: none was offered");
        return false;
    }
    return true;
}

static const QmpArg command_members[] = { { "name", QMP_STR }, { 0 } };
static const QmpType command_type = { QMP_OBJECT, .members = command_members };
static const QmpType commands_type = { QMP_ARRAY, .element = &command_type };
static const QmpArg entity_members[] = { { "name", QMP_STR }, { "meta-type", QMP_STR }, { 0 } };
static const QmpType entity_type = { QMP_OBJECT, .members = entity_members, .open = true };
static const QmpType schema_type = { QMP_ARRAY, .element = &entity_type };

static const QmpCommand protocol_commands[] = {
    { "qmp_capabilities", capability_args, NULL, run_capabilities },
    { "query-commands", qmp_no_members, &commands_type, qmp_query_commands_list },
    { "query-qmp-schema", qmp_no_members, &schema_type, qmp_query_schema },
    { 0 }
};

const QmpCommand *qmp_command(VitControl *c, unsigned n)
{
    static const QmpCommand *const tables[] = {
        protocol_commands, qmp_common_commands, qmp_block_node_commands, qmp_block_query_commands,
        qmp_block_job_commands, qmp_block_live_commands, qmp_block_bitmap_commands,
        qmp_block_snapshot_commands, qmp_block_export_commands, qmp_block_transaction_commands,
        qmp_block_limit_commands, qmp_block_place_commands, qmp_qom_commands,
        /* of machines */
        qmp_query_commands, qmp_action_commands,
    };
    enum { OF_MACHINES = 2 };
    size_t count = G_N_ELEMENTS(tables) - (c->engine ? 0 : OF_MACHINES);

    for (size_t t = 0; t < count; t++) {
        for (const QmpCommand *row = tables[t]; row->name; row++) {
            if (n-- == 0)
                return row;
        }
    }
    return NULL;
}

static const QmpCommand *find(Qmp *q, const char *name, GError **error)
{
    const QmpCommand *row;
    bool negotiates = !strcmp(name, "qmp_capabilities");

    if (!q->negotiated && !negotiates) {
        g_set_error_literal(error, CONTROL_ERROR, CONTROL_ERROR_COMMAND_NOT_FOUND,
                            "Expecting capabilities negotiation with 'qmp_capabilities'");
        return NULL;
    }
    if (q->negotiated && negotiates) {
        g_set_error_literal(error, CONTROL_ERROR, CONTROL_ERROR_COMMAND_NOT_FOUND,
                            "Capabilities negotiation is already complete, command ignored");
        return NULL;
    }
    for (unsigned n = 0; (row = qmp_command(control_session_control(q->session), n)); n++) {
        if (!strcmp(row->name, name))
            return row;
    }
    g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_COMMAND_NOT_FOUND,
                "The command %s has not been found", name);
    return NULL;
}

static bool complain(GError **error, const char *format, const char *what) G_GNUC_PRINTF(2, 0);
static bool complain(GError **error, const char *format, const char *what)
{
    g_autofree char *text = g_strdup_printf(format, what);

    g_set_error_literal(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC, text);
    return false;
}

static bool check_request(JsonObject *request, GError **error)
{
    g_autoptr(GList) names = json_object_get_members(request);
    JsonNode *execute = json_object_get_member(request, "execute");
    JsonNode *arguments = json_object_get_member(request, "arguments");

    for (GList *l = names; l; l = l->next) {
        if (strcmp(l->data, "execute") && strcmp(l->data, "arguments") && strcmp(l->data, "id"))
            return complain(error, "QMP input member '%s' is unexpected", l->data);
    }
    if (!execute)
        return complain(error, "QMP input lacks member '%s'", "execute");
    if (!qmp_has_kind(execute, QMP_STR))
        return complain(error, "QMP input member '%s' must be a string", "execute");
    if (arguments && !qmp_has_kind(arguments, QMP_OBJECT))
        return complain(error, "QMP input member '%s' must be an object", "arguments");
    return true;
}

typedef struct {
    const QmpCommand *row;
    ControlBlock *block;
    JsonObject *args;
    JsonNode **result;
    GError **error;
    bool good;
} BlockCall;

static void run_block(void *opaque)
{
    BlockCall *call = opaque;

    vit_fiber_mutex_lock(&call->block->lock);
    call->good = block_run(call->block, call->row, call->args, call->result, call->error);
    vit_fiber_mutex_unlock(&call->block->lock);
}

static bool run(VitControl *c, const QmpCommand *row, JsonObject *args, JsonNode **result,
                GError **error)
{
    BlockCall call = { row, c->block, args, result, error, false };

    if (!row->co_run)
        return row->run(c, args, result, error);
    vit_fiber_run_sync(c->block->thread, run_block, &call);
    return call.good;
}

/* What the schema tells of an answer is so. */
static void check_result(const QmpCommand *row, JsonNode *result)
{
    g_autoptr(GError) error = NULL;

    if (!row->result ? result != NULL : !result)
        g_critical("%s: answers something where the table has nothing, or the reverse", row->name);
    else if (result && !qmp_check(row->result, result, &error))
        g_critical("answer of %s: %s", row->name, error->message);
}

static bool execute(Qmp *q, JsonObject *request, JsonNode **result, GError **error)
{
    if (!check_request(request, error))
        return false;
    const QmpCommand *row = find(q, json_object_get_string_member(request, "execute"), error);
    if (!row)
        return false;
    JsonNode *node = json_object_get_member(request, "arguments");
    g_autoptr(JsonObject) args = node ? json_object_ref(json_node_get_object(node))
                                      : json_object_new();
    QmpType type = qmp_command_type(row);
    if (!qmp_check_object(&type, args, error) ||
        !run(control_session_control(q->session), row, args, result, error))
        return false;
    check_result(row, *result);
    if (!q->negotiated)
        control_session_want_events(q->session);
    q->negotiated = true;
    return true;
}

static void handle(Qmp *q, JsonNode *value)
{
    g_autoptr(GError) error = NULL;
    JsonNode *result = NULL, *id = NULL;

    if (!JSON_NODE_HOLDS_OBJECT(value)) {
        complain(&error, "QMP input must be a JSON %s", "object");
        send_error(q, error, NULL);
        return;
    }
    JsonObject *request = json_node_get_object(value);
    id = json_object_get_member(request, "id");
    if (execute(q, request, &result, &error))
        send_return(q, result, id);
    else
        send_error(q, error, id);
    control_session_command_done(q->session);
}

/* ---- Session --------------------------------------------------------------------------------- */

static void init(void *state, ControlSession *session)
{
    Qmp *q = state;

    q->session = session;
    json_stream_init(&q->stream);
}

static void finish(void *state)
{
    json_stream_finish(&((Qmp *) state)->stream);
}

static void opened(void *state)
{
    Qmp *q = state;
    JsonNode *version = NULL;
    JsonObject *greeting = json_object_new(), *body = json_object_new();
    const QmpCommand *row = qmp_common_commands;

    q->negotiated = false;
    json_stream_reset(&q->stream);
    while (strcmp(row->name, "query-version"))
        row++;
    if (!row->run(control_session_control(q->session), NULL, &version, NULL))
        g_return_if_reached();
    json_object_set_member(body, "version", version);
    json_object_set_array_member(body, "capabilities", json_array_new());
    json_object_set_object_member(greeting, "QMP", body);
    send(q, greeting);
}

static size_t input(void *state, const uint8_t *data, size_t size)
{
    Qmp *q = state;
    g_autoptr(JsonNode) value = NULL;
    g_autoptr(GError) error = NULL;
    size_t used = size;

    switch (json_stream_feed(&q->stream, data, size, &used, &value, &error)) {
    case JSON_STREAM_VALUE:
        handle(q, value);
        break;
    case JSON_STREAM_ERROR:
        send_error(q, error, NULL);
        break;
    case JSON_STREAM_MORE:
        break;
    }
    return used;
}

const ControlProtocol qmp_protocol = {
    .name = "qmp", .state_size = sizeof(Qmp), .init = init, .finish = finish, .opened = opened,
    .input = input,
};
