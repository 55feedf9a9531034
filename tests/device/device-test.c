/* tests/device/device-test.c - the tests that every device class gets
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/device/device-test.h"

#include "engine/core/crc32.h"

#include <string.h>

enum {
    ROUNDS = 6,             /* seeds for each test */
    POKES = 400,            /* accesses to reach a random state */
    FUZZ_POKES = 6000,
    MUTATIONS = 400,
    MAX_TRUNCATIONS = 1500,
    TIMERS_PER_STEP = 200,
};

typedef struct {
    const VitDeviceClass  *klass;
    const DeviceTestSetup *setup;       /* NULL: none needed */
} Case;

typedef struct {
    const Case *test;
    VitSystem  *sys;
    VitDevice  *d;
    VitRam     *ram;
    VitRegion  *ram_region;
    void       *cookie;
} Rig;

/* ---- A machine around one device ------------------------------------------------------------- */

static Rig rig_new(const Case *test)
{
    Rig rig = { .test = test };
    g_autoptr(GError) error = NULL;
    rig.sys = vit_system_new();
    rig.ram = vit_ram_new("test", DEVICE_TEST_RAM_SIZE, &error);
    g_assert_no_error(error);
    rig.ram_region = vit_region_new_ram("ram", rig.ram, 0, DEVICE_TEST_RAM_SIZE);
    vit_system_lock(rig.sys);
    vit_region_add(rig.sys->memory_root, 0, rig.ram_region, 0);
    if (test->setup && test->setup->build) {
        rig.d = test->setup->build(rig.sys, test->klass, &rig.cookie);
        if (!rig.d)
            g_error("%s: the setup made no device", test->klass->name);
    } else {
        rig.d = vit_device_new(rig.sys, test->klass, NULL);
        if (!vit_device_init(rig.d, &error))
            g_error("%s does not start by itself (%s): give it a DeviceTestSetup",
                    test->klass->name, error->message);
    }
    if (test->klass->mmio_size) {
        uint64_t size = MIN(test->klass->mmio_size, UINT32_MAX);
        VitRegion *window = vit_device_window(rig.d, 0, (uint32_t) size);
        vit_region_add(rig.sys->memory_root, DEVICE_TEST_WINDOW, window, 1);
    }
    vit_device_reset(rig.d);
    vit_system_unlock(rig.sys);
    return rig;
}

static void rig_free(Rig *rig)
{
    vit_system_lock(rig->sys);
    vit_region_free(rig->ram_region);
    vit_system_unlock(rig->sys);
    vit_system_free(rig->sys);
    vit_ram_free(rig->ram);
    if (rig->test->setup && rig->test->setup->cleanup)
        rig->test->setup->cleanup(rig->cookie);
}

static GByteArray *save(VitDevice *d)
{
    GByteArray *out = g_byte_array_new();
    vit_device_save(d, out);
    return out;
}

static bool same(const GByteArray *a, const GByteArray *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static void assert_same(const Rig *rig, const GByteArray *a, const GByteArray *b, const char *what)
{
    if (same(a, b))
        return;
    guint at = 0;
    while (at < a->len && at < b->len && a->data[at] == b->data[at])
        at++;
    g_autofree char *dump = vit_device_dump(rig->d);
    g_error("%s: %s: the states differ at byte %u of %u/%u\n%s", rig->d->klass->name, what, at,
            a->len, b->len, dump);
}

/* ---- Nonsense -------------------------------------------------------------------------------- */

static GRand *seeded(const Rig *rig, unsigned round)
{
    guint32 seed = g_str_hash(rig->test->klass->name) ^ (round * 0x9e3779b9u);
    const char *fixed = g_getenv("VITRINE_TEST_SEED");
    if (fixed)
        seed = (guint32) g_ascii_strtoull(fixed, NULL, 0);
    g_test_message("%s: VITRINE_TEST_SEED=%u", rig->test->klass->name, seed);
    return g_rand_new_with_seed(seed);
}

static uint64_t random64(GRand *r)
{
    return (uint64_t) g_rand_int(r) << 32 | g_rand_int(r);
}

static uint64_t random_value(GRand *r)
{
    switch (g_rand_int_range(r, 0, 8)) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return UINT64_C(1) << g_rand_int_range(r, 0, 64);
    case 3: return ~(UINT64_C(1) << g_rand_int_range(r, 0, 64));
    case 4: return (uint64_t) g_rand_int_range(r, 0, 256);
    case 5: return random64(r) & (DEVICE_TEST_RAM_SIZE - 1);        /* an address in RAM */
    case 6: return DEVICE_TEST_WINDOW + (random64(r) & 0xfff);      /* the device itself */
    default: return random64(r);
    }
}

