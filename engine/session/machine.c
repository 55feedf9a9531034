/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/session/machine.c - VitMachine: an engine that lives between start and power-off
 *
 * Whatever waits (building, pausing, freeing) runs on a worker thread, one at a time and in
 * order. */
#include "engine/session/session-private.h"

#include "engine/cpu/cpu.h"

#include <glib/gi18n-lib.h>
#include <time.h>

struct _VitMachine {
    GObject           parent;
    GMainContext     *context;      /* owned */
    VitMachineConfig *config;       /* owned */
    VitEngine        *engine;       /* owned; NULL while off.  The context's thread only */
    struct Link      *link;         /* of that engine */
    GListStore       *displays;
    VitMachineState   state;
    GThreadPool      *worker;       /* one thread: lifecycle calls in order */
    GSource          *usage_timer;
    double            cpu_usage;
    gint64            usage_at;     /* monotonic µs */
    gint64            usage_ns;     /* CPU time of the vCPU threads then */
};
G_DEFINE_FINAL_TYPE(VitMachine, vit_machine, G_TYPE_OBJECT)
G_DEFINE_ENUM_TYPE(VitMachineState, vit_machine_state,
                   G_DEFINE_ENUM_VALUE(VIT_MACHINE_OFF, "off"),
                   G_DEFINE_ENUM_VALUE(VIT_MACHINE_STARTING, "starting"),
                   G_DEFINE_ENUM_VALUE(VIT_MACHINE_RUNNING, "running"),
                   G_DEFINE_ENUM_VALUE(VIT_MACHINE_PAUSED, "paused"),
                   G_DEFINE_ENUM_VALUE(VIT_MACHINE_STOPPING, "stopping"))

enum { PROP_NAME = 1, PROP_STATE, PROP_DISPLAYS, PROP_CPU_USAGE, N_PROPS };
static GParamSpec *props[N_PROPS];
enum { SIGNAL_STOPPED, SIGNAL_HOST_ERROR, N_SIGNALS };
static guint signals[N_SIGNALS];

/* ---- State --------------------------------------------------------------------------------- */

static void set_state(VitMachine *m, VitMachineState state)
{
    if (m->state == state)
        return;
    m->state = state;
    g_object_notify_by_pspec(G_OBJECT(m), props[PROP_STATE]);
}

/* What the engine's listener holds; lives as long as the engine. */
typedef struct Link { VitMachine *machine; VitEngine *engine; } Link;
typedef struct {
    VitMachine    *machine;     /* referenced */
    VitEngine     *engine;      /* only to compare */
    VitEngineState state;
    char          *reason;      /* owned */
} Change;

static void change_free(Change *c)
{
    g_object_unref(c->machine);
    g_free(c->reason);
    g_free(c);
}

static gboolean on_change(void *opaque)
{
    Change *c = opaque;
    VitMachine *m = c->machine;

    if (m->engine != c->engine || m->state == VIT_MACHINE_STOPPING)
        return G_SOURCE_REMOVE;
    switch (c->state) {
    case VIT_ENGINE_RUNNING:
        set_state(m, VIT_MACHINE_RUNNING);
        break;
    case VIT_ENGINE_PAUSED:
        set_state(m, VIT_MACHINE_PAUSED);
        break;
    case VIT_ENGINE_FAILED:
        set_state(m, VIT_MACHINE_PAUSED);
        g_signal_emit(m, signals[SIGNAL_HOST_ERROR], 0, c->reason);
        break;
    case VIT_ENGINE_STOPPED:
        g_signal_emit(m, signals[SIGNAL_STOPPED], 0, c->reason);
        vit_machine_power_off_async(m, NULL, NULL);
        break;
    }
    return G_SOURCE_REMOVE;
}

/* Never at once, unlike g_main_context_invoke(): the caller may not be on the context's thread. */
static void call_later(GMainContext *context, GSourceFunc call, void *data, GDestroyNotify destroy)
{
    g_autoptr(GSource) source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, call, data, destroy);
    g_source_attach(source, context);
}

static void engine_changed(void *opaque, VitEngineState state, const char *reason)
{
    Link *link = opaque;
    Change *c = g_new(Change, 1);

    *c = (Change) { g_object_ref(link->machine), link->engine, state, g_strdup(reason) };
    call_later(link->machine->context, on_change, c, (GDestroyNotify) change_free);
}

static const VitEngineListener listener = { .state_changed = engine_changed };

/* ---- Usage --------------------------------------------------------------------------------- */

static gint64 vcpu_time(VitEngine *engine)
{
    gint64 sum = 0;

    for (unsigned i = 0; i < vit_engine_n_cpus(engine); i++)
        sum += vit_cpu_host_time(vit_engine_cpu(engine, i));
    return sum;
}

