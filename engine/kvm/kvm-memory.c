/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/kvm/kvm-memory.c - KVM's memory slots follow the machine's view; what the guest writes
 *
 * Where slots are behind the view the guest's accesses come out as MMIO and find their place. */
#include "engine/kvm/kvm-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { DIRTY_MS = 30 };

/* ---- Slots ----------------------------------------------------------------------------------- */

/* The whole pages of RAM that the view shows. */
static GArray *wanted_slots(VitAddressSpace *as)
{
    const uint64_t end = UINT64_C(1) << 52, mask = VIT_PAGE_SIZE - 1;
    GArray *slots = g_array_new(FALSE, TRUE, sizeof(KvmSlot));

    for (uint64_t addr = 0; addr < end;) {
        VitMemTarget t = vit_as_translate(as, addr);
        uint64_t last = addr + MIN(t.length, end - addr), start = (addr + mask) & ~mask;
        if (t.ram && (last & ~mask) > start && ((t.ram_offset ^ addr) & mask) == 0) {
            KvmSlot slot = {
                .start = start, .size = (last & ~mask) - start, .ram = t.ram,
                .ram_offset = t.ram_offset + (start - addr), .readonly = t.readonly,
                .logged = __atomic_load_n(&t.ram->clients, __ATOMIC_RELAXED) != 0 && !t.readonly,
            };
            g_array_append_val(slots, slot);
        }
        addr = last;
    }
    return slots;
}

static bool same(const KvmSlot *a, const KvmSlot *b)
{
    return a->start == b->start && a->size == b->size && a->ram == b->ram &&
           a->ram_offset == b->ram_offset && a->readonly == b->readonly && a->logged == b->logged;
}

static const KvmSlot *find(const GArray *slots, const KvmSlot *like)
{
    for (guint i = 0; i < slots->len; i++) {
        if (same(&g_array_index(slots, KvmSlot, i), like))
            return &g_array_index(slots, KvmSlot, i);
    }
    return NULL;
}

static bool set(KvmAccel *a, const KvmSlot *s, bool on)
{
    struct kvm_userspace_memory_region region = {
        .slot = s->id, .guest_phys_addr = s->start, .memory_size = on ? s->size : 0,
        .userspace_addr = (uintptr_t) (s->ram->host + s->ram_offset),
        .flags = (s->readonly ? KVM_MEM_READONLY : 0u) | (s->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0u),
    };

    return ioctl(a->vm, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

static uint32_t free_id(const KvmAccel *a)
{
    uint32_t id = 0;

    for (guint i = 0; i < a->slots->len; i++) {
        if (g_array_index(a->slots, KvmSlot, i).id == id) {
            id++;
            i = UINT_MAX;       /* from the start again */
        }
    }
    return id;
}

static void update(KvmAccel *a)
{
    g_autoptr(GArray) wanted = wanted_slots(a->accel.sys->memory);
    bool good = true;

    for (guint i = 0; i < a->slots->len;) {
        const KvmSlot *old = &g_array_index(a->slots, KvmSlot, i);
        if (find(wanted, old)) {
            i++;
            continue;
        }
        good &= set(a, old, false);
        g_array_remove_index(a->slots, i);
    }
    for (guint i = 0; i < wanted->len; i++) {
        KvmSlot *slot = &g_array_index(wanted, KvmSlot, i);
        if (find(a->slots, slot))
            continue;
        slot->id = free_id(a);
        if (slot->id >= a->max_slots)
            break;              /* the rest stays MMIO: slow, but right */
        if (set(a, slot, true))
            g_array_append_val(a->slots, *slot);
        else
            good = false;
    }
    if (!good) {
        g_autofree char *reason = g_strdup_printf(
            _("KVM does not take the machine's memory: %s; use -accel jit"), g_strerror(errno));
        vit_system_request(a->accel.sys, VIT_REQUEST_PAUSE, 0, reason);
    }
}

void kvm_memory_update(KvmAccel *a)
{
    uint64_t wanted = __atomic_load_n(&a->wanted, __ATOMIC_SEQ_CST);

    if (__atomic_load_n(&a->done, __ATOMIC_SEQ_CST) == wanted)
        return;
    g_mutex_lock(&a->lock);
    wanted = __atomic_load_n(&a->wanted, __ATOMIC_SEQ_CST);
    if (a->done != wanted)
        update(a);
    __atomic_store_n(&a->done, wanted, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&a->lock);
}

/* Any thread: the view is another; or, with a block, somebody may have begun to track its pages. */
static void changed(void *opaque, VitRam *ram, uint64_t offset, uint64_t size)
{
    __atomic_fetch_add(&((KvmAccel *) opaque)->wanted, 1, __ATOMIC_SEQ_CST);
}

/* ---- Dirty pages ----------------------------------------------------------------------------- */

static void collect(KvmAccel *a, const KvmSlot *s)
{
    uint64_t pages = s->size >> VIT_PAGE_BITS;
    g_autofree uint64_t *bits = g_new0(uint64_t, pages / 64 + 1);
    struct kvm_dirty_log log = { .slot = s->id, .dirty_bitmap = bits };

    if (ioctl(a->vm, KVM_GET_DIRTY_LOG, &log) != 0)
        return;                 /* the slot has gone meanwhile */
    for (uint64_t page = 0; page < pages; page++) {
        uint64_t first = page;
        while (page < pages && bits[page / 64] >> page % 64 & 1)
            page++;
        if (page > first)
            vit_ram_mark_dirty(s->ram, s->ram_offset + (first << VIT_PAGE_BITS),
                               (page - first) << VIT_PAGE_BITS);
    }
}

void kvm_memory_collect(KvmAccel *a)
{
    g_mutex_lock(&a->lock);
    g_autoptr(GArray) slots = g_array_copy(a->slots);
    g_mutex_unlock(&a->lock);
    for (guint i = 0; i < slots->len; i++) {
        if (g_array_index(slots, KvmSlot, i).logged)
            collect(a, &g_array_index(slots, KvmSlot, i));
    }
}

/* Machine lock held. */
static void on_timer(void *opaque)
{
    KvmAccel *a = opaque;

    kvm_memory_collect(a);
    vit_timer_set(a->timer,
                  vit_clock_now(a->accel.sys->clock) + DIRTY_MS * (int64_t) VIT_NS_PER_MS);
}

/* ---- Life ------------------------------------------------------------------------------------ */

void kvm_memory_init(KvmAccel *a)
{
    g_mutex_init(&a->lock);
    a->slots = g_array_new(FALSE, TRUE, sizeof(KvmSlot));
    a->wanted = 1;
    a->timer = vit_timer_new(a->accel.sys->clock, on_timer, a);
    vit_timer_set(a->timer, 0);
    vit_as_add_listener(a->accel.sys->memory, changed, a);
}

void kvm_memory_finish(KvmAccel *a)
{
    vit_as_remove_listener(a->accel.sys->memory, changed, a);
    vit_system_lock(a->accel.sys);
    vit_timer_free(a->timer);
    vit_system_unlock(a->accel.sys);
    g_array_unref(a->slots);
    g_mutex_clear(&a->lock);
}
