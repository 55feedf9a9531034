/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/machine/test-config.c - descriptions survive a round trip; mistakes are named */
#include "engine/machine/config.h"

#include <gio/gio.h>

static VitMachineConfig *sample(void)
{
    VitMachineConfig *c = vit_machine_config_new();
    VitDriveConfig *d = vit_drive_config_new("/tmp/a, b.img");

    c->name = g_strdup("Ünïcode");
    c->ram_size = 3ULL << 30;
    c->n_cpus = 2;
    c->input_defaults = true;
    d->interface = VIT_DRIVE_VIRTIO;
    d->discard = true;
    g_ptr_array_add(c->drives, d);
    g_ptr_array_add(c->netdevs, g_strdup("user,id=net0"));
    return c;
}

static void test_round_trip(void)
{
    g_autoptr(VitMachineConfig) a = sample(), b = NULL, copy = vit_machine_config_copy(a);
    g_autofree char *text = vit_machine_config_to_json(a), *again = NULL;
    g_autofree char *copied = vit_machine_config_to_json(copy);
    g_autoptr(GError) error = NULL;

    b = vit_machine_config_from_json(text, -1, &error);
    g_assert_no_error(error);
    again = vit_machine_config_to_json(b);
    g_assert_cmpstr(text, ==, again);
    g_assert_cmpstr(text, ==, copied);
    g_assert_cmpint(((VitDriveConfig *) b->drives->pdata[0])->interface, ==, VIT_DRIVE_VIRTIO);
    g_assert_true(vit_machine_config_validate(b, &error));
}

static void refused(const char *text, const char *must_name)
{
    g_autoptr(GError) error = NULL;
    VitMachineConfig *c = vit_machine_config_from_json(text, -1, &error);

    g_assert_null(c);
    g_assert_nonnull(error);
    g_assert_nonnull(g_strstr_len(error->message, -1, must_name));
}

static void test_refusals(void)
{
    refused("{\"schema\": 1, \"drivs\": []}", "drives");
    refused("{\"schema\": 1, \"n_cpus\": \"two\"}", "n_cpus");
    refused("{\"schema\": 1, \"n_cpus\": -1}", "n_cpus");
    refused("{\"schema\": 1, \"drives\": [{\"interface\": \"scsi\"}]}", "interface");
    refused("{\"schema\": 9}", "schema");
    refused("[]", "object");
    refused("{", "description");
    refused("", "description");
}

static void test_truncated(void)        /* every prefix is refused or read, never fatal */
{
    g_autoptr(VitMachineConfig) a = sample();
    g_autofree char *text = vit_machine_config_to_json(a);
    size_t whole = strlen(text);

    for (size_t n = 0; n + 2 < whole; n++) {
        VitMachineConfig *c = vit_machine_config_from_json(text, (gssize) n, NULL);
        g_assert_null(c);
    }
}

static void invalid(VitMachineConfig *c, const char *must_name)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vit_machine_config_validate(c, &error));
    g_assert_nonnull(g_strstr_len(error->message, -1, must_name));
    vit_machine_config_free(c);
}

static void test_validate(void)
{
    VitMachineConfig *c = sample();
    g_free(c->machine);
    c->machine = g_strdup("q53");
    invalid(c, "“q35”");
    c = sample();
    c->n_cpus = 0;
    invalid(c, "-smp");
    c = sample();
    c->initrd = g_strdup("x");
    invalid(c, "-kernel");
    c = sample();
    c->boot_order = g_strdup("z");
    invalid(c, "-boot");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/config/round-trip", test_round_trip);
    g_test_add_func("/config/refusals", test_refusals);
    g_test_add_func("/config/truncated", test_truncated);
    g_test_add_func("/config/validate", test_validate);
    return g_test_run();
}
