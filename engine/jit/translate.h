/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/translate.h - the request that an ISA's translate() answers
 *
 * A block is straight-line guest code that stands in one page (pc's), plus at most the tail of one
 * last instruction that crosses into the next.  translate() appends instructions until a control
 * transfer, max_insns, ir->overflow nearing (stop when ops are above VIT_IR_MAX_OPS - 256), or the
 * page's end, and always ends the IR with one of the terminators. */
#pragma once
#include "engine/jit/ir.h"

struct VitTranslate {
    VitCpu  *cpu;
    VitIr   *ir;            /* reset by the caller */
    uint64_t pc;            /* start, as in the pc slot */
    uint64_t mode;          /* = cpu->mode */
    unsigned max_insns;     /* 1 .. VIT_IR_MAX_INSNS */
    uint64_t end_pc;        /* out: pc after the last instruction translated */
    bool     crosses;       /* out: bytes of the second page were used */
    const uint8_t *page;    /* host bytes of the first page (its whole 4 KiB) */
    const uint8_t *next_page;   /* filled when first needed */
};

/* Bytes at pc for decoding: up to 15 contiguous bytes in buf; returns how many are available before
 * a page that cannot be fetched.  Never unwinds.  When an instruction needs more bytes than that:
 * if it is not the first of the block, end the block before it with JMP to its pc; if it is the
 * first, call vit_translate_fault(), which raises the fetch fault (unwinds). */
unsigned vit_translate_fetch(VitTranslate *t, uint64_t pc, uint8_t buf[15]);
[[noreturn]] void vit_translate_fault(VitTranslate *t, uint64_t pc);
/* Whether pc still stands on the block's first page. */
bool vit_translate_same_page(const VitTranslate *t, uint64_t pc);
