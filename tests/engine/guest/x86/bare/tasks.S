/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tasks.S - hardware task switches: CALL, IRET, JMP, a task gate in the IDT, the T bit */
#include "common.inc"
#define TSS2 0x83000
    START in32

    .code32
in32:
    mov $TSS2, %edi
    xor %eax, %eax
    mov $26, %ecx
    rep stosl
    movl $other, TSS2 + 0x20
    movl $2, TSS2 + 0x24
    movl $0xaaaa5555, TSS2 + 0x28       /* EAX */
    movl $STACK - 0x3000, TSS2 + 0x38   /* ESP */
    movl $DATA32, TSS2 + 0x48
    movl $CODE32, TSS2 + 0x4c
    movl $DATA32, TSS2 + 0x50
    movl $DATA32, TSS2 + 0x54
    movl $DATA32, TSS2 + 0x58
    movl $DATA32, TSS2 + 0x5c
    mov $0x1234, %ebx
    lcall $TSS2SEL, $0
    cmp $0x1234, %ebx                   /* as it was */
    EXPECT_EQ 1
    cmpl $1, count
    EXPECT_EQ 2
    mov %cr0, %eax
    test $8, %al                        /* TS */
    EXPECT_NE 3
    clts
    cmpb $0x89, gdt_tss2 + 5            /* available again */
    EXPECT_EQ 4
    /* the other task goes on behind its IRET */
    lcall $TASKGATE, $0
    cmpl $2, count
    EXPECT_EQ 5
    /* as a handler: INT through a task gate */
    movw $TSS2SEL, IDT32 + 0x50 * 8 + 2
    movw $0x8500, IDT32 + 0x50 * 8 + 4
    int $0x50
    cmpl $3, count
    EXPECT_EQ 6
    clts
    /* JMP there; it jumps back */
    movb $1, jump_back
    ljmp $TSS2SEL, $0
    cmpl $4, count
    EXPECT_EQ 7
    pushf
    testl $0x4000, (%esp)               /* not nested */
    EXPECT_EQ 8
    popf
    cmpb $0x8b, gdt + TSSSEL + 5        /* busy: this task */
    EXPECT_EQ 9
    /* T bit: a debug trap on entry */
    GATE32 1, debug
    movb $1, TSS2 + 0x64
    ljmp $TSS2SEL, $0
    EXIT 10

other:
    cmp $0xaaaa5555, %eax
    EXPECT_EQ 11
    cmpl $TSSSEL, TSS2                  /* back link */
    EXPECT_EQ 12
    pushf
    testl $0x4000, (%esp)
    EXPECT_NE 13
    popf
    cmpb $0x8b, gdt + TSSSEL + 5
    EXPECT_EQ 14
1:  incl count
    cmpb $1, jump_back
    je 2f
    iret
    jmp 1b
2:  ljmp $TSSSEL, $0
    EXIT 15

debug:
    mov %dr6, %eax
    test $0x8000, %eax                  /* BT */
    EXPECT_NE 16
    EXIT 0

    .balign 4
count:  .long 0
jump_back: .byte 0
    TABLES
