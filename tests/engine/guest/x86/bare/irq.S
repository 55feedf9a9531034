/* SPDX-License-Identifier: GPL-3.0-or-later */
/* irq.S - local APIC: self interrupts, priorities, the timer, HLT, STI's shadow, CR8, NMI, in
 * 64-bit mode */
#include "common.inc"
#include "apic.inc"
    START in32

    .code32
in32:
    ENTER_LONG in64

    .code64
in64:
    MAP_APIC
    GATE64 0x41, handler41
    GATE64 0x51, handler51
    GATE64 0x61, timer
    GATE64 2, nmi
    mov $APIC, %ebx
    movl $0x1ff, SVR(%rbx)

    /* a self interrupt waits for IF, and for one instruction after STI */
    movl $0x40041, ICR(%rbx)
    xor %ecx, %ecx
    nop
    cmp $0, %ecx
    EXPECT_EQ 1
    sti
    mov %ecx, %edx              /* in the shadow */
    nop
    cli
    cmp $0, %edx
    EXPECT_EQ 2
    cmp $1, %ecx
    EXPECT_EQ 3

    /* the higher one first */
    xor %ecx, %ecx
    xor %edx, %edx
    movl $0x40041, ICR(%rbx)
    movl $0x40051, ICR(%rbx)
    sti
    nop
    nop
    cli
    cmp $1, %ecx
    EXPECT_EQ 4
    cmp $1, %edx
    EXPECT_EQ 5
    cmp $1, %esi                /* 0x41 found that 0x51 had been */
    EXPECT_EQ 6

    /* CR8 holds them back */
    xor %ecx, %ecx
    mov $5, %eax
    mov %rax, %cr8
    sti
    movl $0x40041, ICR(%rbx)
    nop
    nop
    cmp $0, %ecx
    EXPECT_EQ 7
    mov %cr8, %rax
    cmp $5, %eax
    EXPECT_EQ 8
    xor %eax, %eax
    mov %rax, %cr8
    nop
    cmp $1, %ecx
    EXPECT_EQ 9

    /* HLT and a periodic timer */
    xor %ecx, %ecx
    movl $0xb, DIVIDE(%rbx)
    movl $0x20061, LVT_TIMER(%rbx)
    movl $100000, INITIAL(%rbx)
1:  hlt
    cmp $3, %ecx
    jb 1b
    movl $0x10061, LVT_TIMER(%rbx)
    movl $0, INITIAL(%rbx)

    /* a one-shot interrupts a loop that does not look */
    xor %ecx, %ecx
    movl $0x61, LVT_TIMER(%rbx)
    movl $1000000, INITIAL(%rbx)
2:  test %ecx, %ecx
    jz 2b
    cli

    /* NMI comes with IF clear, and not again before IRET */
    xor %ecx, %ecx
    xor %edx, %edx
    movl $0x40400, ICR(%rbx)
    mov $1000000, %esi
3:  cmp $2, %ecx                /* it may take a moment */
    je 4f
    dec %esi
    jnz 3b
    EXIT 10
4:  cmp $0, %edx
    EXPECT_EQ 11
    EXIT 0

handler41:
    inc %ecx
    mov %edx, %esi
    movl $0, EOI(%rbx)
    iretq
handler51:
    inc %edx
    movl $0, EOI(%rbx)
    iretq
timer:
    inc %ecx
    movl $0, EOI(%rbx)
    iretq
nmi:
    inc %ecx
    cmp $2, %ecx
    je 1f
    movl $0x40400, ICR(%rbx)    /* another one: held until IRET */
    mov $1000, %esi
2:  dec %esi
    jnz 2b
    cmp $1, %ecx
    je 1f
    inc %edx
1:  iretq
    TABLES
