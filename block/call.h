/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/call.h - fibers and libraries that block or call back: waiting for another thread, for a
 * callback
 *
 * A protocol whose library only knows blocking calls gives each connection a thread of its own, so
 * that a server that does not answer holds up nobody else. */
#pragma once
#include "engine/core/fiber.h"

/* Runs fn on `worker` (in the order of calls) and waits for its end on a fiber of home. */
VIT_FOR_MODULES void vit_co_call(VitIoThread *home, VitIoThread *worker, VitFiberFunc fn,
                                 void *opaque);

/* An answer that comes by callback.  On a fiber: begin, start the operation, wait. */
typedef struct {
    VitIoThread *home; /* borrowed */
    VitFiber *fiber;
    bool over;
    int64_t result;
} VitAnswer;
VIT_FOR_MODULES void vit_answer_begin(VitAnswer *answer, VitIoThread *home);
VIT_FOR_MODULES int64_t vit_co_answer_wait(VitAnswer *answer);
void vit_answer_give(VitAnswer *answer, int64_t result); /* on home; the last touch of answer */
/* from another thread; once */
VIT_FOR_MODULES void vit_answer_give_from(VitAnswer *answer, int64_t result);

/* A library's socket in the thread's loop: events says what to wait for (poll(2) bits), service is
 * told what has come.  Any member of a connection that changes what is to be waited for calls
 * refresh. */
typedef struct {
    VitIoThread *thread; /* borrowed */
    VitIoWatch *watch; /* owned */
    GSource *tick; /* owned */
    int fd;
    int (*get_fd)(void *opaque);
    int (*events)(void *opaque);
    void (*service)(void *opaque, int revents);
    void *opaque;
} VitPollLink;
/* The functions and opaque are set.  Service also runs once a second, for the library's timeouts.
 */
VIT_FOR_MODULES void vit_poll_link_start(VitPollLink *link, VitIoThread *thread);
VIT_FOR_MODULES void vit_poll_link_refresh(VitPollLink *link);
VIT_FOR_MODULES void vit_poll_link_stop(VitPollLink *link); /* also of one that was not started */
