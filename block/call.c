/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/call.c - see call.h */
#include "block/call.h"

#include <poll.h>

void vit_answer_begin(VitAnswer *answer, VitIoThread *home)
{
    *answer = (VitAnswer){ .home = home, .fiber = vit_fiber_self(home) };
}

int64_t vit_co_answer_wait(VitAnswer *answer)
{
    while (!answer->over) vit_fiber_yield(answer->home);
    return answer->result;
}

void vit_answer_give(VitAnswer *answer, int64_t result)
{
    VitFiber *fiber = answer->fiber;

    answer->result = result;
    answer->over = true;
    vit_fiber_wake(fiber);
}

static void give_here(void *opaque)
{
    VitAnswer *answer = opaque;

    vit_answer_give(answer, answer->result);
}

void vit_answer_give_from(VitAnswer *answer, int64_t result)
{
    answer->result = result;
    vit_io_thread_call(answer->home, give_here, answer);
}

typedef struct {
    VitAnswer answer;
    VitFiberFunc fn;
    void *opaque;
} Call;

static void run_call(void *opaque)
{
    Call *call = opaque;

    call->fn(call->opaque);
    vit_answer_give_from(&call->answer, 0);
}

void vit_co_call(VitIoThread *home, VitIoThread *worker, VitFiberFunc fn, void *opaque)
{
    Call call = { .fn = fn, .opaque = opaque };

    vit_answer_begin(&call.answer, home);
    vit_io_thread_call(worker, run_call, &call);
    vit_co_answer_wait(&call.answer);
}

/* ---- sockets of libraries -------------------------------------------------------------------- */

static GIOCondition wanted(VitPollLink *link)
{
    int events = link->events(link->opaque);

    return (events & POLLIN ? G_IO_IN : 0) | (events & POLLOUT ? G_IO_OUT : 0);
}

static void ready(void *opaque, GIOCondition condition)
{
    VitPollLink *link = opaque;

    link->service(link->opaque,
                  (condition & G_IO_IN ? POLLIN : 0) | (condition & G_IO_OUT ? POLLOUT : 0) |
                      (condition & G_IO_ERR ? POLLERR : 0) | (condition & G_IO_HUP ? POLLHUP : 0));
}

static gboolean tick(void *opaque)
{
    VitPollLink *link = opaque;

    link->service(link->opaque, 0);
    return G_SOURCE_CONTINUE;
}

void vit_poll_link_refresh(VitPollLink *link)
{
    int fd = link->thread ? link->get_fd(link->opaque) : -1;

    if (fd != link->fd) { /* a library that connects anew has another socket */
        vit_io_watch_free(link->watch);
        link->watch = NULL;
        link->fd = fd;
        if (fd >= 0) link->watch = vit_io_watch_new(link->thread, fd, wanted(link), ready, link);
    } else if (link->watch) {
        vit_io_watch_set(link->watch, wanted(link));
    }
}

void vit_poll_link_start(VitPollLink *link, VitIoThread *thread)
{
    link->thread = thread;
    link->fd = -1;
    link->tick = g_timeout_source_new(1000);
    g_source_set_callback(link->tick, tick, link, NULL);
    g_source_attach(link->tick, vit_io_thread_context(thread));
    vit_poll_link_refresh(link);
}

void vit_poll_link_stop(VitPollLink *link)
{
    if (!link->thread) return;
    vit_io_watch_free(link->watch);
    link->watch = NULL;
    g_source_destroy(link->tick);
    g_clear_pointer(&link->tick, g_source_unref);
    link->thread = NULL;
}
