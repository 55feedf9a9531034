/* SPDX-License-Identifier: GPL-3.0-or-later */
/* faults.S - exceptions of ordinary instructions, double faults with IST, SYSCALL, non-canonical
 * addresses, in 64-bit mode */
#include "common.inc"
.macro TRY
    movabs $1f, %rax
    mov %rax, resume
    movl $-1, vector
.endm
.macro EXPECT number, error, code
    cmpl $\number, vector
    EXPECT_EQ \code
    cmpq $\error, error
    EXPECT_EQ (\code + 1)
.endm
/* Handlers: note vector and error, go on at resume. */
.macro HANDLER name, number, has_error
\name:
    .if \has_error
    pop error
    .else
    movq $0, error
    .endif
    movl $\number, vector
    push resume
    pop (%rsp)
    iretq
.endm
    START in32

    .code32
in32:
    ENTER_LONG in64

    .code64
in64:
    GATE64 0, divide
    GATE64 3, breakpoint, 0xee
    GATE64 6, undefined
    GATE64 8, double, 0x8e, 1
    GATE64 11, not_present
    GATE64 13, protection
    movq $STACK - 0x4000, TSS + 0x24
    TRY
    xor %ecx, %ecx
    div %ecx
1:  EXPECT 0, 0, 1
    TRY
    mov $-1, %rdx
    mov $2, %ecx
    div %rcx                    /* overflow */
1:  EXPECT 0, 0, 3
    TRY
    ud2
1:  EXPECT 6, 0, 5
    TRY
    .byte 0xf0, 0x90         /* lock nop */
1:  EXPECT 6, 0, 7
    TRY
    movabs $0x8000000000000000, %rcx
    mov (%rcx), %al
1:  EXPECT 13, 0, 9
    TRY
    mov $0xffff, %ax
    mov %ax, %es
1:  EXPECT 13, 0xfffc, 11
    TRY
    int $0x21                   /* an empty gate */
1:  EXPECT 13, (0x21*8+2), 13
    TRY
    int $0xff
1:  EXPECT 13, (0xff*8+2), 15
    /* INT3 is a trap: rip is behind it */
    movl $-1, vector
    mov $after3, %eax
    mov %rax, resume
    int3
after3:
    cmpl $3, vector
    EXPECT_EQ 17
    TRY
    mov $TSSSEL, %ecx           /* a busy TSS */
    ltr %cx
1:  EXPECT 13, TSSSEL, 18
    TRY
    mov $DATA32, %ecx           /* no LDT */
    lldt %cx
1:  EXPECT 13, DATA32, 20

    /* #GP whose gate is absent: a double fault on its own stack */
    movw $0, IDT64 + 13 * 16 + 4
    mov %rsp, %rbp
    movabs $0x8000000000000000, %rcx
    TRY
    mov (%rcx), %al
1:  EXPECT 8, 0, 22
    cmp %rbp, %rsp
    EXPECT_EQ 24
    cmpq $STACK - 0x4000 - 48, double_stack
    EXPECT_EQ 25

    /* SYSCALL and SYSRET */
    mov $0xc0000081, %ecx
    xor %eax, %eax
    mov $0x00200008, %edx       /* user base 0x20: SS 0x2b, CS 0x33; kernel CS 8, SS 0x10 */
    wrmsr
    inc %ecx
    mov $entry, %eax
    xor %edx, %edx
    wrmsr
    add $2, %ecx
    mov $0x300, %eax            /* TF, IF */
    wrmsr
    mov $user, %ecx
    mov $0x3202, %r11d           /* IOPL 3: EXIT works */
    sysretq
user:
    mov %cs, %ax
    cmp $UCODE64, %ax
    EXPECT_EQ 26
    mov %ss, %ax
    cmp $UDATA, %ax
    EXPECT_EQ 27
    pushf
    pop %rdx
    test $0x200, %edx
    EXPECT_NE 28
    stc
    syscall
back:
    EXIT 29
entry:
    cmp $back, %rcx
    EXPECT_EQ 30
    test $1, %r11
    EXPECT_NE 31
    pushf
    pop %rdx
    test $0x200, %edx
    EXPECT_EQ 32
    mov %ss, %ax
    cmp $0x10, %ax
    EXPECT_EQ 33
    EXIT 0

    HANDLER divide, 0, 0
    HANDLER breakpoint, 3, 0
    HANDLER undefined, 6, 0
    HANDLER not_present, 11, 1
    HANDLER protection, 13, 1
double:
    mov %rsp, double_stack
    pop error
    movl $8, vector
    push resume
    pop (%rsp)
    iretq

    .balign 8
error:  .quad 0
resume: .quad 0
double_stack: .quad 0
vector: .long 0
    TABLES
