/* SPDX-License-Identifier: GPL-3.0-or-later */
/* paging.S - page faults, their error codes, accessed and dirty bits, INVLPG, NX, WP, user mode, in
 * 64-bit mode
 *
 * PT maps 4 KiB pages at 0x40000000. */
#include "common.inc"
#define PT 0x94000
#define LINEAR 0x40000000
#define E_P 1
#define E_W 2
#define E_U 4
#define E_RSVD 8
#define E_ID 16

/* The next faulting instruction shall give this error; it is skipped to 1f. */
.macro EXPECT_FAULT error, address, code
    cmpq $\error, fault_error
    EXPECT_EQ \code
    mov $\address, %rax
    cmp %rax, fault_address
    EXPECT_EQ (\code + 1)
    movq $-1, fault_error
.endm
.macro TRY
    movabs $1f, %rax
    mov %rax, resume
.endm

    START in32
    .code32
in32:
    ENTER_LONG in64

    .code64
in64:
    mov $0xc0000080, %ecx
    rdmsr
    or $0x800, %eax             /* NXE */
    wrmsr
    GATE64 14, page_fault
    GATE64 0x40, from_user, 0xee
    mov $TSSSEL, %ax
    /* A page table behind the second GiB's first entry. */
    mov $PML4 + 0x3000, %edi    /* PD for LINEAR */
    mov $0x800, %ecx
    xor %eax, %eax
    rep stosl
    movq $PML4 + 0x3007, PML4 + 0x1008
    movq $PT + 7, PML4 + 0x3000
    movq $0x200003, PT          /* kernel, writable */
    movq $0x201001, PT + 8      /* kernel, read-only */
    movq $0x202007, PT + 16     /* user */
    mov $0x203003, %rax
    bts $63, %rax
    mov %rax, PT + 24           /* no execution */
    mov $0x204003, %rax
    bts $51, %rax
    mov %rax, PT + 32           /* reserved bit */
    mov $LINEAR, %ebx

    /* accessed and dirty */
    mov (%rbx), %rax
    mov PT, %rax
    and $0x60, %eax
    cmp $0x20, %eax
    EXPECT_EQ 1
    movq $0x1234, (%rbx)
    mov PT, %rax
    and $0x60, %eax
    cmp $0x60, %eax
    EXPECT_EQ 2
    cmpq $0x1234, 0x200000
    EXPECT_EQ 3

    /* not present */
    TRY
    mov 0x7008(%rbx), %rax
1:  EXPECT_FAULT 0, LINEAR + 0x7008, 4
    TRY
    movl $1, 0x7000(%rbx)
1:  EXPECT_FAULT E_W, LINEAR + 0x7000, 6
    /* write protected; CR0.WP decides */
    TRY
    movl $1, 0x1010(%rbx)
1:  EXPECT_FAULT E_P | E_W, LINEAR + 0x1010, 8
    mov %cr0, %rax
    btr $16, %rax
    mov %rax, %cr0
    movl $0x55, 0x1010(%rbx)
    cmpl $0x55, 0x201010
    EXPECT_EQ 10
    mov %cr0, %rax
    bts $16, %rax
    mov %rax, %cr0
    TRY
    movl $1, 0x1010(%rbx)
1:  EXPECT_FAULT E_P | E_W, LINEAR + 0x1010, 11
    /* no execution */
    movb $0xc3, 0x203000
    TRY
    lea 0x3000(%rbx), %rdx
    push $0                     /* the handler drops the return address */
    jmp *%rdx
1:  pop %rax
    EXPECT_FAULT E_P | E_ID, LINEAR + 0x3000, 13
    /* reserved */
    TRY
    mov 0x4000(%rbx), %al
1:  EXPECT_FAULT E_P | E_RSVD, LINEAR + 0x4000, 15
    /* a store over two pages, the second one absent, changes neither */
    movl $0, 0x204ffc
    movq $0x204003, PT + 32
    invlpg 0x4000(%rbx)
    TRY
    movq $-1, 0x4ffc(%rbx)
