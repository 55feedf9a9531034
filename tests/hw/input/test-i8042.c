/* tests/hw/input/test-i8042.c - controller commands, scan codes, mouse packets
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/input/i8042.h"
#include "hw/input/ps2.h"
#include "tests/hw/one-device.h"
#include <linux/input-event-codes.h>

enum { DATA, COMMAND };

static void expect(OneDevice *o, const uint8_t *bytes, unsigned n, bool aux)
{
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(one_read(o, COMMAND, 1) & 0x21, ==, aux ? 0x21 : 0x01);
        g_assert_cmphex(one_read(o, DATA, 1), ==, bytes[i]);
    }
}
#define EXPECT(o, aux, ...)                                                                        \
    do {                                                                                           \
        static const uint8_t wanted[] = { __VA_ARGS__ };                                           \
        expect(o, wanted, sizeof wanted, aux);                                                     \
        g_assert_cmphex(one_read(o, COMMAND, 1) & 1, ==, 0);                                       \
    } while (0)

static void mouse(OneDevice *o, uint8_t byte)
{
    one_write(o, COMMAND, 0xd4, 1);
    one_write(o, DATA, byte, 1);
}

static void nothing(void *opaque)
{
}

static void send(OneDevice *o, VitInputHub *hub, VitInputEvent event)
{
    vit_input_hub_send(hub, &event, 1);
    vit_system_unlock(o->sys);                      /* it is delivered on the machine thread */
    vit_io_thread_call_sync(o->sys->thread, nothing, NULL);
    vit_system_lock(o->sys);
}

static void key(OneDevice *o, VitInputHub *hub, uint16_t code, bool down)
{
    send(o, hub, (VitInputEvent) { VIT_INPUT_KEY, code, down, 0 });
}

static void test_commands(void)
{
    OneDevice o;
    one_new(&o, &vit_i8042_class);
    one_write(&o, COMMAND, 0xaa, 1);
    EXPECT(&o, false, 0x55);
    one_write(&o, COMMAND, 0xab, 1);
    EXPECT(&o, false, 0x00);
    one_write(&o, COMMAND, 0xa9, 1);
    EXPECT(&o, false, 0x00);
    one_write(&o, COMMAND, 0x60, 1);
    one_write(&o, DATA, 0x65, 1);
    one_write(&o, COMMAND, 0x20, 1);
    EXPECT(&o, false, 0x65);
    one_write(&o, COMMAND, 0xd3, 1);                /* loops back as a mouse byte */
    one_write(&o, DATA, 0x5a, 1);
    EXPECT(&o, true, 0x5a);
    one_write(&o, DATA, 0xff, 1);
    EXPECT(&o, false, 0xfa, 0xaa);
    one_write(&o, DATA, 0xf2, 1);
    EXPECT(&o, false, 0xfa, 0xab, 0x41);            /* translated */
    one_free(&o);
}

