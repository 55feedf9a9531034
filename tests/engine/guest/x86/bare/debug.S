/* SPDX-License-Identifier: GPL-3.0-or-later */
/* debug.S - single step, instruction and data breakpoints, the shadow of MOV SS, DR7.GD, in 32-bit
 * protected mode */
#include "common.inc"
    START in32

    .code32
in32:
    GATE32 1, debug
    /* single step: one trap an instruction, none after POPF itself */
    xor %ebx, %ebx
    pushf
    orl $0x100, (%esp)
    popf
    nop                         /* 1 */
    inc %ecx                    /* 2 */
    jmp 1f                      /* 3 */
    nop
1:  pushf                       /* 4 */
    andl $~0x100, (%esp)        /* 5 */
    popf                        /* 6 */
    nop
    cmp $6, %ebx
    EXPECT_EQ 1
    testl $0x4000, last_dr6
    EXPECT_NE 2
    /* MOV SS holds the trap back by one instruction */
    xor %ebx, %ebx
    mov %ss, %ax
    pushf
    orl $0x100, (%esp)
    popf
    mov %ax, %ss                /* none */
    nop                         /* 1 */
    pushf                       /* 2 */
    andl $~0x100, (%esp)        /* 3 */
    popf                        /* 4 */
    cmp $4, %ebx
    EXPECT_EQ 3

    /* instruction breakpoint: a fault, before the instruction, once */
    xor %ebx, %ebx
    xor %ecx, %ecx
    mov $target, %eax
    mov %eax, %dr0
    mov $0x401, %eax
    mov %eax, %dr7
    nop
target:
    inc %ecx
    nop
    cmp $1, %ebx
    EXPECT_EQ 4
    cmp $1, %ecx
    EXPECT_EQ 5
    cmpl $target, last_eip
    EXPECT_EQ 6
    mov last_dr6, %eax
    and $0xf, %eax
    cmp $1, %eax
    EXPECT_EQ 7

    /* data breakpoint on writes of 4 bytes: a trap, after the instruction */
    xor %ebx, %ebx
    mov $watched, %eax
    mov %eax, %dr1
    mov $0x00d00404, %eax
    mov %eax, %dr7
    mov watched, %eax
    movl $1, watched + 4
    cmp $0, %ebx
    EXPECT_EQ 8
    movb $1, watched + 2
after:
    cmp $1, %ebx
    EXPECT_EQ 9
    cmpl $after, last_eip
    EXPECT_EQ 10
    mov last_dr6, %eax
    and $0xf, %eax
    cmp $2, %eax
    EXPECT_EQ 11
    cmpl $0x10000, watched
    EXPECT_EQ 12

    /* general detect */
    xor %ebx, %ebx
    mov $0x2400, %eax
    mov %eax, %dr7
    mov %dr0, %ecx              /* the handler finds GD clear, and lets it be done again */
    cmp $1, %ebx
    EXPECT_EQ 13
    testl $0x2000, last_dr6
    EXPECT_NE 14
    /* INT1 is a trap that TF has no part in */
    xor %ebx, %ebx
    .byte 0xf1
    cmp $1, %ebx
    EXPECT_EQ 15
    EXIT 0

debug:
    push %eax
    inc %ebx
    mov %dr6, %eax
    mov %eax, last_dr6
    xor %eax, %eax
    mov %eax, %dr6
    mov 4(%esp), %eax
    mov %eax, last_eip
    cmp $target, %eax
    jne 1f
    orl $0x10000, 12(%esp)      /* RF */
1:  pop %eax
    iret

    .balign 8
watched:    .long 0, 0
last_dr6:   .long 0
last_eip:   .long 0
    TABLES
