/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-qcow2-meta.c - internal snapshots, persistent bitmaps and repairs of qcow2
 * images, with qemu-img as the judge where it is there */
#include "tests/block/image-model.h"

#include "block/bitmap.h"

#include <errno.h>

enum { MIB = 1 << 20, SIZE = 12 * MIB };

typedef struct {
    VitBlockNode *node;
    int (*fn)(VitBlockNode *node, void *opaque, GError **error);
    void *opaque;
    GError *error;
    int result;
} Call;

static void call_fiber(void *opaque)
{
    Call *c = opaque;

    c->result = c->fn(c->node, c->opaque, &c->error);
}

static int call(VitBlockNode *node, int (*fn)(VitBlockNode *, void *, GError **), void *opaque)
{
    Call c = { .node = node, .fn = fn, .opaque = opaque };

    vit_fiber_run_sync(vit_block_node_thread(node), call_fiber, &c);
    if (c.error) g_test_message("%s", c.error->message);
    g_clear_error(&c.error);
    return c.result;
}

static int snapshot_create(VitBlockNode *node, void *name, GError **error)
{
    g_autoptr(VitBlockSnapshot) s = vit_block_snapshot_new();

    s->name = g_strdup(name);
    s->vm_clock_nsec = 12345678901;
    s->icount = 77;
    s->vm_state_size = strcmp(name, "state") == 0 ? 100000 : 0;
    return node->driver->co_snapshot_create(node, s, error) ? 0 : -1;
}

static int snapshot_goto(VitBlockNode *node, void *name, GError **error)
{
    return node->driver->co_snapshot_goto(node, name, error) ? 0 : -1;
}

static int snapshot_delete(VitBlockNode *node, void *name, GError **error)
{
    return node->driver->co_snapshot_delete(node, name, error) ? 0 : -1;
}

static int snapshot_load(VitBlockNode *node, void *name, GError **error)
{
    return node->driver->co_snapshot_load(node, name, error) ? 0 : -1;
}

static int snapshot_list(VitBlockNode *node, void *list, GError **error)
{
    return node->driver->co_snapshot_list(node, list, error) ? 0 : -1;
}

