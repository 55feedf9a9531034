/* tests/engine/core/test-device.c - a device with rows of every kind, and devices with mistakes
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/device.h"
#include "engine/core/log.h"
#include "tests/device/device-test.h"

#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    uint16_t position;
    bool     active;
} Channel;

typedef struct {
    VitDevice parent;
    VitTimer *alarm;
    uint32_t  speed;
    bool      loud;
    uint64_t  room;
    char     *label;
    unsigned  wrote_calls, loads;
    uint64_t  last_write;
    struct {
        uint8_t  control, status, mask, banked;
        uint32_t address[4];
        uint64_t wide;
        VitFifo8 fifo;
        Channel  channels[3];
        bool     seen;
        uint8_t  blob[5];
        size_t   text_size;
        uint8_t *text;
    } st;
} Sample;

static int sample_bank(VitDevice *d, uint32_t offset)
{
    return ((Sample *) d)->st.control >> 7;
}

static void write_data(VitDevice *d, uint32_t offset, uint64_t value)
{
    Sample *s = (Sample *) d;
    s->last_write = value;
    s->st.seen = true;
    vit_fifo8_push(&s->st.fifo, (uint8_t) value);
    s->st.channels[value % 3].position++;
    if (value & 0x80) {
        g_free(s->st.text);
        s->st.text_size = (value & 15) + 1;
        s->st.text = g_malloc0(s->st.text_size);
    }
    vit_timer_set(s->alarm, vit_clock_now(d->sys->clock) + 1000);
}

static uint64_t read_data(VitDevice *d, uint32_t offset)
{
    int byte = vit_fifo8_pop(&((Sample *) d)->st.fifo);
    return byte < 0 ? 0 : (uint64_t) byte;
}

static void wrote_address(VitDevice *d, uint32_t offset, uint64_t old)
{
    Sample *s = (Sample *) d;
    s->wrote_calls++;
    s->last_write = (uint64_t) offset << 32 | old;
}

static void alarm_rings(void *opaque)
{
    Sample *s = opaque;
    s->st.status |= 0x01;
    vit_irq_set(&s->parent, 0, s->st.status & s->st.mask);
}

static void sample_update(VitDevice *d)
{
    Sample *s = (Sample *) d;
    vit_irq_set(d, 0, s->st.status & s->st.mask);
}

static void sample_input(VitDevice *d, unsigned n, bool level)
{
    Sample *s = (Sample *) d;
    s->st.channels[n].active = level;
    if (level)
        s->st.status |= (uint8_t) (2 << n);
}

static bool sample_init(VitDevice *d, GError **error)
{
    Sample *s = (Sample *) d;
    s->alarm = vit_timer_new(d->sys->clock, alarm_rings, s);
    vit_fifo8_init(&s->st.fifo, 16);
    if (s->speed > 1000) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "too fast");
        return false;
    }
    return true;
}

static void sample_finish(VitDevice *d)
{
    vit_timer_free(((Sample *) d)->alarm);
}

static bool sample_validate(VitDevice *d, const void *st, GError **error)
{
    const typeof(((Sample *) 0)->st) *loaded = st;
    if (loaded->blob[0] == 0)
        return true;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the blob begins with zero");
    return false;
}

static void sample_loaded(VitDevice *d)
{
    ((Sample *) d)->loads++;
}

static const VitReg sample_regs[] = {
    { 0x00, VIT_ANY_BANK, "CONTROL", VIT_AT(Sample, st.control), .rw = 0x8f, .ones = 0x10,
      .reset = 0x03 },
    { 0x01, VIT_ANY_BANK, "STATUS", VIT_AT(Sample, st.status), .w1c = 0x0f, .rc = 0x40,
      .reset = 0x40 },
    { 0x02, 0, "MASK", VIT_AT(Sample, st.mask), .rw = 0xff },
    { 0x02, 1, "BANKED", VIT_AT(Sample, st.banked), .rw = 0x0f, .reset = 5 },
    { 0x04, VIT_ANY_BANK, "DATA", .size = 4, .read = read_data, .write = write_data },
    { 0x10, VIT_ANY_BANK, "ADDRESS", VIT_AT(Sample, st.address[0]), .rw = 0xfffffff0, .count = 4,
      .stride = 8, .reset = 0x100, .wrote = wrote_address },
    { 0x30, VIT_ANY_BANK, "WIDE", VIT_AT(Sample, st.wide), .rw = UINT64_MAX },
    { 0x38, VIT_ANY_BANK, "ID", .size = 2, .ones = 0xcafe },
};
static const VitField channel_fields[] = {
    VIT_UINT(Channel, position), VIT_BOOL(Channel, active, false), { VIT_END },
};
static const VitField sample_hidden[] = {
    VIT_FIFO8(Sample, st.fifo), VIT_STRUCTS(Sample, st.channels, channel_fields),
    VIT_BOOL(Sample, st.seen, false), VIT_BYTES(Sample, st.blob), VIT_TIMER(Sample, alarm),
    VIT_VARBYTES(Sample, st.text, st.text_size, 64), { VIT_END },
};
static const VitProp sample_props[] = {
    VIT_PROP("speed", VIT_PROP_U32, Sample, speed, "100", "in furlongs"),
    VIT_PROP("loud", VIT_PROP_BOOL, Sample, loud, "on", "or not"),
    VIT_PROP("room", VIT_PROP_SIZE, Sample, room, "4k", "bytes"),
    VIT_PROP("label", VIT_PROP_STR, Sample, label, NULL, "a name"),
    { 0 },
};
static const VitDeviceClass sample_class = {
    .name = "sample", .version = 3, VIT_STATE(Sample, st), .mmio_size = 0x40, .max_access = 8,
    .n_irqs = 2, .n_inputs = 3, VIT_REGS(sample_regs), .hidden = sample_hidden,
    .props = sample_props, .bank = sample_bank, .init = sample_init, .finish = sample_finish,
    .update = sample_update, .input = sample_input, .validate = sample_validate,
    .loaded = sample_loaded,
};

/* ---- Fixture --------------------------------------------------------------------------------- */

