/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-run.c - a machine without a window, from QEMU's options */
#include "app/cli/run-options.h"
#include "app/cli/shared-memory.h"
#include "block/service.h"
#include "engine/control/control.h"
#include "engine/core/log.h"
#include "engine/machine/machine.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    GMainLoop *loop;
    VitEngine *engine;
    bool       no_shutdown;
} Run;

static int report(GError *error)
{
    fprintf(stderr, "vitrine-run: %s\n", error->message);
    g_error_free(error);
    return 1;
}

typedef struct { Run *run; VitEngineState state; char *reason; } StateChange;

static gboolean on_state_idle(void *opaque)
{
    StateChange *change = opaque;

    if (change->state == VIT_ENGINE_FAILED)
        fprintf(stderr, "vitrine-run: the machine is paused: %s\n",
                change->reason ?: "a host failure");
    if (change->state == VIT_ENGINE_STOPPED && !change->run->no_shutdown)
        g_main_loop_quit(change->run->loop);
    g_free(change->reason);
    g_free(change);
    return G_SOURCE_REMOVE;
}

static void on_state(void *opaque, VitEngineState state, const char *reason)
{
    StateChange *change = g_new(StateChange, 1);

    *change = (StateChange) { opaque, state, g_strdup(reason) };
    g_main_context_invoke(NULL, on_state_idle, change);
}

static gboolean on_signal(void *opaque)
{
    g_main_loop_quit(opaque);
    return G_SOURCE_CONTINUE;
}

static void on_quit(void *opaque)
{
    g_idle_add_once((GSourceOnceFunc) g_main_loop_quit, ((Run *) opaque)->loop);
}

static VitControl *open_control(const RunOptions *o, Run *run, GError **error)
{
    g_autoptr(VitControl) control = vit_control_new(run->engine, on_quit, run);
    const VitMachineConfig *c = o->config;

    for (guint i = 0; i < c->serials->len; i++) {
        g_autofree char *id = g_strdup_printf("serial%u", i);
        if (g_str_has_prefix(c->serials->pdata[i], "mon:"))
            vit_control_attach_monitor(control, vit_engine_chardev(run->engine, id));
    }
    for (char **spec = o->qmps; spec && *spec; spec++) {
        if (!vit_control_add_qmp(control, *spec, error))
            return NULL;
    }
    for (char **spec = o->monitors; spec && *spec; spec++) {
        if (!vit_control_add_monitor(control, *spec, error))
            return NULL;
    }
    return g_steal_pointer(&control);
}

static bool setup_log(const RunOptions *o, GError **error)
{
    unsigned mask = 0;

    if (o->log_names && !vit_log_parse(o->log_names, &mask, error))
        return false;
    vit_log_setup(mask, o->log_file);
    return true;
}

static bool write_pidfile(const char *path, GError **error)
{
    g_autofree char *pid = g_strdup_printf("%d\n", (int) getpid());

    return !path || g_file_set_contents(path, pid, -1, error);
}

/* -display gtk: the application shows the machine.  Returns only when it could not be started. */
static void exec_application(const RunOptions *o, GError **error)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = g_path_get_dirname(self ? self : ".");
    g_autofree char *beside = g_build_filename(folder, "vitrine", NULL);
    /* in a build folder */
    g_autofree char *above = g_build_filename(folder, "..", "vitrine", NULL);
    g_autofree char *json = vit_machine_config_to_json(o->config);
    const char *path = g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE) ? beside : above;

    if (o->monitors || o->qmps || o->log_names || o->pidfile) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                            "-display gtk: -monitor, -qmp, -d and -pidfile need -display none");
        return;
    }
    execl(path, "vitrine", "--run", json, NULL);
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                "-display gtk: cannot start %s: %s; install the application or use -display none",
                path, g_strerror(errno));
}

/* Runs the machine to its end; false with error set when it could not begin. */
static bool run_machine(const RunOptions *o, int *code, GError **error)
{
    static const VitEngineListener listener = { .state_changed = on_state };
    Run run = { .loop = g_main_loop_new(NULL, FALSE), .no_shutdown = o->no_shutdown };
    VitControl *control = NULL;
    bool ready;

    run.engine = vit_engine_new(o->config, error);
    if (run.engine)
        vit_block_exports_set_memory_guard(vit_engine_block(run.engine)->exports,
                                           cli_guard_shared_memory());
    ready = run.engine && (control = open_control(o, &run, error)) &&
            write_pidfile(o->pidfile, error);
    if (ready) {
        guint interrupt = g_unix_signal_add(SIGINT, on_signal, run.loop);
        guint terminate = g_unix_signal_add(SIGTERM, on_signal, run.loop);
        vit_engine_add_listener(run.engine, &listener, &run);
        if (!o->config->start_paused)
            vit_engine_run(run.engine);
        g_main_loop_run(run.loop);
        g_source_remove(interrupt);
        g_source_remove(terminate);
    }
    if (control)
        vit_control_free(control);
    if (ready) {
        vit_engine_remove_listener(run.engine, &listener, &run);
        *code = vit_engine_exit_code(run.engine);
    }
    vit_engine_free(run.engine);
    g_main_loop_unref(run.loop);
    return ready;
}

int main(int argc, char **argv)
{
    g_autofree char *text = NULL;
    GError *error = NULL;
    RunOptions *o = run_options_parse(argc, argv, &text, &error);
    int code = 1;

    if (text) {
        fputs(text, stdout);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);       /* a client that left is an error of that write alone */
    if (o && !strcmp(o->display, "gtk"))
        exec_application(o, &error);
    if (error || !o || !setup_log(o, &error) || !run_machine(o, &code, &error))
        code = report(error);
    run_options_free(o);
    return code;
}