static void sound(Image *i)
{
    VitBlockCheck check = image_check(i, 0);

    g_assert_cmpuint(check.corruptions, ==, 0);
    g_assert_cmpuint(check.check_errors, ==, 0);
    g_assert_cmpuint(check.leaks, ==, 0);
    if (image_finds_tools())
        g_assert_cmpint(image_run(i, NULL, "qemu-img check -q disk.img"), ==, 0);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* Takes, deletes and goes back to snapshots at random between writes; each has its model. */
static void test_snapshots(Image *i, gconstpointer options)
{
    enum { MOST = 4, ROUNDS = 16 };
    uint8_t *kept[MOST] = { NULL };
    char name[8];

    image_create(i, "qcow2", SIZE, NULL, NULL, options);
    i->model = g_malloc0(SIZE);
    VitBlockNode *node = image_open(i, 0);
    for (int round = 0; round < ROUNDS; round++) {
        int which = g_rand_int_range(i->rand, 0, MOST);
        g_snprintf(name, sizeof name, "s%d", which);
        image_scribble(i, node, 5, 150000);
        if (!kept[which]) {
            g_assert_cmpint(call(node, snapshot_create, name), ==, 0);
            kept[which] = g_memdup2(i->model, SIZE);
        } else if (g_rand_boolean(i->rand)) {
            g_assert_cmpint(call(node, snapshot_goto, name), ==, 0);
            memcpy(i->model, kept[which], SIZE);
            image_compare(i, node);
        } else {
            g_assert_cmpint(call(node, snapshot_delete, name), ==, 0);
            g_clear_pointer(&kept[which], g_free);
        }
        if (round % 8 == 7) {
            image_compare(i, node);
            vit_block_node_unref(node);
            sound(i);
            node = image_open(i, 0);
        }
    }
    image_compare(i, node);
    g_assert_cmpint(call(node, snapshot_goto, "nope"), ==, -1);
    g_assert_cmpint(call(node, snapshot_delete, "nope"), ==, -1);
    vit_block_node_unref(node);
    for (int k = 0; k < MOST; k++) { /* as a view */
        if (!kept[k]) continue;
        g_snprintf(name, sizeof name, "s%d", k);
        node = image_open(i, VIT_OPEN_READ_ONLY);
        g_assert_cmpint(call(node, snapshot_load, name), ==, 0);
        uint8_t *model = i->model;
        i->model = kept[k];
        image_compare(i, node);
        vit_block_node_unref(node);
        if (image_finds_tools()) {
            image_store_model(i);
            g_autofree char *command = g_strdup_printf(
                "qemu-img convert -l %s -O raw disk.img view.raw && "
                "cmp view.raw model.raw",
                name);
            g_assert_cmpint(image_run(i, NULL, command), ==, 0);
        }
        i->model = model;
        g_free(kept[k]);
    }
    sound(i);
}

typedef struct {
    uint8_t *buf;
    bool save;
} Move;

static int move_state(VitBlockNode *node, void *opaque, GError **error)
{
    const Move *m = opaque;

    return m->save ? node->driver->co_save_vmstate(node, 0, m->buf, 100000)
                   : node->driver->co_load_vmstate(node, 0, m->buf, 100000);
}

/* With another size of the disk, machine state, and facts that outlive closing. */
static void test_snapshot_facts(Image *i, gconstpointer data)
{
    g_autoptr(GPtrArray)
        list = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_snapshot_free);
    g_autofree uint8_t *state = g_malloc(100000), *back = g_malloc0(100000);

    image_create(i, "qcow2", SIZE, NULL, NULL, "");
    i->model = g_malloc0(2 * SIZE);
    VitBlockNode *node = image_open(i, 0);
    image_scribble(i, node, 10, 100000);
    for (int k = 0; k < 100000; k++) state[k] = (uint8_t)(k * 13 + 1);
    g_assert_cmpuint(vit_block_info(node).vm_state_offset, >=, SIZE);
    Move move = { state, true };
    g_assert_cmpint(call(node, move_state, &move), ==, 0);
    g_assert_cmpint(call(node, snapshot_create, "state"), ==, 0);
    g_autofree uint8_t *kept = g_memdup2(i->model, SIZE);
    move = (Move){ back, false };
    g_assert_cmpint(call(node, move_state, &move), ==, 0);
    g_assert_true(vit_block_is_zero(back, 100000)); /* it went with the snapshot */
    g_assert_true(image_truncate(node, 2 * SIZE, NULL));
    i->size = 2 * SIZE;
    image_scribble(i, node, 10, 100000);
    g_assert_cmpint(call(node, snapshot_create, "large"), ==, 0);
    vit_block_node_unref(node);
    sound(i);

    node = image_open(i, 0);
    g_assert_cmpint(call(node, snapshot_list, list), ==, 0);
    g_assert_cmpuint(list->len, ==, 2);
    const VitBlockSnapshot *s = list->pdata[0];
    g_assert_cmpstr(s->id, ==, "1");
    g_assert_cmpstr(s->name, ==, "state");
    g_assert_cmpuint(s->disk_size, ==, SIZE);
    g_assert_cmpuint(s->vm_state_size, ==, 100000);
    g_assert_cmpuint(s->vm_clock_nsec, ==, 12345678901);
    g_assert_cmpint(s->icount, ==, 77);
    g_assert_cmpint(call(node, snapshot_goto, "1"), ==, 0);
    memcpy(i->model, kept, SIZE);
    i->size = SIZE;
    image_compare(i, node);
    g_assert_cmpint(call(node, move_state, &move), ==, 0);
    g_assert_cmpmem(back, 100000, state, 100000);
    vit_block_node_unref(node);
    sound(i);
    if (!image_has_tools()) return;
    g_autofree char *out = NULL;
    g_assert_cmpint(image_run(i, &out, "qemu-img snapshot -l disk.img"), ==, 0);
    g_test_message("%s", out);
    g_assert_nonnull(strstr(out, "97.7 KiB"));
    g_assert_nonnull(strstr(out, "0000:00:12.345"));
}

