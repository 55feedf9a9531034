/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/display/test-input.c - which device gets which event, in what order, and under what load */
#include "display/input.h"

#include <linux/input-event-codes.h>

enum { MAX = 8192 };

typedef struct {
    VitSystem    *sys;
    bool          ready;
    unsigned      n, syncs;
    VitInputEvent events[MAX];
} Device;

static bool is_active(void *opaque)
{
    return ((Device *) opaque)->ready;
}

static void take(void *opaque, const VitInputEvent *event)
{
    Device *d = opaque;
    g_assert_true(vit_io_thread_is_current(d->sys->thread));
    if (d->n < MAX)
        d->events[d->n] = *event;
    d->n++;
}

static void take_sync(void *opaque)
{
    ((Device *) opaque)->syncs++;
}

enum { KEYS = 1 << VIT_INPUT_KEY, BUTTONS = 1 << VIT_INPUT_BUTTON, ABS = 1 << VIT_INPUT_ABS,
       REL = 1 << VIT_INPUT_REL, WHEEL = 1 << VIT_INPUT_WHEEL };

static const VitInputSink keyboard = { "keyboard", KEYS, is_active, take, take_sync };
static const VitInputSink mouse = { "mouse", REL | BUTTONS | WHEEL, is_active, take, take_sync };
static const VitInputSink tablet = { "tablet", ABS | BUTTONS | WHEEL, is_active, take, take_sync };

static void nothing(void *opaque)
{
}

static void settle(VitSystem *sys)
{
    vit_io_thread_call_sync(sys->thread, nothing, NULL);
}

static void add(VitInputHub *hub, const VitInputSink *sink, Device *d, VitSystem *sys)
{
    *d = (Device) { .sys = sys, .ready = true };
    vit_system_lock(sys);
    vit_input_hub_add(hub, sink, d);
    vit_system_unlock(sys);
}

static void send(VitInputHub *hub, VitInputKind kind, unsigned code, int value, int value2)
{
    VitInputEvent e = { kind, (uint16_t) code, value, value2 };
    vit_input_hub_send(hub, &e, 1);
}

static void test_routing(void)
{
    VitSystem *sys = vit_system_new();
    VitInputHub *hub = vit_input_hub_new(sys);
    g_autofree Device *ps2 = g_new(Device, 1), *usb = g_new(Device, 1), *m = g_new(Device, 1),
                      *t = g_new(Device, 1);

    add(hub, &keyboard, ps2, sys);
    add(hub, &mouse, m, sys);
    g_assert_false(vit_input_hub_has_absolute(hub));
    add(hub, &tablet, t, sys);
    add(hub, &keyboard, usb, sys);
    g_assert_true(vit_input_hub_has_absolute(hub));
    t->ready = usb->ready = false;
    g_assert_false(vit_input_hub_has_absolute(hub));

    send(hub, VIT_INPUT_KEY, KEY_A, 1, 0);
    settle(sys);
    g_assert_cmpuint(ps2->n, ==, 1);
    g_assert_cmpuint(ps2->syncs, ==, 1);
    /* a driver comes up while the key is down: its release goes to the old device */
    usb->ready = true;
    send(hub, VIT_INPUT_KEY, KEY_B, 1, 0);
    send(hub, VIT_INPUT_KEY, KEY_A, 0, 0);
    send(hub, VIT_INPUT_KEY, KEY_B, 0, 0);
    settle(sys);
    g_assert_cmpuint(ps2->n, ==, 2);
    g_assert_cmpint(ps2->events[1].code, ==, KEY_A);
    g_assert_cmpuint(usb->n, ==, 2);

    send(hub, VIT_INPUT_BUTTON, BTN_LEFT, 1, 0);
    send(hub, VIT_INPUT_BUTTON, BTN_LEFT, 0, 0);
    settle(sys);
    g_assert_cmpuint(m->n, ==, 2);
    t->ready = true;
    VitInputEvent batch[] = { { VIT_INPUT_ABS, 0, 5, 6 }, { VIT_INPUT_BUTTON, BTN_LEFT, 1, 0 },
                              { VIT_INPUT_WHEEL, 0, 0, 120 } };
    vit_input_hub_send(hub, batch, 3);
    settle(sys);
    g_assert_cmpuint(t->n, ==, 3);
    g_assert_cmpuint(t->syncs, ==, 1);
    g_assert_cmpuint(m->n, ==, 2);
    send(hub, VIT_INPUT_KEY, 0xffff, 1, 0);     /* no such key */
    vit_system_lock(sys);
    vit_input_hub_remove(hub, &tablet, t);      /* with its button down */
    vit_system_unlock(sys);
    send(hub, VIT_INPUT_BUTTON, BTN_LEFT, 0, 0);
    settle(sys);
    g_assert_cmpuint(t->n, ==, 3);
    g_assert_false(vit_input_hub_leds_reported(hub));
    vit_input_hub_set_leds(hub, 5);
    g_assert_cmpuint(vit_input_hub_leds(hub), ==, 5);
    g_assert_true(vit_input_hub_leds_reported(hub));
    vit_input_hub_free(hub);
    vit_system_free(sys);
}

/* A guest that does not come round: the queue stays bounded, the last place and all releases
 * arrive. */
static void test_flood(void)
{
    VitSystem *sys = vit_system_new();
    VitInputHub *hub = vit_input_hub_new(sys);
    g_autofree Device *k = g_new(Device, 1), *t = g_new(Device, 1);
    unsigned downs = 0, ups = 0;

    add(hub, &keyboard, k, sys);
    add(hub, &tablet, t, sys);
    vit_system_lock(sys);
    for (int i = 0; i < 20000; i++) {
        send(hub, VIT_INPUT_ABS, 0, i, i);
        if (i % 50 == 0)
            send(hub, VIT_INPUT_KEY, KEY_A + (unsigned) (i / 50 % 2), 1, 0);
        if (i % 50 == 25)
            send(hub, VIT_INPUT_KEY, KEY_A + (unsigned) (i / 50 % 2), 0, 0);
    }
    vit_system_unlock(sys);
    settle(sys);
    g_assert_cmpuint(k->n + t->n, <=, 2048);
    g_assert_cmpint(t->events[t->n - 1].value, >, 10000);
    for (unsigned i = 0; i < k->n; i++)
        *(k->events[i].value ? &downs : &ups) += 1;
    g_assert_cmpuint(downs, >, 0);
    g_assert_cmpuint(ups, >=, downs);
    vit_input_hub_free(hub);
    vit_system_free(sys);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/input/routing", test_routing);
    g_test_add_func("/input/flood", test_flood);
    return g_test_run();
}
