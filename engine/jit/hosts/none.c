/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/none.c - a host without a backend: only the interpreter runs */
#include "engine/jit/jit-private.h"

bool jit_host_available(void) { return false; }
void jit_host_prelude(JitAccel *accel) { g_assert_not_reached(); }
void *jit_host_gen_new(JitAccel *accel) { return NULL; }
bool jit_host_compile(JitCpu *jc, JitRegion *r, JitBlock *b, unsigned code_mmu) { return false; }
void jit_host_kill(JitAccel *accel, JitBlock *b) { }
void jit_host_patch(JitAccel *accel, JitBlock *b, JitExit *e, const JitBlock *target) { }
void jit_host_unlinkable(JitAccel *accel, JitBlock *b, JitExit *e) { }
uintptr_t jit_host_enter(JitCpu *jc, const uint8_t *code) { return 0; }
const uint8_t *jit_host_body(const JitBlock *b) { return NULL; }
