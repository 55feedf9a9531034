/* SPDX-License-Identifier: GPL-3.0-or-later */
/* smc.S - self-modifying code: in place, through another mapping, as kernels patch jump labels, in
 * 64-bit mode */
#include "common.inc"
#define CODE 0x300000
#define ALIAS 0x40000000
#define PT 0x94000
    START in32

    .code32
in32:
    ENTER_LONG in64

    .code64
in64:
    mov $PML4 + 0x3000, %edi    /* ALIAS: one 4 KiB page over CODE */
    mov $0x800, %ecx
    xor %eax, %eax
    rep stosl
    movq $PML4 + 0x3007, PML4 + 0x1008
    movq $PT + 7, PML4 + 0x3000
    movq $CODE + 3, PT
    mov $ALIAS, %ebx
    mov $CODE, %ebp

    /* a function: 5-byte nop; mov $1, %al; ret; mov $2, %al; ret */
    lea template(%rip), %rsi
    mov %rbp, %rdi
    mov $template_end - template, %ecx
    rep movsb
    call *%rbp
    cmp $1, %al
    EXPECT_EQ 1

    /* patched in place: the nop becomes a jump */
    movb $0xe9, (%rbp)
    movl $3, 1(%rbp)
    call *%rbp
    cmp $2, %al
    EXPECT_EQ 2
    /* and back through the other mapping */
    movl $0x441f0f, (%rbx)
    movw $0x0000, 3(%rbx)
    movl $0x00441f0f, (%rbx)
    movb $0, 4(%rbx)
    call *%rbp
    cmp $1, %al
    EXPECT_EQ 3
    /* the other mapping is warm now: once more */
    movl $0x000003e9, (%rbx)
    movb $0, 4(%rbx)
    call *%rbp
    cmp $2, %al
    EXPECT_EQ 4
    /* as text_poke does: INT3 first, then the tail, then the head, with a flushed mapping each
     * time */
    mov $100, %r12d
1:  movb $0xcc, (%rbx)
    mov %cr3, %rax
    mov %rax, %cr3
    movl $0x0000441f, 1(%rbx)
    mov %cr3, %rax
    mov %rax, %cr3
    movb $0x0f, (%rbx)
    mov %cr3, %rax
    mov %rax, %cr3
    call *%rbp
    cmp $1, %al
    EXPECT_EQ 5
    movb $0xcc, (%rbx)
    invlpg (%rbx)
    movl $0x00000003, 1(%rbx)
    invlpg (%rbx)
    movb $0xe9, (%rbx)
    call *%rbp
    cmp $2, %al
    EXPECT_EQ 6
    dec %r12d
    jnz 1b

    /* a caller that is linked to what changes */
    lea caller(%rip), %rsi
    lea 0x100(%rbp), %rdi
    mov $caller_end - caller, %ecx
    rep movsb
    lea 0x100(%rbp), %r13
    call *%r13
    cmp $2, %al
    EXPECT_EQ 7
    movl $0x00441f0f, (%rbx)
    movb $0, 4(%rbx)
    call *%r13
    cmp $1, %al
    EXPECT_EQ 8
    /* the immediate alone, by a string store and by a locked one */
    lea 6(%rbx), %rdi
    mov $7, %al
    stosb
    call *%r13
    cmp $7, %al
    EXPECT_EQ 9
    mov $8, %al
    xchg %al, 6(%rbp)
    call *%r13
    cmp $8, %al
    EXPECT_EQ 10
    /* the instruction that follows the store, in the same block */
    lea 1f(%rip), %rsi
    jmp 2f
2:  movb $9, 1(%rsi)
1:  mov $1, %al
    cmp $9, %al
    EXPECT_EQ 11
    /* data beside code leaves it alone, however often */
    mov $10000, %ecx
3:  mov %ecx, 0x800(%rbp)
    mov %ecx, 0x800(%rbx)
    dec %ecx
    jnz 3b
    call *%r13
    cmp $8, %al
    EXPECT_EQ 12
    EXIT 0

template:
    .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
    mov $1, %al
    ret
    mov $2, %al
    ret
template_end:
caller:
    push %rcx
    .byte 0xe8                  /* call CODE from CODE + 0x101 */
    .long -0x106
    pop %rcx
    ret
caller_end:
    TABLES
