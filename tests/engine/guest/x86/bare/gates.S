/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gates.S - user mode, call gates, traps, I/O permission, virtual-8086 mode, in 32-bit protected
 * mode */
#include "common.inc"
    START in32

    .code32
in32:
    GATE32 0x40, system, 0xef
    GATE32 0x41, kernel_only, 0x8f
    GATE32 13, general_protection
    /* a call gate for user mode with two parameters */
    mov $through_gate, %eax
    mov %ax, gdt_gate
    movw $CODE32, gdt_gate + 2
    movw $0xec02, gdt_gate + 4
    shr $16, %eax
    mov %ax, gdt_gate + 6
    /* ports 0x400 to 0x407 are for everybody; the map ends at port 0x7ff and TSS + 0x88 */
    mov $TSS + 0x68, %edi
    mov $0x20, %ecx
    mov $0xff, %al
    rep stosb
    pushl $UDATA
    pushl $STACK - 0x2000
    pushl $0x202
    pushl $UCODE32
    pushl $user
    iret

user:
    mov %ds, %ax                /* kernel data is not carried outwards */
    test %ax, %ax
    EXPECT_EQ 1
    mov $UDATA, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %cs, %ax
    cmp $UCODE32, %ax
    EXPECT_EQ 2
    pushl $0x11111111
    pushl $0x22222222
    lcall $(GATE | 3), $0
    cmp $0x33333333, %eax
    EXPECT_EQ 3
    cmp $STACK - 0x2000, %esp   /* the gate's callee has released both */
    EXPECT_EQ 4
    mov $0x55, %ecx
    int $0x40
    cmp $0xaa, %ecx
    EXPECT_EQ 5
    /* the gate of 0x41 is not for user mode: #GP with its number */
    movl $1f, resume
    int $0x41
1:  cmpl $(0x41 * 8 + 2), error
    EXPECT_EQ 6
    /* CLI, HLT, IN, MOV CR: #GP(0) */
    movl $1f, resume
    cli
1:  cmpl $0, error
    EXPECT_EQ 7
    movl $-1, error
    movl $1f, resume
    hlt
1:  cmpl $0, error
    EXPECT_EQ 8
    movl $-1, error
    movl $1f, resume
    in $0x60, %al
1:  cmpl $0, error
    EXPECT_EQ 9
    movl $-1, error
    movl $1f, resume
    mov %cr0, %eax
1:  cmpl $0, error
    EXPECT_EQ 10
    /* loading a kernel segment */
    movl $-1, error
    movl $1f, resume
    mov $DATA32, %ax
    mov %ax, %es
1:  cmpl $DATA32, error
    EXPECT_EQ 11
    /* POPF keeps IF */
    pushf
    andl $~0x200, (%esp)
    popf
    pushf
    testl $0x200, (%esp)
    EXPECT_NE 12
    popf
    mov $1, %ecx                /* on to virtual-8086 mode */
    int $0x40

system:
    cmp $1, %ecx
    je 1f
    cmpl $UCODE32, 4(%esp)
    EXPECT_EQ 13
    shl $1, %ecx
    iret
1:  mov $DATA32, %ax
    mov %ax, %ds
    GATE32 13, from_vm86
    pushl $0                    /* GS FS DS ES */
    pushl $0x2000
    pushl $0x1000
    pushl $0
    pushl $0                    /* SS:SP */
    pushl $0x6000
    pushl $0x20202              /* VM, IF */
    pushl $0x1000
    pushl $REAL(vm86)
    iret

through_gate:
    push %ds
    mov %ss, %ax
    mov %ax, %ds
    cmpl $0x22222222, 12(%esp)
    EXPECT_EQ 14
    cmpl $0x11111111, 16(%esp)
    EXPECT_EQ 15
    cmpl $UCODE32, 8(%esp)
    EXPECT_EQ 16
    cmpl $STACK - 0x2008, 20(%esp)
    EXPECT_EQ 17
    pop %ds
    mov $0x33333333, %eax
    lret $8

kernel_only:
    EXIT 18

general_protection:
    push %ds
    push %eax
    mov $DATA32, %ax
    mov %ax, %ds
    mov 8(%esp), %eax
    mov %eax, error
    mov resume, %eax
    mov %eax, 12(%esp)
    pop %eax
    pop %ds
    add $4, %esp
    iret

    .code16
vm86:
    mov $0x3000, %ax
    mov %ax, %es
    movw $0x1234, %es:0x10
    mov %fs, %ax
    cmp $0x2000, %ax
    EXPECT_EQ 19
    mov %ss:0, %eax             /* something to read */
    int $0x21
    hlt

    .code32
from_vm86:
    mov $DATA32, %ax            /* data segments came in null */
    mov %ax, %ds
    cmpw $0x1234, 0x30010
    EXPECT_EQ 20
    cmpl $0, (%esp)
    EXPECT_EQ 21
    testl $0x20000, 12(%esp)
    EXPECT_NE 22
    mov 4(%esp), %ebx           /* points to INT 0x21 */
    cmpw $0x21cd, BASE(%ebx)
    EXPECT_EQ 23
    cmpl $0x1000, 8(%esp)
    EXPECT_EQ 24
    cmpw $0x3000, 24(%esp)      /* ES */
    EXPECT_EQ 25
    cmpw $0x2000, 32(%esp)      /* FS */
    EXPECT_EQ 26
    EXIT 0

    .balign 4
resume: .long 0
error:  .long -1
    TABLES
