/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/jit/toy.h - an ISA whose "instructions" are six bytes that seed random IR */
#pragma once
#include "engine/jit/ir-eval.h"
#include "engine/jit/jit.h"
#include "engine/jit/vops.h"

enum { TOY_REGS = 16, TOY_VECTORS = 8, TOY_INSN = 6, TOY_TRACE = 4096 };
enum { TOY_CODE = 0x10000, TOY_CODE_SIZE = 0x4000, TOY_DATA = 0x40000, TOY_DATA_SIZE = 0x8000,
       TOY_HOLE = 0x46000 /* a page that faults */, TOY_RAM_SIZE = 0x80000 };

typedef struct {
    VitCpu   cpu;
    uint64_t reg[TOY_REGS];
    uint64_t pc;
    uint16_t flags;
    uint16_t pad[3];
    VitVec   vec[TOY_VECTORS];
    uint32_t mxcsr, pad2;
    uint32_t faulted;
    unsigned limit;             /* blocks to run */
    unsigned n;
    /* at each block's start */
    struct { uint64_t pc, reg[TOY_REGS], flags, vec[TOY_VECTORS * 2]; } trace[TOY_TRACE];
    uint64_t fault_pc[64];
    unsigned n_faults;
    bool     stop_on_fault;
    void   (*translate)(VitTranslate *t);   /* replaces the random one */
} Toy;

extern const VitIsa toy_isa;

typedef struct {
    VitSystem *sys;
    VitRam    *ram;
    VitRegion *region;
    VitAccel  *accel;
    Toy       *toy;
} Rig;

void rig_open(Rig *rig, const VitAccelClass *klass);
void rig_close(Rig *rig);
void rig_run(Rig *rig, unsigned blocks);  /* until that many blocks have run, or a fault stops it */
extern const VitHelper toy_tick;