static void test_keys(void)
{
    OneDevice o;
    one_new(&o, &vit_i8042_class);
    VitInputHub *hub = vit_input_hub_new(o.sys);
    vit_i8042_set_input(o.d, hub);
    key(&o, hub, KEY_A, true);
    g_assert_true(o.level[0]);
    EXPECT(&o, false, 0x1e);
    g_assert_false(o.level[0]);
    key(&o, hub, KEY_A, false);
    EXPECT(&o, false, 0x9e);
    key(&o, hub, KEY_RIGHT, true);
    key(&o, hub, KEY_RIGHT, false);
    o.rises[0] = 0;
    EXPECT(&o, false, 0xe0, 0x4d, 0xe0, 0xcd);
    g_assert_cmpuint(o.rises[0], ==, 3); /* an edge for each byte; the first came before */
    one_write(&o, COMMAND, 0x60, 1);
    one_write(&o, DATA, 0x05, 1);                   /* no translation */
    key(&o, hub, KEY_RIGHT, true);
    EXPECT(&o, false, 0xe0, 0x74);
    one_advance(&o, 480 * VIT_NS_PER_MS);
    g_assert_cmphex(one_read(&o, COMMAND, 1) & 1, ==, 0);
    one_advance(&o, 40 * VIT_NS_PER_MS);            /* typematic */
    EXPECT(&o, false, 0xe0, 0x74);
    key(&o, hub, KEY_RIGHT, false);
    EXPECT(&o, false, 0xe0, 0xf0, 0x74);
    one_advance(&o, VIT_NS_PER_S);
    g_assert_cmphex(one_read(&o, COMMAND, 1) & 1, ==, 0);
    one_write(&o, DATA, 0xed, 1);
    one_write(&o, DATA, 0x06, 1);
    EXPECT(&o, false, 0xfa, 0xfa);
    g_assert_cmphex(vit_input_hub_leds(hub), ==, 6);
    vit_i8042_set_input(o.d, NULL);
    vit_input_hub_free(hub);
    one_free(&o);
}

static void test_mouse(void)
{
    static const uint8_t knock[] = { 200, 100, 80 };
    OneDevice o;
    one_new(&o, &vit_i8042_class);
    VitInputHub *hub = vit_input_hub_new(o.sys);
    vit_i8042_set_input(o.d, hub);
    mouse(&o, 0xff);
    EXPECT(&o, true, 0xfa, 0xaa, 0x00);
    for (unsigned i = 0; i < 3; i++) {
        mouse(&o, 0xf3);
        EXPECT(&o, true, 0xfa);
        mouse(&o, knock[i]);
        EXPECT(&o, true, 0xfa);
    }
    mouse(&o, 0xf2);
    EXPECT(&o, true, 0xfa, 0x03);
    mouse(&o, 0xf4);
    EXPECT(&o, true, 0xfa);
    send(&o, hub, (VitInputEvent) { VIT_INPUT_REL, 0, 5, 3 });
    g_assert_true(o.level[1]);
    EXPECT(&o, true, 0x28, 0x05, 0xfd, 0x00);
    send(&o, hub, (VitInputEvent) { VIT_INPUT_BUTTON, BTN_RIGHT, 1, 0 });
    EXPECT(&o, true, 0x0a, 0x00, 0x00, 0x00);
    send(&o, hub, (VitInputEvent) { VIT_INPUT_WHEEL, 0, 0, 120 });
    EXPECT(&o, true, 0x0a, 0x00, 0x00, 0xff);
    send(&o, hub, (VitInputEvent) { VIT_INPUT_REL, 0, 300, 0 });
    EXPECT(&o, true, 0x0a, 0xff, 0x00, 0x00, 0x0a, 0x2d, 0x00, 0x00);
    vit_i8042_set_input(o.d, NULL);
    vit_input_hub_free(hub);
    one_free(&o);
}

static void test_translation(void)
{
    bool release = false, seen[128] = { false };
    unsigned n = 0;
    for (unsigned byte = 1; byte < 0x85; byte++) {  /* each set 1 code comes from one set 2 code */
        int code = vit_ps2_translate((uint8_t) byte, &release);
        if (byte == 0x02 || byte == 0x7f)           /* but for F7 and SysRq, which have two */
            continue;
        if (code < 0x80) {
            g_assert_false(seen[code]);
            seen[code] = true;
            n++;
        }
    }
    g_assert_cmpuint(n, ==, 127);
    g_assert_cmpint(vit_ps2_translate(0xf0, &release), ==, -1);
    g_assert_cmphex(vit_ps2_translate(0x1c, &release), ==, 0x9e);
    g_assert_false(release);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/i8042/commands", test_commands);
    g_test_add_func("/i8042/keys", test_keys);
    g_test_add_func("/i8042/mouse", test_mouse);
    g_test_add_func("/i8042/translation", test_translation);
    return g_test_run();
}
