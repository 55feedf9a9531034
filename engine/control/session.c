/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/session.c - one monitor connection: bytes in, commands on its thread, bytes out
 *
 * Input waits in a bounded queue; when the client does not read its answers no further command is
 * taken, and events are dropped, so nothing grows with what the other end does. */
#include "engine/control/control-private.h"

enum { IN_LIMIT = 64 << 10, OUT_LIMIT = 1 << 20, EVENT_LIMIT = 2 << 20 };

struct ControlSession {
    VitControl  *control;       /* borrowed */
    const ControlProtocol *protocol;
    VitChar     *chr;
    bool         own_chr, as_monitor;
    VitIoThread *thread;        /* owned: commands run here */
    GByteArray  *batch;         /* session's thread: taken from `in`, not yet used */
    size_t       batch_pos;
    unsigned     batch_epoch;   /* session's thread: connection that it came from */

    GMutex       lock;          /* leaf; guards the rest, but state */
    GByteArray  *in, *out;
    unsigned     epoch;         /* number of the connection; 0 before the first */
    unsigned     events_epoch;  /* connection that wants events; 0: none */
    bool         connected, fresh, scheduled;

    max_align_t  state[];       /* the protocol's; session's thread */
};

static void process(void *opaque);

/* ---- Output ---------------------------------------------------------------------------------- */

/* Machine lock held. */
static void flush(ControlSession *s)
{
    bool resume = false;

    g_mutex_lock(&s->lock);
    if (!s->connected)
        g_byte_array_set_size(s->out, 0);
    if (s->out->len) {
        bool full = s->out->len >= OUT_LIMIT;
        size_t n = vit_char_write(s->chr, s->out->data, s->out->len);
        g_byte_array_remove_range(s->out, 0, (guint) MIN(n, s->out->len));
        resume = full && s->out->len < OUT_LIMIT && !s->scheduled;
        s->scheduled |= resume;
    }
    g_mutex_unlock(&s->lock);
    if (resume)
        vit_io_thread_call(s->thread, process, s);
}

static void flush_locking(void *opaque)
{
    ControlSession *s = opaque;

    vit_system_lock(s->chr->sys);
    flush(s);
    vit_system_unlock(s->chr->sys);
}

void control_session_write(ControlSession *s, const char *text, size_t size)
{
    g_mutex_lock(&s->lock);
    if (s->connected && s->batch_epoch == s->epoch)
        g_byte_array_append(s->out, (const uint8_t *) text, (guint) size);
    g_mutex_unlock(&s->lock);
}

void control_session_want_events(ControlSession *s)
{
    g_mutex_lock(&s->lock);
    s->events_epoch = s->batch_epoch;
    g_mutex_unlock(&s->lock);
}

void control_session_event(ControlSession *s, const char *text, size_t size)
{
    g_mutex_lock(&s->lock);
    bool wanted = s->connected && s->events_epoch && s->events_epoch == s->epoch &&
                  s->out->len + size <= EVENT_LIMIT;
    if (wanted)
        g_byte_array_append(s->out, (const uint8_t *) text, (guint) size);
    g_mutex_unlock(&s->lock);
    if (wanted)
        vit_io_thread_call(s->thread, flush_locking, s);
}

void control_session_command_done(ControlSession *s)
{
    VitControl *c = s->control;

    if (!__atomic_exchange_n(&c->quitting, 0, __ATOMIC_SEQ_CST))
        return;
    if (c->engine) {
        JsonObject *data = json_object_new();
        json_object_set_boolean_member(data, "guest", FALSE);
        json_object_set_string_member(data, "reason", "host-qmp-quit");
        control_emit(c, "SHUTDOWN", data);
    }
    flush_locking(s);
    c->quit(c->quit_opaque);
}

/* ---- Commands, on the session's thread ------------------------------------------------------- */

