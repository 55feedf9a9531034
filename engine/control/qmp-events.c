/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-events.c - the table of events */
#include "engine/control/qmp-block-types.h"
#include "engine/control/qmp.h"

#include <string.h>

static const QmpArg by_members[] = { { "guest", QMP_BOOL }, { "reason", QMP_STR }, { 0 } };

const QmpEvent qmp_events[] = { { "BLOCK_EXPORT_DELETED", qmp_export_deleted_event },
                                { "BLOCK_IO_ERROR", qmp_io_error_event },
                                { "BLOCK_JOB_CANCELLED", qmp_job_end_event },
                                { "BLOCK_JOB_COMPLETED", qmp_job_end_event },
                                { "BLOCK_JOB_ERROR", qmp_job_error_event },
                                { "BLOCK_JOB_PENDING", qmp_job_pending_event },
                                { "BLOCK_JOB_READY", qmp_job_end_event },
                                { "BLOCK_WRITE_THRESHOLD", qmp_threshold_event },
                                { "JOB_STATUS_CHANGE", qmp_job_status_event },
                                { "POWERDOWN", qmp_no_members, true },
                                { "RESET", by_members, true },
                                { "RESUME", qmp_no_members, true },
                                { "SHUTDOWN", by_members, true },
                                { "STOP", qmp_no_members, true },
                                { 0 } };

void qmp_check_event(const char *name, JsonObject *data)
{
    const QmpEvent *event = qmp_events;
    g_autoptr(JsonObject) none = data ? NULL : json_object_new();
    g_autoptr(GError) error = NULL;

    while (event->name && strcmp(event->name, name)) event++;
    QmpType type = { QMP_OBJECT, .members = event->data };
    if (!event->name) g_critical("event %s is not in the table", name);
    else if (!qmp_check_object(&type, data ?: none, &error))
        g_critical("event %s: %s", name, error->message);
}
