/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/vops-info.c - the rows of vops.h as a table, for dumps and host backends */
#include "engine/jit/vops.h"

const VitVopInfo vit_vop_info[VIT_VOP_COUNT] = {
#define X(name, prefix, map, opcode, shape) { #name, prefix, map, opcode, VIT_VSHAPE_##shape },
    VIT_VOPS(X)
#undef X
};
