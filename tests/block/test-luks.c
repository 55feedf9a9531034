/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-luks.c - LUKS1 disks: round trips of all ciphers, key slots, corrupt headers */
#include "block/graph.h"
#include "block/driver.h"
#include "block/luks/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    VitIoThread *thread;
    VitBlockGraph *graph;
    char *folder, *path;
} Fixture;

enum { DISK = 3 << 20 };

static void set_up(Fixture *f, gconstpointer data)
{
    f->thread = vit_io_thread_new("block");
    f->graph = vit_block_graph_new(f->thread);
    f->folder = g_dir_make_tmp("vitrine-luks-XXXXXX", NULL);
    f->path = g_build_filename(f->folder, "disk.luks", NULL);
    VitBlockObjects *objects = vit_block_graph_objects(f->graph);
    g_assert_true(vit_block_objects_add_text(objects, "secret,id=s0,data=one", NULL));
    g_assert_true(vit_block_objects_add_text(objects, "secret,id=s1,data=two", NULL));
    g_assert_true(vit_block_objects_add_text(objects, "secret,id=wrong,data=bad", NULL));
}

static void tear_down(Fixture *f, gconstpointer data)
{
    vit_block_graph_free(f->graph);
    vit_io_thread_free(f->thread);
    g_unlink(f->path);
    g_rmdir(f->folder);
    g_free(f->path);
    g_free(f->folder);
}

static bool create(Fixture *f, const char *options, GError **error)
{
    g_autofree char *text = g_strconcat("key-secret=s0,iter-time=1,", options, NULL);
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-o", text, NULL, NULL);

    return vit_block_graph_create(f->graph, f->path, "luks", DISK, NULL, NULL, args, error);
}

static VitBlockNode *open_with(Fixture *f, const char *secret, unsigned flags, GError **error)
{
    g_autoptr(JsonObject) extra = json_object_new();

    if (secret) json_object_set_string_member(extra, "key-secret", secret);
    return vit_block_graph_open_image(f->graph, f->path, NULL, extra, flags, error);
}

static void fill(uint8_t *buf, uint64_t at, size_t size)
{
    for (size_t i = 0; i < size; i++) buf[i] = (uint8_t)((at + i) * 7 + (at + i) / 509);
}

static void check_content(VitBlockNode *node, uint64_t at, size_t size)
{
    g_autofree uint8_t *want = g_malloc(size), *got = g_malloc(size);

    fill(want, at, size);
    g_assert_cmpint(vit_block_read_sync(node, at, got, size), ==, 0);
    g_assert_cmpmem(got, size, want, size);
}

static void write_content(VitBlockNode *node, uint64_t at, size_t size)
{
    g_autofree uint8_t *data = g_malloc(size), *copy = g_malloc(size);

    fill(data, at, size);
    memcpy(copy, data, size);
    g_assert_cmpint(vit_block_write_sync(node, at, data, size), ==, 0);
    g_assert_cmpmem(data, size, copy, size); /* the guest's memory stays as it is */
}

