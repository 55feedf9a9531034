/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/test-console.c - console and ports as a driver uses them */
#include "tests/hw/virtio/guest-driver.h"

enum { READY = 0, ADD = 1, PORT_READY = 3, CONSOLE = 4, OPEN = 6, NAME = 7 };
typedef struct { uint32_t id; uint16_t event, value; } Control;

typedef struct {
    GuestMachine f;
    VitChar     *tty, *port;
    GuestQueue   q[6];
    uint64_t     control[64];
} Fixture;

static void setup(Fixture *t, uint64_t features)
{
    guest_machine_init(&t->f);
    vit_system_lock(t->f.m.sys);
    t->tty = vit_char_new_memory(t->f.m.sys, "tty", 4096);
    t->port = vit_char_new_memory(t->f.m.sys, "agent", 4096);
    vit_system_unlock(t->f.m.sys);
    g_hash_table_insert(t->f.ctx.chardevs, "tty", t->tty);
    g_hash_table_insert(t->f.ctx.chardevs, "agent", t->port);
    guest_machine_add(&t->f, "virtio-serial-pci,max_ports=4");
    guest_machine_add(&t->f, "virtconsole,chardev=tty");
    guest_machine_add(&t->f, "virtserialport,chardev=agent,name=org.example.agent.0");
    guest_machine_start(&t->f);
    (void) guest_negotiate(&t->f.g, features);
    for (unsigned i = 0; i < 6; i++)
        guest_queue(&t->f.g, &t->q[i], i, 64);
    guest_driver_ok(&t->f.g);
}

static void teardown(Fixture *t) { guest_machine_clear(&t->f); }

static void write_to(Fixture *t, unsigned queue, const char *text)
{
    GuestBuf buf = { guest_put(&t->f.g, text, (uint32_t) strlen(text)), (uint32_t) strlen(text),
                     false };
    (void) guest_do(&t->q[queue], &buf, 1, false);
}

static void expect_input(Fixture *t, unsigned queue, VitChar *chr, const char *text)
{
    GuestBuf buf = { guest_alloc(&t->f.g, 64), 64, true };
    uint32_t len = 0;
    guest_add(&t->q[queue], &buf, 1, false);
    guest_kick(&t->q[queue]);
    vit_char_memory_feed(chr, text, strlen(text));
    g_assert_true(guest_used(&t->q[queue], NULL, &len, 5000));
    g_assert_cmpuint(len, ==, strlen(text));
    g_assert_cmpmem(guest_ptr(&t->f.g, buf.addr), len, text, strlen(text));
}

static void test_plain(void)
{
    Fixture t;
    setup(&t, 0);
    g_assert_cmphex(cfg_read(&t.f.m, 0, 0, 4), ==, 0x10431af4);
    write_to(&t, 1, "hello ");
    write_to(&t, 1, "world");
    g_autofree char *out = vit_char_memory_take(t.tty, NULL);
    g_assert_cmpstr(out, ==, "hello world");
    expect_input(&t, 0, t.tty, "typed");
    teardown(&t);
}

static void control_buffers(Fixture *t)
{
    for (unsigned i = 0; i < 16; i++) {
        GuestBuf buf = { guest_alloc(&t->f.g, 64), 64, true };
        t->control[guest_add(&t->q[2], &buf, 1, false)] = buf.addr;
    }
    guest_kick(&t->q[2]);
}

static void say(Fixture *t, uint32_t id, uint16_t event, uint16_t value)
{
    Control c = { id, event, value };
    GuestBuf buf = { guest_put(&t->f.g, &c, 8), 8, false };
    (void) guest_do(&t->q[3], &buf, 1, false);
}

static const char *hear(Fixture *t, uint32_t id, uint16_t event, uint16_t value)
{
    uint16_t head = 0;
    uint32_t len = 0;
    Control c;
    g_assert_true(guest_used(&t->q[2], &head, &len, 5000));
    memcpy(&c, guest_ptr(&t->f.g, t->control[head]), 8);
    g_assert_cmpuint(c.id, ==, id);
    g_assert_cmpuint(c.event, ==, event);
    g_assert_cmpuint(c.value, ==, value);
    return (const char *) guest_ptr(&t->f.g, t->control[head]) + 8;
}

static void test_multiport(void)
{
    Fixture t;
    setup(&t, ~0ull);
    g_assert_cmpuint(reg_read(&t.f.g, t.f.g.device + 4, 4), ==, 4);
    control_buffers(&t);
    say(&t, 0, READY, 1);
    hear(&t, 0, ADD, 1);
    hear(&t, 1, ADD, 1);
    say(&t, 0, PORT_READY, 1);
    hear(&t, 0, CONSOLE, 1);
    hear(&t, 0, OPEN, 1);
    say(&t, 1, PORT_READY, 1);
    g_assert_cmpstr(hear(&t, 1, NAME, 1), ==, "org.example.agent.0");
    hear(&t, 1, OPEN, 1);
    say(&t, 1, OPEN, 1);
    write_to(&t, 5, "from the agent");
    g_autofree char *out = vit_char_memory_take(t.port, NULL);
    g_assert_cmpstr(out, ==, "from the agent");
    expect_input(&t, 4, t.port, "to the agent");
    say(&t, 77, OPEN, 1);           /* no such port */
    say(&t, 0, 999, 1);
    write_to(&t, 1, "still here");
    g_autofree char *tty = vit_char_memory_take(t.tty, NULL);
    g_assert_cmpstr(tty, ==, "still here");
    teardown(&t);
}

static void test_options(void)
{
    Fixture t;
    setup(&t, 0);
    static const char *const wrong[] = {
        "virtserialport,chardev=nowhere", "virtserialport,nr=1",
        "virtserialport,nr=99",           "virtconsole,nam=x",
        "virtio-serial-pci,max_ports=99",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        GError *error = NULL;
        g_assert_null(vit_pci_device_create(&t.f.ctx, wrong[i], &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
    }
    guest_machine_add(&t.f, "virtserialport,nr=3");
    teardown(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-console/plain", test_plain);
    g_test_add_func("/virtio-console/multiport", test_multiport);
    g_test_add_func("/virtio-console/options", test_options);
    return g_test_run();
}
