/* SPDX-License-Identifier: GPL-3.0-or-later */
/* display/input.c - routes input events to the device that the guest listens to; see input.h
 *
 * Senders queue events under queue_lock and wake the machine thread once; it delivers them under
 * the machine lock.  A key's release goes where its press went, whichever sink is active by
 * then. */
#include "display/input.h"

#include <string.h>

enum { MAX_SINKS = 32, QUEUE_SOFT = 1024, QUEUE_HARD = 2048, N_CODES = 0x300 };

typedef struct { const VitInputSink *ops; void *opaque; } Sink;

typedef struct {
    VitInputEvent event;
    bool          last;         /* of its batch */
} Queued;

struct VitInputHub {
    VitSystem *sys;             /* borrowed */
    int        ref_count;       /* atomic; a queued wake-up holds one */
    GMutex     lock;            /* a leaf: guards what follows */
    Queued     queue[QUEUE_HARD];
    unsigned   head, used;
    bool       waking, closed;
    Sink       sinks[MAX_SINKS];
    unsigned   n_sinks;
    unsigned   leds;
    bool       leds_reported;
    Sink       pressed[N_CODES];    /* machine lock */
};

VitInputHub *vit_input_hub_new(VitSystem *sys)
{
    VitInputHub *hub = g_new0(VitInputHub, 1);
    hub->sys = sys;
    hub->ref_count = 1;
    g_mutex_init(&hub->lock);
    return hub;
}

static void unref(VitInputHub *hub)
{
    if (!g_atomic_int_dec_and_test(&hub->ref_count))
        return;
    g_mutex_clear(&hub->lock);
    g_free(hub);
}

void vit_input_hub_free(VitInputHub *hub)
{
    if (!hub)
        return;
    g_mutex_lock(&hub->lock);
    hub->closed = true;
    hub->n_sinks = hub->used = 0;
    g_mutex_unlock(&hub->lock);
    unref(hub);
}

void vit_input_hub_add(VitInputHub *hub, const VitInputSink *sink, void *opaque)
{
    g_mutex_lock(&hub->lock);
    if (hub->n_sinks < MAX_SINKS)
        hub->sinks[hub->n_sinks++] = (Sink) { sink, opaque };
    g_mutex_unlock(&hub->lock);
}

void vit_input_hub_remove(VitInputHub *hub, const VitInputSink *sink, void *opaque)
{
    g_mutex_lock(&hub->lock);
    for (unsigned i = 0; i < hub->n_sinks; i++)
        if (hub->sinks[i].ops == sink && hub->sinks[i].opaque == opaque) {
            memmove(&hub->sinks[i], &hub->sinks[i + 1], (hub->n_sinks - i - 1) * sizeof(Sink));
            hub->n_sinks--;
            break;
        }
    g_mutex_unlock(&hub->lock);
    for (unsigned i = 0; i < N_CODES; i++)
        if (hub->pressed[i].ops == sink && hub->pressed[i].opaque == opaque)
            hub->pressed[i] = (Sink) {};
}

/* The newest active sink that takes all of kinds. */
static Sink find_locked(VitInputHub *hub, unsigned kinds)
{
    for (unsigned i = hub->n_sinks; i-- > 0;) {
        Sink s = hub->sinks[i];
        if ((s.ops->kinds & kinds) == kinds && (!s.ops->active || s.ops->active(s.opaque)))
            return s;
    }
    return (Sink) {};
}

static Sink find(VitInputHub *hub, VitInputKind kind)
{
    Sink s = {};

    g_mutex_lock(&hub->lock);
    /* Buttons and wheel belong to the pointer that moves. */
    if (kind == VIT_INPUT_BUTTON || kind == VIT_INPUT_WHEEL)
        s = find_locked(hub, 1u << kind | 1u << VIT_INPUT_ABS);
    if (!s.ops)
        s = find_locked(hub, 1u << kind);
    g_mutex_unlock(&hub->lock);
    return s;
}

static Sink route(VitInputHub *hub, const VitInputEvent *e)
{
    bool key = e->kind == VIT_INPUT_KEY || e->kind == VIT_INPUT_BUTTON;

    if (key && e->code >= N_CODES)
        return (Sink) {};
    if (key && hub->pressed[e->code].ops) {
        Sink s = hub->pressed[e->code];     /* repeat or release */
        if (!e->value)
            hub->pressed[e->code] = (Sink) {};
        return s;
    }
    Sink s = find(hub, e->kind);
    if (key && e->value)
        hub->pressed[e->code] = s;
    return s;
}

