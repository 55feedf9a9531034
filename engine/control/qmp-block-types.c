/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-types.c - types of what block commands answer, and of their events */
#include "engine/control/qmp-block-types.h"

#include "block/export.h"
#include "block/job.h"

/* ---- Jobs ------------------------------------------------------------------------------------ */

static char **job_statuses(void)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();

    for (int s = VIT_JOB_CREATED; s <= VIT_JOB_NULL; s++)
        g_strv_builder_add(names, vit_block_job_status_name((VitBlockJobStatus)s));
    return g_strv_builder_end(names);
}

static const QmpType job_status = { QMP_STR, .list = job_statuses };
static const char *const job_types[] = { "commit", "stream", "mirror", "backup",
                                         "create", "amend",  NULL };

static const QmpArg job_members[] = { { "id", QMP_STR },
                                      { "type", QMP_STR, false, job_types },
                                      { "status", QMP_STR, .type = &job_status },
                                      { "current-progress", QMP_INT },
                                      { "total-progress", QMP_INT },
                                      { "error", QMP_STR, true },
                                      { 0 } };
static const QmpType job_type = { QMP_OBJECT, .members = job_members };
const QmpType qmp_jobs_type = { QMP_ARRAY, .element = &job_type };

static const char *const io_statuses[] = { "ok", "failed", "nospace", NULL };
static const QmpArg mirror_members[] = { { "actively-synced", QMP_BOOL }, { 0 } };
static const QmpType mirror_type = { QMP_OBJECT, .members = mirror_members };

static const QmpType *block_job_of(const char *value)
{
    return g_str_equal(value, "mirror") ? &mirror_type : NULL;
}

static const QmpArg block_job_members[] = { { "type", QMP_STR, false, job_types },
                                            { "device", QMP_STR },
                                            { "len", QMP_INT },
                                            { "offset", QMP_INT },
                                            { "busy", QMP_BOOL },
                                            { "paused", QMP_BOOL },
                                            { "speed", QMP_INT },
                                            { "io-status", QMP_STR, false, io_statuses },
                                            { "ready", QMP_BOOL },
                                            { "status", QMP_STR, .type = &job_status },
                                            { "auto-finalize", QMP_BOOL },
                                            { "auto-dismiss", QMP_BOOL },
                                            { "error", QMP_STR, true },
                                            { 0 } };
static const QmpType block_job_type = { QMP_OBJECT, .members = block_job_members, .tag = "type",
                                        .branch = block_job_of };
const QmpType qmp_block_jobs_type = { QMP_ARRAY, .element = &block_job_type };

/* ---- Exports and snapshots ------------------------------------------------------------------- */

static const QmpType export_name = { QMP_STR, .list = vit_block_export_types };
static const QmpArg export_members[] = { { "id", QMP_STR },
                                         { "type", QMP_STR, .type = &export_name },
                                         { "node-name", QMP_STR },
                                         { "shutting-down", QMP_BOOL },
                                         { 0 } };
static const QmpType export_type = { QMP_OBJECT, .members = export_members };
const QmpType qmp_exports_type = { QMP_ARRAY, .element = &export_type };

static const QmpArg snapshot_members[] = { { "id", QMP_STR },
                                           { "name", QMP_STR },
                                           { "vm-state-size", QMP_INT },
                                           { "date-sec", QMP_INT },
                                           { "date-nsec", QMP_INT },
                                           { "vm-clock-sec", QMP_INT },
                                           { "vm-clock-nsec", QMP_INT },
                                           { "icount", QMP_INT, true },
                                           { 0 } };
const QmpType qmp_snapshot_type = { QMP_OBJECT, .members = snapshot_members };

/* ---- Nodes ----------------------------------------------------------------------------------- */

static const QmpType image_type;
static const QmpArg specific_members[] = { { "type", QMP_STR }, { "data", QMP_OBJECT }, { 0 } };
static const QmpType specific_type = { QMP_OBJECT, .members = specific_members };
static const QmpArg image_members[] = {
    { "filename", QMP_STR },
    { "format", QMP_STR },
    { "dirty-flag", QMP_BOOL, true },
    { "actual-size", QMP_INT, true },
    { "virtual-size", QMP_INT },
    { "cluster-size", QMP_INT, true },
    { "encrypted", QMP_BOOL, true },
    { "backing-filename", QMP_STR, true },
    { "full-backing-filename", QMP_STR, true },
    { "backing-filename-format", QMP_STR, true },
    { "backing-image", QMP_OBJECT, true, .type = &image_type },
    { "format-specific", QMP_OBJECT, true, .type = &specific_type },
    { 0 },
};
static const QmpType image_type = { QMP_OBJECT, .members = image_members };

static const QmpArg bitmap_members[] = { { "name", QMP_STR, true },
                                         { "count", QMP_INT },
                                         { "granularity", QMP_INT },
                                         { "recording", QMP_BOOL },
                                         { "busy", QMP_BOOL },
                                         { "persistent", QMP_BOOL },
                                         { "inconsistent", QMP_BOOL, true },
                                         { 0 } };
static const QmpType bitmap_type = { QMP_OBJECT, .members = bitmap_members };
static const QmpArg cache_members[] = {
    { "writeback", QMP_BOOL }, { "direct", QMP_BOOL }, { "no-flush", QMP_BOOL }, { 0 }
};
static const QmpType cache_type = { QMP_OBJECT, .members = cache_members };
static const char *const detects[] = { "off", "on", "unmap", NULL };

