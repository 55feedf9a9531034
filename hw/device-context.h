/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/device-context.h - what the machine assembler offers to the devices that it creates by name
 *
 * Everything is borrowed; tables may be NULL when the machine has none of that kind. */
#pragma once
#include "block/node.h"
#include "block/objects.h"
#include "display/input.h"
#include "display/scanout.h"
#include "engine/core/char.h"
#include "engine/core/system.h"
#include "hw/pci/pci.h"
#include "net/netdev.h"

typedef struct {
    VitSystem    *sys;
    VitPciBus    *pci;          /* root bus */
    GHashTable
        *buses; /* id -> VitPciBus*: secondary buses, added by the bridges' create functions */
    VitInputHub  *input;
    GHashTable   *drives;       /* id -> VitBlockNode* */
    VitBlockObjects *objects;   /* where "iothread=ID" is found */
    unsigned      n_cpus;       /* of the machine; 0: not known */
    GHashTable   *netdevs;      /* id -> VitNetdev* */
    GHashTable   *chardevs;     /* id -> VitChar* */
    GPtrArray    *scanouts;     /* of VitScanout*: devices add theirs, the devices own them */
    VitIoThread  *iothread;     /* for data paths that no backend's thread owns */
    VitIrqHandler isa_irq;      /* the board's ISA interrupt lines, NULL = none */
    void         *isa_irq_opaque;
    VitDevice    *serial_bus;   /* the newest virtio-serial device: where virtconsole goes */
} VitDeviceContext;
