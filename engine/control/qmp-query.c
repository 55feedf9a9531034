/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-query.c - the query-* commands of QMP */
#include "engine/control/qmp-block.h"
#include "engine/control/qmp.h"

#include <string.h>
#include <unistd.h>

/* The QMP of this release is what is spoken here, as far as the schema has it. */
enum { PROTOCOL_MAJOR = 10, PROTOCOL_MINOR = 0, PROTOCOL_MICRO = 0 };

static const QmpArg number_members[] = {
    { "major", QMP_INT }, { "minor", QMP_INT }, { "micro", QMP_INT }, { 0 }
};
static const QmpType numbers_type = { QMP_OBJECT, .members = number_members };
static const QmpArg version_members[] = {
    { "qemu", QMP_OBJECT, .type = &numbers_type }, { "package", QMP_STR }, { 0 }
};
static const QmpType version_type = { QMP_OBJECT, .members = version_members };

static bool query_version(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    JsonObject *version = json_object_new(), *numbers = json_object_new();

    json_object_set_int_member(numbers, "major", PROTOCOL_MAJOR);
    json_object_set_int_member(numbers, "minor", PROTOCOL_MINOR);
    json_object_set_int_member(numbers, "micro", PROTOCOL_MICRO);
    json_object_set_object_member(version, "qemu", numbers);
    json_object_set_string_member(version, "package", "vitrine-" VIT_VERSION);
    *result = qmp_object(version);
    return true;
}

static const QmpArg name_members[] = { { "name", QMP_STR, true }, { 0 } };
static const QmpType name_type = { QMP_OBJECT, .members = name_members };

static bool query_name(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    const VitMachineConfig *config = vit_engine_config(c->engine);
    JsonObject *object = json_object_new();

    if (config->name)
        json_object_set_string_member(object, "name", config->name);
    *result = qmp_object(object);
    return true;
}

static const QmpArg uuid_members[] = { { "UUID", QMP_STR }, { 0 } };
static const QmpType uuid_type = { QMP_OBJECT, .members = uuid_members };

static bool query_uuid(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    const VitMachineConfig *config = vit_engine_config(c->engine);
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "UUID",
                                  config->uuid ?: "00000000-0000-0000-0000-000000000000");
    *result = qmp_object(object);
    return true;
}

static const char *const run_states[] = { "running", "shutdown", "io-error", "paused", "prelaunch",
                                          NULL };
static const QmpArg status_members[] = {
    { "running", QMP_BOOL }, { "status", QMP_STR, false, run_states }, { 0 }
};
static const QmpType status_type = { QMP_OBJECT, .members = status_members };

static bool query_status(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    JsonObject *object = json_object_new();
    bool running;

    json_object_set_string_member(object, "status", control_status(c, &running));
    json_object_set_boolean_member(object, "running", running);
    *result = qmp_object(object);
    return true;
}

static const QmpArg place_members[] = {
    { "socket-id", QMP_INT, true }, { "core-id", QMP_INT, true }, { "thread-id", QMP_INT, true },
    { 0 }
};
static const QmpType place_type = { QMP_OBJECT, .members = place_members };
static const QmpArg cpu_members[] = {
    { "cpu-index", QMP_INT }, { "qom-path", QMP_STR }, { "thread-id", QMP_INT },
    { "props", QMP_OBJECT, true, .type = &place_type }, { "target", QMP_STR }, { 0 }
};
static const QmpType cpu_type = { QMP_OBJECT, .members = cpu_members };
static const QmpType cpus_type = { QMP_ARRAY, .element = &cpu_type };

static void get_thread_id(VitCpu *cpu, void *opaque)
{
    *(int64_t *) opaque = gettid();
}

static bool query_cpus_fast(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    JsonArray *list = json_array_new();

    for (unsigned n = 0; n < vit_engine_n_cpus(c->engine); n++) {
        JsonObject *cpu = json_object_new(), *props = json_object_new();
        g_autofree char *path = g_strdup_printf("/machine/cpu[%u]", n);
        int64_t thread = 0;
        vit_cpu_call_sync(vit_engine_cpu(c->engine, n), get_thread_id, &thread);
        json_object_set_int_member(props, "socket-id", 0);
        json_object_set_int_member(props, "core-id", n);
        json_object_set_int_member(props, "thread-id", 0);
        json_object_set_int_member(cpu, "cpu-index", n);
        json_object_set_string_member(cpu, "qom-path", path);
        json_object_set_int_member(cpu, "thread-id", thread);
        json_object_set_object_member(cpu, "props", props);
        json_object_set_string_member(cpu, "target", "x86_64");
        json_array_add_object_element(list, cpu);
    }
    *result = qmp_array(list);
    return true;
}

static const QmpArg kvm_members[] = { { "enabled", QMP_BOOL }, { "present", QMP_BOOL }, { 0 } };
static const QmpType kvm_type = { QMP_OBJECT, .members = kvm_members };

static bool query_kvm(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    JsonObject *object = json_object_new();

    json_object_set_boolean_member(object, "enabled",
                                   !strcmp(vit_engine_accel_name(c->engine), "kvm"));
    json_object_set_boolean_member(object, "present", access("/dev/kvm", F_OK) == 0);
    *result = qmp_object(object);
    return true;
}

