/* SPDX-License-Identifier: GPL-3.0-or-later */
/* strings.S - faults and traps within repeated string instructions, in 64-bit mode (Intel SDM vol.
 * 2: REP)
 *
 * What suspends one finds the registers after the iterations that are complete; a fault finds the
 * flags of before the instruction.  PT maps 4 KiB pages at LINEAR; the page-fault handler notes the
 * registers and maps what is missing, so that each instruction goes on and ends. */
#include "common.inc"
#define PT 0x94000
#define LINEAR 0x40000000
#define PHYS 0x200000           /* of the pages that start out mapped, all of them one */
#define LATER 0x201000          /* of those that the handler maps */
#define PRESENT 100             /* pages from LINEAR on */
#define ABSENT (LINEAR + PRESENT * 0x1000)
#define ARITHMETIC 0x8d5
#define ODD_FLAGS 0x891         /* C A S O: what comparing equals never leaves */
#define EQUAL_FLAGS 0x44        /* Z P */
#define FILL 0x11

.macro SET_FLAGS value
    pushq $(\value | 2)
    popfq
.endm
.macro EXPECT_REGISTER where, value, code
    mov $\value, %r8d
    cmp %r8, \where
    EXPECT_EQ \code
.endm
/* One fault, at this address with these registers and flags. */
.macro EXPECT_SUSPENDED address, rsi, rdi, rcx, flags, code
    EXPECT_REGISTER faults, 1, \code
    EXPECT_REGISTER fault_address, \address, (\code + 1)
    EXPECT_REGISTER at_rsi, \rsi, (\code + 2)
    EXPECT_REGISTER at_rdi, \rdi, (\code + 3)
    EXPECT_REGISTER at_rcx, \rcx, (\code + 4)
    EXPECT_REGISTER at_flags, \flags, (\code + 5)
.endm
/* Takes the mapped page away again. */
.macro AGAIN address
    movq $0, PT + 8 * ((\address - LINEAR) / 0x1000)
    mov $\address, %eax
    invlpg (%rax)
    movq $0, faults
.endm

    START in32
    .code32
in32:
    ENTER_LONG in64

    .code64
in64:
    GATE64 1, debug
    GATE64 14, page_fault
    mov $PML4 + 0x3000, %edi    /* PD for LINEAR */
    mov $0x800, %ecx
    xor %eax, %eax
    rep stosl
    movq $PML4 + 0x3007, PML4 + 0x1008
    movq $PT + 3, PML4 + 0x3000
    xor %ecx, %ecx
