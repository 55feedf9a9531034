/* engine/core/system.c - what every device of one machine shares: making it, resetting it
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/char.h"
#include "engine/core/device-private.h"
#include "engine/core/log.h"
#include "engine/core/rcu-private.h"

#include <string.h>

#define MEMORY_SIZE (UINT64_C(1) << 52)
enum { IO_SIZE = 1 << 16 };

VitAddressSpace *vit_system_as_new(VitSystem *sys, const char *name, VitRegion *root)
{
    VitAddressSpace *as = vit_as_new(name, root);
    vit_as_set_lock(as, &sys->lock);
    return as;
}

VitSystem *vit_system_new(void)
{
    VitSystem *sys = g_new0(VitSystem, 1);
    g_rec_mutex_init(&sys->lock);
    sys->thread = vit_io_thread_new("machine");
    sys->clock = vit_clock_new(sys->thread, &sys->lock);
    sys->memory_root = vit_region_new_container("memory", MEMORY_SIZE);
    sys->io_root = vit_region_new_container("io", IO_SIZE);
    sys->memory = vit_system_as_new(sys, "memory", sys->memory_root);
    sys->io = vit_system_as_new(sys, "io", sys->io_root);
    sys->devices = g_ptr_array_new();
    sys->chars = g_ptr_array_new();
    return sys;
}

void vit_system_free(VitSystem *sys)
{
    if (!sys)
        return;
    vit_clock_stop(sys->clock);
    vit_system_lock(sys);
    while (sys->devices->len)
        vit_device_free(sys->devices->pdata[sys->devices->len - 1]);
    while (sys->chars->len)
        vit_char_free(sys->chars->pdata[sys->chars->len - 1]);
    vit_system_unlock(sys);
    vit_clock_free(sys->clock);
    vit_io_thread_free(sys->thread);
    vit_as_free(sys->memory);
    vit_as_free(sys->io);
    vit_region_free(sys->memory_root);
    vit_region_free(sys->io_root);
    g_ptr_array_unref(sys->devices);
    g_ptr_array_unref(sys->chars);
    rcu_barrier();
    g_rec_mutex_clear(&sys->lock);
    g_free(sys);
}

void vit_system_request(VitSystem *sys, VitRequest request, int exit_code, const char *reason)
{
    if (sys->request)
        sys->request(sys, request, exit_code, reason);
    else
        vit_log(VIT_LOG_RESET, "request %d (%s) has no taker", (int) request,
                reason ? reason : "no reason");
}

void vit_system_quiesce(VitSystem *sys, bool on)
{
    vit_system_lock(sys);
    for (guint i = 0; i < sys->devices->len; i++)
        vit_device_quiesce(sys->devices->pdata[i], on);
    vit_system_unlock(sys);
}

void vit_system_reset(VitSystem *sys)
{
    vit_system_lock(sys);
    vit_system_quiesce(sys, true);
    for (guint i = 0; i < sys->devices->len; i++)
        vit_device_reset_state(sys->devices->pdata[i]);
    for (guint i = 0; i < sys->devices->len; i++)
        vit_device_replay(sys->devices->pdata[i]);
    vit_system_quiesce(sys, false);
    vit_system_unlock(sys);
}

VitDevice *vit_system_find_device(VitSystem *sys, const char *id)
{
    vit_system_lock(sys);
    VitDevice *found = NULL;
    for (guint i = 0; i < sys->devices->len && !found; i++) {
        VitDevice *d = sys->devices->pdata[i];
        if (strcmp(d->id, id) == 0)
            found = d;
    }
    vit_system_unlock(sys);
    return found;
}
