/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/throttle/schedule.c - see schedule.h */
#include "block/throttle/schedule.h"

void vit_throttle_schedule_init(VitThrottleSchedule *s, const VitThrottleLimits *limits,
                                int64_t now)
{
    *s = (VitThrottleSchedule){ .queues = g_ptr_array_new() };
    vit_throttle_meter_init(&s->meter, limits, now);
}

void vit_throttle_schedule_clear(VitThrottleSchedule *s)
{
    g_clear_pointer(&s->queues, g_ptr_array_unref);
}

void vit_throttle_schedule_add(VitThrottleSchedule *s, VitThrottleQueue *queue)
{
    g_ptr_array_add(s->queues, queue);
}

void vit_throttle_schedule_remove(VitThrottleSchedule *s, VitThrottleQueue *queue)
{
    guint at;

    if (!g_ptr_array_find(s->queues, queue, &at)) return;
    g_ptr_array_remove_index(s->queues, at);
    for (unsigned d = 0; d < 2; d++) {
        if (s->turn[d] > at) s->turn[d]--;
        if (s->turn[d] >= s->queues->len) s->turn[d] = 0;
    }
}

/* Out of its queue and into the buckets. */
static VitThrottleTicket *take(VitThrottleSchedule *s, VitThrottleQueue *queue, bool write,
                               int64_t now)
{
    GList *link = g_queue_pop_head_link(&queue->waiting[write]);
    VitThrottleTicket *ticket = link->data;

    s->waiting[write]--;
    vit_throttle_meter_add(&s->meter, write, ticket->bytes, now);
    return ticket;
}

bool vit_throttle_schedule_enter(VitThrottleSchedule *s, VitThrottleQueue *queue,
                                 VitThrottleTicket *ticket, int64_t now)
{
    bool write = ticket->write;

    ticket->queue = queue;
    if (s->waiting[write] == 0 && vit_throttle_meter_wait(&s->meter, write, now) == 0) {
        vit_throttle_meter_add(&s->meter, write, ticket->bytes, now);
        s->wrote = write;
        return true;
    }
    ticket->link = (GList){ .data = ticket };
    g_queue_push_tail_link(&queue->waiting[write], &ticket->link);
    s->waiting[write]++;
    return false;
}

static VitThrottleTicket *take_turn(VitThrottleSchedule *s, bool write, int64_t now)
{
    for (unsigned n = s->queues->len, at = s->turn[write]; n > 0; n--, at++) {
        VitThrottleQueue *queue = s->queues->pdata[at % s->queues->len];
        if (g_queue_is_empty(&queue->waiting[write])) continue;
        s->turn[write] = (at + 1) % s->queues->len;
        s->wrote = write;
        return take(s, queue, write, now);
    }
    return NULL;
}

VitThrottleTicket *vit_throttle_schedule_next(VitThrottleSchedule *s, int64_t now, int64_t *when)
{
    const bool order[] = { !s->wrote, s->wrote };

    *when = INT64_MAX;
    for (unsigned i = 0; i < 2; i++) {
        if (s->waiting[order[i]] == 0) continue;
        int64_t wait = vit_throttle_meter_wait(&s->meter, order[i], now);
        if (wait == 0) return take_turn(s, order[i], now);
        *when = MIN(*when, now + wait);
    }
    return NULL;
}

VitThrottleTicket *vit_throttle_schedule_force(VitThrottleSchedule *s, VitThrottleQueue *queue,
                                               int64_t now)
{
    for (unsigned d = 0; d < 2; d++) {
        if (!g_queue_is_empty(&queue->waiting[d])) return take(s, queue, d, now);
    }
    return NULL;
}
