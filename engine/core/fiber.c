/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/fiber.c - see fiber.h.  A switch saves what the ABI calls callee-saved (System V
 * AMD64 psABI 3.2.1; AAPCS64 6.1), a few nanoseconds; other hosts use ucontext(3). */
#include "engine/core/fiber.h"
#include "engine/core/iothread-private.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
#include <sanitizer/common_interface_defs.h>
#define FIBER_ASAN 1
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#define FIBER_UCONTEXT 1
#endif

enum { STACK = 256 << 10, POOL = 64 };

typedef struct {
    void *sp; /* while it is not running */
#ifdef FIBER_UCONTEXT
    ucontext_t context;
#endif
    void *asan_fake; /* of AddressSanitizer, while it is not running */
    const void *bottom; /* lowest address of the stack */
    size_t size;
} Context;

struct VitFiber {
    VitIoThread *thread; /* borrowed */
    VitFibers *home; /* borrowed */
    VitFiberFunc fn;
    void *opaque;
    Context context, *caller; /* caller: who resumed it, NULL while it waits */
    VitFiber *outer; /* the fiber that caller belongs to */
    bool woken, waiting, ended;
    void *local; /* borrowed: see vit_fiber_set_local() */
    void *mapping; /* owned: guard page and stack */
};

struct VitFibers {
    VitFiber *current;
    Context loop; /* the thread's own stack */
    GQueue ready; /* of VitFiber*, woken by other fibers */
    GQueue pool; /* of VitFiber*, ended */
    GThreadPool *workers; /* owned, made when first needed */
};

/* ---- switching ------------------------------------------------------------------------------- */

#if defined(__x86_64__)
void vit_fiber_switch(void **save, void *load);
void vit_fiber_enter(void);
__asm__(
    ".text\n"
    ".globl vit_fiber_switch\n.hidden vit_fiber_switch\n.type vit_fiber_switch, @function\n"
    "vit_fiber_switch:\n"
    "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n"
    "    pushq %r15\n    subq $8, %rsp\n    stmxcsr (%rsp)\n    fnstcw 4(%rsp)\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    ldmxcsr (%rsp)\n    fldcw 4(%rsp)\n    addq $8, %rsp\n"
    "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
    "    ret\n"
    ".size vit_fiber_switch, .-vit_fiber_switch\n"
    ".globl vit_fiber_enter\n.hidden vit_fiber_enter\n.type vit_fiber_enter, @function\n"
    "vit_fiber_enter:\n" /* r12: the fiber, r13: fiber_main */
    "    movq %r12, %rdi\n    xorl %ebp, %ebp\n    callq *%r13\n    ud2\n"
    ".size vit_fiber_enter, .-vit_fiber_enter\n");

static void prepare_stack(VitFiber *f, void (*start)(VitFiber *))
{
    uint64_t *sp = (uint64_t *)((const char *)f->context.bottom + f->context.size);

    sp -= 2; /* so that the entry calls with the stack aligned to 16 */
    sp[0] = sp[1] = 0;
    *--sp = (uint64_t)vit_fiber_enter;
    sp -= 6;
    memset(sp, 0, 6 * sizeof *sp);
    sp[3] = (uint64_t)f; /* r12 */
    sp[2] = (uint64_t)start; /* r13 */
    *--sp = 0x1f80 | UINT64_C(0x37f) << 32; /* MXCSR and x87 control word of a fresh thread */
    f->context.sp = sp;
}
#elif defined(__aarch64__)
void vit_fiber_switch(void **save, void *load);
void vit_fiber_enter(void);
__asm__(".text\n"
        ".globl vit_fiber_switch\n.hidden vit_fiber_switch\n.type vit_fiber_switch, %function\n"
        "vit_fiber_switch:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp]\n    stp x21, x22, [sp, #16]\n    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n    stp x27, x28, [sp, #64]\n    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n    str x9, [x0]\n    mov sp, x1\n"
        "    ldp x19, x20, [sp]\n    ldp x21, x22, [sp, #16]\n    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n    ldp x27, x28, [sp, #64]\n    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n    ldp d10, d11, [sp, #112]\n    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n    ret\n"
        ".size vit_fiber_switch, .-vit_fiber_switch\n"
        ".globl vit_fiber_enter\n.hidden vit_fiber_enter\n.type vit_fiber_enter, %function\n"
        "vit_fiber_enter:\n"
        "    mov x0, x19\n    blr x20\n    brk #0\n"
        ".size vit_fiber_enter, .-vit_fiber_enter\n");

