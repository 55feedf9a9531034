/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/deferred.c - a call on the machine thread, under the machine lock, coalesced */
#include "hw/deferred.h"

#include <stdatomic.h>

struct VitDeferred {
    VitSystem  *sys;        /* borrowed */
    VitIoFunc   fn;         /* NULL once freed; guarded by the machine lock */
    void       *opaque;     /* borrowed */
    atomic_bool scheduled;
    atomic_int  ref_count;  /* the owner's, and one while a call is on its way */
};

static void deferred_unref(VitDeferred *deferred)
{
    if (atomic_fetch_sub(&deferred->ref_count, 1) == 1)
        g_free(deferred);
}

static void deferred_run(void *opaque)
{
    VitDeferred *deferred = opaque;
    VitSystem *sys = deferred->sys;

    vit_system_lock(sys);
    atomic_store(&deferred->scheduled, false);
    if (deferred->fn)
        deferred->fn(deferred->opaque);
    vit_system_unlock(sys);
    deferred_unref(deferred);
}

VitDeferred *vit_deferred_new(VitSystem *sys, VitIoFunc fn, void *opaque)
{
    VitDeferred *deferred = g_new0(VitDeferred, 1);
    deferred->sys = sys;
    deferred->fn = fn;
    deferred->opaque = opaque;
    atomic_init(&deferred->ref_count, 1);
    return deferred;
}

void vit_deferred_schedule(VitDeferred *deferred)
{
    if (atomic_exchange(&deferred->scheduled, true))
        return;
    atomic_fetch_add(&deferred->ref_count, 1);
    vit_io_thread_call(deferred->sys->thread, deferred_run, deferred);
}

void vit_deferred_free(VitDeferred *deferred)
{
    if (!deferred)
        return;
    vit_system_lock(deferred->sys);
    deferred->fn = NULL;
    vit_system_unlock(deferred->sys);
    deferred_unref(deferred);
}
