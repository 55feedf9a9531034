/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/engine.c - life of a machine: run, pause, reset, stop, and what the guest asks for
 *
 * Guest requests arrive on any thread under the machine lock; they are noted and carried out on the
 * machine thread without it. */
#include "engine/machine/engine-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static void set_state(VitEngine *e, VitEngineState state, const char *reason)
{
    if (e->state == state)
        return;
    e->state = state;
    for (unsigned i = 0; i < VIT_ENGINE_LISTENERS; i++) {
        if (e->listeners[i].ops && e->listeners[i].ops->state_changed)
            e->listeners[i].ops->state_changed(e->listeners[i].opaque, state, reason);
    }
}

static void park_cpus(VitEngine *e)
{
    for (guint i = 0; i < e->cpus->len; i++)
        vit_cpu_pause(e->cpus->pdata[i]);
}

static void resume_cpus(VitEngine *e)
{
    vit_clock_start(e->sys->clock);
    for (guint i = 0; i < e->cpus->len; i++)
        vit_cpu_resume(e->cpus->pdata[i]);
}

static void halt(VitEngine *e, VitEngineState state, const char *reason)
{
    park_cpus(e);
    vit_clock_stop(e->sys->clock);
    set_state(e, state, reason);
}

static void reset_parked(VitEngine *e)
{
    engine_retry_drives(e, false);      /* devices come to rest: nothing may wait for room */
    vit_system_lock(e->sys);
    vit_board_reset(e->board);
    engine_reset_cpus(e);
    e->reset_once = true;
    vit_system_unlock(e->sys);
    engine_retry_drives(e, true);
}

/* ---- What the guest asked for ---------------------------------------------------------------- */

static void set_stop_cause(VitEngine *e, VitRequest cause)
{
    __atomic_store_n(&e->stop_cause, cause, __ATOMIC_SEQ_CST);
}

/* Control locked. */
static void tell_failures(VitEngine *e)
{
    for (;;) {
        g_mutex_lock(&e->request_lock);
        VitDiskFailure *f = g_queue_pop_head(&e->failures);
        g_mutex_unlock(&e->request_lock);
        if (!f)
            return;
        for (unsigned i = 0; i < VIT_ENGINE_LISTENERS; i++) {
            if (e->listeners[i].ops && e->listeners[i].ops->disk_failed)
                e->listeners[i].ops->disk_failed(e->listeners[i].opaque, f);
        }
        engine_failure_free(f);
    }
}

static void handle_failures(void *opaque)
{
    VitEngine *e = opaque;

    g_mutex_lock(&e->control);
    tell_failures(e);
    g_mutex_unlock(&e->control);
}

void engine_disk_failed(VitEngine *e, VitDiskFailure *failure, const char *reason)
{
    enum { MAX_UNTOLD = 256 };      /* a guest may fail faster than anybody listens */

    g_mutex_lock(&e->request_lock);
    guint untold = g_queue_get_length(&e->failures);
    if (untold < MAX_UNTOLD)
        g_queue_push_tail(&e->failures, failure);
    else
        engine_failure_free(failure);
    g_mutex_unlock(&e->request_lock);
    if (untold == 0)
        vit_io_thread_call(e->sys->thread, handle_failures, e);
    if (reason)
        vit_system_request(e->sys, VIT_REQUEST_PAUSE, 0, reason);
}

