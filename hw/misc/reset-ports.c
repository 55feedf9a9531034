/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/misc/reset-ports.c - system control port A (92h) and reset control (CF9h)
 * (Intel ICH9 datasheet 316972-004, 13.7.3 and 13.7.5)
 * Not modelled: the A20 mask itself (its bit is kept; memory never wraps at 1 MiB). */
#include "hw/misc/reset-ports.h"

#include <glib/gi18n-lib.h>

enum { INIT_NOW = 0x01, ALT_A20 = 0x02, RST_CPU = 0x04 };

typedef struct {
    VitDevice parent;
    struct {
        uint8_t port92, cf9;
    } st;
} ResetPorts;

static void wrote_port92(VitDevice *d, uint32_t offset, uint64_t old)
{
    const ResetPorts *r = (const ResetPorts *) d;
    if (r->st.port92 & ~old & INIT_NOW)
        vit_system_request(d->sys, VIT_REQUEST_RESET, 0, _("the guest used port 92h"));
}

static void wrote_cf9(VitDevice *d, uint32_t offset, uint64_t old)
{
    const ResetPorts *r = (const ResetPorts *) d;
    if (r->st.cf9 & ~old & RST_CPU)
        vit_system_request(d->sys, VIT_REQUEST_RESET, 0, _("the guest used port CF9h"));
}

static const VitReg reset_regs[] = {
    { 0, VIT_ANY_BANK, "PORT92", VIT_AT(ResetPorts, st.port92), .rw = INIT_NOW | ALT_A20,
      .reset = ALT_A20,
      .wrote = wrote_port92 },
    { 1, VIT_ANY_BANK, "RST_CNT", VIT_AT(ResetPorts, st.cf9), .rw = 0x0e, .wrote = wrote_cf9 },
};

const VitDeviceClass vit_reset_ports_class = {
    .name = "reset-ports", .description = "ports 92h and CF9h", .version = 1,
    VIT_STATE(ResetPorts, st),
    .mmio_size = 2, VIT_REGS(reset_regs),
};