static void test_snapshots_from_qemu(Image *i, gconstpointer data)
{
    if (!image_has_tools()) return;
    g_assert_cmpint(image_run(i, NULL,
                              "qemu-img create -q -f qcow2 disk.img 12M && "
                              "qemu-io -c 'write -P 1 0 3M' disk.img >out && "
                              "qemu-img snapshot -c a disk.img && "
                              "qemu-io -c 'write -P 2 1M 3M' disk.img >out && "
                              "qemu-img snapshot -c b disk.img && "
                              "qemu-io -c 'write -P 3 2M 3M' disk.img >out"),
                    ==, 0);
    i->size = SIZE;
    i->model = g_malloc0(SIZE);
    memset(i->model, 1, 3 * MIB);
    memset(i->model + MIB, 2, 3 * MIB);
    VitBlockNode *node = image_open(i, 0);
    g_assert_cmpint(call(node, snapshot_goto, "b"), ==, 0);
    image_compare(i, node);
    g_assert_cmpint(call(node, snapshot_delete, "b"), ==, 0);
    image_compare(i, node);
    image_scribble(i, node, 10, 100000);
    image_compare(i, node);
    g_assert_cmpint(call(node, snapshot_delete, "a"), ==, 0);
    image_compare(i, node);
    vit_block_node_unref(node);
    sound(i);
    image_store_model(i);
    g_assert_cmpint(image_run(i, NULL, "qemu-img compare -f qcow2 -F raw disk.img model.raw"), ==,
                    0);
}

/* A refcount that cannot count another: refused, and nothing has happened. */
static void test_narrow(Image *i, gconstpointer data)
{
    image_create(i, "qcow2", SIZE, NULL, NULL, "refcount_bits=1");
    i->model = g_malloc0(SIZE);
    VitBlockNode *node = image_open(i, 0);
    image_scribble(i, node, 10, 100000);
    g_assert_cmpint(call(node, snapshot_create, "no"), ==, -1);
    image_scribble(i, node, 10, 100000);
    image_compare(i, node);
    vit_block_node_unref(node);
    sound(i);
}

/* ---- bitmaps --------------------------------------------------------------------------------- */

static int add_bitmap(VitBlockNode *node, void *name, GError **error)
{
    if (!node->driver->co_bitmap_can_store(node, name, 65536, error)) return -1;
    VitBlockBitmap *b = vit_block_bitmap_new(node, name, 65536, error);
    if (!b) return -1;
    vit_block_bitmap_set_persistent(b, true);
    return 0;
}

static int remove_bitmap(VitBlockNode *node, void *name, GError **error)
{
    if (!node->driver->co_bitmap_remove(node, name, error)) return -1;
    vit_block_bitmap_free(vit_block_bitmap_find(node, name));
    return 0;
}

static void test_bitmaps(Image *i, gconstpointer data)
{
    uint8_t buf[4096];

    image_create(i, "qcow2", SIZE, NULL, NULL, "");
    i->model = g_malloc0(SIZE);
    memset(buf, 9, sizeof buf);
    VitBlockNode *node = image_open(i, 0);
    g_assert_cmpint(call(node, add_bitmap, "one"), ==, 0);
    g_assert_cmpint(call(node, add_bitmap, "one"), ==, -1);
    g_assert_cmpint(call(node, add_bitmap, "two"), ==, 0);
    g_assert_cmpint(vit_block_write_sync(node, 3 * MIB, buf, sizeof buf), ==, 0);
    vit_block_node_unref(node);
    sound(i);
    for (int round = 0; round < 3; round++) { /* each time stored anew */
        node = image_open(i, 0);
        VitBlockBitmap *b = vit_block_bitmap_find(node, "one");
        g_assert_nonnull(b);
        g_assert_true(vit_block_bitmap_persistent(b));
        g_assert_true(vit_block_bitmap_enabled(b));
        g_assert_false(vit_block_bitmap_inconsistent(b));
        g_assert_cmpuint(vit_block_bitmap_count(b), ==, 65536u * (unsigned)(1 + round));
        g_assert_true(vit_block_bitmap_get(b, 3 * MIB));
        g_assert_cmpint(vit_block_write_sync(node, (uint64_t)(5 + round) * MIB, buf, sizeof buf),
                        ==, 0);
        vit_block_node_unref(node);
        sound(i);
    }
    if (image_has_tools()) {
        g_autofree char *out = NULL;
        g_assert_cmpint(image_run(i, &out, "qemu-img info --output=json disk.img"), ==, 0);
        g_assert_nonnull(strstr(out, "\"name\": \"one\""));
        g_assert_null(strstr(out, "in-use"));
        g_assert_cmpint(image_run(i, NULL,
                                  "qemu-img bitmap --clear disk.img one && "
                                  "qemu-img bitmap --add -g 1M disk.img three && "
                                  "qemu-io -c 'write 8M 2M' disk.img >out"),
                        ==, 0);
        node = image_open(i, 0);
        VitBlockBitmap *b = vit_block_bitmap_find(node, "three");
        g_assert_nonnull(b);
        g_assert_cmpuint(vit_block_bitmap_granularity(b), ==, MIB);
        g_assert_cmpuint(vit_block_bitmap_count(b), ==, 2 * MIB);
        g_assert_true(vit_block_bitmap_get(b, 9 * MIB));
        vit_block_node_unref(node);
        sound(i);
    }
    /* Larger, then without one of them. */
    node = image_open(i, 0);
    g_assert_true(image_truncate(node, 2 * SIZE, NULL));
    g_assert_cmpint(vit_block_write_sync(node, 20 * MIB, buf, sizeof buf), ==, 0);
    g_assert_cmpint(call(node, remove_bitmap, "two"), ==, 0);
    vit_block_node_unref(node);
    sound(i);
    node = image_open(i, 0);
    g_assert_null(vit_block_bitmap_find(node, "two"));
    g_assert_true(vit_block_bitmap_get(vit_block_bitmap_find(node, "one"), 20 * MIB));
    g_assert_cmpint(call(node, remove_bitmap, "one"), ==, 0);
    vit_block_node_unref(node);
    sound(i);
}