static void handle_requests(void *opaque)
{
    VitEngine *e = opaque;
    unsigned requests = __atomic_exchange_n(&e->requests, 0, __ATOMIC_SEQ_CST);

    g_mutex_lock(&e->request_lock);
    g_autofree char *reason = g_steal_pointer(&e->request_reason);
    g_mutex_unlock(&e->request_lock);
    g_mutex_lock(&e->control);
    tell_failures(e);               /* why it pauses comes before that it does */
    if (e->state == VIT_ENGINE_STOPPED) {
        /* nothing more can happen to it */
    } else if (requests & (VIT_REQUEST_SHUTDOWN | VIT_REQUEST_EXIT)) {
        set_stop_cause(e, requests & VIT_REQUEST_EXIT ? VIT_REQUEST_EXIT : VIT_REQUEST_SHUTDOWN);
        halt(e, VIT_ENGINE_STOPPED, reason ?: _("the guest switched off"));
    } else if (requests & VIT_REQUEST_PAUSE) {
        halt(e, VIT_ENGINE_FAILED, reason);
    } else if (requests & VIT_REQUEST_RESET) {
        if (e->config->no_reboot) {
            set_stop_cause(e, VIT_REQUEST_RESET);
            halt(e, VIT_ENGINE_STOPPED, reason ?: _("the guest restarted"));
        } else {
            bool running = e->state == VIT_ENGINE_RUNNING;
            park_cpus(e);
            reset_parked(e);
            if (running)
                resume_cpus(e);
            for (unsigned i = 0; i < VIT_ENGINE_LISTENERS; i++) {
                if (e->listeners[i].ops && e->listeners[i].ops->guest_reset)
                    e->listeners[i].ops->guest_reset(e->listeners[i].opaque, reason);
            }
        }
    }
    g_mutex_unlock(&e->control);
}

static void on_request(VitSystem *sys, VitRequest request, int exit_code, const char *reason)
{
    VitEngine *e = sys->request_opaque;

    g_mutex_lock(&e->request_lock);
    if (reason) {
        g_free(e->request_reason);
        e->request_reason = g_strdup(reason);
    }
    if (request == VIT_REQUEST_EXIT)
        e->exit_code = exit_code;
    g_mutex_unlock(&e->request_lock);
    if (!__atomic_fetch_or(&e->requests, request, __ATOMIC_SEQ_CST))
        vit_io_thread_call(sys->thread, handle_requests, e);
}

/* ---- Life ------------------------------------------------------------------------------------ */

VitEngine *vit_engine_new(const VitMachineConfig *config, GError **error)
{
    if (!vit_machine_config_validate(config, error))
        return NULL;
    VitEngine *e = g_new0(VitEngine, 1);
    g_mutex_init(&e->control);
    g_mutex_init(&e->request_lock);
    e->config = vit_machine_config_copy(config);
    e->state = VIT_ENGINE_PAUSED;
    e->cpus = g_ptr_array_new();
    e->scanouts = g_ptr_array_new();
    e->sys = vit_system_new();
    e->sys->request = on_request;
    e->sys->request_opaque = e;
    e->input = vit_input_hub_new(e->sys);
    if (!engine_build(e, error)) {
        vit_engine_free(e);
        return NULL;
    }
    return e;
}

static void nothing(void *opaque)
{
}

static void free_cpus(VitEngine *e)
{
    for (guint i = 0; i < e->cpus->len; i++)
        vit_cpu_stop(e->cpus->pdata[i]);
    for (guint i = 0; i < e->cpus->len; i++)
        vit_cpu_free(e->cpus->pdata[i]);
    g_ptr_array_unref(e->cpus);
}

void vit_engine_free(VitEngine *e)
{
    if (!e)
        return;
    g_mutex_lock(&e->control);
    park_cpus(e);
    vit_clock_stop(e->sys->clock);
    e->state = VIT_ENGINE_STOPPED;  /* requests still on their way do nothing */
    memset(e->listeners, 0, sizeof e->listeners);
    g_mutex_unlock(&e->control);
    engine_leave_drives(e);
    vit_io_thread_call_sync(e->sys->thread, nothing, NULL);
    free_cpus(e);
    engine_retry_drives(e, false);
    if (e->accel)
        e->accel->klass->destroy(e->accel);
    vit_board_free(e->board);
    vit_system_free(e->sys);        /* devices let go of their backends */
    g_clear_pointer(&e->boot, g_ptr_array_unref);
    g_clear_pointer(&e->context.buses, g_hash_table_unref);
    g_clear_pointer(&e->chardevs, g_hash_table_unref);
    g_clear_pointer(&e->netdevs, g_hash_table_unref);
    if (e->block)
        vit_block_service_stop(e->block);       /* jobs put back what devices hold */
    g_clear_pointer(&e->drives, g_hash_table_unref);
    vit_block_service_free(e->block);
    vit_input_hub_free(e->input);
    if (e->block_thread)
        vit_io_thread_free(e->block_thread);
    if (e->net_thread)
        vit_io_thread_free(e->net_thread);
    g_ptr_array_unref(e->scanouts);
    vit_machine_config_free(e->config);
    g_free(e->request_reason);
    g_queue_clear_full(&e->failures, (GDestroyNotify) engine_failure_free);
    g_mutex_clear(&e->control);
    g_mutex_clear(&e->request_lock);
    g_free(e);
}