typedef struct {
    VitSystem *sys;
    VitDevice *d;
    Sample    *s;
    bool       level;
    unsigned   told;
} Fixture;

static void sink(void *opaque, unsigned n, bool level)
{
    Fixture *f = opaque;
    f->level = level;
    f->told++;
}

static void setup(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    f->sys = vit_system_new();
    f->d = vit_device_new(f->sys, &sample_class, NULL);
    g_assert_true(vit_device_init(f->d, &error));
    f->s = (Sample *) f->d;
    vit_irq_connect(f->d, 0, sink, f, 0);
}

static void teardown(Fixture *f, gconstpointer data)
{
    vit_system_free(f->sys);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_registers(Fixture *f, gconstpointer data)
{
    VitDevice *d = f->d;
    g_assert_cmpuint(vit_device_read(d, 0, 1), ==, 0x13);
    vit_device_write(d, 0, 0xff & ~0x80, 1);
    g_assert_cmpuint(f->s->st.control, ==, 0x0f);
    g_assert_cmpuint(vit_device_read(d, 1, 1), ==, 0x40);      /* cleared by the read */
    g_assert_cmpuint(vit_device_read(d, 1, 1), ==, 0);
    f->s->st.status = 0x1f;
    vit_device_write(d, 1, 0x05, 1);
    g_assert_cmpuint(f->s->st.status, ==, 0x1a);
    f->s->st.status = 0;

    vit_device_write(d, 2, 0x77, 1);        /* banks */
    vit_device_write(d, 0, 0x80, 1);
    g_assert_cmpuint(vit_device_read(d, 2, 1), ==, 5);
    vit_device_write(d, 2, 0xff, 1);
    g_assert_cmpuint(f->s->st.banked, ==, 0x0f);
    g_assert_cmpuint(f->s->st.mask, ==, 0x77);
    /* One access may switch the bank for the register after it. */
    vit_device_write(d, 0, 0x660000, 4);
    g_assert_cmpuint(f->s->st.mask, ==, 0x66);

    /* Arrays, parts of registers, several registers in one access. */
    vit_device_write(d, 0x18, 0x12345678, 4);
    g_assert_cmpuint(f->s->st.address[1], ==, 0x12345670);
    g_assert_cmpuint(f->s->last_write, ==, UINT64_C(0x18) << 32 | 0x100);
    vit_device_write(d, 0x19, 0xab, 1);
    g_assert_cmpuint(f->s->st.address[1], ==, 0x1234ab70);
    g_assert_cmpuint(vit_device_read(d, 0x1a, 2), ==, 0x1234);
    g_assert_cmpuint(vit_device_read(d, 0x18, 8), ==, 0x1234ab70);      /* a hole reads as zero */
    vit_device_write(d, 0x30, UINT64_C(0x1122334455667788), 8);
    g_assert_cmpuint(vit_device_read(d, 0x33, 4), ==, 0x22334455);
    g_assert_cmpuint(vit_device_read(d, 0x34, 8), ==, UINT64_C(0xcafe11223344));
    g_assert_cmpuint(vit_device_read(d, 0x38, 2), ==, 0xcafe);
    g_assert_cmpuint(vit_device_read(d, 0x3c, 4), ==, 0);
    g_assert_cmpuint(vit_device_read(d, 0x1000, 4), ==, 0);
    vit_device_write(d, 0x38, 0, 2);
    vit_device_write(d, 0xffffffff, 1, 4);

    vit_device_write(d, 4, 0x41, 4);        /* hooks see the register once */
    g_assert_cmpuint(f->s->last_write, ==, 0x41);
    vit_device_write(d, 5, 0x42, 1);
    g_assert_cmpuint(f->s->last_write, ==, 0x4200);
    g_assert_cmpuint(vit_device_read(d, 4, 1), ==, 0x41);
}

static void test_wires(Fixture *f, gconstpointer data)
{
    VitDevice *other = vit_device_new(f->sys, &sample_class, "other");
    g_assert_true(vit_device_init(other, NULL));
    vit_irq_connect_device(f->d, 0, other, 2);
    vit_device_write(f->d, 2, 0xff, 1);
    f->s->st.status = 0;
    vit_device_write(f->d, 2, 0xff, 1);
    g_assert_false(f->level);
    g_assert_cmpuint(f->told, ==, 2);       /* up by the reset value of STATUS, then down */
    f->s->st.status = 1;
    vit_device_read(f->d, 0, 1);
    vit_device_read(f->d, 0, 1);
    g_assert_true(f->level);
    g_assert_cmpuint(f->told, ==, 3);
    g_assert_true(vit_irq_level(f->d, 0));
    g_assert_true(((Sample *) other)->st.channels[2].active);
    vit_irq_pulse(f->d, 0);
    g_assert_cmpuint(f->told, ==, 5);
    g_assert_true(f->level);
    vit_device_reset(f->d);
    g_assert_false(f->level);
    g_assert_cmpuint(f->told, ==, 6);

    /* The present level is told anew, though it did not change. */
    vit_system_reset(f->sys);
    g_assert_cmpuint(f->told, ==, 7);
    vit_device_free(other);                 /* its wire goes with it */
    f->s->st.status = 1;
    f->s->st.mask = 1;
    vit_device_read(f->d, 0, 1);
    g_assert_true(f->level);
}

static void test_timer(Fixture *f, gconstpointer data)
{
    vit_device_write(f->d, 2, 0x01, 1);
    vit_device_write(f->d, 4, 1, 1);
    vit_clock_advance(f->sys->clock, 999, 10);
    g_assert_false(f->level);
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    g_assert_true(vit_system_save(f->sys, saved, &error));
    vit_clock_advance(f->sys->clock, 1, 10);
    g_assert_true(f->level);
    g_assert_true(vit_system_load(f->sys, saved->data, saved->len, &error));
    g_assert_no_error(error);
    g_assert_false(f->level);
    g_assert_cmpint(vit_clock_now(f->sys->clock), ==, 999);
    g_assert_cmpint(vit_timer_deadline(f->s->alarm), ==, 1000);
    g_assert_cmpuint(f->s->loads, ==, 1);
    vit_clock_advance(f->sys->clock, 1, 10);
    g_assert_true(f->level);
    vit_device_reset(f->d);
    g_assert_false(vit_timer_armed(f->s->alarm));
}

static void test_options(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_cmpuint(f->s->speed, ==, 100);
    g_assert_true(f->s->loud);
    g_assert_cmpuint(f->s->room, ==, 4096);
    VitDevice *d = vit_device_new(f->sys, &sample_class, NULL);
    Sample *s = (Sample *) d;
    g_assert_cmpstr(d->id, !=, f->d->id);
    g_assert_true(vit_device_set_prop(d, "speed", "0x20", NULL));
    g_assert_true(vit_device_set_prop(d, "loud", "off", NULL));
    g_assert_true(vit_device_set_prop(d, "room", "2M", NULL));
    g_assert_true(vit_device_set_prop(d, "label", "one", NULL));
    g_assert_true(vit_device_set_prop(d, "label", "two", NULL));
    g_assert_cmpuint(s->speed, ==, 0x20);
    g_assert_false(s->loud);
    g_assert_cmpuint(s->room, ==, 2 << 20);
    g_assert_cmpstr(s->label, ==, "two");
    static const char *const bad[][2] = {
        { "speed", "4294967296" }, { "speed", "-1" }, { "speed", "" }, { "loud", "maybe" },
        { "room", "4x" }, { "room", "99999999999999T" }, { "room", "k" }, { "colour", "red" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(vit_device_set_prop(d, bad[i][0], bad[i][1], &error));
        g_assert_nonnull(strstr(error->message, bad[i][0]));
        g_clear_error(&error);
    }
    g_assert_true(vit_device_set_prop(d, "speed", "2000", NULL));
    guint before = f->sys->devices->len;
    g_assert_false(vit_device_init(d, &error));
    g_assert_cmpstr(error->message, ==, "too fast");
    g_assert_cmpuint(f->sys->devices->len, ==, before - 1);
    g_clear_error(&error);
    g_assert_false(vit_device_init(vit_device_new(f->sys, &sample_class, f->d->id), &error));
    g_assert_nonnull(strstr(error->message, f->d->id));
    g_assert_true(vit_system_find_device(f->sys, f->d->id) == f->d);
    g_assert_null(vit_system_find_device(f->sys, "nobody"));
}

static void test_system_state(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    VitDevice *other = vit_device_new(f->sys, &sample_class, "other");
    g_assert_true(vit_device_init(other, NULL));
    vit_device_write(f->d, 4, 0x8f, 1);
    vit_device_write(other, 4, 0x83, 1);
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_assert_true(vit_system_save(f->sys, saved, &error));
    vit_system_reset(f->sys);
    g_assert_cmpuint(f->s->st.text_size, ==, 0);
    g_autoptr(GByteArray) blank = g_byte_array_new();
    g_assert_true(vit_system_save(f->sys, blank, &error));

    /* No damage of the second section lets the first one through. */
    for (guint cut = 0; cut < saved->len; cut += 3) {
        g_assert_false(vit_system_load(f->sys, saved->data, cut, &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
    }
    for (guint at = 0; at < saved->len; at++) {
        saved->data[at] ^= 0x10;
        g_assert_false(vit_system_load(f->sys, saved->data, saved->len, &error));
        saved->data[at] ^= 0x10;
        g_assert_nonnull(error);
        g_clear_error(&error);
    }
    g_autoptr(GByteArray) still = g_byte_array_new();
    g_assert_true(vit_system_save(f->sys, still, &error));
    g_assert_cmpmem(still->data, still->len, blank->data, blank->len);

    g_assert_true(vit_system_load(f->sys, saved->data, saved->len, &error));
    g_assert_cmpuint(f->s->st.text_size, ==, 16);
    g_assert_cmpuint(((Sample *) other)->st.text_size, ==, 4);
    vit_device_free(other);
    g_assert_false(vit_system_load(f->sys, saved->data, saved->len, &error));
    g_assert_nonnull(strstr(error->message, "2 devices"));
    g_clear_error(&error);
    vit_clock_start(f->sys->clock);
    g_assert_false(vit_system_save(f->sys, blank, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_BUSY);
}

static void test_window(Fixture *f, gconstpointer data)
{
    VitRegion *low = vit_device_window(f->d, 0, 0x10), *high = vit_device_window(f->d, 0x10, 0x30);
    vit_region_add(f->sys->io_root, 0x3f8, low, 0);
    vit_region_add(f->sys->memory_root, 0x1000, high, 0);
    vit_as_store(f->sys->memory, 0x1008, 0xabcdef00, 4);
    g_assert_cmpuint(f->s->st.address[1], ==, 0xabcdef00);
    g_assert_cmpuint(vit_as_load(f->sys->io, 0x3f8, 1, NULL), ==, 0x13);
}

static void test_dump(Fixture *f, gconstpointer data)
{
    vit_device_write(f->d, 4, 0x8f, 1);
    g_autofree char *text = vit_device_dump(f->d);
    static const char *const lines[] = {
        "sample0 (sample)\n", "  0000 CONTROL 03\n",
        "  0010 ADDRESS 00000100 00000100 00000100 00000100\n", "  st.channels[2].position 0x1\n",
        "  st.seen on\n", "  st.fifo 1 of 16: 8f\n", "  alarm at 1000 ns\n",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++)
        if (!strstr(text, lines[i])) {
            g_test_message("%s", text);
            g_assert_cmpstr(lines[i], ==, "in the dump");
        }
}

/* ---- Mistakes that must be found ------------------------------------------------------------- */

typedef struct {
    VitDevice parent;
    uint8_t   resets;
    struct {
        uint8_t  a, forgotten;
        uint32_t b;
    } st;
} Faulty;

static const VitReg faulty_regs[] = {
    { 0, VIT_ANY_BANK, "A", VIT_AT(Faulty, st.a), .rw = 0xff },
    { 4, VIT_ANY_BANK, "B", VIT_AT(Faulty, st.b), .rw = 0xffffffff },
};
static const VitReg twice_regs[] = {
    { 0, VIT_ANY_BANK, "A", VIT_AT(Faulty, st.a), .rw = 0xff },
    { 1, VIT_ANY_BANK, "F", VIT_AT(Faulty, st.forgotten), .rw = 0x1ff },
    { 2, VIT_ANY_BANK, "A2", VIT_AT(Faulty, st.a), .rw = 0xff },
    { 7, VIT_ANY_BANK, "B", VIT_AT(Faulty, st.b), .rw = 0xffffffff },
};
static const VitField both_hidden[] = {
    VIT_UINT(Faulty, st.forgotten), { VIT_END },
};

static void unsteady_reset(VitDevice *d)
{
    Faulty *f = (Faulty *) d;
    f->st.forgotten = f->resets++;
}

/* GLib runs tests below ".../subprocess/" only when a trap asks for them. */
static const VitDeviceClass twice_class = {
    .name = "subprocess/twice", VIT_STATE(Faulty, st), .mmio_size = 8, VIT_REGS(twice_regs),
};
static const VitDeviceClass unsteady_class = {
    .name = "subprocess/unsteady", VIT_STATE(Faulty, st), .mmio_size = 8, VIT_REGS(faulty_regs),
    .hidden = both_hidden, .reset = unsteady_reset,
};

typedef struct {
    VitDevice parent;
    uint8_t   outside;      /* state, but not in st */
    struct {
        uint8_t  a;
        uint8_t  pad[7];
        uint64_t b;
    } st;
} Leaky;

static uint64_t leaky_read(VitDevice *d, uint32_t offset)
{
    return ((Leaky *) d)->outside;
}
static void leaky_write(VitDevice *d, uint32_t offset, uint64_t value)
{
    ((Leaky *) d)->outside = (uint8_t) value;
}
static const VitReg leaky_regs[] = {
    { 0, VIT_ANY_BANK, "A", VIT_AT(Leaky, st.a), .rw = 0xff },
    { 1, VIT_ANY_BANK, "OUTSIDE", .read = leaky_read, .write = leaky_write },
    { 8, VIT_ANY_BANK, "B", VIT_AT(Leaky, st.b), .rw = UINT64_MAX },
};
static const VitField leaky_hidden[] = { VIT_BYTES(Leaky, st.pad), { VIT_END } };
static const VitDeviceClass leaky_class = {
    .name = "subprocess/leaky", VIT_STATE(Leaky, st), .mmio_size = 16, VIT_REGS(leaky_regs),
    .hidden = leaky_hidden,
};

static void test_class_check(void)
{
    g_assert_null(vit_device_class_check(&sample_class));
    g_autofree char *twice = vit_device_class_check(&twice_class);
    g_assert_nonnull(strstr(twice, "A2 covers"));
    g_assert_nonnull(strstr(twice, "B lies outside the window"));
    g_assert_nonnull(strstr(twice, "F names bits"));
    g_assert_null(vit_device_class_check(&unsteady_class));
    static const VitDeviceClass gap = { .name = "gap", VIT_STATE(Leaky, st), .mmio_size = 16,
                                        .regs = &leaky_regs[2], .n_regs = 1 };
    g_autofree char *report = vit_device_class_check(&gap);
    g_assert_nonnull(strstr(report, "no row covers bytes 0 to 7"));
}

/* The common tests themselves: each must fail on a class with the mistake that it is for. */
static void test_mistakes(gconstpointer data)
{
    const char *path = data;
    g_test_trap_subprocess(path, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_failed();
}

/* ---- Log ------------------------------------------------------------------------------------- */

static void test_log(void)
{
    unsigned mask = 0;
    g_autoptr(GError) error = NULL;
    g_assert_true(vit_log_parse("guest_errors,int", &mask, &error));
    g_assert_cmpuint(mask, ==, VIT_LOG_GUEST_ERROR | VIT_LOG_INT);
    g_assert_false(vit_log_parse("int,everything", &mask, &error));
    g_assert_nonnull(strstr(error->message, "everything"));

    g_autofree char *dir = g_dir_make_tmp("vitrine-log-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "log", NULL);
    g_autofree char *text = NULL;
    vit_log_setup(VIT_LOG_GUEST_ERROR, path);
    for (int i = 0; i < 100000; i++)
        vit_log(VIT_LOG_GUEST_ERROR, "line %d", i);
    vit_log(VIT_LOG_INT, "not asked for");
    vit_log_setup(0, NULL);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_true(g_str_has_prefix(text, "line 0\nline 1\n"));
    g_assert_null(strstr(text, "not asked for"));
    g_assert_cmpuint(strlen(text), <, 600000);      /* a guest cannot fill the disk at will */
    unlink(path);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/core/device/registers", Fixture, NULL, setup, test_registers, teardown);
    g_test_add("/core/device/wires", Fixture, NULL, setup, test_wires, teardown);
    g_test_add("/core/device/timer", Fixture, NULL, setup, test_timer, teardown);
    g_test_add("/core/device/options", Fixture, NULL, setup, test_options, teardown);
    g_test_add("/core/device/system-state", Fixture, NULL, setup, test_system_state, teardown);
    g_test_add("/core/device/window", Fixture, NULL, setup, test_window, teardown);
    g_test_add("/core/device/dump", Fixture, NULL, setup, test_dump, teardown);
    g_test_add_func("/core/device/class-check", test_class_check);
    g_test_add_func("/core/log", test_log);
    vit_device_test_class(&sample_class, NULL);
    vit_device_test_class(&twice_class, NULL);
    vit_device_test_class(&unsteady_class, NULL);
    vit_device_test_class(&leaky_class, NULL);
    g_test_add_data_func("/core/device/mistakes/rows", "/device/subprocess/twice/rows",
                         test_mistakes);
    g_test_add_data_func("/core/device/mistakes/reset", "/device/subprocess/unsteady/reset",
                         test_mistakes);
    g_test_add_data_func("/core/device/mistakes/round-trip", "/device/subprocess/leaky/round-trip",
                         test_mistakes);
    return g_test_run();
}
