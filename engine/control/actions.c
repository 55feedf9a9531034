/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/actions.c - what both monitors do: pictures, drives, memory */
#include "engine/control/control-private.h"

#include "block/node.h"
#include "engine/cpu/tlb.h"
#include "engine/guest/x86/cpu.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

enum { BLANK_WIDTH = 640, BLANK_HEIGHT = 480, CHUNK = 64 << 10 };

VitCpu *control_cpu(VitControl *c, int64_t index, GError **error)
{
    VitCpu *cpu = index >= 0 && index <= UINT_MAX ? vit_engine_cpu(c->engine, (unsigned) index)
                                                  : NULL;

    if (!cpu)
        g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC,
                    "There is no CPU %" G_GINT64_FORMAT "; the machine has %u", index,
                    vit_engine_n_cpus(c->engine));
    return cpu;
}

/* ---- Pictures -------------------------------------------------------------------------------- */

static void nothing(void *opaque)
{
}

bool control_screendump(VitControl *c, const char *path, const char *format, unsigned head,
                        GError **error)
{
    VitScanout *scanout = vit_engine_scanout(c->engine, head);

    if (!scanout) {
        g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_DEVICE_NOT_FOUND,
                    "There is no display %u to take a picture of; the machine has %u", head,
                    vit_engine_n_scanouts(c->engine));
        return false;
    }
    vit_scanout_refresh(scanout);
    vit_io_thread_call_sync(c->sys->thread, nothing, NULL);     /* it draws there */
    g_autoptr(VitSurface) surface = vit_scanout_ref_surface(scanout);
    if (!surface)                                               /* a dark screen */
        surface = vit_surface_new(BLANK_WIDTH, BLANK_HEIGHT, VIT_PIXEL_XRGB8888);
    bool png = format ? !strcmp(format, "png") : g_str_has_suffix(path, ".png");
    return vit_surface_save_as(surface, path, png, error);
}

/* ---- Drives ---------------------------------------------------------------------------------- */

GList *control_drive_ids(VitControl *c)
{
    return g_list_sort(g_hash_table_get_keys(vit_engine_drives(c->engine)), (GCompareFunc) strcmp);
}

bool control_drive_is_cd(VitControl *c, const char *id)
{
    const VitMachineConfig *config = vit_engine_config(c->engine);
    VitBlockNode *node = g_hash_table_lookup(vit_engine_drives(c->engine), id);

    for (guint i = 0; node && i < config->drives->len; i++) {
        const VitDriveConfig *d = config->drives->pdata[i];
        if (d->cdrom && d->file && !g_strcmp0(d->file, vit_block_node_filename(node)))
            return true;
    }
    return false;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

typedef struct {
    uint64_t addr;
    uint8_t *buf;
    size_t   size;
    bool     good;
} Read;

static void read_virtual(VitCpu *cpu, void *opaque)
{
    Read *r = opaque;

    for (size_t done = 0; done < r->size;) {
        uint64_t at = r->addr + done, phys, n = VIT_PAGE_SIZE - at % VIT_PAGE_SIZE;
        n = MIN(n, r->size - done);
        if (!vit_tlb_probe(cpu, at, VIT_ACCESS_READ, X86_MMU_KERNEL, &phys))
            return;
        phys = (phys & ~(uint64_t) (VIT_PAGE_SIZE - 1)) | at % VIT_PAGE_SIZE;
        if (vit_as_read(cpu->memory, phys, r->buf + done, n) != VIT_MEM_OK)
            return;
        done += n;
    }
    r->good = true;
}

bool control_read_memory(VitControl *c, VitCpu *cpu, uint64_t addr, void *buf, size_t size)
{
    Read r = { .addr = addr, .buf = buf, .size = size };

    if (!cpu)
        return vit_as_read(c->sys->memory, addr, buf, size) == VIT_MEM_OK;
    vit_cpu_call_sync(cpu, read_virtual, &r);
    return r.good;
}

bool control_save_memory(VitControl *c, VitCpu *cpu, uint64_t addr, uint64_t size, const char *path,
                         GError **error)
{
    g_autofree uint8_t *buf = g_malloc(CHUNK);
    FILE *file = g_fopen(path, "wbe");
    bool good = file != NULL, mapped = true;
    int code = errno;

    for (uint64_t done = 0; good && mapped && done < size;) {
        size_t n = (size_t) MIN(size - done, CHUNK);
        mapped = control_read_memory(c, cpu, addr + done, buf, n);
        good = !mapped || fwrite(buf, 1, n, file) == n;
        code = errno;
        done += n;
        if (!mapped)
            g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC,
                        "No memory at some address from 0x%" G_GINT64_MODIFIER "x to 0x%"
                        G_GINT64_MODIFIER "x", addr + done - n, addr + done - 1);
    }
    if (file && fclose(file) && good) {
        good = false;
        code = errno;
    }
    if (!good && mapped)
        g_set_error(error, G_FILE_ERROR, (int) g_file_error_from_errno(code),
                    "Cannot write “%s”: %s", path, g_strerror(code));
    if (file && !(good && mapped))
        g_unlink(path);
    return good && mapped;
}
