/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/vops.c - vector operations by number, for the interpreter */
#include "engine/jit/vops-private.h"

void vit_vop_exec(VitVop op, VitVec *d, const VitVec *a, const VitVec *b, unsigned imm8)
{
    static void (*const functions[VIT_VOP_COUNT])(VitVec *, const VitVec *, const VitVec *,
                                                  unsigned) = {
#define X(name, prefix, map, opcode, shape) vop_##name,
        VIT_VOPS(X)
#undef X
    };
    VitVec out;

    functions[op](&out, a, b, imm8);
    *d = out;
}
