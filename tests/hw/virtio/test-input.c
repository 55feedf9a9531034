/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/test-input.c - keyboard, mouse and tablet as a driver sees them */
#include "tests/hw/virtio/guest-driver.h"

#include <linux/input-event-codes.h>

typedef struct { uint16_t type, code; int32_t value; } Event;

typedef struct {
    GuestMachine f;
    VitInputHub *hub;
    GuestQueue   events, status;
    uint64_t     buffers[64];
} Fixture;

static void setup(Fixture *t, const char *text, unsigned buffers)
{
    guest_machine_init(&t->f);
    t->hub = vit_input_hub_new(t->f.m.sys);
    t->f.ctx.input = t->hub;
    guest_machine_add(&t->f, text);
    guest_machine_start(&t->f);
    (void) guest_negotiate(&t->f.g, ~0ull);
    guest_queue(&t->f.g, &t->events, 0, 64);
    guest_queue(&t->f.g, &t->status, 1, 64);
    guest_driver_ok(&t->f.g);
    for (unsigned i = 0; i < buffers; i++) {
        GuestBuf buf = { guest_alloc(&t->f.g, 8), 8, true };
        t->buffers[guest_add(&t->events, &buf, 1, false)] = buf.addr;
    }
    guest_kick(&t->events);
}

static void teardown(Fixture *t)
{
    vit_system_lock(t->f.m.sys);
    while (t->f.m.sys->devices->len)
        vit_device_free(t->f.m.sys->devices->pdata[t->f.m.sys->devices->len - 1]);
    vit_system_unlock(t->f.m.sys);
    vit_input_hub_free(t->hub);
    guest_machine_clear(&t->f);
}

static void expect(Fixture *t, uint16_t type, uint16_t code, int32_t value)
{
    uint16_t head = 0;
    uint32_t len = 0;
    Event e;
    g_assert_true(guest_used(&t->events, &head, &len, 5000));
    g_assert_cmpuint(len, ==, 8);
    memcpy(&e, guest_ptr(&t->f.g, t->buffers[head]), sizeof e);
    g_assert_cmpuint(e.type, ==, type);
    g_assert_cmpuint(e.code, ==, code);
    g_assert_cmpint(e.value, ==, value);
}

static unsigned config(Fixture *t, uint8_t select, uint8_t subsel, uint8_t *data)
{
    Guest *g = &t->f.g;
    reg_write(g, g->device, select, 1);
    reg_write(g, g->device + 1, subsel, 1);
    unsigned size = (unsigned) reg_read(g, g->device + 2, 1);
    for (unsigned i = 0; data && i < 128; i++)
        data[i] = (uint8_t) reg_read(g, g->device + 8 + i, 1);
    return size;
}

static bool has_bit(const uint8_t *bits, unsigned n) { return bits[n / 8] & 1 << (n % 8); }

static void test_keyboard(void)
{
    Fixture t;
    uint8_t data[128];
    setup(&t, "virtio-keyboard-pci", 32);
    g_assert_cmphex(cfg_read(&t.f.m, 0, 0, 4), ==, 0x10521af4);
    g_assert_cmpuint(config(&t, 1, 0, data), >, 4);
    g_assert_true(g_str_has_prefix((char *) data, "Vitrine"));
    g_assert_cmpuint(config(&t, 0x11, EV_KEY, data), >, 16);
    g_assert_true(has_bit(data, KEY_A) && has_bit(data, KEY_F24) && has_bit(data, KEY_LEFTMETA));
    g_assert_cmpuint(config(&t, 0x11, EV_LED, data), ==, 1);
    g_assert_cmpuint(data[0], ==, 7);
    g_assert_cmpuint(config(&t, 0x11, EV_REL, NULL), ==, 0);
    g_assert_cmpuint(config(&t, 0x77, 0x99, NULL), ==, 0);

    VitInputEvent events[] = { { VIT_INPUT_KEY, KEY_A, 1, 0 } },
                  more[] = { { VIT_INPUT_KEY, KEY_A, 0, 0 } };
    vit_input_hub_send(t.hub, events, 1);
    expect(&t, EV_KEY, KEY_A, 1);
    expect(&t, EV_SYN, SYN_REPORT, 0);
    vit_input_hub_send(t.hub, more, 1);
    expect(&t, EV_KEY, KEY_A, 0);
    expect(&t, EV_SYN, SYN_REPORT, 0);
    g_assert_true(guest_wait_message(&t.f.g, 1, 1));

    Event led = { EV_LED, LED_CAPSL, 1 };
    GuestBuf buf = { guest_put(&t.f.g, &led, 8), 8, false };
    (void) guest_do(&t.status, &buf, 1, false);
    g_assert_cmpuint(vit_input_hub_leds(t.hub), ==, 4);
    teardown(&t);
}