/* An image that was not closed: its bitmaps are inconsistent, stay so, and can be removed. */
static void test_bitmaps_unclean(Image *i, gconstpointer data)
{
    g_autofree char *bytes = NULL;
    gsize size;

    image_create(i, "qcow2", SIZE, NULL, NULL, "");
    VitBlockNode *node = image_open(i, 0);
    g_assert_cmpint(call(node, add_bitmap, "one"), ==, 0);
    vit_block_node_unref(node);
    node = image_open(i, 0);
    g_assert_true(g_file_get_contents(i->path, &bytes, &size, NULL)); /* as after a crash */
    vit_block_node_unref(node);
    g_assert_true(g_file_set_contents(i->path, bytes, (gssize)size, NULL));
    sound(i);
    for (int round = 0; round < 2; round++) {
        node = image_open(i, 0);
        VitBlockBitmap *b = vit_block_bitmap_find(node, "one");
        g_assert_nonnull(b);
        g_assert_true(vit_block_bitmap_inconsistent(b));
        g_assert_false(vit_block_bitmap_enabled(b));
        vit_block_node_unref(node);
        sound(i);
    }
    node = image_open(i, 0);
    g_assert_cmpint(call(node, remove_bitmap, "one"), ==, 0);
    vit_block_node_unref(node);
    sound(i);
}

/* ---- amending -------------------------------------------------------------------------------- */

static int amend(VitBlockNode *node, void *options, GError **error)
{
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("amend", options, NULL, error);

    return args && node->driver->co_amend(node, args, false, NULL, NULL, error) &&
                   vit_block_args_finish(args, error)
               ? 0
               : -1;
}

static void amend_and_compare(Image *i, const char *options, const char *says)
{
    VitBlockNode *node = image_open(i, 0);

    g_assert_cmpint(call(node, amend, (void *)options), ==, 0);
    image_compare(i, node);
    image_scribble(i, node, 4, 100000);
    vit_block_node_unref(node);
    sound(i);
    node = image_open(i, 0);
    image_compare(i, node);
    vit_block_node_unref(node);
    if (!image_finds_tools()) return;
    g_autofree char *out = NULL;
    g_assert_cmpint(image_run(i, &out, "qemu-img info disk.img"), ==, 0);
    if (!strstr(out, says)) g_error("%s: no “%s” in %s", options, says, out);
    image_store_model(i);
    g_assert_cmpint(image_run(i, NULL, "qemu-img compare -f qcow2 -F raw disk.img model.raw"), ==,
                    0);
}

