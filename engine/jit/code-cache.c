/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/code-cache.c - memory for translated code: a memfd mapped twice, cut into regions
 *
 * Regions fill in turn; the oldest is dropped when all are full, after every vCPU has come out of
 * translated code once, so that nobody stands in it. */
#include "engine/jit/jit-private.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Executable memory within reach of a call to our own functions; anywhere when that fails. */
static uint8_t *map_near(int fd)
{
    uintptr_t here = (uintptr_t) &vit_interp_run & ~(uintptr_t) 0xfffff;

    for (uintptr_t step = 64u << 20; step < 1u << 30; step += 64u << 20) {
        for (int side = -1; side <= 1; side += 2) {
            uintptr_t at = side < 0 ? here - step - JIT_CACHE_SIZE : here + step;
            void *p = mmap((void *) at, JIT_CACHE_SIZE, PROT_READ | PROT_EXEC,
                           MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, fd, 0);
            if (p == (void *) at)
                return p;
            if (p != MAP_FAILED)
                munmap(p, JIT_CACHE_SIZE);
        }
    }
    void *p = mmap(NULL, JIT_CACHE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void reset_region(JitAccel *a, unsigned n)
{
    JitRegion *r = &a->region[n];
    uint8_t *start = a->rw + (size_t) n * JIT_REGION_SIZE;

    r->code = start + (n == 0 ? JIT_PRELUDE_SIZE : 0);
    r->code_end = start + JIT_REGION_SIZE;
    r->meta = r->code_end;
    r->n_blocks = 0;
}

bool jit_cache_init(JitAccel *a, GError **error)
{
    int fd = memfd_create("vitrine-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *rw = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, JIT_CACHE_SIZE) == 0) {
        rw = mmap(NULL, JIT_CACHE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        a->rx = map_near(fd);
    }
    int code = errno;
    if (fd >= 0)
        close(fd);
    a->rw = rw == MAP_FAILED ? NULL : rw;
    if (!a->rw || !a->rx) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code),
                    _("The translator cannot have executable memory: %s. Allow it, "
                      "or use -accel interp"),
                    g_strerror(code));
        return false;
    }
    a->rx_delta = a->rx - a->rw;
    a->prelude = a->rw;
    for (unsigned i = 0; i < JIT_REGIONS; i++)
        reset_region(a, i);
    a->pages = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    a->max_views = 4096;
    a->n_views = 1;
    a->views = g_new0(JitView, a->max_views);
    a->view_page = g_new0(JitPage *, a->max_views);
    return true;
}

void jit_cache_finish(JitAccel *a)
{
    if (a->rw)
        munmap(a->rw, JIT_CACHE_SIZE);
    if (a->rx)
        munmap(a->rx, JIT_CACHE_SIZE);
    for (unsigned i = 0; i < JIT_REGIONS; i++)
        g_free(a->region[i].blocks);
    if (a->pages)
        g_hash_table_destroy(a->pages);
    g_free(a->views);
    g_free(a->view_page);
}

JitRegion *jit_cache_region(JitAccel *a, size_t bytes)
{
    JitRegion *r = &a->region[a->current];

    return (size_t) (r->meta - r->code) >= bytes ? r : NULL;
}

void *jit_cache_meta(JitRegion *r, size_t size, size_t align)
{
    r->meta = (uint8_t *) (((uintptr_t) r->meta - size) & ~(uintptr_t) (align - 1));
    return r->meta;
}

/* ---- Who is in there ------------------------------------------------------------------------- */

void jit_enter_code(JitCpu *jc)
{
    __atomic_store_n(&jc->in_code, 1, __ATOMIC_SEQ_CST);
}

void jit_leave_code(JitCpu *jc)
{
    __atomic_fetch_add(&jc->rounds, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&jc->in_code, 0, __ATOMIC_SEQ_CST);
}

static void wait_until_out(JitCpu *jc)
{
    uint32_t rounds = __atomic_load_n(&jc->rounds, __ATOMIC_SEQ_CST);

    vit_cpu_request(jc->cpu, VIT_EXIT_CODE);
    while (__atomic_load_n(&jc->in_code, __ATOMIC_SEQ_CST) &&
           __atomic_load_n(&jc->rounds, __ATOMIC_SEQ_CST) == rounds)
        g_usleep(20);
}

void jit_cache_advance(JitAccel *a, JitCpu *self)
{
    jit_leave_code(self);
    if (a->draining) {      /* somebody else is at it */
        while (a->draining) {
            g_mutex_unlock(&a->lock);
            g_usleep(50);
            g_mutex_lock(&a->lock);
        }
        jit_enter_code(self);
        return;
    }
    unsigned next = (a->current + 1) % JIT_REGIONS;
    JitRegion *r = &a->region[next];
    a->draining = true;
    for (unsigned i = 0; i < r->n_blocks; i++)
        jit_block_kill(a, r->blocks[i]);
    if (r->n_blocks) {
        g_autoptr(GPtrArray) others = g_ptr_array_copy(a->cpus, NULL, NULL);
        g_mutex_unlock(&a->lock);
        for (guint i = 0; i < others->len; i++) {
            if (others->pdata[i] != self)
                wait_until_out(others->pdata[i]);
        }
        g_mutex_lock(&a->lock);
        self->cpu->jump_generation++;
    }
    reset_region(a, next);
    a->current = next;
    a->drops++;
    a->draining = false;
    jit_enter_code(self);
}

JitBlock *jit_cache_find_host(JitAccel *a, const void *host)
{
    size_t at = (size_t) ((const uint8_t *) host - a->rx);
    if (at >= JIT_CACHE_SIZE)
        return NULL;
    const JitRegion *r = &a->region[at / JIT_REGION_SIZE];
    unsigned low = 0, high = r->n_blocks;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (r->blocks[mid]->code <= (const uint8_t *) host)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? r->blocks[low - 1] : NULL;
}
