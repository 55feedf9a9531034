/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/snapshot.h - between snapshot.c (the table) and snapshot-ops.c (what is done with it)
 */
#pragma once
#include "block/qcow2/bulk.h"

/* Writes a snapshot table of `list` (of VitQcow2Snapshot*) to new clusters and makes the header
 * lead to it, all durable; then q->snapshots is `list` and the old table's clusters are to be
 * freed.  On failure nothing has changed but for clusters that nobody uses. */
[[nodiscard]] int vit_qcow2_snapshots_store(VitQcow2 *q, GPtrArray *list);
/* Index of the one with this ID, else name; -1: none. */
int vit_qcow2_snapshot_find(const VitQcow2 *q, const char *id_or_name);
/* False with an error: its table is damaged, and so is not to be read, applied or taken apart. */
[[nodiscard]] bool vit_qcow2_snapshot_usable(const VitQcow2 *q, const VitQcow2Snapshot *snapshot,
                                             GError **error);
