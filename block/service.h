/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/service.h - all that the control of disks works on: one graph with its jobs, exports and
 * objects */
#pragma once
#include "block/export.h"
#include "block/graph.h"
#include "block/job.h"

typedef struct {
    VitIoThread *thread; /* borrowed: of the graph */
    VitBlockGraph *graph; /* owned, like what follows */
    VitBlockJobs *jobs;
    VitBlockExports *exports;
} VitBlockService;

[[nodiscard]] VitBlockService *vit_block_service_new(VitIoThread *thread);
/* Cancels jobs, removes exports, lets go of nodes by name.  Not on the thread; NULL is fine. */
void vit_block_service_free(VitBlockService *service);
/* The first half: whoever uses nodes through roots closes them between the two. */
void vit_block_service_stop(VitBlockService *service);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitBlockService, vit_block_service_free)
