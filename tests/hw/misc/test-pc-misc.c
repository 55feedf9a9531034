/* tests/hw/misc/test-pc-misc.c - fw_cfg, ACPI power management, reset and debug ports
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/misc/acpi-pm.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/isa-debug.h"
#include "hw/misc/reset-ports.h"
#include "tests/hw/one-device.h"

#include <string.h>

typedef struct { VitRequest last; int code; unsigned n; } Requests;

static void request(VitSystem *sys, VitRequest what, int code, const char *reason)
{
    Requests *r = sys->request_opaque;
    *r = (Requests) { what, code, r->n + 1 };
    g_assert_nonnull(reason);
}

static void listen(OneDevice *o, Requests *r)
{
    *r = (Requests) { 0 };
    o->sys->request = request;
    o->sys->request_opaque = r;
}

static void read_ports(OneDevice *o, uint16_t key, void *data, unsigned n)
{
    one_write(o, 0, key, 2);
    for (unsigned i = 0; i < n; i++)
        ((uint8_t *) data)[i] = (uint8_t) one_read(o, 1, 1);
}

static void test_fw_cfg_ports(void)
{
    OneDevice o;
    uint8_t data[80];
    one_new(&o, &vit_fw_cfg_class);
    read_ports(&o, VIT_FW_CFG_SIGNATURE, data, 5);
    g_assert_cmpmem(data, 5, "QEMU\0", 5);
    read_ports(&o, 0x8000 | VIT_FW_CFG_SIGNATURE, data, 5); /* the platform's own: not the same */
    g_assert_cmpmem(data, 5, "\0\0\0\0", 5);
    vit_fw_cfg_set_file(o.d, "etc/test", "hello", 5);
    vit_fw_cfg_set_file(o.d, "etc/other", "x", 1);
    vit_fw_cfg_set_file(o.d, "etc/test", "bye", 3);
    read_ports(&o, VIT_FW_CFG_FILE_DIR, data, 68);
    g_assert_cmpmem(data, 8, "\0\0\0\2\0\0\0\3", 8);
    g_assert_cmpstr((char *) data + 12, ==, "etc/test");
    uint16_t key = (uint16_t) (data[8] << 8 | data[9]);
    read_ports(&o, key, data, 4);
    g_assert_cmpmem(data, 4, "bye\0", 4);
    one_free(&o);
}

static void test_fw_cfg_dma(void)
{
    OneDevice o;
    g_autoptr(VitRam) ram = vit_ram_new("test", 1 << 20, NULL);
    g_autoptr(VitRegion) region = vit_region_new_ram("ram", ram, 0, 1 << 20);
    one_new(&o, &vit_fw_cfg_class);
    vit_region_add(o.sys->memory_root, 0, region, 0);
    g_assert_cmphex(one_read(&o, 4, 4), ==, GUINT32_FROM_LE(0x554d4551));       /* "QEMU" */
    struct { uint32_t control, length; uint64_t address; } d = {
        GUINT32_TO_BE(VIT_FW_CFG_SIGNATURE << 16 | 8 | 2), GUINT32_TO_BE(6), GUINT64_TO_BE(0x2000),
    };
    memcpy(ram->host + 0x1000, &d, sizeof d);
    memset(ram->host + 0x2000, 0xee, 8);
    one_write(&o, 8, GUINT32_SWAP_LE_BE(0x1000), 4);
    g_assert_cmpmem(ram->host + 0x2000, 7, "QEMU\0\0\xee", 7);
    g_assert_cmpmem(ram->host + 0x1000, 4, "\0\0\0\0", 4);
    d.length = UINT32_MAX;                      /* far more than there is */
    memcpy(ram->host + 0x1000, &d, sizeof d);
    one_write(&o, 8, GUINT32_SWAP_LE_BE(0x1000), 4);
    g_assert_cmphex(ram->host[0x1003], ==, 1);  /* refused */
    vit_region_remove(o.sys->memory_root, region);
    one_free(&o);
}

static void test_acpi(void)
{
    OneDevice o;
    Requests r;
    one_new(&o, &vit_acpi_pm_class);
    listen(&o, &r);
    one_advance(&o, VIT_NS_PER_S);
    g_assert_cmpuint(one_read(&o, VIT_ACPI_PM_TMR, 4), ==, 3579545);
    vit_acpi_pm_power_button(o.d);
    one_write(&o, 2, 0x100, 2);
    g_assert_false(o.level[0]);                 /* not in ACPI mode yet */
    one_write(&o, VIT_ACPI_PM_APM, VIT_ACPI_ENABLE, 1);
    g_assert_cmphex(one_read(&o, VIT_ACPI_PM1_CNT, 2) & 1, ==, 1);
    g_assert_true(o.level[0]);
    one_write(&o, 0, 0x100, 2);
    g_assert_false(o.level[0]);
    one_write(&o, 2, 1, 2);                     /* the timer's top bit changes each 2.34 s */
    g_assert_false(o.level[0]);
    one_advance(&o, 3 * VIT_NS_PER_S);
    g_assert_true(o.level[0]);
    one_write(&o, VIT_ACPI_PM1_CNT, 0x2001, 2);
    g_assert_cmpuint(r.last, ==, VIT_REQUEST_SHUTDOWN);
    one_free(&o);
}

static void test_reset_ports(void)
{
    OneDevice o;
    Requests r;
    one_new(&o, &vit_reset_ports_class);
    listen(&o, &r);
    one_write(&o, 0, 2, 1);
    one_write(&o, 1, 2, 1);
    g_assert_cmpuint(r.n, ==, 0);
    one_write(&o, 1, 6, 1);
    g_assert_cmpuint(r.last, ==, VIT_REQUEST_RESET);
    one_write(&o, 0, 1, 1);
    g_assert_cmpuint(r.n, ==, 2);
    one_free(&o);
}

static void test_debug_exit(void)
{
    Requests r = { 0 };
    VitSystem *sys = vit_system_new();
    sys->request = request;
    sys->request_opaque = &r;
    g_autoptr(GError) error = NULL;
    vit_system_lock(sys);
    VitDevice *d = vit_device_new(sys, &vit_debugexit_class, NULL);
    g_assert_true(vit_device_set_prop(d, "iobase", "0xf4", NULL));
    g_assert_true(vit_device_set_prop(d, "iosize", "0x04", NULL));
    g_assert_true(vit_device_init(d, NULL));
    vit_as_store(sys->io, 0xf4, 0x10, 4);
    g_assert_cmpuint(r.last, ==, VIT_REQUEST_EXIT);
    g_assert_cmpint(r.code, ==, 0x21);
    d = vit_device_new(sys, &vit_debugexit_class, NULL);
    g_assert_true(vit_device_set_prop(d, "iobase", "0xffff", NULL));
    g_assert_false(vit_device_init(d, &error));
    g_assert_nonnull(strstr(error->message, "0xffff"));
    vit_system_unlock(sys);
    vit_system_free(sys);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fw_cfg/ports", test_fw_cfg_ports);
    g_test_add_func("/fw_cfg/dma", test_fw_cfg_dma);
    g_test_add_func("/acpi-pm", test_acpi);
    g_test_add_func("/reset-ports", test_reset_ports);
    g_test_add_func("/debug-exit", test_debug_exit);
    return g_test_run();
}