static uint32_t random_offset(const VitDeviceClass *klass, GRand *r)
{
    if (klass->n_regs && g_rand_int_range(r, 0, 10) > 0) {
        const VitReg *reg = &klass->regs[g_rand_int_range(r, 0, (gint32) klass->n_regs)];
        unsigned size = reg->size ? reg->size : klass->reg_size ? klass->reg_size : 1;
        unsigned index = reg->count > 1 ? (unsigned) g_rand_int_range(r, 0, reg->count) : 0;
        uint32_t offset = reg->offset + index * (reg->stride ? reg->stride : size);
        if (g_rand_int_range(r, 0, 8) == 0)
            offset += (uint32_t) g_rand_int_range(r, 0, 8);
        return offset;
    }
    return klass->mmio_size ? (uint32_t) (random64(r) % klass->mmio_size) : 0;
}

static void poke(Rig *rig, GRand *r)
{
    const VitDeviceClass *klass = rig->d->klass;
    unsigned size = 1u << g_rand_int_range(r, 0, 4);
    if (g_rand_int_range(r, 0, 3) && klass->reg_size)
        size = klass->reg_size;
    uint32_t offset = random_offset(klass, r);
    uint64_t value = random_value(r);
    switch (g_rand_int_range(r, 0, 16)) {
    case 0:
        if (klass->n_inputs && klass->input)
            klass->input(rig->d, (unsigned) g_rand_int_range(r, 0, (gint32) klass->n_inputs),
                         value & 1);
        if (klass->update)
            klass->update(rig->d);
        break;
    case 1:
        vit_clock_advance(rig->sys->clock, (int64_t) (value % (10 * VIT_NS_PER_MS)),
                          TIMERS_PER_STEP);
        break;
    case 2: case 3:
        if (klass->mmio_size)
            vit_as_store(rig->sys->memory, DEVICE_TEST_WINDOW + offset, value, size);
        break;
    case 4: case 5:
        if (klass->mmio_size)
            vit_as_load(rig->sys->memory, DEVICE_TEST_WINDOW + offset, size, NULL);
        break;
    case 6: case 7: case 8:
        if (klass->mmio_size)
            vit_device_read(rig->d, offset, size);
        break;
    default:
        if (klass->mmio_size)
            vit_device_write(rig->d, offset, value, size);
        break;
    }
}

/* Random descriptors in RAM for bus masters to stumble over. */
static void litter(Rig *rig, GRand *r)
{
    for (unsigned i = 0; i < 2048; i++) {
        uint64_t addr = random64(r) & (DEVICE_TEST_RAM_SIZE - 8);
        vit_as_store(rig->sys->memory, addr, random_value(r), 8);
    }
}