static void test_ciphers(Fixture *f, gconstpointer data)
{
    static const char *const variants[] = {
        "cipher-alg=aes-256",
        "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,hash-alg=sha512,"
        "ivgen-hash-alg=md5",
        "cipher-alg=aes-192,cipher-mode=cbc,ivgen-alg=plain",
        "cipher-alg=serpent-256,cipher-mode=xts,hash-alg=sha1",
        "cipher-alg=twofish-256,cipher-mode=cbc,ivgen-alg=essiv,hash-alg=ripemd160",
        "cipher-alg=cast5-128,cipher-mode=cbc,hash-alg=sha224",
        "cipher-alg=aes-256,cipher-mode=ecb",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *raw = NULL;
        gsize size = 0;
        uint8_t want[4096];
        create(f, variants[i], &error);
        g_assert_no_error(error);
        VitBlockNode *node = open_with(f, "s0", 0, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(vit_block_info(node).size, ==, DISK);
        g_assert_true(vit_block_info(node).encrypted);
        write_content(node, 0, DISK - 700);
        write_content(node, 1000, 3000); /* ragged, through read and change */
        check_content(node, 0, DISK - 700);
        check_content(node, 12345, 99999);
        vit_block_node_unref(node);
        node = open_with(f, "s0", VIT_OPEN_READ_ONLY, &error);
        g_assert_no_error(error);
        check_content(node, 0, DISK - 700);
        vit_block_node_unref(node);
        g_assert_true(g_file_get_contents(f->path, &raw, &size, NULL));
        fill(want, 0, sizeof want);
        g_assert_null(memmem(raw, size, want, sizeof want)); /* nothing is stored in the clear */
    }
}

static void test_secrets(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(create(f, "", &error));
    g_assert_null(open_with(f, "wrong", 0, &error));
    g_assert_nonnull(strstr(error->message, "Invalid password, cannot unlock any keyslot"));
    g_clear_error(&error);
    g_assert_null(open_with(f, NULL, 0, &error));
    g_assert_nonnull(strstr(error->message, "Parameter 'key-secret' is required for cipher"));
    g_clear_error(&error);
    g_assert_null(open_with(f, "none", 0, &error));
    g_assert_nonnull(strstr(error->message, "No secret with id 'none'"));
    g_clear_error(&error);
    VitBlockNode *node = open_with(f, NULL, VIT_OPEN_NO_IO | VIT_OPEN_READ_ONLY, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(vit_block_info(node).size, ==, DISK);
    uint8_t byte;
    g_assert_cmpint(vit_block_read_sync(node, 0, &byte, 1), ==, -EIO);
    vit_block_node_unref(node);
}

/* ---- amending -------------------------------------------------------------------------------- */

typedef struct {
    VitBlockNode *node;
    const char *options;
    bool force, good;
    GError *error;
} Amend;

static void amend_fiber(void *opaque)
{
    Amend *a = opaque;
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-o", a->options, NULL, NULL);

    a->good = a->node->driver->co_amend(a->node, args, a->force, NULL, NULL, &a->error);
}

static void amend(Fixture *f, const char *secret, const char *options, const char *complaint)
{
    g_autoptr(GError) error = NULL;
    Amend a = { .node = open_with(f, secret, 0, &error), .options = options };

    g_assert_no_error(error);
    vit_fiber_run_sync(f->thread, amend_fiber, &a);
    if (!complaint) g_assert_no_error(a.error);
    else if (!a.error || !strstr(a.error->message, complaint))
        g_error("%s: “%s” is not “%s”", options, a.error ? a.error->message : "", complaint);
    g_clear_error(&a.error);
    vit_block_node_unref(a.node);
}

static bool opens(Fixture *f, const char *secret)
{
    VitBlockNode *node = open_with(f, secret, VIT_OPEN_READ_ONLY, NULL);
    bool good = node != NULL;

    vit_block_node_unref(node);
    return good;
}

static void test_amend(Fixture *f, gconstpointer data)
{
    g_assert_true(create(f, "", NULL));
    amend(f, "s0", "state=active,new-secret=s1,iter-time=1", NULL);
    g_assert_true(opens(f, "s0") && opens(f, "s1"));
    amend(f, "s0", "state=active,new-secret=s1,keyslot=1",
          "Refusing to overwrite active keyslot 1");
    amend(f, "s0", "state=active,new-secret=s1,keyslot=8", "Invalid keyslot 8 specified");
    amend(f, "s0", "state=active,keyslot=3", "'new-secret' is required");
    amend(f, "s0", "new-secret=s1", "Parameter 'state' is missing");
    amend(f, "s0", "state=inactive,keyslot=5", "already erased");
    amend(f, "s0", "state=inactive", "either explicit keyslot index or the password");
    amend(f, "s0", "state=inactive,old-secret=wrong", "No keyslots match");
    amend(f, "s0", "state=inactive,keyslot=0,old-secret=s1", "doesn't match the keyslot 0");
    amend(f, "s1", "state=inactive,old-secret=s0", NULL);
    g_assert_true(!opens(f, "s0") && opens(f, "s1"));
    amend(f, "s1", "state=inactive,keyslot=1", "the only active keyslot 1");
    amend(f, "s1", "state=inactive,old-secret=s1", "All the active keyslots match");
    for (unsigned i = 0; i < 7; i++) amend(f, "s1", "state=active,new-secret=s0,iter-time=1", NULL);
    amend(f, "s1", "state=active,new-secret=s0", "all keyslots are in use");
    g_assert_true(opens(f, "s0") && opens(f, "s1"));
}

/* ---- headers that lie ------------------------------------------------------------------------ */

static void patch(Fixture *f, uint64_t at, uint32_t value, uint32_t *old)
{
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    uint32_t be = GUINT32_TO_BE(value);

    g_assert_cmpint(pread(fd, old, sizeof *old, (off_t)at), ==, sizeof *old);
    g_assert_cmpint(pwrite(fd, &be, sizeof be, (off_t)at), ==, sizeof be);
    *old = GUINT32_FROM_BE(*old);
    close(fd);
}

static void test_corrupt(Fixture *f, gconstpointer data)
{
    static const struct {
        uint64_t at;
        uint32_t value;
        const char *complaint;
    } cases[] = {
        { 8, 0x41414141, "Unknown cipher" },
        { 40, 0x41414141, "Unknown cipher mode" },
        { 72, 0x41414141, "Unknown hash" },
        { 104, 0, "overlapping with the header" },
        { 104, 0xffffffff, "past the file's end" },
        { 104, 16, "Keyslot 0 at offset 0x1000 lies outside of the header's 0x2000 bytes" },
        { 108, 63, "No AES cipher with key size 63 available" },
        { 108, 0xfffffff0, "No AES cipher with key size" },
        { 164, 0, "has 0 iterations" },
        { 164, 0xffffffff, "iterations" },
        { 208, 0x1234, "Keyslot 0 state (active/disable) is corrupted: 0x1234" },
        { 212, 0xffffffff, "Keyslot 0 has 4294967295 iterations" },
        { 248, 0, "Keyslot 0 at offset 0x0 lies outside" },
        { 248, 0xffffffff, "Keyslot 0 at offset" },
        { 252, 0, "stripes 0" },
        { 252, 0xffffffff, "stripes 4294967295" },
        { 296, 8, "Keyslots 0 and 1 are overlapping" },
    };
    g_autoptr(GError) error = NULL;
    uint32_t old, now;

    g_assert_true(create(f, "", NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        patch(f, cases[i].at, cases[i].value, &old);
        g_assert_null(open_with(f, "s0", 0, &error));
        if (!strstr(error->message, cases[i].complaint))
            g_error("at %" G_GUINT64_FORMAT ": “%s” is not “%s”", cases[i].at, error->message,
                    cases[i].complaint);
        g_clear_error(&error);
        patch(f, cases[i].at, old, &now);
    }
    g_assert_true(opens(f, "s0"));
    g_assert_cmpint(truncate(f->path, 4096), ==, 0);
    g_assert_false(opens(f, "s0"));
    g_assert_cmpint(truncate(f->path, 100), ==, 0);
    g_assert_false(opens(f, "s0"));
}

static void test_options(Fixture *f, gconstpointer data)
{
    static const char *const cases[][2] = {
        { "cipher-alg=rot13", "Parameter 'cipher-alg' does not accept value 'rot13'" },
        { "cipher-mode=foo", "Parameter 'cipher-mode' does not accept value 'foo'" },
        { "hash-alg=crc32", "Parameter 'hash-alg' does not accept value 'crc32'" },
        { "cipher-alg=cast5-128,cipher-mode=xts", "Unsupported cipher mode xts" },
        { "cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha1", "key size 20 available" },
        { "cipher-algo=aes-256", "did you mean" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(create(f, cases[i][0], &error));
        if (!strstr(error->message, cases[i][1]))
            g_error("%s: “%s” is not “%s”", cases[i][0], error->message, cases[i][1]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/block/luks/ciphers", Fixture, NULL, set_up, test_ciphers, tear_down);
    g_test_add("/block/luks/secrets", Fixture, NULL, set_up, test_secrets, tear_down);
    g_test_add("/block/luks/amend", Fixture, NULL, set_up, test_amend, tear_down);
    g_test_add("/block/luks/corrupt", Fixture, NULL, set_up, test_corrupt, tear_down);
    g_test_add("/block/luks/options", Fixture, NULL, set_up, test_options, tear_down);
    return g_test_run();
}
