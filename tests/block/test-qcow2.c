/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-qcow2.c - qcow2 images of both versions and all options */
#include "tests/block/format-test.h"

#include "block/qcow2/qcow2.h"

#include <string.h>

enum { MIB = 1 << 20 };

static const FormatCase cases[] = {
    { .format = "qcow2", .size = 5 * MIB + 3584 },
    { .format = "qcow2", .options = "compat=0.10", .size = 4 * MIB },
    { .format = "qcow2", .options = "cluster_size=512", .size = 3 * MIB + 512 },
    { .format = "qcow2", .options = "cluster_size=2M", .size = 10 * MIB },
    { .format = "qcow2", .options = "extended_l2=on", .size = 5 * MIB },
    { .format = "qcow2", .options = "extended_l2=on,cluster_size=16k", .size = 4 * MIB },
    { .format = "qcow2", .options = "refcount_bits=1,cluster_size=4k", .size = 4 * MIB },
    { .format = "qcow2", .options = "refcount_bits=64,cluster_size=1k", .size = 4 * MIB },
    { .format = "qcow2", .options = "refcount_bits=8", .size = 4 * MIB },
    { .format = "qcow2", .options = "preallocation=metadata", .size = 4 * MIB },
    { .format = "qcow2", .options = "preallocation=falloc,cluster_size=4k", .size = 4 * MIB },
    { .format = "qcow2", .options = "preallocation=full,extended_l2=on", .size = 4 * MIB },
    { .format = "qcow2", .options = "compression_type=zstd", .size = 4 * MIB },
};

static void test_random(gconstpointer data)
{
    format_test_random(data);
}

static void test_foreign(gconstpointer data)
{
    format_test_foreign(data);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *name = cases[i].options ?: "plain";
        g_autofree char *random = g_strdup_printf("/qcow2/random/%s", name);
        g_autofree char *foreign = g_strdup_printf("/qcow2/foreign/%s", name);
        g_test_add_data_func(random, &cases[i], test_random);
        g_test_add_data_func(foreign, &cases[i], test_foreign);
    }
    return g_test_run();
}