/* Moves waiting input into the batch; false when there is nothing to do now. */
static bool refill(ControlSession *s)
{
    bool opened = false, took = false;

    g_mutex_lock(&s->lock);
    if (s->fresh) {
        s->fresh = false;
        opened = true;
        s->batch_epoch = s->epoch;
        g_byte_array_set_size(s->batch, 0);
        s->batch_pos = 0;
    }
    bool room = s->out->len < OUT_LIMIT;
    if (room && s->batch_pos == s->batch->len && s->in->len) {
        GByteArray *empty = s->batch;
        s->batch = s->in;
        s->in = empty;
        g_byte_array_set_size(empty, 0);
        s->batch_pos = 0;
        took = true;
    }
    bool more = room && s->batch_pos < s->batch->len;
    s->scheduled = more || opened;
    g_mutex_unlock(&s->lock);
    if (opened)
        s->protocol->opened(s->state);
    if (took)
        vit_char_accept_input(s->chr);
    return more || opened;
}

static void process(void *opaque)
{
    ControlSession *s = opaque;

    while (refill(s)) {
        if (s->batch_pos < s->batch->len)
            s->batch_pos += s->protocol->input(s->state, s->batch->data + s->batch_pos,
                                               s->batch->len - s->batch_pos);
        flush_locking(s);
    }
}

/* ---- The character device's side: machine lock held ------------------------------------------ */

static void schedule(ControlSession *s)     /* session's lock held */
{
    if (!s->scheduled)
        vit_io_thread_call(s->thread, process, s);
    s->scheduled = true;
}

static size_t can_receive(void *opaque)
{
    ControlSession *s = opaque;

    g_mutex_lock(&s->lock);
    size_t room = IN_LIMIT - s->in->len;
    g_mutex_unlock(&s->lock);
    return room;
}

static void receive(void *opaque, const uint8_t *data, size_t size)
{
    ControlSession *s = opaque;

    g_mutex_lock(&s->lock);
    g_byte_array_append(s->in, data, (guint) size);
    schedule(s);
    g_mutex_unlock(&s->lock);
}

/* What a client sent before it left is still carried out, unanswered. */
static void event(void *opaque, VitCharEvent what)
{
    ControlSession *s = opaque;

    if (what == VIT_CHAR_BREAK)
        return;
    g_mutex_lock(&s->lock);
    s->connected = what != VIT_CHAR_CLOSED;
    g_byte_array_set_size(s->out, 0);
    if (what == (s->as_monitor ? VIT_CHAR_FOCUSED : VIT_CHAR_OPENED)) {
        s->epoch++;
        s->fresh = true;
        g_byte_array_set_size(s->in, 0);
    }
    schedule(s);
    g_mutex_unlock(&s->lock);
}

static void writable(void *opaque)
{
    flush(opaque);
}

static const VitCharFront front = {
    .can_receive = can_receive, .receive = receive, .event = event, .writable = writable,
};

/* ---- Life ------------------------------------------------------------------------------------ */

ControlSession *control_session_new(VitControl *control, const ControlProtocol *protocol,
                                    VitChar *chr, bool as_monitor, bool own_chr)
{
    ControlSession *s = g_malloc0(sizeof *s + protocol->state_size);

    s->control = control;
    s->protocol = protocol;
    s->chr = chr;
    s->own_chr = own_chr;
    s->as_monitor = as_monitor;
    s->batch = g_byte_array_new();
    s->in = g_byte_array_new();
    s->out = g_byte_array_new();
    g_mutex_init(&s->lock);
    protocol->init(s->state, s);
    s->thread = vit_io_thread_new(protocol->name);
    if (as_monitor)
        vit_char_attach_monitor(chr, &front, s);
    else
        vit_char_attach(chr, &front, s);
    return s;
}

void control_session_free(ControlSession *s)
{
    if (s->as_monitor)
        vit_char_attach_monitor(s->chr, NULL, NULL);
    else
        vit_char_attach(s->chr, NULL, NULL);
    vit_io_thread_free(s->thread);
    if (s->own_chr)
        vit_char_free(s->chr);
    s->protocol->finish(s->state);
    g_byte_array_unref(s->batch);
    g_byte_array_unref(s->in);
    g_byte_array_unref(s->out);
    g_mutex_clear(&s->lock);
    g_free(s);
}

VitControl *control_session_control(ControlSession *s)
{
    return s->control;
}
