/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/control.c - a machine's control: connections, events, its life by command */
#include "engine/control/control-private.h"

#include "engine/control/json-stream.h"
#include "engine/control/keys.h"
#include "engine/control/qmp.h"
#include "engine/guest/x86/cpu.h"

#include <string.h>

/* ---- Events ---------------------------------------------------------------------------------- */

void control_emit(VitControl *c, const char *name, JsonObject *data)
{
    gint64 now = g_get_real_time();

    qmp_check_event(name, data);
    JsonObject *stamp = json_object_new(), *event = json_object_new();

    json_object_set_int_member(stamp, "seconds", now / G_USEC_PER_SEC);
    json_object_set_int_member(stamp, "microseconds", now % G_USEC_PER_SEC);
    json_object_set_object_member(event, "timestamp", stamp);
    json_object_set_string_member(event, "event", name);
    if (data)
        json_object_set_object_member(event, "data", data);
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), event);
    json_object_unref(event);
    g_autofree char *line = json_stream_line(node);

    g_mutex_lock(&c->lock);
    for (guint i = 0; i < c->sessions->len; i++)
        control_session_event(c->sessions->pdata[i], line, strlen(line));
    g_mutex_unlock(&c->lock);
}

static void emit_by(VitControl *c, const char *name, bool guest, const char *reason)
{
    JsonObject *data = json_object_new();

    json_object_set_boolean_member(data, "guest", guest);
    json_object_set_string_member(data, "reason", reason);
    control_emit(c, name, data);
}

static void on_state(void *opaque, VitEngineState state, const char *reason)
{
    VitControl *c = opaque;

    switch (state) {
    case VIT_ENGINE_RUNNING:
        __atomic_store_n(&c->has_run, 1, __ATOMIC_SEQ_CST);
        control_emit(c, "RESUME", NULL);
        break;
    case VIT_ENGINE_PAUSED:
    case VIT_ENGINE_FAILED:
        control_emit(c, "STOP", NULL);
        break;
    case VIT_ENGINE_STOPPED:
        emit_by(c, "SHUTDOWN", true,
                vit_engine_stop_cause(c->engine) == VIT_REQUEST_RESET ? "guest-reset"
                                                                      : "guest-shutdown");
        break;
    }
}

static void on_guest_reset(void *opaque, const char *reason)
{
    emit_by(opaque, "RESET", true, "guest-reset");
}

static void on_disk_failed(void *opaque, const VitDiskFailure *failure)
{
    control_disk_failed(opaque, failure);
}

static const VitEngineListener listener = { .state_changed = on_state,
                                            .guest_reset = on_guest_reset,
                                            .disk_failed = on_disk_failed };

/* ---- What commands do ------------------------------------------------------------------------ */

bool control_check_on(VitControl *c, GError **error)
{
    if (vit_engine_state(c->engine) != VIT_ENGINE_STOPPED)
        return true;
    g_set_error_literal(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC,
                        "The machine has been switched off; start it anew");
    return false;
}

bool control_continue(VitControl *c, GError **error)
{
    if (!control_check_on(c, error))
        return false;
    vit_engine_run(c->engine);
    return true;
}

void control_reset(VitControl *c)
{
    vit_engine_reset(c->engine);
    emit_by(c, "RESET", false, "host-qmp-system-reset");
}

void control_powerdown(VitControl *c)
{
    vit_engine_power_button(c->engine);
    control_emit(c, "POWERDOWN", NULL);
}

void control_request_quit(VitControl *c)
{
    __atomic_store_n(&c->quitting, 1, __ATOMIC_SEQ_CST);
}

const char *control_status(VitControl *c, bool *running)
{
    VitEngineState state = vit_engine_state(c->engine);

    *running = state == VIT_ENGINE_RUNNING;
    switch (state) {
    case VIT_ENGINE_RUNNING:
        return "running";
    case VIT_ENGINE_STOPPED:
        return "shutdown";
    case VIT_ENGINE_FAILED:
        return "io-error";
    case VIT_ENGINE_PAUSED:
        break;
    }
    return __atomic_load_n(&c->has_run, __ATOMIC_SEQ_CST) ? "paused" : "prelaunch";
}

