/* engine/core/ram.c - RAM blocks in memfds and their dirty maps
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A writer stores its data and then marks; who clears a bit reads the data after.  Marking is
 * always an atomic read-modify-write, a full barrier: a mark that finds its bit still set may
 * otherwise overtake the data on its way to memory and a write would be lost. */
#include "engine/core/memory-private.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20, CODE_BIT = 1 << VIT_DIRTY_CODE };

struct VitRamPrivate {
    void           *map;            /* reservation around host; owned */
    size_t          map_size;
    pthread_mutex_t mutex;          /* guards spaces; taken before a space's listener_mutex */
    GPtrArray      *spaces;         /* VitAddressSpace*, borrowed */
    VitRamCodeFunc  code_written;   /* atomic */
    void           *code_opaque;    /* borrowed */
};

/* ---- Blocks ---------------------------------------------------------------------------------- */

static uint64_t host_memory(void)
{
    uint64_t total = (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE);
    g_autofree char *text = NULL;
    if (g_file_get_contents("/proc/meminfo", &text, NULL, NULL)) {
        const char *swap = strstr(text, "SwapTotal:");
        if (swap)
            total += g_ascii_strtoull(swap + strlen("SwapTotal:"), NULL, 10) * 1024;
    }
    return total;
}

static bool fits_host(const char *name, uint64_t size, GError **error)
{
    uint64_t most = host_memory();
    if (size <= most)
        return true;
    g_autofree char *wanted = g_format_size_full(size, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *there = g_format_size_full(most, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *half = g_format_size_full(most / 2, G_FORMAT_SIZE_IEC_UNITS);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                _("Memory \"%s\" of %s does not fit: this computer has %s. Give the machine less "
                  "memory, %s for instance"),
                name, wanted, there, half);
    return false;
}

static bool map_block(VitRam *ram, GError **error)
{
    size_t align = ram->size >= HUGE_PAGE ? HUGE_PAGE : VIT_PAGE_SIZE;
    /* What is left around the block stays without access: guards against runaway copies. */
    size_t total = ram->size + align + VIT_PAGE_SIZE;
    ram->fd = memfd_create(ram->name, MFD_CLOEXEC);
    if (ram->fd < 0 || ftruncate(ram->fd, (off_t) ram->size) < 0)
        goto fail;
    void *map = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        goto fail;
    ram->priv->map = map;
    ram->priv->map_size = total;
    uint8_t *host = (uint8_t *) (((uintptr_t) map + align - 1) & ~(uintptr_t) (align - 1));
    if (mmap(host, ram->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
             ram->fd, 0) == MAP_FAILED)
        goto fail;
    ram->host = host;
    /* Both are advice only. */
    if (ram->size >= HUGE_PAGE)
        madvise(host, ram->size, MADV_HUGEPAGE);
    madvise(host, ram->size, MADV_DONTDUMP);
    return true;
fail:
    {
        int code = errno;
        g_autofree char *wanted = g_format_size_full(ram->size, G_FORMAT_SIZE_IEC_UNITS);
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code),
                    _("Memory \"%s\" of %s cannot be had: %s. Close other programs or give the "
                      "machine less memory"),
                    ram->name, wanted, g_strerror(code));
    }
    return false;
}

VitRam *vit_ram_new(const char *name, uint64_t size, GError **error)
{
    if (!fits_host(name, size, error))
        return NULL;
    VitRam *ram = g_new0(VitRam, 1);
    ram->priv = g_new0(VitRamPrivate, 1);
    ram->name = g_strdup(name);
    ram->fd = -1;
    ram->size = (MAX(size, 1) + VIT_PAGE_SIZE - 1) & ~(uint64_t) (VIT_PAGE_SIZE - 1);
    pthread_mutex_init(&ram->priv->mutex, NULL);
    ram->priv->spaces = g_ptr_array_new();
    ram->dirty = g_malloc0(ram->size >> VIT_PAGE_BITS);
    if (!map_block(ram, error)) {
        vit_ram_free(ram);
        return NULL;
    }
    return ram;
}

void vit_ram_free(VitRam *ram)
{
    if (!ram)
        return;
    if (ram->priv->spaces->len)
        g_warning("memory \"%s\" is freed while an address space shows it", ram->name);
    if (ram->priv->map)
        munmap(ram->priv->map, ram->priv->map_size);
    if (ram->fd >= 0)
        close(ram->fd);
    g_ptr_array_unref(ram->priv->spaces);
    pthread_mutex_destroy(&ram->priv->mutex);
    g_free(ram->priv);
    g_free(ram->dirty);
    g_free(ram->name);
    g_free(ram);
}

void vit_ram_add_space(VitRam *ram, VitAddressSpace *as)
{
    pthread_mutex_lock(&ram->priv->mutex);
    g_ptr_array_add(ram->priv->spaces, as);
    pthread_mutex_unlock(&ram->priv->mutex);
}

void vit_ram_remove_space(VitRam *ram, VitAddressSpace *as)
{
    pthread_mutex_lock(&ram->priv->mutex);
    g_ptr_array_remove_fast(ram->priv->spaces, as);
    pthread_mutex_unlock(&ram->priv->mutex);
}

static void notify_clean(VitRam *ram, uint64_t offset, uint64_t size)
{
    pthread_mutex_lock(&ram->priv->mutex);
    for (guint i = 0; i < ram->priv->spaces->len; i++)
        vit_as_notify_ram(ram->priv->spaces->pdata[i], ram, offset, size);
    pthread_mutex_unlock(&ram->priv->mutex);
}

/* ---- Dirty maps ------------------------------------------------------------------------------ */

typedef struct { uint64_t first, end; } Pages;

