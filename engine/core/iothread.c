/* engine/core/iothread.c - a thread with an event loop, its call queue and its descriptor watches
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Locks here are pthread mutexes, which ThreadSanitizer can follow, and are leaves. */
#include "engine/core/iothread.h"
#include "engine/core/iothread-private.h"

#include <glib-unix.h>
#include <pthread.h>
#include <unistd.h>

typedef struct {
    VitIoFunc fn;
    void     *opaque;
} Call;

struct VitIoThread {
    GThread        *thread;     /* owned until the join */
    GMainContext   *context;    /* owned */
    GSource        *calls;      /* owned */
    pthread_mutex_t mutex;
    GArray         *queue;      /* of Call, owned; guarded by mutex */
    GArray         *spare;      /* of Call, owned; used by the thread only */
    int             id;         /* of the host, 0: it has not begun; guarded by mutex */
    pthread_cond_t  begun;      /* id is set */
    bool            quit;       /* used by the thread only */
    VitFibers      *fibers;     /* owned; used by the thread only */
    unsigned        bursts;     /* nested; used by the thread only, like the next */
    GArray         *deferred;   /* of Call, owned */
};

typedef struct {
    GSource      source;
    VitIoThread *thread;        /* borrowed */
} CallSource;

static bool run_calls(VitIoThread *thread)
{
    pthread_mutex_lock(&thread->mutex);
    GArray *batch = thread->queue;
    thread->queue = thread->spare;
    thread->spare = NULL;
    pthread_mutex_unlock(&thread->mutex);
    bool any = batch->len > 0;
    for (guint i = 0; i < batch->len; i++) {
        Call call = g_array_index(batch, Call, i);
        call.fn(call.opaque);
    }
    g_array_set_size(batch, 0);
    thread->spare = batch;
    return any;
}

static gboolean calls_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    g_source_set_ready_time(source, -1);
    run_calls(((CallSource *) source)->thread);
    return G_SOURCE_CONTINUE;
}

static const GSourceFuncs call_source_funcs = { .dispatch = calls_dispatch };

static gpointer thread_main(gpointer data)
{
    VitIoThread *thread = data;
    pthread_mutex_lock(&thread->mutex);
    thread->id = gettid();
    pthread_cond_broadcast(&thread->begun);
    pthread_mutex_unlock(&thread->mutex);
    g_main_context_push_thread_default(thread->context);
    while (!thread->quit) {
        g_main_context_iteration(thread->context, TRUE);
        run_calls(thread);      /* those of what has just run, before it looks for more */
    }
    while (run_calls(thread)) { }
    g_main_context_pop_thread_default(thread->context);
    return NULL;
}

VitIoThread *vit_io_thread_new(const char *name)
{
    VitIoThread *thread = g_new0(VitIoThread, 1);
    pthread_mutex_init(&thread->mutex, NULL);
    pthread_cond_init(&thread->begun, NULL);
    thread->context = g_main_context_new();
    thread->queue = g_array_new(FALSE, FALSE, sizeof(Call));
    thread->spare = g_array_new(FALSE, FALSE, sizeof(Call));
    thread->deferred = g_array_new(FALSE, FALSE, sizeof(Call));
    thread->calls = g_source_new((GSourceFuncs *) &call_source_funcs, sizeof(CallSource));
    ((CallSource *) thread->calls)->thread = thread;
    g_source_set_static_name(thread->calls, "vit-calls");
    g_source_attach(thread->calls, thread->context);
    thread->thread = g_thread_new(name, thread_main, thread);
    return thread;
}

static void quit_call(void *opaque)
{
    ((VitIoThread *) opaque)->quit = true;
}

void vit_io_thread_free(VitIoThread *thread)
{
    if (!thread)
        return;
    vit_io_thread_call(thread, quit_call, thread);
    g_thread_join(thread->thread);
    g_source_destroy(thread->calls);
    g_source_unref(thread->calls);
    g_main_context_unref(thread->context);
    g_array_unref(thread->queue);
    g_array_unref(thread->spare);
    g_array_unref(thread->deferred);
    vit_fibers_free(thread->fibers);
    pthread_cond_destroy(&thread->begun);
    pthread_mutex_destroy(&thread->mutex);
    g_free(thread);
}

GMainContext *vit_io_thread_context(VitIoThread *thread)
{
    return thread->context;
}

VitFibers **vit_io_thread_fibers(VitIoThread *thread)
{
    return &thread->fibers;
}

int64_t vit_io_thread_id(VitIoThread *thread)
{
    pthread_mutex_lock(&thread->mutex);
    while (!thread->id)
        pthread_cond_wait(&thread->begun, &thread->mutex);
    int id = thread->id;
    pthread_mutex_unlock(&thread->mutex);
    return id;
}

bool vit_io_thread_is_current(const VitIoThread *thread)
{
    return g_thread_self() == thread->thread;
}

void vit_io_thread_call(VitIoThread *thread, VitIoFunc fn, void *opaque)
{
    Call call = { fn, opaque };
    pthread_mutex_lock(&thread->mutex);
    bool first = thread->queue->len == 0;
    g_array_append_val(thread->queue, call);
    /* Under the mutex: the thread may be freed as soon as its quit call is seen. */
    if (first)
        g_source_set_ready_time(thread->calls, 0);
    pthread_mutex_unlock(&thread->mutex);
}

typedef struct {
    VitIoFunc       fn;
    void           *opaque;
    pthread_mutex_t mutex;
    pthread_cond_t  cond;
    bool            done;       /* guarded by mutex */
} SyncCall;

