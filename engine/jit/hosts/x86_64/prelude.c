/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/prelude.c - thunks that all blocks share: way in and out, slow memory,
 * saving */
#include "engine/jit/hosts/x86_64/analyse.h"

#include <stddef.h>

/* What a memory stub asks for; INFO() in memory.c.  Result in *result for vectors. */
static uint64_t slow_memory(VitCpu *cpu, uint64_t linear, uint32_t info, uint64_t *value,
                            VitVec *result, const uint64_t *value2)
{
    unsigned kind = info & 255, size = info >> 8 & 255, mmu = info >> 16 & 255, sub = info >> 24;

    switch (kind) {
    case 0:
        if (size == 16) {
            vit_cpu_load_bytes(cpu, linear, result, 16, mmu);
            return result->u64[0];
        }
        return vit_cpu_load(cpu, linear, size, mmu);
    case 1:
        return vit_cpu_load_rmw(cpu, linear, size, mmu);
    case 2:
        if (size == 16)
            vit_cpu_store_bytes(cpu, linear, value, 16, mmu);
        else
            vit_cpu_store(cpu, linear, *value, size, mmu);
        return 0;
    case 3:
        return vit_cpu_atomic(cpu, (VitAtomicOp) sub, linear, *value, size, mmu);
    default:
        return vit_cpu_cmpxchg(cpu, linear, *value, *value2, size, mmu);
    }
}

static bool callee_saved(int reg)
{
    return reg == RBX || reg >= R12;
}

static void pins(Gen *g, bool store, bool some)     /* some: only those that C functions change */
{
    for (int k = 0; k < g->n_pins; k++) {
        if (some && callee_saved(pin_reg[k]))
            continue;
        if (store)
            store_rm(g, state(g->pin_offset[k]), pin_reg[k], 8);
        else
            load_rm(g, pin_reg[k], state(g->pin_offset[k]), 8);
    }
}

static Mem field(size_t off) { return state(off); }

static uint8_t *here(Gen *g)
{
    while ((uintptr_t) g->p & 15)
        e1(g, 0x90);
    return rx(g, g->p);
}

static void memory_thunks(Gen *g, uint8_t *entries[16], bool vectors)
{
    uint8_t *ends[N_SCRATCH];
    Mem up = frame(0);

    for (unsigned k = 0; k < N_SCRATCH; k++) {      /* rsp is 8 below the frame here */
        entries[scratch_reg[k]] = here(g);
        up.disp = FR_ADDR + 8;
        store_rm(g, up, scratch_reg[k], 8);
        ends[k] = jmp_later(g);
    }
    for (unsigned k = 0; k < N_SCRATCH; k++)
        land(g, ends[k]);
    pins(g, true, false);
    store_rm(g, frame(FR_RAX + 8), RAX, 8);
    store_rm(g, frame(FR_RCX + 8), RCX, 8);
    store_rm(g, frame(FR_RDX + 8), RDX, 8);
    for (int x = 0; vectors && x < 16; x++)
        ins_rm(g, M0F, 0x11, x, frame(FR_XMM + 8 + 16 * x));
    load_rm(g, RAX, frame(0), 8);
    store_rm(g, field(offsetof(VitCpu, jit_return)), RAX, 8);
    lea(g, RDI, at(RBP, -JIT_BASE), true);
    load_rm(g, RSI, frame(FR_ADDR + 8), 8);
    load_rm(g, RDX, frame(FR_INFO + 8), 4);
    lea(g, RCX, frame(FR_VALUE + 8), true);
    lea(g, R8, frame(FR_RESULT + 8), true);
    lea(g, R9, frame(FR_VALUE2 + 8), true);
    alu_ri(g, ALU_SUB, RSP, 8, 8);
    call_c(g, slow_memory);
    alu_ri(g, ALU_ADD, RSP, 8, 8);
    store_rm(g, frame(FR_RESULT + 8), RAX, 8);
    pins(g, false, true);
    for (int x = 0; vectors && x < 16; x++)
        ins_rm(g, M0F, 0x10, x, frame(FR_XMM + 8 + 16 * x));
    load_rm(g, RAX, frame(FR_RAX + 8), 8);
    load_rm(g, RCX, frame(FR_RCX + 8), 8);
    load_rm(g, RDX, frame(FR_RDX + 8), 8);
    e1(g, 0xc3);
}