static void prepare_stack(VitFiber *f, void (*start)(VitFiber *))
{
    uint64_t *sp = (uint64_t *)((const char *)f->context.bottom + f->context.size) - 20;

    memset(sp, 0, 20 * sizeof *sp);
    sp[0] = (uint64_t)f;
    sp[1] = (uint64_t)start;
    sp[11] = (uint64_t)vit_fiber_enter;
    f->context.sp = sp;
}
#else
static void enter(unsigned high, unsigned low, unsigned start_high, unsigned start_low)
{
    VitFiber *f = (VitFiber *)(uintptr_t)((uint64_t)high << 32 | low);
    void (*start)(VitFiber *) = (void (*)(VitFiber *))(uintptr_t)((uint64_t)start_high << 32 |
                                                                  start_low);

    start(f);
}

static void prepare_stack(VitFiber *f, void (*start)(VitFiber *))
{
    uint64_t fiber = (uintptr_t)f, fn = (uintptr_t)start;

    getcontext(&f->context.context);
    f->context.context.uc_stack.ss_sp = (void *)f->context.bottom;
    f->context.context.uc_stack.ss_size = f->context.size;
    makecontext(&f->context.context, (void (*)(void))enter, 4, (unsigned)(fiber >> 32),
                (unsigned)fiber, (unsigned)(fn >> 32), (unsigned)fn);
}
#endif

/* for_good: `from` is never returned to. */
static void switch_stacks(Context *from, Context *to, bool for_good)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(for_good ? NULL : &from->asan_fake, to->bottom, to->size);
#endif
#ifdef FIBER_UCONTEXT
    swapcontext(&from->context, &to->context);
#else
    vit_fiber_switch(&from->sp, to->sp);
#endif
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(from->asan_fake, NULL, NULL);
#endif
}

static VitFibers *fibers_of(VitIoThread *thread)
{
    VitFibers **slot = vit_io_thread_fibers(thread);

    g_assert(vit_io_thread_is_current(thread));
    if (!*slot) {
        *slot = g_new0(VitFibers, 1);
        g_queue_init(&(*slot)->ready);
        g_queue_init(&(*slot)->pool);
    }
    return *slot;
}

static void fiber_main(VitFiber *f)
{
#ifdef FIBER_ASAN
    /* The stack that was left is the caller's: the thread's own bounds are learned here. */
    __sanitizer_finish_switch_fiber(NULL, &f->caller->bottom, &f->caller->size);
#endif
    f->fn(f->opaque);
    f->ended = true;
    f->home->current = f->outer;
    switch_stacks(&f->context, f->caller, true);
    g_assert_not_reached();
}

static void free_fiber(VitFiber *f)
{
    munmap(f->mapping, STACK + (size_t)sysconf(_SC_PAGESIZE));
    g_free(f);
}

