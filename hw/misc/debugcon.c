/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/misc/debugcon.c - write-only console of firmware (Bochs' port E9h, SeaBIOS' port 402h)
 * A read gives `readback`, by which firmware finds the port.  Maps itself at `iobase`. */
#include "hw/misc/isa-debug.h"

#include <glib/gi18n-lib.h>

typedef struct {
    VitDevice parent;
    uint32_t iobase, readback;
    VitRegion *window;          /* owned by the device */
    VitChar *chr;               /* borrowed */
    struct {
        uint8_t last;
    } st;
} DebugCon;

static uint64_t con_read(VitDevice *d, uint32_t offset)
{
    return ((DebugCon *) d)->readback & 0xff;
}

static void con_write(VitDevice *d, uint32_t offset, uint64_t value)
{
    DebugCon *c = (DebugCon *) d;
    c->st.last = (uint8_t) value;
    if (c->chr)
        (void) vit_char_write(c->chr, &c->st.last, 1);
}

static size_t con_can_receive(void *opaque)
{
    return 0;
}

static void con_receive(void *opaque, const uint8_t *data, size_t size)
{
}

static const VitCharFront con_front = { .can_receive = con_can_receive, .receive = con_receive };

void vit_debugcon_set_chr(VitDevice *debugcon, VitChar *chr)
{
    DebugCon *c = (DebugCon *) debugcon;
    if (c->chr)
        vit_char_attach(c->chr, NULL, NULL);
    c->chr = chr;
    if (chr)
        vit_char_attach(chr, &con_front, c);
}

static bool con_init(VitDevice *d, GError **error)
{
    DebugCon *c = (DebugCon *) d;
    if (c->iobase > 0xffff) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("isa-debugcon: iobase=0x%x is beyond the port space; use 0 to 0xffff"),
                    c->iobase);
        return false;
    }
    c->window = vit_device_window(d, 0, 1);
    vit_region_add(d->sys->io_root, c->iobase, c->window, 1);
    return true;
}

static void con_finish(VitDevice *d)
{
    DebugCon *c = (DebugCon *) d;
    vit_debugcon_set_chr(d, NULL);
    if (c->window)
        vit_region_remove(d->sys->io_root, c->window);
}

static const VitProp con_props[] = {
    VIT_PROP("iobase", VIT_PROP_U32, DebugCon, iobase, "0xe9", "port"),
    VIT_PROP("readback", VIT_PROP_U32, DebugCon, readback, "0xe9", "value that a read gives"),
    { NULL },
};
static const VitReg con_regs[] = {
    { 0, VIT_ANY_BANK, "DATA", VIT_AT(DebugCon, st.last), .rw = 0xff, .read = con_read,
      .write = con_write },
};

const VitDeviceClass vit_debugcon_class = {
    .name = "isa-debugcon", .description = "firmware debug console", .version = 1,
    VIT_STATE(DebugCon, st), .mmio_size = 1, VIT_REGS(con_regs), .props = con_props,
    .init = con_init, .finish = con_finish,
};