#define LIMIT(NAME)                                                                                \
    { NAME, QMP_INT }, { NAME "_max", QMP_INT, true },                                             \
    {                                                                                              \
        NAME "_max_length", QMP_INT, true                                                          \
    }
static const QmpArg node_members[] = {
    { "file", QMP_STR },
    { "node-name", QMP_STR, true },
    { "ro", QMP_BOOL },
    { "drv", QMP_STR },
    { "backing_file", QMP_STR, true },
    { "backing_file_depth", QMP_INT },
    { "encrypted", QMP_BOOL },
    { "active", QMP_BOOL },
    { "detect_zeroes", QMP_STR, false, detects },
    LIMIT("bps"),
    LIMIT("bps_rd"),
    LIMIT("bps_wr"),
    LIMIT("iops"),
    LIMIT("iops_rd"),
    LIMIT("iops_wr"),
    { "iops_size", QMP_INT, true },
    { "group", QMP_STR, true },
    { "image", QMP_OBJECT, .type = &image_type },
    { "cache", QMP_OBJECT, .type = &cache_type },
    { "write_threshold", QMP_INT },
    { "dirty-bitmaps", QMP_ARRAY, true, .type = &bitmap_type },
    { 0 },
};
static const QmpType node_type = { QMP_OBJECT, .members = node_members };
const QmpType qmp_nodes_type = { QMP_ARRAY, .element = &node_type };

static const QmpArg block_members[] = { { "device", QMP_STR },
                                        { "qdev", QMP_STR, true },
                                        { "type", QMP_STR },
                                        { "removable", QMP_BOOL },
                                        { "locked", QMP_BOOL },
                                        { "inserted", QMP_OBJECT, true, .type = &node_type },
                                        { "io-status", QMP_STR, true, io_statuses },
                                        { 0 } };
static const QmpType block_type = { QMP_OBJECT, .members = block_members };
const QmpType qmp_blocks_type = { QMP_ARRAY, .element = &block_type };

/* ---- Figures --------------------------------------------------------------------------------- */

#define FIGURES(NAME)                                                                              \
    { NAME "_bytes", QMP_INT }, { NAME "_operations", QMP_INT },                                   \
        { "failed_" NAME "_operations", QMP_INT }, { "invalid_" NAME "_operations", QMP_INT },     \
        { NAME "_merged", QMP_INT },                                                               \
    {                                                                                              \
        NAME "_total_time_ns", QMP_INT                                                             \
    }
static const QmpArg figures_members[] = { FIGURES("rd"),
                                          FIGURES("wr"),
                                          FIGURES("unmap"),
                                          { "flush_operations", QMP_INT },
                                          { "failed_flush_operations", QMP_INT },
                                          { "invalid_flush_operations", QMP_INT },
                                          { "flush_total_time_ns", QMP_INT },
                                          { "wr_highest_offset", QMP_INT },
                                          { "idle_time_ns", QMP_INT, true },
                                          { "account_invalid", QMP_BOOL },
                                          { "account_failed", QMP_BOOL },
                                          { "timed_stats", QMP_ARRAY },
                                          { 0 } };
static const QmpType figures_type = { QMP_OBJECT, .members = figures_members };
static const QmpType stats_type;
static const QmpArg stats_members[] = { { "device", QMP_STR, true },
                                        { "qdev", QMP_STR, true },
                                        { "node-name", QMP_STR, true },
                                        { "stats", QMP_OBJECT, .type = &figures_type },
                                        { "parent", QMP_OBJECT, true, .type = &stats_type },
                                        { "backing", QMP_OBJECT, true, .type = &stats_type },
                                        { 0 } };
static const QmpType stats_type = { QMP_OBJECT, .members = stats_members };
const QmpType qmp_stats_type = { QMP_ARRAY, .element = &stats_type };

/* ---- Events ---------------------------------------------------------------------------------- */

static const char *const operations[] = { "read", "write", NULL };
static const char *const actions[] = { "ignore", "report", "stop", NULL };
static const char *const block_job_types[] = { "commit", "stream", "mirror", "backup", NULL };

const QmpArg qmp_job_status_event[] = { { "id", QMP_STR },
                                        { "status", QMP_STR, .type = &job_status },
                                        { 0 } };
const QmpArg qmp_job_pending_event[] = { { "type", QMP_STR, false, job_types },
                                         { "id", QMP_STR },
                                         { 0 } };
const QmpArg qmp_job_end_event[] = { { "type", QMP_STR, false, block_job_types },
                                     { "device", QMP_STR },
                                     { "len", QMP_INT },
                                     { "offset", QMP_INT },
                                     { "speed", QMP_INT },
                                     { "error", QMP_STR, true },
                                     { 0 } };
const QmpArg qmp_job_error_event[] = { { "device", QMP_STR },
                                       { "operation", QMP_STR, false, operations },
                                       { "action", QMP_STR, false, actions },
                                       { 0 } };
const QmpArg qmp_export_deleted_event[] = { { "id", QMP_STR }, { 0 } };
const QmpArg qmp_threshold_event[] = {
    { "node-name", QMP_STR }, { "amount-exceeded", QMP_INT }, { "write-threshold", QMP_INT }, { 0 }
};
const QmpArg qmp_io_error_event[] = { { "qom-path", QMP_STR, true },
                                      { "device", QMP_STR },
                                      { "node-name", QMP_STR, true },
                                      { "operation", QMP_STR, false, operations },
                                      { "action", QMP_STR, false, actions },
                                      { "nospace", QMP_BOOL, true },
                                      { "reason", QMP_STR },
                                      { 0 } };