static void refuses(Image *i, const char *options, const char *says)
{
    VitBlockNode *node = image_open(i, 0);
    Call c = { .node = node, .fn = amend, .opaque = (void *)options };

    vit_fiber_run_sync(i->thread, call_fiber, &c);
    g_assert_cmpint(c.result, ==, -1);
    if (!strstr(c.error->message, says)) g_error("%s: %s", options, c.error->message);
    g_clear_error(&c.error);
    image_compare(i, node);
    vit_block_node_unref(node);
    sound(i);
}

static void test_amend(Image *i, gconstpointer backing)
{
    if (backing) {
        g_autofree char *base = g_build_filename(i->folder, "base.raw", NULL);
        g_autofree char *below = g_malloc(SIZE);
        memset(below, 0x5a, SIZE);
        g_assert_true(g_file_set_contents(base, below, SIZE, NULL));
    }
    image_create(i, "qcow2", SIZE, backing ? "base.raw" : NULL, backing ? "raw" : NULL, "");
    i->model = g_malloc0(2 * SIZE);
    if (backing) memset(i->model, 0x5a, SIZE);
    VitBlockNode *node = image_open(i, 0);
    image_scribble(i, node, 20, 200000);
    g_assert_cmpint(image_zero(node, 2 * MIB, MIB, 0), ==, 0);
    memset(i->model + 2 * MIB, 0, MIB);
    vit_block_node_unref(node);
    amend_and_compare(i, "refcount_bits=64", "refcount bits: 64");
    amend_and_compare(i, "refcount_bits=1", "refcount bits: 1");
    refuses(i, "compat=0.10", "compat=0.10 requires refcount_bits=16");
    refuses(i, "refcount_bits=3", "Refcount width must be a power of two");
    amend_and_compare(i, "refcount_bits=16,lazy_refcounts=on", "lazy refcounts: true");
    refuses(i, "compat=0.10,lazy_refcounts=on", "Lazy refcounts only supported with");
    refuses(i, "compat=1.0", "Unknown compatibility level 1.0");
    refuses(i, "data_file=x", "data-file can only be set for images");
    refuses(i, "data_file_raw=on", "data-file-raw cannot be set");
    refuses(i, "backing_file=other", "Cannot amend the backing file");
    node = image_open(i, 0);
    g_assert_cmpint(call(node, snapshot_create, "s"), ==, 0);
    vit_block_node_unref(node);
    refuses(i, "refcount_bits=1", "has a refcount of 2");
    node = image_open(i, 0);
    g_assert_cmpint(call(node, add_bitmap, "gone"), ==, 0);
    g_assert_cmpint(call(node, snapshot_delete, "s"), ==, 0);
    vit_block_node_unref(node);
    amend_and_compare(i, "compat=0.10", "compat: 0.10");
    refuses(i, "lazy_refcounts=on", "Lazy refcounts only supported with");
    node = image_open(i, 0);
    g_assert_cmpint(call(node, snapshot_create, "old"), ==, 0);
    vit_block_node_unref(node);
    amend_and_compare(i, "compat=1.1", "compat: 1.1");
    if (backing) return;
    i->size = 2 * SIZE;
    amend_and_compare(i, "size=24M", "virtual size: 24 MiB");
    refuses(i, "compat=v2", "Internal snapshots prevent downgrade of image");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, data, fn)                                                                        \
    g_test_add("/block/qcow2-meta/" name, Image, data, image_set_up, fn, image_tear_down)
    ADD("snapshots/default", "", test_snapshots);
    ADD("snapshots/small", "cluster_size=4k,refcount_bits=64", test_snapshots);
    ADD("snapshots/extended", "extended_l2=on,cluster_size=32k", test_snapshots);
    ADD("snapshots/lazy", "lazy_refcounts=on", test_snapshots);
    ADD("snapshots/old", "compat=0.10", test_snapshots);
    ADD("snapshots/facts", NULL, test_snapshot_facts);
    ADD("snapshots/from-qemu", NULL, test_snapshots_from_qemu);
    ADD("snapshots/narrow", NULL, test_narrow);
    ADD("bitmaps/stored", NULL, test_bitmaps);
    ADD("bitmaps/unclean", NULL, test_bitmaps_unclean);
    ADD("amend/alone", NULL, test_amend);
    ADD("amend/backing", "backing", test_amend);
    return g_test_run();
}