static const int8_t pushed[] = { RBX, RBP, R12, R13, R14, R15 };

static void push(Gen *g, int r)
{
    if (r & 8)
        e1(g, 0x41);
    e1(g, 0x50 | (r & 7));
}

static void pop(Gen *g, int r)
{
    if (r & 8)
        e1(g, 0x41);
    e1(g, 0x58 | (r & 7));
}

static int32_t jump_disp(size_t field_off)
{
    return (int32_t) ((int64_t) offsetof(VitTlb, jump) + (int64_t) field_off -
                      (int64_t) sizeof(VitTlb) - JIT_BASE);
}

/* rdx = pc: to its block when the jump cache knows it. */
void gen_lookup(Gen *g, bool use_cache, const uint8_t *exit)
{
    uint8_t *miss[3];

    if (use_cache) {
        ins_rr(g, 0, 0x69, RAX, RDX);               /* imul eax, edx */
        e4(g, VIT_JUMP_HASH);
        shift_ri(g, 5, RAX, 32 - VIT_JUMP_BITS, 4);
        shift_ri(g, 4, RAX, 5, 4);
        ins_rm(g, W, 0x3b, RDX, (Mem) { RBP, RAX, 0, jump_disp(offsetof(VitJumpEntry, pc)) });
        miss[0] = jcc_later(g, VIT_CC_NZ);
        load_rm(g, RCX, field(offsetof(VitCpu, mode)), 8);
        ins_rm(g, W, 0x3b, RCX, (Mem) { RBP, RAX, 0, jump_disp(offsetof(VitJumpEntry, mode)) });
        miss[1] = jcc_later(g, VIT_CC_NZ);
        load_rm(g, RCX, field(offsetof(VitCpu, jump_generation)), 4);
        ins_rm(g, 0, 0x3b, RCX,
               (Mem) { RBP, RAX, 0, jump_disp(offsetof(VitJumpEntry, generation)) });
        miss[2] = jcc_later(g, VIT_CC_NZ);
        ins_rm(g, 0, 0xff, 4, (Mem) { RBP, RAX, 0, jump_disp(offsetof(VitJumpEntry, host)) });
        for (unsigned k = 0; k < 3; k++)
            land(g, miss[k]);
    }
    mov_ri(g, RAX, 0);
    jump_to(g, exit);
}

static void set_up(Gen *g, JitAccel *a)
{
    memset(g, 0, offsetof(Gen, stubs));
    g->a = a;
    g->isa = a->isa;
    g->n_pins = a->options.pin ? (int8_t) MIN(a->isa->n_pinned, (unsigned) N_PINS) : 0;
    for (int k = 0; k < g->n_pins; k++)
        g->pin_offset[k] = a->isa->pinned[k];
    g->has_bmi1 = __builtin_cpu_supports("bmi");
    g->has_bmi2 = __builtin_cpu_supports("bmi2");
    g->has_lzcnt = __builtin_cpu_supports("lzcnt");
    g->has_popcnt = __builtin_cpu_supports("popcnt");
    g->has_aes = __builtin_cpu_supports("aes");
    g->has_pclmul = __builtin_cpu_supports("pclmul");
}

bool jit_host_available(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
}

void *jit_host_gen_new(JitAccel *a)
{
    Gen *g = g_new0(Gen, 1);
    set_up(g, a);
    return g;
}

