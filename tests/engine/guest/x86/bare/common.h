/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/guest/x86/bare/common.h - start-up, descriptor tables and checks of the bare-metal guests
 *
 * An image is linked and loaded at 0x10000 and entered in real mode at 1000:0000.  It ends by writing
 * to port 0xf4: 0 is success, 0x80 + n an exception n that nobody expected, else the number of the
 * check that failed. */
#pragma once

#define BASE 0x10000
#define REAL(x) (x - BASE)
#define IDT32 0x80000
#define IDT64 0x81000
#define TSS 0x82000
#define PML4 0x90000
#define STACK 0x70000

#define CODE32 0x08
#define DATA32 0x10
#define CODE64 0x18
#define UCODE32 0x23
#define UDATA 0x2b
#define UCODE64 0x33
#define TSSSEL 0x38
#define CODE16 0x48
#define DATA16 0x50
#define GATE 0x58
#define TSS2SEL 0x68
#define TASKGATE 0x70

.macro EXIT code
    mov $\code, %al
    out %al, $0xf4
9:  hlt
    jmp 9b
.endm

/* Fails with this number unless the last comparison was equal. */
.macro EXPECT_EQ code
    je 8f
    EXIT \code
8:
.endm

.macro EXPECT_NE code
    jne 8f
    EXIT \code
8:
.endm

/* A gate of 8 bytes at IDT32 (32-bit code); clobbers eax. */
.macro GATE32 vector, handler, type=0x8e, selector=CODE32
    mov $\handler, %eax
    mov %ax, IDT32 + 8 * \vector
    shr $16, %eax
    mov %ax, IDT32 + 8 * \vector + 6
    movw $\selector, IDT32 + 8 * \vector + 2
    movw $(\type << 8), IDT32 + 8 * \vector + 4
.endm

/* A gate of 16 bytes at IDT64 (64-bit code); clobbers rax. */
.macro GATE64 vector, handler, type=0x8e, ist=0
    mov $\handler, %eax
    mov %ax, IDT64 + 16 * \vector
    shr $16, %eax
    mov %ax, IDT64 + 16 * \vector + 6
    movw $CODE64, IDT64 + 16 * \vector + 2
    movw $(\type << 8 | \ist), IDT64 + 16 * \vector + 4
    movq $0, IDT64 + 16 * \vector + 8
.endm

/* Real mode to flat 32-bit protected mode with IDT and TSS; goes on at \next. */
.macro START next
    .text
    .code16
    .globl _start
_start:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    mov %ax, %es
    xor %ax, %ax
    mov %ax, %ss
    mov $0x7000, %sp
    lgdtl REAL(gdtr)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $CODE32, $protected_start
    .code32
protected_start:
    mov $DATA32, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov %ax, %fs
    mov %ax, %gs
    mov $STACK, %esp
    /* IDTs: the 32 exceptions lead to stubs. */
    mov $IDT32, %edi
    xor %eax, %eax
    mov $0x1000, %ecx
    rep stosl
    xor %ecx, %ecx
1:  mov %ecx, %eax
    shl $4, %eax
    add $stubs, %eax
    mov %ax, IDT32(,%ecx,8)
    movw $CODE32, IDT32 + 2(,%ecx,8)
    movw $0x8e00, IDT32 + 4(,%ecx,8)
    shr $16, %eax
    mov %ax, IDT32 + 6(,%ecx,8)
    mov %ecx, %edx
    shl $4, %edx
    mov %ax, IDT64 + 6(%edx)
    mov %ecx, %eax
    shl $4, %eax
    add $stubs, %eax
    mov %ax, IDT64(%edx)
    movw $CODE64, IDT64 + 2(%edx)
    movw $0x8e00, IDT64 + 4(%edx)
    inc %ecx
    cmp $32, %ecx
    jb 1b
    lidt idtr32
    movl $STACK - 0x1000, TSS + 4
    movl $DATA32, TSS + 8
    movw $0x68, TSS + 102
    mov $TSSSEL, %ax
    ltr %ax
    jmp \next
.endm

/* 32-bit protected to 64-bit mode: the first GiB mapped one to one in 2 MiB pages for all to use; goes on at \next.
 * PML4, then PDPT, then PD, one page each. */
.macro ENTER_LONG next
    .code32
    mov $PML4, %edi
    xor %eax, %eax
    mov $0xc00, %ecx
    rep stosl
    movl $PML4 + 0x1007, PML4
    movl $PML4 + 0x2007, PML4 + 0x1000
    mov $PML4 + 0x2000, %edi
    mov $0x87, %eax
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    cmp $0x40000000, %eax
    jb 1b
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $PML4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x901, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80010000, %eax
    mov %eax, %cr0
    ljmp $CODE64, $long_start
    .code64
long_start:
    mov $STACK, %esp
    lidt idtr64
    movq $STACK - 0x1000, TSS + 4
    jmp \next
.endm

.macro TABLES
    .balign 16
    .code64
stubs:
    .set n, 0
    .rept 32
    .balign 16
    .byte 0x6a, n           /* push n */
    jmp unexpected
    .set n, n + 1
    .endr
unexpected:
    .byte 0x58              /* pop eax or rax */
    or $0x80, %al
    out %al, $0xf4
1:  hlt
    jmp 1b
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9a000000ffff    /* CODE32 */
    .quad 0x00cf92000000ffff    /* DATA32 */
    .quad 0x00af9a000000ffff    /* CODE64 */
    .quad 0x00cffa000000ffff    /* UCODE32 */
    .quad 0x00cff2000000ffff    /* UDATA */
    .quad 0x00affa000000ffff    /* UCODE64 */
    .quad 0x0000890820000088, 0 /* TSSSEL: limit 0x88 */
    .quad 0x00009a010000ffff    /* CODE16: base 0x10000 */
    .quad 0x000092010000ffff    /* DATA16 */
gdt_gate:
    .quad 0, 0                  /* GATE */
gdt_tss2:
    .quad 0x0000890830000067    /* TSS2SEL: at 0x83000 */
gdt_taskgate:
    .quad 0x0000e50000680000    /* TASKGATE to TSS2SEL */
gdt_end:
    .balign 4
gdtr:
    .word gdt_end - gdt - 1
    .long gdt, 0
idtr32:
    .word 0x7ff
    .long IDT32
idtr64:
    .word 0xfff
    .quad IDT64
real_idtr:
    .word 0x3ff
    .long 0, 0
.endm
