/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/service.c - see service.h */
#include "block/service.h"

VitBlockService *vit_block_service_new(VitIoThread *thread)
{
    VitBlockService *s = g_new0(VitBlockService, 1);

    s->thread = thread;
    s->graph = vit_block_graph_new(thread);
    s->jobs = vit_block_jobs_new(thread);
    s->exports = vit_block_exports_new(s->graph);
    return s;
}

void vit_block_service_stop(VitBlockService *s)
{
    g_clear_pointer(&s->jobs, vit_block_jobs_free);
    g_clear_pointer(&s->exports, vit_block_exports_free);
}

void vit_block_service_free(VitBlockService *s)
{
    if (!s) return;
    vit_block_service_stop(s);
    vit_block_graph_free(s->graph);
    g_free(s);
}
