/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ahci-private.h - between ahci.c (registers, life) and ahci-command.c */
#pragma once
#include "hw/deferred.h"
#include "hw/storage/ahci.h"

enum { SLOTS = 32 };
enum { CMD_ST = 1 << 0, CMD_SUD = 1 << 1, CMD_POD = 1 << 2, CMD_CLO = 1 << 3, CMD_FRE = 1 << 4,
       CMD_CCS_SHIFT = 8, CMD_FR = 1 << 14, CMD_CR = 1 << 15, CMD_ATAPI = 1 << 24 };
enum { IS_DHRS = 1 << 0, IS_PSS = 1 << 1, IS_SDBS = 1 << 3, IS_DPS = 1 << 5, IS_PCS = 1 << 6,
       IS_OFS = 1 << 24, IS_HBDS = 1 << 28, IS_TFES = 1 << 30 };

typedef struct {
    uint32_t clb, clbu, fb, fbu, is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
    bool     halted;            /* an error: nothing starts until ST goes off */
    bool     soft_reset;        /* the first FIS of a software reset has come */
} PortState;

typedef struct Ahci Ahci;

typedef struct {
    VitAtaRun *run;             /* owned, or NULL */
    uint32_t   header;          /* of the command: flags and length of its table */
    uint64_t   table;           /* guest address of the command table */
    uint32_t   entry;           /* next descriptor */
    uint64_t   address;         /* in the present one */
    uint32_t   left;
    uint32_t   moved;           /* bytes, for the header */
    bool       queued;
} Slot;

typedef struct {
    Ahci        *ahci;
    unsigned     number;
    VitAtaDrive *drive;         /* borrowed, or NULL */
    Slot         slots[SLOTS];
    bool         looping, again;
} Port;

struct Ahci {
    VitDevice       parent;
    VitPciBus      *bus;        /* borrowed, or NULL */
    int             devfn;
    VitPciFunction *pci;
    VitDeferred    *restore;    /* owned */
    Port            ports[VIT_AHCI_PORTS];
    uint32_t        told;       /* interrupts that have had their message */
    struct {
        uint32_t  ghc, is;
        PortState port[VIT_AHCI_PORTS];
    } st;
};

static inline PortState *state(const Port *p)
{
    return &p->ahci->st.port[p->number];
}

/* ahci.c: takes the ports' interrupts together, and drives the line. */
void ahci_update(VitDevice *ahci);
/* ahci-command.c */
void ahci_send_d2h(Port *p, const VitAtaTaskfile *tf, bool interrupt);
void ahci_send_signature(Port *p, bool interrupt);
void ahci_cancel_all(Port *p);
/* Starts what the guest has issued: queued commands side by side, others one at a time. */
void ahci_port_run(Port *p);
