/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/disasm-cpu.c - text of the instructions that a processor sees at an address */
#include "engine/core/memory.h"
#include "engine/cpu/tlb.h"
#include "engine/guest/x86/cpu.h"
#include "engine/guest/x86/decode.h"
#include "engine/guest/x86/disasm.h"

#include <inttypes.h>

/* Bytes at a linear address, for looking only; how many could be had. */
static unsigned peek(VitCpu *cpu, uint64_t linear, uint8_t *buf, unsigned n)
{
    unsigned mmu = cpu->isa->code_mmu(cpu), i = 0;
    uint64_t phys = 0;

    for (; i < n; i++) {
        if ((i == 0 || ((linear + i) & 4095) == 0) &&
            !vit_tlb_probe(cpu, (linear + i) & ~4095ULL, VIT_ACCESS_READ, mmu, &phys))
            break;
        if (vit_as_read(cpu->memory, (phys & ~4095ULL) + ((linear + i) & 4095), &buf[i], 1) !=
            VIT_MEM_OK)
            break;
    }
    return i;
}

char *x86_disassemble(VitCpu *cpu, uint64_t pc, unsigned n)
{
    uint32_t mode = (uint32_t)cpu->mode;
    unsigned code = mode & X86_MODE_LONG   ? X86_CODE_64
                    : mode & X86_MODE_CS32 ? X86_CODE_32
                                           : X86_CODE_16;
    GString *s = g_string_new(NULL);

    for (unsigned k = 0; k < n; k++) {
        uint8_t bytes[15];
        unsigned had = peek(cpu, vit_mode_linear(cpu->mode, pc), bytes, sizeof bytes);

        if (had == 0) break;
        g_string_append_printf(s, "0x%08" PRIx64 ":  ", pc);
        pc += x86_disassemble_one(s, bytes, had, pc, code);
        g_string_append_c(s, '\n');
    }
    return g_string_free(s, FALSE);
}
