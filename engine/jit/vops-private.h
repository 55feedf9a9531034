/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/vops-private.h - one function per vector operation, and what they share
 *
 * d never aliases a or b: vit_vop_exec() gives a fresh destination. */
#pragma once
#include "engine/jit/vops.h"

#include <string.h>

#define X(name, prefix, map, opcode, shape) \
    void vop_##name(VitVec *d, const VitVec *a, const VitVec *b, unsigned imm);
VIT_VOPS(X)
#undef X

#define VOP(name) void vop_##name(VitVec *d, const VitVec *a, const VitVec *b, unsigned imm)
/* d.lane[i] = expr, with x and y the lanes of a and b. */
#define LANES(name, lane, n, T, expr)                                                              \
    VOP(name)                                                                                      \
    {                                                                                              \
        for (unsigned i = 0; i < (n); i++) {                                                       \
            T x = a->lane[i], y = b->lane[i];                                                      \
            (void) x, (void) y;                                                                    \
            d->lane[i] = (expr);                                                                   \
        }                                                                                          \
    }