static void run_sync_call(void *opaque)
{
    SyncCall *call = opaque;
    call->fn(call->opaque);
    pthread_mutex_lock(&call->mutex);
    call->done = true;
    pthread_cond_signal(&call->cond);
    pthread_mutex_unlock(&call->mutex);
}

void vit_io_thread_call_sync(VitIoThread *thread, VitIoFunc fn, void *opaque)
{
    if (vit_io_thread_is_current(thread)) {
        fn(opaque);
        return;
    }
    SyncCall call = { .fn = fn, .opaque = opaque };
    pthread_mutex_init(&call.mutex, NULL);
    pthread_cond_init(&call.cond, NULL);
    vit_io_thread_call(thread, run_sync_call, &call);
    pthread_mutex_lock(&call.mutex);
    while (!call.done)
        pthread_cond_wait(&call.cond, &call.mutex);
    pthread_mutex_unlock(&call.mutex);
    pthread_cond_destroy(&call.cond);
    pthread_mutex_destroy(&call.mutex);
}

/* ---- Bursts -------------------------------------------------------------------------------- */

void vit_io_thread_burst(VitIoThread *thread, bool begin)
{
    if (begin) {
        thread->bursts++;
        return;
    }
    if (thread->bursts == 1) {
        for (guint i = 0; i < thread->deferred->len; i++) {     /* it may grow */
            Call call = g_array_index(thread->deferred, Call, i);
            call.fn(call.opaque);
        }
        g_array_set_size(thread->deferred, 0);
    }
    thread->bursts--;
}

bool vit_io_thread_in_burst(const VitIoThread *thread)
{
    return thread->bursts > 0;
}

void vit_io_thread_defer(VitIoThread *thread, VitIoFunc fn, void *opaque)
{
    Call call = { fn, opaque };

    if (thread->bursts == 0)
        fn(opaque);
    else
        g_array_append_val(thread->deferred, call);
}

/* ---- Watches ------------------------------------------------------------------------------- */

struct VitIoWatch {
    GSource        source;      /* first member; reference counts the whole */
    int            fd;          /* borrowed */
    gpointer       tag;         /* NULL while no condition is waited for; guarded by lock */
    GIOCondition   condition;   /* guarded by lock */
    GRecMutex      own;
    GRecMutex     *lock;        /* held around fn: the caller's, or own */
    VitIoWatchFunc fn;
    void          *opaque;      /* borrowed */
    bool           dead;        /* guarded by lock */
};

static gboolean watch_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    VitIoWatch *watch = (VitIoWatch *) source;
    g_rec_mutex_lock(watch->lock);
    GRecMutex *lock = watch->lock;
    if (!watch->dead && watch->tag) {
        GIOCondition ready = g_source_query_unix_fd(source, watch->tag);
        ready &= watch->condition | G_IO_ERR | G_IO_HUP | G_IO_NVAL;
        if (ready)
            watch->fn(watch->opaque, ready);
    }
    g_rec_mutex_unlock(lock);
    return G_SOURCE_CONTINUE;
}

static void watch_finalize(GSource *source)
{
    g_rec_mutex_clear(&((VitIoWatch *) source)->own);
}

static const GSourceFuncs watch_source_funcs = {
    .dispatch = watch_dispatch,
    .finalize = watch_finalize,
};

VitIoWatch *vit_io_watch_new_locked(VitIoThread *thread, GRecMutex *lock, int fd,
                                    GIOCondition condition, VitIoWatchFunc fn, void *opaque)
{
    VitIoWatch *watch = (VitIoWatch *) g_source_new((GSourceFuncs *) &watch_source_funcs,
                                                    sizeof(*watch));
    watch->fd = fd;
    watch->fn = fn;
    watch->opaque = opaque;
    g_rec_mutex_init(&watch->own);
    watch->lock = lock ? lock : &watch->own;
    g_source_set_static_name(&watch->source, "vit-watch");
    g_rec_mutex_lock(watch->lock);
    if (condition) {
        watch->condition = condition;
        watch->tag = g_source_add_unix_fd(&watch->source, fd, condition);
    }
    g_source_attach(&watch->source, thread->context);
    g_rec_mutex_unlock(watch->lock);
    return watch;
}

VitIoWatch *vit_io_watch_new(VitIoThread *thread, int fd, GIOCondition condition,
                             VitIoWatchFunc fn, void *opaque)
{
    return vit_io_watch_new_locked(thread, NULL, fd, condition, fn, opaque);
}

void vit_io_watch_set(VitIoWatch *watch, GIOCondition condition)
{
    GRecMutex *lock = watch->lock;
    g_rec_mutex_lock(lock);
    if (condition != watch->condition && !watch->dead) {
        /* Nothing asked for means not polled at all: a hang-up would be reported for ever. */
        if (!condition) {
            g_source_remove_unix_fd(&watch->source, watch->tag);
            watch->tag = NULL;
        } else if (watch->tag) {
            g_source_modify_unix_fd(&watch->source, watch->tag, condition);
        } else {
            watch->tag = g_source_add_unix_fd(&watch->source, watch->fd, condition);
        }
        watch->condition = condition;
    }
    g_rec_mutex_unlock(lock);
}

void vit_io_watch_free(VitIoWatch *watch)
{
    if (!watch)
        return;
    GRecMutex *lock = watch->lock;
    g_rec_mutex_lock(lock);
    watch->dead = true;
    g_source_destroy(&watch->source);
    g_rec_mutex_unlock(lock);
    g_source_unref(&watch->source);
}