void jit_host_prelude(JitAccel *a)
{
    g_autofree Gen *g = jit_host_gen_new(a);

    g->p = a->prelude;
    a->thunk.enter = here(g);
    for (unsigned k = 0; k < G_N_ELEMENTS(pushed); k++)
        push(g, pushed[k]);
    alu_ri(g, ALU_SUB, RSP, FR_SIZE, 8);
    mov_rr(g, RBP, RDI);
    mov_rr(g, RAX, RSI);
    pins(g, false, false);
    e1(g, 0xff), e1(g, 0xe0);       /* jmp rax */

    a->thunk.exit = here(g);        /* rdx = pc, rax = result */
    store_rm(g, field(a->isa->pc_offset), RDX, 8);
    pins(g, true, false);
    alu_ri(g, ALU_ADD, RSP, FR_SIZE, 8);
    for (unsigned k = G_N_ELEMENTS(pushed); k-- > 0;)
        pop(g, pushed[k]);
    e1(g, 0xc3);

    a->thunk.lookup_slot = here(g);
    load_rm(g, RDX, field(a->isa->pc_offset), 8);
    a->thunk.lookup = rx(g, g->p);
    gen_lookup(g, a->options.jump_cache, a->thunk.exit);

    /* The run loop has something to do only when requests are there, or the CPU halts. */
    a->thunk.loop_slot = here(g);
    load_rm(g, RDX, field(a->isa->pc_offset), 8);
    a->thunk.loop = rx(g, g->p);
    static_assert(offsetof(VitCpu, halted) == offsetof(VitCpu, exit_request) + 4);
    alu_mi(g, ALU_CMP, field(offsetof(VitCpu, exit_request)), 0, 8);
    uint8_t *quiet = jcc_later(g, VIT_CC_Z);
    mov_ri(g, RAX, 0);
    jump_to(g, a->thunk.exit);
    land(g, quiet);
    jump_to(g, a->thunk.lookup);

    a->thunk.save = here(g);
    ins_rm(g, 0, 0x8f, 0, field(offsetof(VitCpu, jit_return)));  /* pop, push: the return address */
    ins_rm(g, 0, 0xff, 6, field(offsetof(VitCpu, jit_return)));
    pins(g, true, false);
    e1(g, 0xc3);
    a->thunk.reload = here(g);
    pins(g, false, false);
    e1(g, 0xc3);
    a->thunk.save_some = here(g);
    pins(g, true, true);
    e1(g, 0xc3);
    a->thunk.reload_some = here(g);
    pins(g, false, true);
    e1(g, 0xc3);
    memory_thunks(g, a->thunk.memory, false);
    memory_thunks(g, a->thunk.memory_vectors, true);
    g_assert(g->p <= a->prelude + JIT_PRELUDE_SIZE);
}

uintptr_t jit_host_enter(JitCpu *jc, const uint8_t *code)
{
    uintptr_t (*enter)(void *base, const uint8_t *code);
    void *thunk = jc->accel->thunk.enter;

    memcpy(&enter, &thunk, sizeof enter);
    return enter((uint8_t *) jc->cpu + JIT_BASE, code);
}

/* ---- Patching: aligned writes, which other vCPUs see whole ----------------------------------- */

void jit_host_kill(JitAccel *a, JitBlock *b)
{
    uint8_t *head = b->code - a->rx_delta;
    /* the jne of the request check has its short displacement in byte 5: jump there always */
    uint16_t jump = (uint16_t) (0xeb | (uint8_t) (head[5] + 4) << 8);

    __atomic_store_n((uint16_t *) (void *) head, jump, __ATOMIC_RELEASE);
}

static void patch(JitAccel *a, JitBlock *b, uint32_t at, const uint8_t *to)
{
    uint8_t *site = b->code - a->rx_delta + at;

    __atomic_store_n((uint32_t *) (void *) site, (uint32_t) (to - (b->code + at + 4)),
                     __ATOMIC_RELEASE);
}

void jit_host_patch(JitAccel *a, JitBlock *b, JitExit *e, const JitBlock *target)
{
    uint32_t *guard = (uint32_t *) (void *) (b->code - a->rx_delta + e->guard);

    if (!e->guarded) {
        patch(a, b, e->site, target ? target->code : b->code + e->stub);
    } else if (target) {
        patch(a, b, e->site, target->code);
        patch(a, b, e->leave, a->thunk.lookup);     /* where the guard does not hold */
        __atomic_store_n(guard, e->view, __ATOMIC_RELEASE);
    } else {    /* the guard never holds; the jump stays where nobody goes */
        __atomic_store_n(guard, UINT32_MAX, __ATOMIC_RELEASE);
        patch(a, b, e->leave, a->thunk.exit);
    }
}

void jit_host_unlinkable(JitAccel *a, JitBlock *b, JitExit *e)
{
    if (e->leave)
        patch(a, b, e->leave, a->thunk.lookup);
}

const uint8_t *jit_host_body(const JitBlock *b)
{
    return b->code + 6;
}