static void poke_many(Rig *rig, GRand *r, unsigned n)
{
    vit_system_lock(rig->sys);
    litter(rig, r);
    for (unsigned i = 0; i < n; i++)
        poke(rig, r);
    vit_system_unlock(rig->sys);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_rows(gconstpointer data)
{
    const Case *test = data;
    g_autofree char *report = vit_device_class_check(test->klass);
    if (report)
        g_error("%s: its rows do not cover its state exactly once:\n%s", test->klass->name, report);
}

static void test_reset(gconstpointer data)
{
    const Case *test = data;
    for (unsigned round = 0; round < ROUNDS; round++) {
        Rig rig = rig_new(test);
        g_autoptr(GRand) r = seeded(&rig, round);
        g_autoptr(GByteArray) fresh = save(rig.d);
        poke_many(&rig, r, POKES);
        vit_system_lock(rig.sys);
        vit_clock_set(rig.sys->clock, 0);
        vit_device_reset(rig.d);
        vit_system_unlock(rig.sys);
        g_autoptr(GByteArray) after = save(rig.d);
        if (!test->setup || !test->setup->keeps_over_reset)
            assert_same(&rig, fresh, after, "reset");
        vit_device_reset(rig.d);
        g_autoptr(GByteArray) again = save(rig.d);
        assert_same(&rig, after, again, "second reset");
        rig_free(&rig);
    }
}

static void compare_reads(Rig *a, Rig *b)
{
    const VitDeviceClass *klass = a->d->klass;
    for (size_t i = 0; klass->mmio_size && i < klass->n_regs; i++) {
        const VitReg *reg = &klass->regs[i];
        unsigned size = reg->size ? reg->size : klass->reg_size ? klass->reg_size : 1;
        uint64_t left = vit_device_read(a->d, reg->offset, size);
        uint64_t right = vit_device_read(b->d, reg->offset, size);
        if (left != right)
            g_error("%s: after a load %s reads %#" G_GINT64_MODIFIER "x instead of %#"
                    G_GINT64_MODIFIER "x", klass->name, reg->name, right, left);
    }
}

static void test_round_trip(gconstpointer data)
{
    const Case *test = data;
    for (unsigned round = 0; round < ROUNDS; round++) {
        Rig a = rig_new(test), b = rig_new(test);
        g_autoptr(GRand) r = seeded(&a, round);
        poke_many(&a, r, POKES);
        g_autoptr(GError) error = NULL;
        g_autoptr(GByteArray) saved = save(a.d);
        vit_clock_set(b.sys->clock, vit_clock_now(a.sys->clock));
        vit_as_read(a.sys->memory, 0, b.ram->host, DEVICE_TEST_RAM_SIZE);
        if (!vit_device_load(b.d, saved->data, saved->len, &error))
            g_error("%s: its own state is refused: %s", test->klass->name, error->message);
        g_autoptr(GByteArray) again = save(b.d);
        assert_same(&b, saved, again, "load");
        for (unsigned n = 0; n < test->klass->n_irqs; n++)
            if (vit_irq_level(a.d, n) != vit_irq_level(b.d, n))
                g_error("%s: output %u has another level after a load", test->klass->name, n);
        if (!test->setup || !test->setup->reads_vary)
            compare_reads(&a, &b);
        rig_free(&b);
        rig_free(&a);
    }
}

/* The checksum made right again, so that the content itself is judged. */
static void reseal(GByteArray *state)
{
    uint32_t sum = GUINT32_TO_LE(vit_crc32(0, state->data + 12, state->len - 12));
    memcpy(state->data + 8, &sum, 4);
}

static void expect_refused(Rig *rig, const uint8_t *data, size_t size, const GByteArray *before,
                           const char *what)
{
    g_autoptr(GError) error = NULL;
    if (vit_device_load(rig->d, data, size, &error))
        g_error("%s: %s is accepted", rig->test->klass->name, what);
    if (!error)
        g_error("%s: %s is refused without an error", rig->test->klass->name, what);
    g_autoptr(GByteArray) after = save(rig->d);
    assert_same(rig, before, after, what);
}

static void mutate(GByteArray *state, GRand *r)
{
    guint32 at = (guint32) g_rand_int_range(r, 12, (gint32) state->len);
    switch (g_rand_int_range(r, 0, 4)) {
    case 0:
        state->data[at] ^= (guint8) (1u << g_rand_int_range(r, 0, 8));
        break;
    case 1:     /* an absurd number */
        memset(state->data + at, 0xff, MIN(8, state->len - at));
        break;
    case 2:
        state->data[at] = (guint8) g_rand_int(r);
        break;
    default:
        memset(state->data + at, g_rand_int_range(r, 0, 2) ? 0x7f : 0, MIN(4, state->len - at));
        break;
    }
}

static void test_corrupt(gconstpointer data)
{
    const Case *test = data;
    Rig rig = rig_new(test);
    g_autoptr(GRand) r = seeded(&rig, 0);
    poke_many(&rig, r, POKES);
    g_autoptr(GByteArray) saved = save(rig.d);
    poke_many(&rig, r, POKES / 4);
    g_autoptr(GByteArray) before = save(rig.d);

    guint step = saved->len / MAX_TRUNCATIONS + 1;
    for (guint length = 0; length < saved->len; length += step) {
        g_autofree uint8_t *cut = g_memdup2(saved->data, length);   /* exact: ASan sees overreads */
        expect_refused(&rig, cut, length, before, "a state cut short");
    }
    for (unsigned i = 0; i < MUTATIONS; i++) {
        g_autoptr(GByteArray) bad = g_byte_array_new();
        g_byte_array_append(bad, saved->data, saved->len);
        bad->data[g_rand_int_range(r, 0, (gint32) bad->len)] ^=
            (guint8) (1u << g_rand_int_range(r, 0, 8));
        expect_refused(&rig, bad->data, bad->len, before, "a state with a wrong bit");
    }
    for (unsigned i = 0; i < MUTATIONS; i++) {
        g_autoptr(GByteArray) bad = g_byte_array_new();
        g_autoptr(GError) error = NULL;
        g_byte_array_append(bad, saved->data, saved->len);
        mutate(bad, r);
        reseal(bad);
        if (vit_device_load(rig.d, bad->data, bad->len, &error)) {
            poke_many(&rig, r, 50);     /* what was accepted must be fit to run */
            g_assert_true(vit_device_load(rig.d, before->data, before->len, &error));
            g_assert_no_error(error);
        } else {
            g_assert_nonnull(error);
            g_autoptr(GByteArray) after = save(rig.d);
            assert_same(&rig, before, after, "a damaged state");
        }
    }
    rig_free(&rig);
}

static void test_fuzz(gconstpointer data)
{
    const Case *test = data;
    for (unsigned round = 0; round < ROUNDS; round++) {
        Rig rig = rig_new(test);
        g_autoptr(GRand) r = seeded(&rig, round);
        poke_many(&rig, r, FUZZ_POKES);
        g_autoptr(GByteArray) out = save(rig.d);
        g_assert_cmpuint(out->len, >, 12);
        g_autofree char *dump = vit_device_dump(rig.d);
        g_assert_nonnull(strstr(dump, rig.d->id));
        rig_free(&rig);
    }
}

void vit_device_test_class(const VitDeviceClass *klass, const DeviceTestSetup *setup)
{
    static const struct {
        const char *name;
        GTestDataFunc fn;
    } tests[] = {
        { "rows", test_rows },          { "reset", test_reset },  { "round-trip", test_round_trip },
        { "corrupt", test_corrupt },    { "fuzz", test_fuzz },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        Case *test = g_new0(Case, 1);
        test->klass = klass;
        test->setup = setup;
        g_autofree char *path = g_strdup_printf("/device/%s/%s", klass->name, tests[i].name);
        g_test_add_data_func_full(path, test, tests[i].fn, g_free);
    }
}
