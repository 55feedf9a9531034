/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-commands.c - the QMP commands that do something */
#include "engine/control/keys.h"
#include "engine/control/qmp.h"

#include <linux/input-event-codes.h>
#include <string.h>

static int64_t get_int(JsonObject *args, const char *name, int64_t fallback)
{
    return json_object_get_int_member_with_default(args, name, fallback);
}

static const char *get_text(JsonObject *args, const char *name)
{
    return json_object_get_string_member_with_default(args, name, NULL);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static bool run_stop(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    vit_engine_pause(c->engine);
    return true;
}

static bool run_cont(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    return control_continue(c, error);
}

static bool run_reset(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    if (!control_check_on(c, error))
        return false;
    control_reset(c);
    return true;
}

static bool run_powerdown(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    control_powerdown(c);
    return true;
}

static bool run_nmi(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    control_nmi(c);
    return true;
}

/* ---- Pictures and memory --------------------------------------------------------------------- */

static const char *const picture_formats[] = { "png", "ppm", NULL };
static const QmpArg screendump_args[] = {
    { "filename", QMP_STR }, { "device", QMP_STR, true }, { "head", QMP_INT, true },
    { "format", QMP_STR, true, picture_formats }, { 0 }
};

static bool run_screendump(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    const char *device = get_text(args, "device");
    int64_t head = get_int(args, "head", 0);

    if (device) {
        unsigned n = vit_engine_n_scanouts(c->engine);
        for (head = 0;
             head < n &&
             strcmp(device, vit_scanout_name(vit_engine_scanout(c->engine, (unsigned) head)));)
            head++;
    }
    if (head < 0 || head >= vit_engine_n_scanouts(c->engine)) {
        g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_DEVICE_NOT_FOUND,
                    "There is no such display to take a picture of; the machine has %u",
                    vit_engine_n_scanouts(c->engine));
        return false;
    }
    return control_screendump(c, get_text(args, "filename"), get_text(args, "format"),
                              (unsigned) head, error);
}

static const QmpArg memsave_args[] = { { "val", QMP_INT },
                                       { "size", QMP_INT },
                                       { "filename", QMP_STR },
                                       { "cpu-index", QMP_INT, true },
                                       { 0 } };
static const QmpArg pmemsave_args[] = {
    { "val", QMP_INT }, { "size", QMP_INT }, { "filename", QMP_STR }, { 0 }
};

static bool save(VitControl *c, VitCpu *cpu, JsonObject *args, GError **error)
{
    int64_t size = get_int(args, "size", 0);

    if (size < 0)
        return control_fail(error, "Parameter 'size' is negative");
    return control_save_memory(c, cpu, (uint64_t) get_int(args, "val", 0), (uint64_t) size,
                               get_text(args, "filename"), error);
}

static bool run_memsave(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    VitCpu *cpu = control_cpu(c, get_int(args, "cpu-index", 0), error);

    return cpu && save(c, cpu, args, error);
}

static bool run_pmemsave(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    return save(c, NULL, args, error);
}

/* ---- Keys and pointer ------------------------------------------------------------------------ */

static const char *const key_kinds[] = { "qcode", "number", NULL };
static const QmpArg key_name_args[] = { { "data", QMP_STR }, { 0 } };
static const QmpArg key_number_args[] = { { "data", QMP_INT }, { 0 } };
static const QmpType key_name_type = { QMP_OBJECT, .members = key_name_args };
static const QmpType key_number_type = { QMP_OBJECT, .members = key_number_args };

static const QmpType *key_of(const char *kind)
{
    return strcmp(kind, "number") ? &key_name_type : &key_number_type;
}

static const QmpArg key_args[] = { { "type", QMP_STR, false, key_kinds }, { 0 } };
static const QmpType key_type = {
    QMP_OBJECT, .members = key_args, .tag = "type", .branch = key_of
};

/* KEY_* of {"type": "qcode", "data": "a"} or {"type": "number", "data": 30}; -1 with error set. */
static int parse_key(JsonObject *key, GError **error)
{
    bool number = !strcmp(get_text(key, "type"), "number");
    int code = number ? control_key_by_number(get_int(key, "data", 0))
                      : control_key_by_name(get_text(key, "data"));

    if (code < 0 && number)
        control_fail(error, "There is no key of the number %d",
                     (int) CLAMP(get_int(key, "data", 0), INT_MIN, INT_MAX));
    else if (code < 0)
        control_fail(error, "Parameter 'data' does not accept value '%s': there is no such key",
                     get_text(key, "data"));
    return code;
}

