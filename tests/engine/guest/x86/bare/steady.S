/* SPDX-License-Identifier: GPL-3.0-or-later */
/* steady.S - 64-bit code that computes while others pause it: registers stay, interrupts and the
 * timer come */
#include "common.inc"
#include "apic.inc"
    START in32

    .code32
in32:
    ENTER_LONG in64

    .code64
in64:
    MAP_APIC
    GATE64 0x41, handler
    GATE64 0x61, handler
    mov $APIC, %ebx
    movl $0x1ff, SVR(%rbx)
    cmpl $0x1ff, SVR(%rbx)
    EXPECT_EQ 1

    /* the same sum twice, whatever happens meanwhile */
    call sum
    mov %rax, %r15
    call sum
    cmp %rax, %r15
    EXPECT_EQ 2
    test %rax, %rax
    EXPECT_NE 3

    /* an interrupt to itself comes soon */
    xor %ecx, %ecx
    movl $0x40041, ICR(%rbx)
    mov $100000, %esi
    cmp $0, %ecx
    EXPECT_EQ 4
    sti
1:  dec %esi
    jz 2f
    test %ecx, %ecx
    jz 1b
2:  cli
    cmp $1, %ecx
    EXPECT_EQ 5

    /* the timer ends HLT, again and again */
    xor %ecx, %ecx
    movl $0xb, DIVIDE(%rbx)
    movl $0x20061, LVT_TIMER(%rbx)
    movl $200000, INITIAL(%rbx)
3:  sti
    hlt
    cli
    cmp $40, %ecx
    jb 3b
    cmp $0x11, %r12
    EXPECT_EQ 6
    EXIT 0

/* rax: from many registers, none of which keeps still */
sum:
    mov $0x11, %r12d
    mov $20000, %esi
    mov $1, %eax
    mov $3, %edx
    mov $5, %r8d
    mov $7, %r14d
1:  lea (%rax,%rdx), %r9
    imul $0x343fd, %rax, %rax
    add %r8, %rax
    xor %r9, %rdx
    rol $7, %rdx
    lea 11(%r8,%r14,2), %r8
    sub %rdx, %r14
    dec %esi
    jnz 1b
    xor %rdx, %rax
    xor %r14, %rax
    ret

handler:
    inc %ecx
    movl $0, EOI(%rbx)
    iretq
    TABLES