static gboolean update_usage(void *opaque)
{
    VitMachine *m = opaque;
    gint64 now = g_get_monotonic_time();

    if (!m->engine)
        return G_SOURCE_CONTINUE;
    gint64 ns = vcpu_time(m->engine);
    if (now > m->usage_at)
        m->cpu_usage = (double) (ns - m->usage_ns) / 1000 / (double) (now - m->usage_at);
    m->usage_at = now;
    m->usage_ns = ns;
    g_object_notify_by_pspec(G_OBJECT(m), props[PROP_CPU_USAGE]);
    return G_SOURCE_CONTINUE;
}

static void watch_usage(VitMachine *m, bool on)
{
    if (m->usage_timer) {
        g_source_destroy(m->usage_timer);
        g_clear_pointer(&m->usage_timer, g_source_unref);
    }
    if (!on)
        return;
    m->usage_at = g_get_monotonic_time();
    m->usage_ns = vcpu_time(m->engine);
    m->usage_timer = g_timeout_source_new_seconds(1);
    g_source_set_callback(m->usage_timer, update_usage, m, NULL);
    g_source_attach(m->usage_timer, m->context);
}

/* ---- Work that waits ----------------------------------------------------------------------- */

typedef struct Work Work;
struct Work {
    void (*run)(Work *work);        /* on the worker */
    GSourceFunc done;               /* on the context; NULL = nothing */
    VitMachine *machine;            /* referenced */
    VitEngine  *engine;
    Link       *link;               /* owned when the engine is to be freed */
    VitMachineConfig *config;
    GTask      *task;
    GError     *error;
};

static void work_free(Work *w)
{
    g_clear_object(&w->task);
    g_clear_error(&w->error);
    vit_machine_config_free(w->config);
    g_object_unref(w->machine);
    g_free(w);
}

static void run_work(void *data, void *unused)
{
    Work *w = data;
    g_autoptr(GMainContext) context = g_main_context_ref(w->machine->context);

    w->run(w);
    /* The last reference to the machine must go on its own context. */
    call_later(context, w->done, w, (GDestroyNotify) work_free);
}

static gboolean no_more(void *opaque)
{
    return G_SOURCE_REMOVE;
}

static Work *push(VitMachine *m, void (*run)(Work *), GSourceFunc done, GTask *task)
{
    Work *w = g_new0(Work, 1);

    w->run = run;
    w->done = done ?: no_more;
    w->machine = g_object_ref(m);
    w->engine = m->engine;
    w->task = task;
    return w;
}

static void start_run(Work *w)
{
    w->engine = vit_engine_new(w->config, &w->error);
}

static gboolean start_done(void *opaque)
{
    Work *w = opaque;
    VitMachine *m = w->machine;

    if (!w->engine) {
        set_state(m, VIT_MACHINE_OFF);
        g_task_return_error(w->task, g_steal_pointer(&w->error));
        return G_SOURCE_REMOVE;
    }
    m->engine = w->engine;
    for (unsigned i = 0; i < vit_engine_n_scanouts(m->engine); i++) {
        g_autoptr(VitDisplay) display =
            session_display_new(vit_engine_scanout(m->engine, i), vit_engine_input(m->engine));
        g_list_store_append(m->displays, display);
    }
    m->link = g_new(Link, 1);
    *m->link = (Link) { m, m->engine };
    vit_engine_add_listener(m->engine, &listener, m->link);
    watch_usage(m, true);
    set_state(m, VIT_MACHINE_PAUSED);
    if (!m->config->start_paused)
        vit_machine_resume(m);
    g_task_return_boolean(w->task, TRUE);
    return G_SOURCE_REMOVE;
}

void vit_machine_start_async(VitMachine *m, GCancellable *cancellable, GAsyncReadyCallback callback,
                             gpointer data)
{
    GTask *task = g_task_new(m, cancellable, callback, data);

    if (m->state != VIT_MACHINE_OFF) {
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_BUSY, _("“%s” is already running"),
                                m->config->name ?: "The machine");
        g_object_unref(task);
        return;
    }
    set_state(m, VIT_MACHINE_STARTING);
    Work *w = push(m, start_run, start_done, task);
    w->config = vit_machine_config_copy(m->config);
    g_thread_pool_push(m->worker, w, NULL);
}

