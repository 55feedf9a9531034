/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/channel.h - a stream socket of an iothread, plain or under TLS: reads wait on a fiber,
 * messages are queued and leave many at a time
 *
 * On the thread.  One fiber reads at a time; anybody on the thread sends. */
#pragma once
#include "engine/core/fiber.h"

#include <gnutls/gnutls.h>
#include <sys/uio.h>

typedef struct VitNbdChannel VitNbdChannel;
typedef struct VitNbdMessage VitNbdMessage;

enum { VIT_NBD_MESSAGE_HEAD = 96 };

struct VitNbdMessage { /* the sender's, until done() */
    uint8_t head[VIT_NBD_MESSAGE_HEAD];
    size_t head_size;
    const struct iovec *iov; /* what follows the head; borrowed until done() */
    int niov;
    void (*done)(VitNbdMessage *message, int result); /* 0 or -errno; may free the message */
    size_t sent; /* the channel's */
    VitNbdMessage *next; /* the channel's */
};

/* fd: a connected socket, owned from now on. */
[[nodiscard]] VitNbdChannel *vit_nbd_channel_new(VitIoThread *thread, int fd);
/* Nobody reads and nothing is queued any more. */
void vit_nbd_channel_free(VitNbdChannel *channel);
/* Ends it for good: what waits and all that follows fails with -ESHUTDOWN. */
void vit_nbd_channel_shutdown(VitNbdChannel *channel);
/* A fiber that waits for input returns -EINTR; false: nobody waits, and nothing is under way. */
bool vit_nbd_channel_interrupt(VitNbdChannel *channel);
/* To another thread: to NULL, on the old one, when nobody waits; then to the new one, there. */
void vit_nbd_channel_move(VitNbdChannel *channel, VitIoThread *thread);
int vit_nbd_channel_error(const VitNbdChannel *channel); /* 0: alive */
/* Called before a reading fiber waits for input. */
void vit_nbd_channel_on_wait(VitNbdChannel *channel, void (*fn)(void *opaque), void *opaque);

/* On a fiber: all of it, or -errno; -ENODATA: the other side closed before the first byte. */
[[nodiscard]] int vit_nbd_channel_read(VitNbdChannel *channel, void *buf, size_t size);
[[nodiscard]] int vit_nbd_channel_readv(VitNbdChannel *channel, const struct iovec *iov, int niov);
[[nodiscard]] int vit_nbd_channel_skip(VitNbdChannel *channel, uint64_t size);
/* On a fiber: returns when it has been handed to the host. */
[[nodiscard]] int vit_nbd_channel_write(VitNbdChannel *channel, const void *buf, size_t size);
/* Queues a message.  now: tries to send at once; else when the thread's loop comes round. */
void vit_nbd_channel_send(VitNbdChannel *channel, VitNbdMessage *message, bool now);

/* On a fiber, nothing queued: shakes hands on a session (owned by the channel from now on, also
 * when it fails).  What was read ahead in the clear is an error: nobody may speak before. */
[[nodiscard]] bool vit_nbd_channel_start_tls(VitNbdChannel *channel, gnutls_session_t session,
                                             GError **error);
gnutls_session_t vit_nbd_channel_tls(const VitNbdChannel *channel); /* borrowed; NULL: plain */