static void replace_listener(VitEngine *e, const VitEngineListener *old, void *old_opaque,
                             const VitEngineListener *listener, void *opaque)
{
    bool done = false;

    g_mutex_lock(&e->control);
    for (unsigned i = 0; i < VIT_ENGINE_LISTENERS && !done; i++) {
        done = e->listeners[i].ops == old && e->listeners[i].opaque == old_opaque;
        if (done) {
            e->listeners[i].ops = listener;
            e->listeners[i].opaque = opaque;
        }
    }
    g_mutex_unlock(&e->control);
    g_return_if_fail(done);
}

void vit_engine_add_listener(VitEngine *e, const VitEngineListener *listener, void *opaque)
{
    replace_listener(e, NULL, NULL, listener, opaque);
}

void vit_engine_remove_listener(VitEngine *e, const VitEngineListener *listener, void *opaque)
{
    replace_listener(e, listener, opaque, NULL, NULL);
}

void vit_engine_run(VitEngine *e)
{
    g_mutex_lock(&e->control);
    if (e->state == VIT_ENGINE_PAUSED || e->state == VIT_ENGINE_FAILED) {
        if (!e->reset_once)
            reset_parked(e);
        set_state(e, VIT_ENGINE_RUNNING, NULL);
        engine_retry_drives(e, true);
        resume_cpus(e);
    }
    g_mutex_unlock(&e->control);
}

void vit_engine_pause(VitEngine *e)
{
    g_mutex_lock(&e->control);
    if (e->state == VIT_ENGINE_RUNNING)
        halt(e, VIT_ENGINE_PAUSED, NULL);
    g_mutex_unlock(&e->control);
}

void vit_engine_reset(VitEngine *e)
{
    g_mutex_lock(&e->control);
    if (e->state != VIT_ENGINE_STOPPED) {
        park_cpus(e);
        reset_parked(e);
        if (e->state == VIT_ENGINE_RUNNING)
            resume_cpus(e);
    }
    g_mutex_unlock(&e->control);
}

void vit_engine_power_button(VitEngine *e)
{
    vit_system_lock(e->sys);
    vit_board_power_button(e->board);
    vit_system_unlock(e->sys);
}

VitEngineState vit_engine_state(VitEngine *e)
{
    g_mutex_lock(&e->control);
    VitEngineState state = e->state;
    g_mutex_unlock(&e->control);
    return state;
}

int vit_engine_exit_code(VitEngine *e)
{
    g_mutex_lock(&e->request_lock);
    int code = e->exit_code;
    g_mutex_unlock(&e->request_lock);
    return code;
}

VitRequest vit_engine_stop_cause(VitEngine *e)
{
    return (VitRequest) __atomic_load_n(&e->stop_cause, __ATOMIC_SEQ_CST);
}

VitSystem *vit_engine_system(VitEngine *e) { return e->sys; }
VitInputHub *vit_engine_input(VitEngine *e) { return e->input; }
unsigned vit_engine_n_scanouts(VitEngine *e) { return e->scanouts->len; }
unsigned vit_engine_n_cpus(VitEngine *e) { return e->cpus->len; }
GHashTable *vit_engine_drives(VitEngine *e) { return e->drives; }
const VitBlockService *vit_engine_block(VitEngine *e) { return e->block; }
const VitMachineConfig *vit_engine_config(VitEngine *e) { return e->config; }
const char *vit_engine_accel_name(VitEngine *e) { return e->accel->klass->name; }

VitScanout *vit_engine_scanout(VitEngine *e, unsigned n)
{
    return n < e->scanouts->len ? e->scanouts->pdata[n] : NULL;
}

VitChar *vit_engine_chardev(VitEngine *e, const char *id)
{
    return g_hash_table_lookup(e->chardevs, id);
}

VitCpu *vit_engine_cpu(VitEngine *e, unsigned n)
{
    return n < e->cpus->len ? e->cpus->pdata[n] : NULL;
}