gboolean vit_machine_start_finish(VitMachine *m, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

static void stop_run(Work *w)
{
    vit_engine_free(w->engine);
    g_free(w->link);
}

static gboolean stop_done(void *opaque)
{
    Work *w = opaque;

    set_state(w->machine, VIT_MACHINE_OFF);
    if (w->task)
        g_task_return_boolean(w->task, TRUE);
    return G_SOURCE_REMOVE;
}

void vit_machine_power_off_async(VitMachine *m, GAsyncReadyCallback callback, gpointer data)
{
    GTask *task = callback ? g_task_new(m, NULL, callback, data) : NULL;

    if (!m->engine) {
        if (task)
            g_task_return_boolean(task, TRUE);
        g_clear_object(&task);
        return;
    }
    set_state(m, VIT_MACHINE_STOPPING);
    watch_usage(m, false);
    for (guint i = 0; i < g_list_model_get_n_items(G_LIST_MODEL(m->displays)); i++) {
        g_autoptr(VitDisplay) display = g_list_model_get_item(G_LIST_MODEL(m->displays), i);
        session_display_detach(display);
    }
    g_list_store_remove_all(m->displays);
    Work *w = push(m, stop_run, stop_done, task);
    w->link = g_steal_pointer(&m->link);
    m->engine = NULL;
    g_thread_pool_push(m->worker, w, NULL);
}

gboolean vit_machine_power_off_finish(VitMachine *m, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

static void pause_run(Work *w) { vit_engine_pause(w->engine); }
static void resume_run(Work *w) { vit_engine_run(w->engine); }
static void reset_run(Work *w) { vit_engine_reset(w->engine); }
static void button_run(Work *w) { vit_engine_power_button(w->engine); }

static void simple(VitMachine *m, void (*run)(Work *))
{
    if (m->engine)
        g_thread_pool_push(m->worker, push(m, run, NULL, NULL), NULL);
}

void vit_machine_pause(VitMachine *m) { simple(m, pause_run); }
void vit_machine_resume(VitMachine *m) { simple(m, resume_run); }
void vit_machine_reset(VitMachine *m) { simple(m, reset_run); }
void vit_machine_press_power_button(VitMachine *m) { simple(m, button_run); }

/* ---- Object -------------------------------------------------------------------------------- */

VitMachine *vit_machine_new(const VitMachineConfig *config)
{
    VitMachine *m = g_object_new(VIT_TYPE_MACHINE, NULL);

    m->config = vit_machine_config_copy(config);
    return m;
}

const VitMachineConfig *vit_machine_get_config(VitMachine *m) { return m->config; }
VitMachineState vit_machine_get_state(VitMachine *m) { return m->state; }
GListModel *vit_machine_get_displays(VitMachine *m) { return G_LIST_MODEL(m->displays); }
VitEngine *vit_machine_get_engine(VitMachine *m) { return m->engine; }

void vit_machine_set_config(VitMachine *m, const VitMachineConfig *config)
{
    VitMachineConfig *copy = vit_machine_config_copy(config);

    vit_machine_config_free(m->config);
    m->config = copy;
    g_object_notify_by_pspec(G_OBJECT(m), props[PROP_NAME]);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    VitMachine *m = VIT_MACHINE(object);

    switch (id) {
    case PROP_NAME: g_value_set_string(value, m->config->name); break;
    case PROP_STATE: g_value_set_enum(value, m->state); break;
    case PROP_DISPLAYS: g_value_set_object(value, m->displays); break;
    case PROP_CPU_USAGE: g_value_set_double(value, m->cpu_usage); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void dispose(GObject *object)
{
    VitMachine *m = VIT_MACHINE(object);

    if (m->engine)
        vit_machine_power_off_async(m, NULL, NULL);     /* keeps us alive until it is off */
    G_OBJECT_CLASS(vit_machine_parent_class)->dispose(object);
}

static void finalize(GObject *object)
{
    VitMachine *m = VIT_MACHINE(object);

    g_thread_pool_free(m->worker, FALSE, TRUE);
    g_object_unref(m->displays);
    g_main_context_unref(m->context);
    vit_machine_config_free(m->config);
    G_OBJECT_CLASS(vit_machine_parent_class)->finalize(object);
}

static void vit_machine_class_init(VitMachineClass *klass)
{
    const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
    GObjectClass *object = G_OBJECT_CLASS(klass);

    object->get_property = get_property;
    object->dispose = dispose;
    object->finalize = finalize;
    props[PROP_NAME] = g_param_spec_string("name", NULL, NULL, NULL, flags);
    props[PROP_STATE] = g_param_spec_enum("state", NULL, NULL, VIT_TYPE_MACHINE_STATE,
                                          VIT_MACHINE_OFF, flags);
    props[PROP_DISPLAYS] = g_param_spec_object("displays", NULL, NULL, G_TYPE_LIST_MODEL, flags);
    props[PROP_CPU_USAGE] = g_param_spec_double("cpu-usage", NULL, NULL, 0, G_MAXDOUBLE, 0, flags);
    g_object_class_install_properties(object, N_PROPS, props);
    signals[SIGNAL_STOPPED] = g_signal_new("stopped", VIT_TYPE_MACHINE, G_SIGNAL_RUN_LAST, 0, NULL,
                                           NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
    signals[SIGNAL_HOST_ERROR] = g_signal_new("host-error", VIT_TYPE_MACHINE, G_SIGNAL_RUN_LAST, 0,
                                              NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void vit_machine_init(VitMachine *m)
{
    m->context = g_main_context_ref_thread_default();
    m->displays = g_list_store_new(VIT_TYPE_DISPLAY);
    m->worker = g_thread_pool_new(run_work, NULL, 1, FALSE, NULL);
}