static VitFiber *take_fiber(VitFibers *home, VitIoThread *thread)
{
    VitFiber *f = g_queue_pop_head(&home->pool);

    if (f) return f;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    f = g_new0(VitFiber, 1);
    f->mapping = mmap(NULL, STACK + page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (f->mapping == MAP_FAILED || mprotect(f->mapping, page, PROT_NONE) < 0)
        g_error("no memory for a fiber's stack");
    f->context.bottom = (char *)f->mapping + page;
    f->context.size = STACK;
    f->thread = thread;
    f->home = home;
    return f;
}

/* Runs f until it waits or ends. */
static void resume(VitFiber *f)
{
    VitFibers *home = f->home;

    f->outer = home->current;
    f->caller = f->outer ? &f->outer->context : &home->loop;
    home->current = f;
    switch_stacks(f->caller, &f->context, false);
    f->caller = NULL;
    if (!f->ended) return;
    if (g_queue_get_length(&home->pool) < POOL) g_queue_push_head(&home->pool, f);
    else free_fiber(f);
}

static void run_ready(VitFibers *home)
{
    VitFiber *f;

    while (!home->current && (f = g_queue_pop_head(&home->ready))) resume(f);
}

/* ---- starting and waiting -------------------------------------------------------------------- */

typedef struct {
    VitIoThread *thread;
    VitFiberFunc fn;
    void *opaque;
    bool ended;
    GMutex mutex;
    GCond cond;
} Start;

static void start_here(VitIoThread *thread, VitFiberFunc fn, void *opaque)
{
    VitFibers *home = fibers_of(thread);
    VitFiber *f = take_fiber(home, thread);

    f->fn = fn;
    f->opaque = opaque;
    f->woken = f->waiting = f->ended = false;
    f->local = NULL;
    f->context.asan_fake = NULL;
    prepare_stack(f, fiber_main);
    resume(f);
    run_ready(home);
}

static void start_call(void *opaque)
{
    Start *s = opaque;
    Start copy = { .thread = s->thread, .fn = s->fn, .opaque = s->opaque };

    g_free(s);
    start_here(copy.thread, copy.fn, copy.opaque);
}

void vit_fiber_start(VitIoThread *thread, VitFiberFunc fn, void *opaque)
{
    if (vit_io_thread_is_current(thread)) {
        start_here(thread, fn, opaque);
        return;
    }
    Start *s = g_new0(Start, 1);
    s->thread = thread;
    s->fn = fn;
    s->opaque = opaque;
    vit_io_thread_call(thread, start_call, s);
}

static void run_and_tell(void *opaque)
{
    Start *s = opaque;

    s->fn(s->opaque);
    g_mutex_lock(&s->mutex);
    s->ended = true;
    g_cond_signal(&s->cond);
    g_mutex_unlock(&s->mutex);
}

void vit_fiber_run_sync(VitIoThread *thread, VitFiberFunc fn, void *opaque)
{
    Start s = { .thread = thread, .fn = fn, .opaque = opaque };

    if (vit_io_thread_is_current(thread)) {
        g_assert(vit_fiber_self(thread)); /* its loop cannot be held up */
        fn(opaque);
        return;
    }
    g_mutex_init(&s.mutex);
    g_cond_init(&s.cond);
    vit_fiber_start(thread, run_and_tell, &s);
    g_mutex_lock(&s.mutex);
    while (!s.ended) g_cond_wait(&s.cond, &s.mutex);
    g_mutex_unlock(&s.mutex);
    g_mutex_clear(&s.mutex);
    g_cond_clear(&s.cond);
}

VitFiber *vit_fiber_self(VitIoThread *thread)
{
    VitFibers *home = *vit_io_thread_fibers(thread);

    return home ? home->current : NULL;
}

void vit_fiber_set_local(VitIoThread *thread, void *local)
{
    VitFiber *f = vit_fiber_self(thread);

    g_assert(f);
    f->local = local;
}

void *vit_fiber_local(VitIoThread *thread)
{
    VitFiber *f = vit_fiber_self(thread);

    return f ? f->local : NULL;
}

void vit_fiber_yield(VitIoThread *thread)
{
    VitFiber *f = vit_fiber_self(thread);

    g_assert(f);
    if (!f->woken) {
        f->waiting = true;
        f->home->current = f->outer;
        switch_stacks(&f->context, f->caller, false);
        f->waiting = false;
    }
    f->woken = false;
}

static void wake_call(void *opaque)
{
    vit_fiber_wake(opaque);
}

void vit_fiber_wake(VitFiber *f)
{
    VitFibers *home = f->home; /* f may have ended and be freed when it comes back */

    if (!vit_io_thread_is_current(f->thread)) {
        vit_io_thread_call(f->thread, wake_call, f);
        return;
    }
    if (f->woken) return;
    f->woken = true;
    if (!f->waiting) return; /* it will find `woken` */
    if (home->current) {
        g_queue_push_tail(&home->ready, f);
        return;
    }
    resume(f);
    run_ready(home);
}

void vit_fibers_free(VitFibers *fibers)
{
    VitFiber *f;

    if (!fibers) return;
    while ((f = g_queue_pop_head(&fibers->pool))) free_fiber(f);
    if (fibers->workers) g_thread_pool_free(fibers->workers, FALSE, TRUE);
    g_free(fibers);
}

/* ---- time and workers ------------------------------------------------------------------------ */

typedef struct {
    VitFiber *fiber;
    bool over;
} Sleep;

static gboolean sleep_over(gpointer data)
{
    Sleep *s = data;

    s->over = true;
    vit_fiber_wake(s->fiber);
    return G_SOURCE_REMOVE;
}

static gboolean dispatch_timer(GSource *source, GSourceFunc callback, gpointer data)
{
    return callback(data);
}

static const GSourceFuncs timer_funcs = { .dispatch = dispatch_timer };

void vit_fiber_sleep(VitIoThread *thread, uint64_t nanoseconds)
{
    Sleep s = { .fiber = vit_fiber_self(thread) };
    GSource *timer = g_source_new((GSourceFuncs *)&timer_funcs, sizeof *timer);
    uint64_t wait = MIN(nanoseconds / 1000, (uint64_t)INT64_MAX / 2);

    g_source_set_callback(timer, sleep_over, &s, NULL);
    g_source_set_ready_time(timer, g_get_monotonic_time() + (int64_t)wait);
    g_source_attach(timer, vit_io_thread_context(thread));
    while (!s.over) vit_fiber_yield(thread);
    g_source_unref(timer);
}

typedef struct {
    VitFiberFunc fn;
    void *opaque;
    VitFiber *fiber;
    bool over;
} Offload;

static void offload_over(void *opaque)
{
    Offload *o = opaque;

    o->over = true;
    vit_fiber_wake(o->fiber);
}

static void work(void *data, void *user_data)
{
    Offload *o = data;

    o->fn(o->opaque);
    vit_io_thread_call(o->fiber->thread, offload_over, o);
}

void vit_fiber_offload(VitIoThread *thread, VitFiberFunc fn, void *opaque)
{
    VitFibers *home = fibers_of(thread);
    Offload o = { .fn = fn, .opaque = opaque, .fiber = home->current };

    if (!home->workers)
        home->workers = g_thread_pool_new(work, NULL, (int)g_get_num_processors(), FALSE, NULL);
    g_thread_pool_push(home->workers, &o, NULL);
    while (!o.over) vit_fiber_yield(thread);
}

/* ---- locks ----------------------------------------------------------------------------------- */

void vit_fiber_mutex_lock(VitFiberMutex *mutex)
{
    VitFiber *self = vit_fiber_self(mutex->thread);

    g_assert(self && mutex->owner != self);
    if (!mutex->owner) {
        mutex->owner = self;
        return;
    }
    g_queue_push_tail(&mutex->waiting, self);
    while (mutex->owner != self) vit_fiber_yield(mutex->thread);
}

void vit_fiber_mutex_unlock(VitFiberMutex *mutex)
{
    g_assert(mutex->owner == vit_fiber_self(mutex->thread));
    mutex->owner = g_queue_pop_head(&mutex->waiting);
    if (mutex->owner) vit_fiber_wake(mutex->owner);
}

void vit_fiber_cond_wait(VitFiberCond *cond, VitFiberMutex *mutex)
{
    VitFiber *self = vit_fiber_self(cond->thread);

    g_queue_push_tail(&cond->waiting, self);
    if (mutex) vit_fiber_mutex_unlock(mutex);
    vit_fiber_yield(cond->thread);
    g_queue_remove(&cond->waiting, self); /* after a wake that was meant for something else */
    if (mutex) vit_fiber_mutex_lock(mutex);
}

void vit_fiber_cond_wake_one(VitFiberCond *cond)
{
    VitFiber *f = g_queue_pop_head(&cond->waiting);

    if (f) vit_fiber_wake(f);
}

void vit_fiber_cond_wake_all(VitFiberCond *cond)
{
    for (guint left = g_queue_get_length(&cond->waiting); left > 0; left--)
        vit_fiber_cond_wake_one(cond);
}