1:  EXPECT_FAULT E_W, LINEAR + 0x5000, 17
    cmpl $0, 0x204ffc
    EXPECT_EQ 19

    /* INVLPG after a change */
    mov $0x205003, %eax
    movl $0x77, 0x205000
    movl $0x66, 0x200000
    cmpl $0x66, (%rbx)
    EXPECT_EQ 20
    mov %rax, PT
    invlpg (%rbx)
    cmpl $0x77, (%rbx)
    EXPECT_EQ 21
    /* CR3 flushes too */
    movq $0x200003, PT
    mov %cr3, %rax
    mov %rax, %cr3
    cmpl $0x66, (%rbx)
    EXPECT_EQ 22
    /* a fault that the handler repairs */
    movq $0, PT + 0x48
    movb $1, repair
    movl $0x99, 0x9000(%rbx)
    movb $0, repair
    cmpl $0x99, 0x206000
    EXPECT_EQ 23
    /* code that is remapped */
    movl $0xc3c301b0, 0x207000      /* mov $1, %al; ret */
    movl $0xc3c302b0, 0x208000
    movq $0x207003, PT + 0x50
    lea 0xa000(%rbx), %rdx
    call *%rdx
    cmp $1, %al
    EXPECT_EQ 24
    movq $0x208003, PT + 0x50
    invlpg 0xa000(%rbx)
    call *%rdx
    cmp $2, %al
    EXPECT_EQ 25

    /* INVLPG of any address in a 2 MiB page drops the whole page, global ones too */
    movl $0x41, 0x401000
    movl $0x42, 0x5ff000
    movl $0x61, 0x601000
    movl $0x62, 0x7ff000
    movq $0x400083, PML4 + 0x3008
    cmpl $0x41, 0x201000(%rbx)
    EXPECT_EQ 40
    cmpl $0x42, 0x3ff000(%rbx)
    EXPECT_EQ 41
    movq $0x600083, PML4 + 0x3008
    invlpg 0x300000(%rbx)
    cmpl $0x61, 0x201000(%rbx)
    EXPECT_EQ 42
    cmpl $0x62, 0x3ff000(%rbx)
    EXPECT_EQ 43
    mov %cr4, %rax
    or $0x80, %eax              /* PGE */
    mov %rax, %cr4
    movq $0x600183, PML4 + 0x3008
    invlpg 0x200000(%rbx)
    cmpl $0x61, 0x201000(%rbx)
    EXPECT_EQ 44
    movq $0x400183, PML4 + 0x3008
    invlpg 0x200000(%rbx)
    cmpl $0x41, 0x201000(%rbx)
    EXPECT_EQ 45
    cmpl $0x42, 0x3ff000(%rbx)
    EXPECT_EQ 46
    movq $0x600183, PML4 + 0x3008
    mov %cr4, %rax
    and $~0x80, %eax
    mov %rax, %cr4              /* drops global pages as well */
    cmpl $0x61, 0x201000(%rbx)
    EXPECT_EQ 47

    /* user mode */
    movq $0, fault_error
    mov $TSSSEL, %eax
    push $UDATA
    push $STACK - 0x2000
    push $0x202
    push $UCODE64
    lea user(%rip), %rax
    push %rax
    mov %rsp, kernel_stack
    iretq
user:
    mov 0x2000(%rbx), %rax      /* allowed */
    TRY
    mov (%rbx), %rax
1:  EXPECT_FAULT E_P | E_U, LINEAR, 26
    TRY
    movb $1, 0x7000(%rbx)
1:  EXPECT_FAULT E_W | E_U, LINEAR + 0x7000, 28
    mov %cs, %ax
    cmp $UCODE64, %ax
    EXPECT_EQ 30
    int $0x40
    EXIT 31                     /* the port is not for user mode: it would not come so far */
from_user:
    mov %cs, %ax
    cmp $CODE64, %ax
    EXPECT_EQ 32
    cmpq $UCODE64, 8(%rsp)
    EXPECT_EQ 33
    cmpq $UDATA, 32(%rsp)
    EXPECT_EQ 34
    EXIT 0

page_fault:
    cmpb $0, repair
    jne 2f
    pop fault_error
    mov %cr2, %rax
    mov %rax, fault_address
    mov resume, %rax
    mov %rax, (%rsp)
    iretq
2:  movq $0x206003, PT + 0x48
    add $8, %rsp
    iretq

    .balign 8
fault_error:    .quad -1
fault_address:  .quad 0
resume:         .quad 0
kernel_stack:   .quad 0
repair:         .byte 0
    TABLES
