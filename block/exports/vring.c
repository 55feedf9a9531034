/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/vring.c - see vring.h */
#include "block/exports/vring.h"

#include <endian.h>
#include <string.h>

enum {
    DESC_SIZE = 16,
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    DESC_INDIRECT = 4,
    AVAIL_NO_INTERRUPT = 1,
    USED_NO_NOTIFY = 1,
    MAX_BYTES = 1 << 30, /* of one chain */
};

typedef struct {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
} Desc;

/* ---- memory ---------------------------------------------------------------------------------- */

static void *find(const VitVringMemory *m, uint64_t address, uint64_t size, bool user)
{
    for (unsigned i = 0; i < m->count; i++) {
        const VitVringRegion *r = &m->region[i];
        uint64_t start = user ? r->user : r->guest;
        if (address >= start && address - start <= r->size && size <= r->size - (address - start))
            return r->here + (address - start);
    }
    return NULL;
}

void *vit_vring_guest(const VitVringMemory *m, uint64_t address, uint64_t size)
{
    return find(m, address, size, false);
}

void *vit_vring_user(const VitVringMemory *m, uint64_t address, uint64_t size)
{
    return find(m, address, size, true);
}

static uint16_t load16(const uint8_t *p)
{
    return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE));
}

static void store16(uint8_t *p, uint16_t value)
{
    __atomic_store_n((uint16_t *)p, htole16(value), __ATOMIC_RELEASE);
}

static uint8_t *avail_ring(const VitVring *r, unsigned i)
{
    return r->avail + 4 + 2 * (size_t)(i & (r->num - 1));
}

static uint8_t *used_event(const VitVring *r)
{
    return r->avail + 4 + 2 * (size_t)r->num;
}

static uint8_t *avail_event(const VitVring *r)
{
    return r->used + 4 + 8 * (size_t)r->num;
}

bool vit_vring_place(VitVring *r, const VitVringMemory *m, uint64_t desc, uint64_t avail,
                     uint64_t used)
{
    r->desc = r->avail = r->used = NULL;
    if (r->num == 0 || (desc & 15) || (avail & 1) || (used & 3)) return false;
    uint8_t *d = vit_vring_user(m, desc, DESC_SIZE * (uint64_t)r->num);
    uint8_t *a = vit_vring_user(m, avail, 6 + 2 * (uint64_t)r->num);
    uint8_t *u = vit_vring_user(m, used, 6 + 8 * (uint64_t)r->num);
    if (!d || !a || !u || ((uintptr_t)a & 1) || ((uintptr_t)u & 3)) return false;
    r->desc = d;
    r->avail = a;
    r->used = u;
    r->used_index = load16(u + 2);
    r->signalled_valid = false;
    r->broken = false;
    return true;
}

/* ---- chains ---------------------------------------------------------------------------------- */

static Desc copy_desc(const uint8_t *table, unsigned index)
{
    uint8_t raw[DESC_SIZE];
    Desc d;

    memcpy(raw, table + DESC_SIZE * (size_t)index, sizeof raw);
    memcpy(&d.address, raw, 8);
    memcpy(&d.length, raw + 8, 4);
    memcpy(&d.flags, raw + 12, 2);
    memcpy(&d.next, raw + 14, 2);
    return (Desc){ le64toh(d.address), le32toh(d.length), le16toh(d.flags), le16toh(d.next) };
}

/* Adds a stretch of memory, which may reach over neighbouring regions. */
static bool add(const VitVringMemory *m, struct iovec *iov, int *n, uint64_t address,
                uint64_t length)
{
    while (length > 0) {
        const VitVringRegion *r = NULL;
        for (unsigned i = 0; i < m->count && !r; i++)
            if (address >= m->region[i].guest && address - m->region[i].guest < m->region[i].size)
                r = &m->region[i];
        if (!r || *n >= VIT_VRING_MAX_IOV) return false;
        uint64_t skip = address - r->guest, part = r->size - skip;
        if (part > length) part = length;
        iov[(*n)++] = (struct iovec){ r->here + skip, part };
        address += part;
        length -= part;
    }
    return true;
}

static bool walk(const VitVring *r, const VitVringMemory *m, VitVringElement *e)
{
    const uint8_t *table = r->desc;
    unsigned index = e->head, room = r->num;
    uint64_t total = 0;
    bool indirect = false;

    for (unsigned seen = 0; seen < room; seen++) {
        if (index >= room) return false;
        Desc d = copy_desc(table, index);
        if (d.flags & DESC_INDIRECT) {
            if (indirect || seen > 0 || (d.flags & DESC_NEXT) || d.length == 0 ||
                d.length % DESC_SIZE || d.length / DESC_SIZE > VIT_VRING_MAX_IOV)
                return false;
            table = vit_vring_guest(m, d.address, d.length);
            if (!table) return false;
            room = d.length / DESC_SIZE;
            indirect = true;
            index = 0;
            seen = UINT32_MAX; /* counting begins anew in the table */
            continue;
        }
        total += d.length;
        if (total > MAX_BYTES) return false;
        if (d.flags & DESC_WRITE) {
            if (!add(m, e->in, &e->n_in, d.address, d.length)) return false;
        } else if (e->n_in > 0 || !add(m, e->out, &e->n_out, d.address, d.length)) {
            return false;
        }
        if (!(d.flags & DESC_NEXT)) return true;
        index = d.next;
    }
    return false; /* a loop */
}

bool vit_vring_pop(VitVring *r, const VitVringMemory *m, VitVringElement *e)
{
    if (r->broken || !r->desc) return false;
    uint16_t ready = (uint16_t)(load16(r->avail + 2) - r->last_avail);
    if (ready == 0) return false;
    e->head = load16(avail_ring(r, r->last_avail));
    e->n_out = e->n_in = 0;
    if (ready > r->num || e->head >= r->num || !walk(r, m, e)) {
        r->broken = true;
        return false;
    }
    r->last_avail++;
    return true;
}

void vit_vring_push(VitVring *r, uint16_t head, uint32_t written)
{
    if (r->broken || !r->used) return;
    uint8_t *entry = r->used + 4 + 8 * (size_t)(r->used_index & (r->num - 1));
    uint32_t id = htole32(head), length = htole32(written);
    memcpy(entry, &id, 4);
    memcpy(entry + 4, &length, 4);
    r->used_index++;
    store16(r->used + 2, r->used_index);
}

bool vit_vring_wants_call(VitVring *r)
{
    if (r->broken || !r->used) return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the index is seen before the wish is read */
    uint16_t old = r->signalled;
    bool valid = r->signalled_valid;
    if (valid && old == r->used_index) return false;
    r->signalled = r->used_index;
    r->signalled_valid = true;
    if (!r->event_index) return !(load16(r->avail) & AVAIL_NO_INTERRUPT);
    uint16_t event = load16(used_event(r));
    return !valid || (uint16_t)(r->used_index - event - 1) < (uint16_t)(r->used_index - old);
}

bool vit_vring_ask_kicks(VitVring *r, bool on)
{
    if (r->broken || !r->used) return true;
    if (r->event_index) {
        if (on) store16(avail_event(r), r->last_avail);
    } else {
        store16(r->used, on ? 0 : USED_NO_NOTIFY);
    }
    if (!on) return true;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the wish is seen before the index is read */
    return load16(r->avail + 2) == r->last_avail;
}
