/* engine/core/system-state.c - the devices' part of a saved machine
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * "VITSTATE", format, number of sections, virtual time, CRC-32 of these; then one section a device
 * in order of creation (see device-state.c).  Every section is staged before the first commits. */
#include "engine/core/crc32.h"
#include "engine/core/device-private.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

typedef struct {
    char     magic[8];
    uint32_t format;
    uint32_t sections;
    int64_t  now;
    uint32_t sum;       /* of what stands before it */
    uint32_t zero;
} Header;

static const char magic[8] = "VITSTATE";
enum { FORMAT = 1 };
#define LATEST (INT64_MAX / 2)      /* virtual time that leaves room to add to: 146 years */

bool vit_system_save(VitSystem *sys, GByteArray *out, GError **error)
{
    if (vit_clock_running(sys->clock)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                            _("The machine must be paused before its state is saved"));
        return false;
    }
    vit_system_lock(sys);
    vit_system_quiesce(sys, true);
    Header header = { .format = GUINT32_TO_LE(FORMAT),
                      .sections = GUINT32_TO_LE(sys->devices->len),
                      .now = GINT64_TO_LE(vit_clock_now(sys->clock)) };
    memcpy(header.magic, magic, sizeof(magic));
    header.sum = GUINT32_TO_LE(vit_crc32(0, &header, offsetof(Header, sum)));
    g_byte_array_append(out, (const uint8_t *) &header, sizeof(header));
    for (guint i = 0; i < sys->devices->len; i++)
        vit_device_save(sys->devices->pdata[i], out);
    vit_system_quiesce(sys, false);
    vit_system_unlock(sys);
    return true;
}

static bool check_header(VitSystem *sys, const Header *header, GError **error)
{
    if (memcmp(header->magic, magic, sizeof(magic)) != 0 || header->zero
        || GUINT32_FROM_LE(header->sum) != vit_crc32(0, header, offsetof(Header, sum))
        || GINT64_FROM_LE(header->now) < 0 || GINT64_FROM_LE(header->now) > LATEST) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            _("This is no saved machine state, or it is damaged"));
        return false;
    }
    if (GUINT32_FROM_LE(header->format) != FORMAT) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    _("The state is saved in format %u, this program reads %u"),
                    GUINT32_FROM_LE(header->format), FORMAT);
        return false;
    }
    if (GUINT32_FROM_LE(header->sections) != sys->devices->len) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    _("The state is of a machine with %u devices, this one has %u; give it the "
                      "devices that it was saved with"),
                    GUINT32_FROM_LE(header->sections), sys->devices->len);
        return false;
    }
    return true;
}

static GPtrArray *stage_all(VitSystem *sys, VitReader *reader, GError **error)
{
    g_autoptr(GPtrArray) stages =
        g_ptr_array_new_with_free_func((GDestroyNotify) vit_device_stage_free);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < sys->devices->len; i++) {
        VitDeviceStage *stage = vit_device_stage_new(sys, NULL, reader, error);
        if (!stage)
            return NULL;
        g_ptr_array_add(stages, stage);
        if (!g_hash_table_add(seen, vit_device_stage_device(stage))) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        _("The saved state is damaged: it has device \"%s\" twice"),
                        vit_device_stage_device(stage)->id);
            return NULL;
        }
    }
    if (reader->left) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            _("The saved state is damaged: it is longer than it should be"));
        return NULL;
    }
    return g_steal_pointer(&stages);
}

bool vit_system_load(VitSystem *sys, const uint8_t *data, size_t size, GError **error)
{
    Header header;
    if (vit_clock_running(sys->clock)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                            _("The machine must be paused before a state is loaded"));
        return false;
    }
    if (size < sizeof(header)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            _("This is no saved machine state, or it is cut short"));
        return false;
    }
    memcpy(&header, data, sizeof(header));
    VitReader reader = { data + sizeof(header), size - sizeof(header) };
    vit_system_lock(sys);
    vit_system_quiesce(sys, true);
    g_autoptr(GPtrArray) stages = NULL;
    if (check_header(sys, &header, error))
        stages = stage_all(sys, &reader, error);
    if (stages) {
        vit_clock_set(sys->clock, GINT64_FROM_LE(header.now));
        for (guint i = 0; i < stages->len; i++)
            vit_device_stage_commit(stages->pdata[i]);
        for (guint i = 0; i < sys->devices->len; i++) {
            VitDevice *d = sys->devices->pdata[i];
            d->priv->quiet = true;
            if (d->klass->loaded)
                d->klass->loaded(d);
        }
        for (guint i = 0; i < sys->devices->len; i++)
            vit_device_replay(sys->devices->pdata[i]);
    }
    vit_system_quiesce(sys, false);
    vit_system_unlock(sys);
    return stages != NULL;
}
