/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/firmware.c - finding firmware images of the distribution */
#include "hw/board/firmware.h"
#include <glib/gi18n-lib.h>
#include <string.h>

static const char *const built_in_dirs[] = {
    "/usr/share/seabios", "/usr/share/qemu", "/usr/share/vgabios", "/usr/share/qemu-firmware",
    "/usr/local/share/seabios", "/usr/local/share/qemu", "/app/share/seabios", "/app/share/qemu",
    NULL,
};

static const struct { const char *prefix, *package; } packages[] = {
    { "bios", "seabios" }, { "vgabios", "seabios" }, { "OVMF", "ovmf" }, { "efi-", "ipxe-qemu" },
};

static const char *package_of(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(packages); i++)
        if (g_str_has_prefix(name, packages[i].prefix))
            return packages[i].package;
    return NULL;
}

static GBytes *load(const char *path, GError **error)
{
    g_autoptr(GError) why = NULL;
    char *data;
    gsize size;
    if (g_file_get_contents(path, &data, &size, &why))
        return g_bytes_new_take(data, size);
    g_set_error(error, why->domain, why->code,
                _("The firmware cannot be read: %s; check its path."), why->message);
    return NULL;
}

static GBytes *search(const char *name, const char *const *dirs, GString *searched)
{
    for (; dirs && *dirs; dirs++) {
        g_autofree char *path = g_build_filename(*dirs, name, NULL);
        GBytes *bytes = load(path, NULL);
        if (bytes)
            return bytes;
        g_string_append_printf(searched, "%s%s", searched->len ? ", " : "", *dirs);
    }
    return NULL;
}

GBytes *vit_firmware_load(const char *name, const char *const *dirs, GError **error)
{
    if (strchr(name, '/'))
        return load(name, error);
    g_autoptr(GString) searched = g_string_new(NULL);
    GBytes *bytes = search(name, dirs, searched);
    if (!bytes)
        bytes = search(name, built_in_dirs, searched);
    if (bytes)
        return bytes;
    const char *package = package_of(name);
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
                _("Firmware file \"%s\" is in none of %s. %s%s%s name its folder with -L."), name,
                searched->str, package ? "Install the package \"" : "Please",
                package ? package : "", package ? "\", or" : "");
    return NULL;
}