static void deliver(void *opaque)
{
    VitInputHub *hub = opaque;
    Sink touched[MAX_SINKS];
    unsigned n_touched = 0;

    g_mutex_lock(&hub->lock);
    if (hub->closed) {      /* the machine may be gone already */
        g_mutex_unlock(&hub->lock);
        unref(hub);
        return;
    }
    hub->waking = false;
    unsigned left = hub->used;      /* what comes meanwhile wakes again */
    g_mutex_unlock(&hub->lock);

    vit_system_lock(hub->sys);
    while (left-- > 0) {
        g_mutex_lock(&hub->lock);
        if (hub->used == 0) {
            g_mutex_unlock(&hub->lock);
            break;
        }
        Queued q = hub->queue[hub->head];
        hub->head = (hub->head + 1) % QUEUE_HARD;
        hub->used--;
        g_mutex_unlock(&hub->lock);

        Sink s = route(hub, &q.event);
        if (s.ops) {
            unsigned i = 0;
            s.ops->event(s.opaque, &q.event);
            while (i < n_touched && (touched[i].ops != s.ops || touched[i].opaque != s.opaque))
                i++;
            if (i == n_touched && n_touched < MAX_SINKS)
                touched[n_touched++] = s;
        }
        if (q.last) {
            for (unsigned i = 0; i < n_touched; i++)
                if (touched[i].ops->sync)
                    touched[i].ops->sync(touched[i].opaque);
            n_touched = 0;
        }
    }
    vit_system_unlock(hub->sys);
    unref(hub);
}

static bool is_motion(const VitInputEvent *e)
{
    return e->kind == VIT_INPUT_ABS || e->kind == VIT_INPUT_REL || e->kind == VIT_INPUT_WHEEL;
}

/* A slow guest: the pointer's last place is what counts, so motion merges into the newest event
 * when that is of the same kind, and in a long queue into the last one of its kind; then only
 * releases still get in. */
static bool merge(VitInputHub *hub, const VitInputEvent *e)
{
    unsigned back = 1, farthest = hub->used < QUEUE_SOFT ? 1 : hub->used;
    VitInputEvent *newest = NULL;

    for (; back <= farthest && back <= hub->used && is_motion(e); back++) {
        newest = &hub->queue[(hub->head + hub->used - back) % QUEUE_HARD].event;
        if (newest->kind == e->kind)
            break;
        newest = NULL;
    }
    if (!newest)
        return false;
    if (e->kind == VIT_INPUT_ABS) {
        newest->value = e->value;
        newest->value2 = e->value2;
    } else {
        newest->value = CLAMP((int64_t) newest->value + e->value, INT16_MIN, INT16_MAX);
        newest->value2 = CLAMP((int64_t) newest->value2 + e->value2, INT16_MIN, INT16_MAX);
    }
    return true;
}

void vit_input_hub_send(VitInputHub *hub, const VitInputEvent *events, unsigned n)
{
    bool wake = false;

    g_mutex_lock(&hub->lock);
    for (unsigned i = 0; i < n && !hub->closed; i++) {
        const VitInputEvent *e = &events[i];
        bool release = !is_motion(e) && !e->value;
        if (hub->used >= QUEUE_SOFT / 2 && merge(hub, e))
            continue;
        if (hub->used < QUEUE_SOFT || (release && hub->used < QUEUE_HARD)) {
            hub->queue[(hub->head + hub->used) % QUEUE_HARD] = (Queued) { *e, i == n - 1 };
            hub->used++;
        } else if (i == n - 1 && hub->used > 0) {
            hub->queue[(hub->head + hub->used - 1) % QUEUE_HARD].last = true;
        }
    }
    if (hub->used > 0 && !hub->waking && !hub->closed) {
        hub->waking = wake = true;
        g_atomic_int_inc(&hub->ref_count);
    }
    g_mutex_unlock(&hub->lock);
    if (wake)
        vit_io_thread_call(hub->sys->thread, deliver, hub);
}

bool vit_input_hub_has_absolute(VitInputHub *hub)
{
    g_mutex_lock(&hub->lock);
    bool has = find_locked(hub, 1u << VIT_INPUT_ABS).ops != NULL;
    g_mutex_unlock(&hub->lock);
    return has;
}

void vit_input_hub_set_leds(VitInputHub *hub, unsigned leds)
{
    g_mutex_lock(&hub->lock);
    hub->leds = leds;
    hub->leds_reported = true;
    g_mutex_unlock(&hub->lock);
}

bool vit_input_hub_leds_reported(VitInputHub *hub)
{
    g_mutex_lock(&hub->lock);
    bool reported = hub->leds_reported;
    g_mutex_unlock(&hub->lock);
    return reported;
}

unsigned vit_input_hub_leds(VitInputHub *hub)
{
    g_mutex_lock(&hub->lock);
    unsigned leds = hub->leds;
    g_mutex_unlock(&hub->lock);
    return leds;
}