static const QmpArg iothread_members[] = {
    { "id", QMP_STR }, { "thread-id", QMP_INT }, { "poll-max-ns", QMP_INT },
    { "poll-grow", QMP_INT }, { "poll-shrink", QMP_INT }, { "aio-max-batch", QMP_INT }, { 0 }
};
static const QmpType iothread_type = { QMP_OBJECT, .members = iothread_members };
static const QmpType iothreads_type = { QMP_ARRAY, .element = &iothread_type };

static bool query_iothreads(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    g_autoptr(GArray) threads = vit_block_objects_io_threads(c->block->objects);
    JsonArray *list = json_array_new();

    for (guint i = 0; i < threads->len; i++) {
        const VitBlockIoThreadInfo *t = &g_array_index(threads, VitBlockIoThreadInfo, i);
        JsonObject *entry = json_object_new();
        json_object_set_string_member(entry, "id", t->id);
        json_object_set_int_member(entry, "thread-id", t->thread_id);
        json_object_set_int_member(entry, "poll-max-ns", (gint64) t->poll_max_ns);
        json_object_set_int_member(entry, "poll-grow", (gint64) t->poll_grow);
        json_object_set_int_member(entry, "poll-shrink", (gint64) t->poll_shrink);
        json_object_set_int_member(entry, "aio-max-batch", (gint64) t->aio_max_batch);
        json_array_add_object_element(list, entry);
    }
    *result = qmp_array(list);
    return true;
}

static const QmpArg machine_members[] = {
    { "name", QMP_STR }, { "is-default", QMP_BOOL, true }, { "cpu-max", QMP_INT },
    { "hotpluggable-cpus", QMP_BOOL }, { "numa-mem-supported", QMP_BOOL },
    { "deprecated", QMP_BOOL }, { "acpi", QMP_BOOL }, { 0 }
};
static const QmpType machine_type = { QMP_OBJECT, .members = machine_members };
static const QmpType machines_type = { QMP_ARRAY, .element = &machine_type };

static bool query_machines(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    static const char *const names[] = { "q35", "pc" };
    JsonArray *list = json_array_new();

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        JsonObject *machine = json_object_new();
        json_object_set_string_member(machine, "name", names[i]);
        json_object_set_int_member(machine, "cpu-max", 64);
        json_object_set_boolean_member(machine, "hotpluggable-cpus", FALSE);
        json_object_set_boolean_member(machine, "numa-mem-supported", FALSE);
        json_object_set_boolean_member(machine, "deprecated", FALSE);
        json_object_set_boolean_member(machine, "acpi", TRUE);
        if (i == 0)
            json_object_set_boolean_member(machine, "is-default", TRUE);
        json_array_add_object_element(list, machine);
    }
    *result = qmp_array(list);
    return true;
}

/* ---- Host ends ------------------------------------------------------------------------------- */

static const QmpArg chardev_members[] = {
    { "label", QMP_STR }, { "filename", QMP_STR }, { "frontend-open", QMP_BOOL }, { 0 }
};
static const QmpType chardev_type = { QMP_OBJECT, .members = chardev_members };
static const QmpType chardevs_type = { QMP_ARRAY, .element = &chardev_type };

static bool query_chardev(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    JsonArray *list = json_array_new();

    vit_system_lock(c->sys);
    for (guint i = 0; i < c->sys->chars->len; i++) {
        const VitChar *chr = c->sys->chars->pdata[i];
        JsonObject *entry = json_object_new();
        json_object_set_string_member(entry, "label", chr->id);
        json_object_set_string_member(entry, "filename", chr->address ?: chr->back->name);
        json_object_set_boolean_member(entry, "frontend-open", chr->front != NULL);
        json_array_add_object_element(list, entry);
    }
    vit_system_unlock(c->sys);
    *result = qmp_array(list);
    return true;
}

static const QmpArg memory_members[] = {
    { "base-memory", QMP_INT }, { "plugged-memory", QMP_INT, true }, { 0 }
};
static const QmpType memory_type = { QMP_OBJECT, .members = memory_members };

static bool query_memory(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    JsonObject *object = json_object_new();

    json_object_set_int_member(object, "base-memory",
                               (gint64) vit_engine_config(c->engine)->ram_size);
    json_object_set_int_member(object, "plugged-memory", 0);
    *result = qmp_object(object);
    return true;
}

static bool run_quit(VitControl *c, JsonObject *args, JsonNode **result, GError **error)
{
    control_request_quit(c);
    return true;
}

const QmpCommand qmp_common_commands[] = {
    { "query-version", qmp_no_members, &version_type, query_version },
    { "query-chardev", qmp_no_members, &chardevs_type, query_chardev },
    { "quit", qmp_no_members, NULL, run_quit },
    { 0 }
};

const QmpCommand qmp_query_commands[] = {
    { "query-name", qmp_no_members, &name_type, query_name },
    { "query-uuid", qmp_no_members, &uuid_type, query_uuid },
    { "query-status", qmp_no_members, &status_type, query_status },
    { "query-cpus-fast", qmp_no_members, &cpus_type, query_cpus_fast },
    { "query-kvm", qmp_no_members, &kvm_type, query_kvm },
    { "query-iothreads", qmp_no_members, &iothreads_type, query_iothreads },
    { "query-machines", qmp_no_members, &machines_type, query_machines },
    { "query-memory-size-summary", qmp_no_members, &memory_type, query_memory },
    { 0 }
};