void control_nmi(VitControl *c)
{
    for (unsigned n = 0; n < vit_engine_n_cpus(c->engine); n++)
        x86_set_line((X86Cpu *) vit_engine_cpu(c->engine, n), X86_LINE_NMI, true);
}

/* ---- Life ------------------------------------------------------------------------------------ */

VitControl *vit_control_new_storage(VitSystem *sys, const VitBlockService *service,
                                    void (*quit)(void *opaque), void *opaque)
{
    VitControl *c = g_new0(VitControl, 1);

    c->sys = sys;
    c->quit = quit;
    c->quit_opaque = opaque;
    c->sessions = g_ptr_array_new_with_free_func((GDestroyNotify) control_session_free);
    g_mutex_init(&c->lock);
    c->block = control_block_new(c, service, NULL);
    return c;
}

VitControl *vit_control_new(VitEngine *engine, void (*quit)(void *opaque), void *opaque)
{
    VitControl *c = g_new0(VitControl, 1);

    c->engine = engine;
    c->sys = vit_engine_system(engine);
    c->quit = quit;
    c->quit_opaque = opaque;
    c->sessions = g_ptr_array_new_with_free_func((GDestroyNotify) control_session_free);
    g_mutex_init(&c->lock);
    c->keys = control_keys_new(vit_engine_input(engine));
    c->block = control_block_new(c, vit_engine_block(engine), vit_engine_drives(engine));
    vit_engine_add_listener(engine, &listener, c);
    return c;
}

void vit_control_free(VitControl *c)
{
    if (!c)
        return;
    if (c->engine)
        vit_engine_remove_listener(c->engine, &listener, c);
    g_mutex_lock(&c->lock);
    g_autoptr(GPtrArray) sessions = c->sessions;
    c->sessions = g_ptr_array_new();    /* a last command's event reaches nobody */
    g_mutex_unlock(&c->lock);
    g_ptr_array_set_size(sessions, 0);
    control_block_free(c->block);       /* its last events reach nobody either */
    g_ptr_array_unref(c->sessions);
    control_keys_free(c->keys);
    g_mutex_clear(&c->lock);
    g_free(c);
}

static void add(VitControl *c, const ControlProtocol *protocol, VitChar *chr, bool as_monitor,
                bool own)
{
    ControlSession *session = control_session_new(c, protocol, chr, as_monitor, own);

    g_mutex_lock(&c->lock);
    g_ptr_array_add(c->sessions, session);
    g_mutex_unlock(&c->lock);
}

static bool open_and_add(VitControl *c, const ControlProtocol *protocol, const char *kind,
                         unsigned n, const char *spec, GError **error)
{
    g_autofree char *id = g_strdup_printf("%s%u", kind, n);
    VitChar *chr = vit_char_open(c->sys, id, spec, error);

    if (!chr) {
        g_prefix_error(error, "-%s %s: ", !strcmp(kind, "qmp") ? "qmp" : "monitor", spec);
        return false;
    }
    add(c, protocol, chr, false, true);
    return true;
}

bool vit_control_add_qmp(VitControl *c, const char *spec, GError **error)
{
    return open_and_add(c, &qmp_protocol, "qmp", c->next_id[0]++, spec, error);
}

bool vit_control_add_monitor(VitControl *c, const char *spec, GError **error)
{
    return open_and_add(c, &hmp_protocol, "monitor", c->next_id[1]++, spec, error);
}

void vit_control_attach_qmp(VitControl *c, VitChar *chr)
{
    add(c, &qmp_protocol, chr, false, false);
}

void vit_control_attach_monitor(VitControl *c, VitChar *chr)
{
    add(c, &hmp_protocol, chr, true, false);
}
