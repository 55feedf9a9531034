/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/misc/debugexit.c - a port whose write ends the machine with exit status (value << 1) | 1
 * As "isa-debug-exit" is known to test programs.  Maps itself at `iobase` in the port space. */
#include "hw/misc/isa-debug.h"

#include <glib/gi18n-lib.h>

enum { MAX_SIZE = 8 };

typedef struct {
    VitDevice parent;
    uint32_t iobase, iosize;
    VitRegion *window;          /* owned by the device */
    struct {
        uint32_t last;          /* what was written */
    } st;
} DebugExit;

static bool exit_write(VitDevice *d, uint32_t offset, unsigned size, uint64_t value)
{
    DebugExit *e = (DebugExit *) d;
    e->st.last = (uint32_t) value;
    vit_system_request(d->sys, VIT_REQUEST_EXIT, (int) (((uint32_t) value << 1 | 1) & 0xff),
                       _("the guest wrote to the debug exit port"));
    return true;
}

static bool exit_read(VitDevice *d, uint32_t offset, unsigned size, uint64_t *value)
{
    *value = 0;
    return true;
}

static bool exit_init(VitDevice *d, GError **error)
{
    DebugExit *e = (DebugExit *) d;
    if (e->iosize == 0 || e->iosize > MAX_SIZE || e->iobase > 0x10000 - e->iosize) {
        g_set_error(
            error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
            _("isa-debug-exit: iobase=0x%x with iosize=%u is not a place in the port space; "
              "iosize is 1 to %u"),
            e->iobase, e->iosize, MAX_SIZE);
        return false;
    }
    e->window = vit_device_window(d, 0, e->iosize);
    vit_region_add(d->sys->io_root, e->iobase, e->window, 1);
    return true;
}

static void exit_finish(VitDevice *d)
{
    DebugExit *e = (DebugExit *) d;
    if (e->window)
        vit_region_remove(d->sys->io_root, e->window);
}

static const VitProp exit_props[] = {
    VIT_PROP("iobase", VIT_PROP_U32, DebugExit, iobase, "0x501", "first port"),
    VIT_PROP("iosize", VIT_PROP_U32, DebugExit, iosize, "2", "number of ports"),
    { NULL },
};
static const VitField exit_hidden[] = { VIT_UINT(DebugExit, st.last), { VIT_END } };

const VitDeviceClass vit_debugexit_class = {
    .name = "isa-debug-exit", .description = "port that ends the machine", .version = 1,
    VIT_STATE(DebugExit, st), .mmio_size = MAX_SIZE, .hidden = exit_hidden, .props = exit_props,
    .raw_read = exit_read, .raw_write = exit_write, .init = exit_init, .finish = exit_finish,
};
