/* SPDX-License-Identifier: GPL-3.0-or-later */
/* modes.S - real, 32-bit, 64-bit, compatibility, 16-bit protected, real mode again with INT and big
 * segments */
#include "common.inc"
    START in32

    .code32
in32:
    mov $0x12345678, %eax
    push %eax
    cmpl $0x12345678, STACK - 4
    EXPECT_EQ 1
    pop %ecx
    cmp %eax, %ecx
    EXPECT_EQ 2
    ENTER_LONG in64

    .code64
in64:
    mov $0x123456789abcdef0, %rax
    mov %rax, %r15
    push %r15
    cmp %rax, STACK - 8
    EXPECT_EQ 3
    pop %rdx
    mov %eax, %eax
    shr $32, %rax
    EXPECT_EQ 4
    mov %cs, %ax
    cmp $CODE64, %ax
    EXPECT_EQ 5
    mov $0xc0000100, %ecx       /* FS base */
    mov $0x20000, %eax
    xor %edx, %edx
    wrmsr
    movq $77, 0x20010
    cmpq $77, %fs:0x10
    EXPECT_EQ 6
    lea far64(%rip), %rbx
    ljmpl *(%rbx)
far64:
    .long compat
    .word CODE32

    .code32
compat:
    mov $DATA32, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $STACK, %esp
    push $-1
    cmpl $-1, STACK - 4
    EXPECT_EQ 7
    xor %eax, %eax
    dec %eax                    /* not a REX prefix here */
    cmp $-1, %eax
    EXPECT_EQ 8
    mov %cr0, %eax              /* leave long mode */
    and $0x7fffffff, %eax
    mov %eax, %cr0
    mov $0xc0000080, %ecx
    rdmsr
    test $0x400, %eax           /* LMA has gone, LME has not */
    EXPECT_EQ 9
    test $0x100, %eax
    EXPECT_NE 10
    and $~0x100, %eax
    wrmsr
    mov $DATA32, %ax
    mov %ax, %gs                /* flat, for unreal mode */
    ljmp $CODE16, $REAL(in16)

    .code16
in16:
    mov $DATA16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x8000, %esp
    pushw $0x1234
    pushl $0x56789abc
    cmp $0x7ffa, %sp
    EXPECT_EQ 11
    mov %cr0, %eax
    and $~1, %eax
    mov %eax, %cr0
    ljmp $0x1000, $REAL(again_real)
again_real:
    mov $0x1000, %ax
    mov %ax, %ds
    mov %ax, %es
    xor %ax, %ax
    mov %ax, %ss
    mov %ax, %fs
    mov $0x7000, %sp
    lidtl REAL(real_idtr)
    movw $REAL(handler), %fs:0x21 * 4
    movw $0x1000, %fs:0x21 * 4 + 2
    mov $0x1111, %ax
    stc
    int $0x21
    EXPECT_EQ 12                /* the handler has set ZF in the frame */
    jc 1f
    EXIT 13
1:  cmp $0x2222, %ax
    EXPECT_EQ 14
    cmp $0x7000, %sp
    EXPECT_EQ 15
    /* GS keeps its 4 GiB limit until it is loaded: unreal mode. */
    mov $0x200000, %ebx
    movl $0x0badcafe, %gs:(%ebx)
    cmpl $0x0badcafe, %gs:(%ebx)
    EXPECT_EQ 16
    /* Addresses wrap at 64 KiB, not beyond it. */
    mov $0x8000, %bx
    mov $0x8004, %si
    movw $0x4321, %fs:(%bx,%si)
    cmpw $0x4321, %fs:4
    EXPECT_EQ 17
    lcall $0x1000, $REAL(callee)
    cmp $0x3333, %ax
    EXPECT_EQ 18
    call callee_near
    cmp $0x4444, %ax
    EXPECT_EQ 19
    EXIT 0
handler:
    push %bp
    mov %sp, %bp
    orw $0x40, 6(%bp)
    pop %bp
    add %ax, %ax
    iret
callee:
    mov $0x3333, %ax
    lret
callee_near:
    mov $0x4444, %ax
    ret

    TABLES
