/* tests/device/test-registry.c - the common tests over every registered device class
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A class that cannot start alone (a disk, a bus, a host end) has a line in setups[]. */
#include "hw/registry.h"
#include "tests/device/device-test.h"
#include "tests/device/setups.h"

#include <string.h>

static void test_names(void)
{
    for (const VitDeviceClass *const *klass = vit_device_classes; *klass; klass++)
        g_assert_true(vit_device_class_find((*klass)->name) == *klass);     /* unique, too */
    g_assert_null(vit_device_class_find("no-such-device"));
}

static void test_setups(void)
{
    for (const DeviceTestEntry *e = device_test_setups; e->name; e++)
        if (!vit_device_class_find(e->name))
            g_error("setups[] names \"%s\", which is not in hw/registry.c", e->name);
}

static const DeviceTestSetup *setup_of(const char *name)
{
    for (const DeviceTestEntry *e = device_test_setups; e->name; e++)
        if (strcmp(e->name, name) == 0)
            return e->setup;
    return NULL;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/device/registry/names", test_names);
    g_test_add_func("/device/registry/setups", test_setups);
    for (const VitDeviceClass *const *klass = vit_device_classes; *klass; klass++)
        vit_device_test_class(*klass, setup_of((*klass)->name));
    return g_test_run();
}
