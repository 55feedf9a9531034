/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/meta.h - what the driver takes from the files that work on metadata: check, internal
 * snapshots, persistent bitmaps, amending */
#pragma once
#include "block/qcow2/qcow2.h"

/* check.c */
int vit_qcow2_co_check(VitBlockNode *node, VitBlockCheck *check, unsigned fix);

/* snapshot-ops.c */
bool vit_qcow2_co_snapshot_list(VitBlockNode *node, GPtrArray *list, GError **error);
bool vit_qcow2_co_snapshot_create(VitBlockNode *node, VitBlockSnapshot *snapshot, GError **error);
bool vit_qcow2_co_snapshot_goto(VitBlockNode *node, const char *id_or_name, GError **error);
bool vit_qcow2_co_snapshot_delete(VitBlockNode *node, const char *id_or_name, GError **error);
bool vit_qcow2_co_snapshot_load(VitBlockNode *node, const char *id_or_name, GError **error);
int vit_qcow2_co_load_vmstate(VitBlockNode *node, uint64_t offset, void *buf, uint64_t bytes);
int vit_qcow2_co_save_vmstate(VitBlockNode *node, uint64_t offset, const void *buf, uint64_t bytes);

/* bitmap.c.  load: at opening; makes block/bitmap.h's objects of what is stored.  use: before the
 * first write, marks them as being in use.  store: at closing, before the last settling; they stay
 * with the node. specific: adds "bitmaps" to what "info" says. */
[[nodiscard]] bool vit_qcow2_bitmaps_load(VitQcow2 *q, GError **error);
[[nodiscard]] int vit_qcow2_bitmaps_use(VitQcow2 *q);
[[nodiscard]] int vit_qcow2_bitmaps_store(VitQcow2 *q);
[[nodiscard]] bool vit_qcow2_bitmaps_specific(VitQcow2 *q, JsonObject *data, GError **error);
bool vit_qcow2_co_bitmap_can_store(VitBlockNode *node, const char *name, uint32_t granularity,
                                   GError **error);
bool vit_qcow2_co_bitmap_remove(VitBlockNode *node, const char *name, GError **error);

/* amend.c */
bool vit_qcow2_co_amend(VitBlockNode *node, VitBlockArgs *options, bool force,
                        VitBlockProgress progress, void *opaque, GError **error);