static const QmpArg send_key_args[] = { { "keys", QMP_ARRAY, .type = &key_type },
                                        { "hold-time", QMP_INT, true },
                                        { 0 } };

static bool run_send_key(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    JsonArray *keys = json_object_get_array_member(args, "keys");
    int64_t hold = get_int(args, "hold-time", 100);
    uint16_t codes[CONTROL_KEYS_AT_ONCE];
    guint n = json_array_get_length(keys);

    if (n > CONTROL_KEYS_AT_ONCE)
        return control_fail(error, "At most %d keys at once", CONTROL_KEYS_AT_ONCE);
    if (hold < 0 || hold > CONTROL_MAX_HOLD_MS)
        return control_fail(error, "Parameter 'hold-time' must be 0 to %d ms", CONTROL_MAX_HOLD_MS);
    for (guint i = 0; i < n; i++) {
        int code = parse_key(json_array_get_object_element(keys, i), error);
        if (code < 0)
            return false;
        codes[i] = (uint16_t) code;
    }
    return n == 0 || control_keys_send(c->keys, codes, n, (unsigned) hold, error);
}

static const char *const axes[] = { "x", "y", NULL };
static const char *const buttons[] = { "left",        "middle", "right", "wheel-up",
                                       "wheel-down",  "side",   "extra", "wheel-left",
                                       "wheel-right", "touch",  NULL };
static const char *const event_kinds[] = { "key", "btn", "rel", "abs", NULL };
static const QmpArg key_event_args[] = {
    { "down", QMP_BOOL }, { "key", QMP_OBJECT, .type = &key_type }, { 0 }
};
static const QmpArg button_event_args[] = { { "down", QMP_BOOL },
                                            { "button", QMP_STR, false, buttons },
                                            { 0 } };
static const QmpArg axis_event_args[] = { { "axis", QMP_STR, false, axes },
                                          { "value", QMP_INT },
                                          { 0 } };
static const QmpType key_event_type = { QMP_OBJECT, .members = key_event_args };
static const QmpType button_event_type = { QMP_OBJECT, .members = button_event_args };
static const QmpType axis_event_type = { QMP_OBJECT, .members = axis_event_args };
static const QmpArg key_data[] = { { "data", QMP_OBJECT, .type = &key_event_type }, { 0 } };
static const QmpArg button_data[] = { { "data", QMP_OBJECT, .type = &button_event_type }, { 0 } };
static const QmpArg axis_data[] = { { "data", QMP_OBJECT, .type = &axis_event_type }, { 0 } };
static const QmpType key_data_type = { QMP_OBJECT, .members = key_data };
static const QmpType button_data_type = { QMP_OBJECT, .members = button_data };
static const QmpType axis_data_type = { QMP_OBJECT, .members = axis_data };

static const QmpType *event_of(const char *kind)
{
    return !strcmp(kind, "key") ? &key_data_type
         : !strcmp(kind, "btn") ? &button_data_type
                                : &axis_data_type;
}

static const QmpArg event_args[] = { { "type", QMP_STR, false, event_kinds }, { 0 } };
static const QmpType event_type = {
    QMP_OBJECT, .members = event_args, .tag = "type", .branch = event_of
};

enum { MAX_EVENTS = 64 };
typedef struct { VitInputEvent events[MAX_EVENTS]; unsigned n; } Batch;

static void add_button(Batch *b, JsonObject *data)
{
    static const struct { const char *name; int x, y; } wheels[] = {
        { "wheel-up", 0, 120 }, { "wheel-down", 0, -120 }, { "wheel-left", -120, 0 },
        { "wheel-right", 120, 0 },
    };

    const char *name = get_text(data, "button");
    bool down = json_object_get_boolean_member(data, "down");
    for (size_t i = 0; i < G_N_ELEMENTS(wheels); i++) {
        if (strcmp(name, wheels[i].name))
            continue;
        if (down)
            b->events[b->n++] = (VitInputEvent) { .kind = VIT_INPUT_WHEEL, .value = wheels[i].x,
                                                  .value2 = wheels[i].y };
        return;
    }
    b->events[b->n++] = (VitInputEvent) { .kind = VIT_INPUT_BUTTON, .value = down,
                                          .code = (uint16_t) control_button_by_name(name) };
}