static void test_tablet(void)
{
    Fixture t;
    uint8_t data[128];
    setup(&t, "virtio-tablet-pci", 64);
    g_assert_cmpuint(config(&t, 0x12, ABS_X, data), ==, 20);
    g_assert_cmphex(data[4] | data[5] << 8, ==, 32767);
    (void) config(&t, 0x11, EV_REL, data);
    g_assert_true(has_bit(data, REL_WHEEL) && has_bit(data, REL_WHEEL_HI_RES) &&
                  has_bit(data, REL_HWHEEL_HI_RES));
    g_assert_true(vit_input_hub_has_absolute(t.hub));

    VitInputEvent batch[] = { { VIT_INPUT_ABS, 0, 100, 40000 },
                              { VIT_INPUT_BUTTON, BTN_LEFT, 1, 0 } };
    vit_input_hub_send(t.hub, batch, 2);
    expect(&t, EV_ABS, ABS_X, 100);
    expect(&t, EV_ABS, ABS_Y, 32767);
    expect(&t, EV_KEY, BTN_LEFT, 1);
    expect(&t, EV_SYN, SYN_REPORT, 0);

    /* Half a detent twice is one. */
    VitInputEvent half = { VIT_INPUT_WHEEL, 0, 0, 60 };
    vit_input_hub_send(t.hub, &half, 1);
    expect(&t, EV_REL, REL_WHEEL_HI_RES, 60);
    expect(&t, EV_SYN, SYN_REPORT, 0);
    vit_input_hub_send(t.hub, &half, 1);
    expect(&t, EV_REL, REL_WHEEL_HI_RES, 60);
    expect(&t, EV_REL, REL_WHEEL, 1);
    expect(&t, EV_SYN, SYN_REPORT, 0);
    VitInputEvent side = { VIT_INPUT_WHEEL, 0, -240, 0 };
    vit_input_hub_send(t.hub, &side, 1);
    expect(&t, EV_REL, REL_HWHEEL_HI_RES, -240);
    expect(&t, EV_REL, REL_HWHEEL, -2);
    expect(&t, EV_SYN, SYN_REPORT, 0);
    teardown(&t);
}

static void test_mouse(void)
{
    Fixture t;
    setup(&t, "virtio-mouse-pci", 32);
    VitInputEvent move = { VIT_INPUT_REL, 0, -3, 7 };
    vit_input_hub_send(t.hub, &move, 1);
    expect(&t, EV_REL, REL_X, -3);
    expect(&t, EV_REL, REL_Y, 7);
    expect(&t, EV_SYN, SYN_REPORT, 0);
    teardown(&t);
}

/* A report that does not fit is left out as a whole. */
static void test_full(void)
{
    Fixture t;
    setup(&t, "virtio-keyboard-pci", 3);
    VitInputEvent key = { VIT_INPUT_KEY, KEY_B, 1, 0 },
                  two[] = { { VIT_INPUT_KEY, KEY_C, 1, 0 }, { VIT_INPUT_KEY, KEY_D, 1, 0 } };
    vit_input_hub_send(t.hub, &key, 1);
    expect(&t, EV_KEY, KEY_B, 1);
    expect(&t, EV_SYN, SYN_REPORT, 0);
    vit_input_hub_send(t.hub, two, 2);
    g_assert_false(guest_used(&t.events, NULL, NULL, 30));
    teardown(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-input/keyboard", test_keyboard);
    g_test_add_func("/virtio-input/tablet", test_tablet);
    g_test_add_func("/virtio-input/mouse", test_mouse);
    g_test_add_func("/virtio-input/full", test_full);
    return g_test_run();
}