1:  movq $PHYS + 3, PT(,%rcx,8)
    inc %ecx
    cmp $PRESENT, %ecx
    jb 1b
    mov $PHYS, %edi
    mov $0x2000, %ecx
    mov $FILL, %al
    rep stosb
    movb $0x5a, LATER + 0x20

    /* REPE CMPSB: three bytes are equal, then the source is absent; it ends at the odd byte */
    mov $ABSENT - 3, %esi
    mov $LINEAR + 0x100, %edi
    mov $0x1000, %ecx
    SET_FLAGS ODD_FLAGS
    repe cmpsb
    pushfq
    EXPECT_SUSPENDED ABSENT, ABSENT, LINEAR + 0x103, 0xffd, ODD_FLAGS, 1
    EXPECT_REGISTER %rsi, ABSENT + 0x21, 7
    EXPECT_REGISTER %rdi, LINEAR + 0x124, 8
    EXPECT_REGISTER %rcx, (0x1000 - 0x24), 9
    pop %rax                    /* 0x5a - 0x11 */
    and $ARITHMETIC, %eax
    EXPECT_REGISTER %rax, 0, 10
    AGAIN ABSENT

    /* REPNE SCASB that finds nothing before the fault */
    mov $ABSENT - 0x10, %edi
    xor %esi, %esi
    mov $0x31, %ecx
    mov $0x5a, %al
    SET_FLAGS ODD_FLAGS
    repne scasb
    pushfq
    EXPECT_SUSPENDED ABSENT, 0, ABSENT, 0x21, ODD_FLAGS, 11
    EXPECT_REGISTER %rdi, ABSENT + 0x21, 17
    EXPECT_REGISTER %rcx, 0, 18
    pop %rax
    and $ARITHMETIC, %eax
    EXPECT_REGISTER %rax, EQUAL_FLAGS, 19
    AGAIN ABSENT

    /* REPE CMPSL with an element over the end of the page: the fault is in its second half */
    mov $LINEAR, %esi
    mov $ABSENT - 10, %edi
    mov $4, %ecx
    SET_FLAGS ODD_FLAGS
    repe cmpsl
    pushfq
    EXPECT_SUSPENDED ABSENT, (LINEAR + 8), (ABSENT - 2), 2, ODD_FLAGS, 20
    EXPECT_REGISTER %rsi, LINEAR + 16, 26
    EXPECT_REGISTER %rcx, 0, 27
    pop %rax
    and $ARITHMETIC, %eax
    EXPECT_REGISTER %rax, EQUAL_FLAGS, 28
    AGAIN ABSENT

    /* a fault in the first iteration has done nothing */
    mov $ABSENT, %edi
    mov $5, %ecx
    mov $FILL, %al
    SET_FLAGS ODD_FLAGS
    repe scasb
    EXPECT_SUSPENDED ABSENT, LINEAR + 16, ABSENT, 5, ODD_FLAGS, 30
    AGAIN ABSENT

    /* so many iterations that interrupts may come in between */
    mov $LINEAR + 0x1000, %esi
    mov $LINEAR, %edi
    mov $PRESENT * 0x1000, %ecx
    SET_FLAGS ODD_FLAGS
    repe cmpsb
    EXPECT_SUSPENDED ABSENT, ABSENT, (ABSENT - 0x1000), 0x1000, ODD_FLAGS, 40
    AGAIN ABSENT

    /* no iteration at all leaves the flags alone */
    xor %ecx, %ecx
    SET_FLAGS ODD_FLAGS
    repe cmpsb
    pushfq
    pop %rax
    and $ARITHMETIC, %eax
    EXPECT_REGISTER %rax, ODD_FLAGS, 46
    EXPECT_REGISTER faults, 0, 47

    /* MOVSL backwards: it has no flags to lose */
    mov $ABSENT - 0xffc, %edi
    mov $ABSENT + 4, %esi
    mov $3, %ecx
    SET_FLAGS ODD_FLAGS | 0x400
    rep movsl
    cld
    EXPECT_SUSPENDED (ABSENT + 4), (ABSENT + 4), (ABSENT - 0xffc), 3, ODD_FLAGS, 50
    EXPECT_REGISTER %rsi, (ABSENT - 8), 56
    EXPECT_REGISTER %rcx, 0, 57
    AGAIN ABSENT

    /* a trap after each iteration; the flags are right at the end */
    mov $LINEAR + 0x10, %esi
    mov $LINEAR + 0x20, %edi
    mov $6, %ecx
    SET_FLAGS ODD_FLAGS | 0x100
stepped:
    repe cmpsb
    pushfq
    andl $~0x100, (%rsp)
    mov (%rsp), %rax
    popfq
    and $ARITHMETIC, %eax
    EXPECT_REGISTER %rax, EQUAL_FLAGS, 60
    EXPECT_REGISTER steps, 5, 61
    EXPECT_REGISTER %rcx, 0, 62
    EXPECT_REGISTER %rsi, LINEAR + 0x16, 63
    EXIT 0

page_fault:
    mov %rax, saved
    pop %rax                    /* the error code: all are reads of absent pages */
    test $1, %al
    EXPECT_EQ 70
    incq faults
    mov %rsi, at_rsi
    mov %rdi, at_rdi
    mov %rcx, at_rcx
    mov 16(%rsp), %rax
    and $ARITHMETIC, %eax
    mov %rax, at_flags
    mov %cr2, %rax
    mov %rax, fault_address
    shr $12, %rax
    and $0x1ff, %eax
    movq $LATER + 3, PT(,%rax,8)
    mov saved, %rax
    iretq

/* Counts the traps that lead back into the instruction: 5, 4 .. 1 iterations are left. */
debug:
    mov %rax, saved
    mov $stepped, %eax
    cmp %rax, (%rsp)
    jne 1f
    incq steps
    mov $6, %eax
    sub steps, %rax
    cmp %rax, %rcx
    EXPECT_EQ 71
1:  xor %eax, %eax
    mov %rax, %dr6
    mov saved, %rax
    iretq

    .balign 8
saved:          .quad 0
faults:         .quad 0
fault_address:  .quad 0
at_rsi:         .quad 0
at_rdi:         .quad 0
at_rcx:         .quad 0
at_flags:       .quad 0
steps:          .quad 0
    TABLES