/* Both axes of a batch make one event. */
static void add_axis(VitControl *c, Batch *b, JsonObject *data, bool absolute)
{
    VitInputKind kind = absolute ? VIT_INPUT_ABS : VIT_INPUT_REL;
    bool y = !strcmp(get_text(data, "axis"), "y");
    int32_t value = (int32_t) CLAMP(get_int(data, "value", 0), absolute ? 0 : -32768, 32767);
    VitInputEvent *last = b->n ? &b->events[b->n - 1] : NULL;
    if (!last || last->kind != kind) {
        last = &b->events[b->n++];
        *last = (VitInputEvent) { .kind = kind };
        if (absolute) {
            g_mutex_lock(&c->lock);
            last->value = c->abs_x;
            last->value2 = c->abs_y;
            g_mutex_unlock(&c->lock);
        }
    }
    if (absolute)
        *(y ? &last->value2 : &last->value) = value;
    else
        *(y ? &last->value2 : &last->value) += value;
}

static bool add_event(VitControl *c, Batch *b, JsonObject *event, GError **error)
{
    const char *type = get_text(event, "type");
    JsonObject *data = json_object_get_object_member(event, "data");

    if (!strcmp(type, "btn")) {
        add_button(b, data);
        return true;
    }
    if (strcmp(type, "key")) {
        add_axis(c, b, data, !strcmp(type, "abs"));
        return true;
    }
    int code = parse_key(json_object_get_object_member(data, "key"), error);
    if (code < 0)
        return false;
    b->events[b->n++] = (VitInputEvent) { .kind = VIT_INPUT_KEY, .code = (uint16_t) code,
                                          .value = json_object_get_boolean_member(data, "down") };
    return true;
}

static const QmpArg send_event_args[] = {
    { "device", QMP_STR, true }, { "head", QMP_INT, true },
    { "events", QMP_ARRAY, .type = &event_type }, { 0 }
};

static bool run_send_event(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    JsonArray *events = json_object_get_array_member(args, "events");
    Batch b = { 0 };

    if (json_array_get_length(events) > MAX_EVENTS)
        return control_fail(error, "At most %d events at once", MAX_EVENTS);
    for (guint i = 0; i < json_array_get_length(events); i++) {
        if (!add_event(c, &b, json_array_get_object_element(events, i), error))
            return false;
    }
    g_mutex_lock(&c->lock);
    for (unsigned i = 0; i < b.n; i++) {
        if (b.events[i].kind == VIT_INPUT_ABS) {
            c->abs_x = b.events[i].value;
            c->abs_y = b.events[i].value2;
        }
    }
    g_mutex_unlock(&c->lock);
    if (b.n)
        vit_input_hub_send(vit_engine_input(c->engine), b.events, b.n);
    return true;
}

/* ---- The human monitor ----------------------------------------------------------------------- */

static const QmpArg hmp_args[] = { { "command-line", QMP_STR },
                                   { "cpu-index", QMP_INT, true },
                                   { 0 } };

static bool run_hmp(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    int64_t cpu = get_int(args, "cpu-index", 0);

    if (cpu && !control_cpu(c, cpu, error))
        return false;
    HmpContext h = { .control = c, .out = g_string_new(NULL), .cpu = (unsigned) cpu };
    hmp_execute(&h, get_text(args, "command-line"));
    g_autofree char *plain = g_string_free(h.out, FALSE);
    g_autoptr(GString) text = g_string_new(plain);
    g_string_replace(text, "\n", "\r\n", 0);
    *result = json_node_init_string(json_node_alloc(), text->str);
    return true;
}

const QmpCommand qmp_action_commands[] = {
    { "stop", qmp_no_members, NULL, run_stop },
    { "cont", qmp_no_members, NULL, run_cont },
    { "system_reset", qmp_no_members, NULL, run_reset },
    { "system_powerdown", qmp_no_members, NULL, run_powerdown },
    { "inject-nmi", qmp_no_members, NULL, run_nmi },
    { "screendump", screendump_args, NULL, run_screendump },
    { "memsave", memsave_args, NULL, run_memsave },
    { "pmemsave", pmemsave_args, NULL, run_pmemsave },
    { "send-key", send_key_args, NULL, run_send_key },
    { "input-send-event", send_event_args, NULL, run_send_event },
    { "human-monitor-command", hmp_args, &qmp_str_type, run_hmp },
    { 0 }
};
