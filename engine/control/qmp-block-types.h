/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-types.h - types that several tables of block commands share */
#pragma once
#include "engine/control/qmp-type.h"

/* qmp-block-options.c: what commands take. */
extern const QmpType qmp_block_node_type; /* a node's options, by driver */
extern const QmpType qmp_block_create_type; /* an image's, by driver */
extern const QmpType qmp_block_export_type, qmp_object_type;
extern const QmpType qmp_bitmap_or_name_type; /* {"node":, "name":} or a name */
extern const QmpType qmp_wrapped_address_type; /* {"type":, "data": {...}} */
extern const QmpArg qmp_bitmap_members[];

/* qmp-block-types.c: what they answer, and the data of events. */
extern const QmpType qmp_jobs_type, qmp_block_jobs_type, qmp_exports_type, qmp_snapshot_type;
extern const QmpType qmp_blocks_type, qmp_nodes_type, qmp_stats_type;
extern const QmpArg qmp_job_status_event[], qmp_job_pending_event[], qmp_job_end_event[],
    qmp_job_error_event[], qmp_export_deleted_event[], qmp_threshold_event[], qmp_io_error_event[];