static Pages pages_of(const VitRam *ram, uint64_t offset, uint64_t size)
{
    if (offset >= ram->size || size == 0)
        return (Pages) { 0, 0 };
    size = MIN(size, ram->size - offset);
    return (Pages) { offset >> VIT_PAGE_BITS,
                     (offset + size + VIT_PAGE_SIZE - 1) >> VIT_PAGE_BITS };
}

void vit_ram_track(VitRam *ram, VitDirtyClient client, bool on)
{
    uint32_t bit = 1u << client;
    if (on) {
        bool was = __atomic_load_n(&ram->clients, __ATOMIC_SEQ_CST) & bit;
        if (was)
            return;
        for (uint64_t p = 0; p < ram->size >> VIT_PAGE_BITS; p++)
            __atomic_fetch_or(&ram->dirty[p], (uint8_t) bit, __ATOMIC_RELAXED);
        __atomic_fetch_or(&ram->clients, bit, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_and(&ram->clients, ~bit, __ATOMIC_SEQ_CST);
    }
}

void vit_ram_set_code_hook(VitRam *ram, VitRamCodeFunc code_written, void *opaque)
{
    ram->priv->code_opaque = opaque;
    __atomic_store_n(&ram->priv->code_written, code_written, __ATOMIC_RELEASE);
}

void vit_ram_mark_dirty(VitRam *ram, uint64_t offset, uint64_t size)
{
    uint32_t clients = __atomic_load_n(&ram->clients, __ATOMIC_SEQ_CST);
    if (!clients)
        return;
    Pages pages = pages_of(ram, offset, size);
    VitRamCodeFunc hook = NULL;
    uint8_t set = (uint8_t) clients;
    if (clients & CODE_BIT) {
        hook = __atomic_load_n(&ram->priv->code_written, __ATOMIC_ACQUIRE);
        if (hook)
            set &= (uint8_t) ~CODE_BIT;
    }
    uint64_t end = pages.first < pages.end ? offset + MIN(size, ram->size - offset) : 0;
    uint64_t run = UINT64_MAX;      /* first byte written on pages with code, in the present run */
    for (uint64_t p = pages.first; p < pages.end; p++) {
        uint8_t old = __atomic_fetch_or(&ram->dirty[p], set, __ATOMIC_SEQ_CST);
        if (!hook)
            continue;
        if (!(old & CODE_BIT)) {
            if (run == UINT64_MAX)
                run = MAX(offset, p << VIT_PAGE_BITS);
        } else if (run != UINT64_MAX) {
            hook(ram->priv->code_opaque, ram, run, (p << VIT_PAGE_BITS) - run);
            run = UINT64_MAX;
        }
    }
    if (run != UINT64_MAX)
        hook(ram->priv->code_opaque, ram, run, end - run);
}

bool vit_ram_page_is_tracked_clean(const VitRam *ram, uint64_t offset)
{
    uint32_t clients = __atomic_load_n(&ram->clients, __ATOMIC_SEQ_CST);
    if (!clients || offset >= ram->size)
        return false;
    return clients & ~__atomic_load_n(&ram->dirty[offset >> VIT_PAGE_BITS], __ATOMIC_SEQ_CST);
}

void vit_ram_set_dirty(VitRam *ram, VitDirtyClient client, uint64_t offset, uint64_t size)
{
    Pages pages = pages_of(ram, offset, size);
    for (uint64_t p = pages.first; p < pages.end; p++)
        __atomic_fetch_or(&ram->dirty[p], (uint8_t) (1 << client), __ATOMIC_SEQ_CST);
}

bool vit_ram_is_dirty(const VitRam *ram, VitDirtyClient client, uint64_t offset, uint64_t size)
{
    Pages pages = pages_of(ram, offset, size);
    for (uint64_t p = pages.first; p < pages.end; p++)
        if (__atomic_load_n(&ram->dirty[p], __ATOMIC_SEQ_CST) & (1 << client))
            return true;
    return false;
}

/* Clears and tells the listeners of each run of pages that was dirty. */
static bool clear_pages(VitRam *ram, VitDirtyClient client, Pages pages, unsigned long *bitmap)
{
    const unsigned bits = 8 * sizeof(*bitmap);
    uint8_t bit = (uint8_t) (1 << client);
    uint64_t run = UINT64_MAX;
    bool any = false;
    for (uint64_t p = pages.first; p <= pages.end; p++) {
        bool dirty = p < pages.end && (__atomic_load_n(&ram->dirty[p], __ATOMIC_RELAXED) & bit) &&
                     (__atomic_fetch_and(&ram->dirty[p], (uint8_t) ~bit, __ATOMIC_SEQ_CST) & bit);
        if (bitmap && p < pages.end) {
            uint64_t i = p - pages.first;
            if (dirty)
                bitmap[i / bits] |= 1ul << (i % bits);
            else
                bitmap[i / bits] &= ~(1ul << (i % bits));
        }
        if (dirty) {
            any = true;
            if (run == UINT64_MAX)
                run = p;
        } else if (run != UINT64_MAX) {
            notify_clean(ram, run << VIT_PAGE_BITS, (p - run) << VIT_PAGE_BITS);
            run = UINT64_MAX;
        }
    }
    return any;
}

bool vit_ram_clear_dirty(VitRam *ram, VitDirtyClient client, uint64_t offset, uint64_t size)
{
    return clear_pages(ram, client, pages_of(ram, offset, size), NULL);
}

bool vit_ram_test_and_clear_dirty(VitRam *ram, VitDirtyClient client, uint64_t offset,
                                  uint64_t size, unsigned long *bitmap)
{
    return clear_pages(ram, client, pages_of(ram, offset, size), bitmap);
}
