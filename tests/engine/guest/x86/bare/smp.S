/* SPDX-License-Identifier: GPL-3.0-or-later */
/* smp.S - two processors: INIT and start-up, locked arithmetic, a spin lock, an IPI that ends HLT,
 * code changed for another */
#include "common.inc"
#include "apic.inc"
#define TRAMPOLINE 0x8000
#define ROUNDS 100000
    START in32

    .code32
in32:
    mov $APIC, %ebx
    movl $0x1ff, SVR(%ebx)
    mov $trampoline, %esi
    mov $TRAMPOLINE, %edi
    mov $trampoline_end - trampoline, %ecx
    rep movsb
    GATE32 0x50, ipi
    movl $0xc4500, 0x300(%ebx)      /* INIT to all others */
    mov $100000, %ecx
1:  pause
    loop 1b
    movl $0xc4608, 0x300(%ebx)      /* start-up at 0x8000 */
    mov $300000000, %ecx
2:  cmpl $1, arrived
    je 3f
    pause
    dec %ecx
    jnz 2b
    EXIT 1
3:  movl $1, stage
    call count
    /* both are through */
4:  pause
    cmpl $1, counted
    jne 4b
    cmpl $2 * ROUNDS, atomic
    EXPECT_EQ 2
    cmpl $2 * ROUNDS, guarded
    EXPECT_EQ 3
    cmpl $2 * ROUNDS, exchanged
    EXPECT_EQ 4
    /* it sleeps, or will: wake it */
    movl $0x01000000, 0x310(%ebx)
    movl $0x4050, 0x300(%ebx)
5:  pause
    cmpl $1, woken
    jne 5b
    /* it runs the function in a loop until this changes it */
6:  pause
    cmpl $100, loops
    jb 6b
    movb $1, function + 1
7:  pause
    cmpl $1, seen
    jne 7b
    EXIT 0

/* Every counter, by ROUNDS. */
count:
    mov $ROUNDS, %ecx
1:  lock incl atomic
    mov $1, %eax                    /* a spin lock round a plain increment */
2:  xchg %eax, lock_word
    test %eax, %eax
    jz 3f
    pause
    jmp 2b
3:  incl guarded
    movl $0, lock_word
4:  mov exchanged, %eax
    lea 1(%eax), %edx
    lock cmpxchg %edx, exchanged
    jne 4b
    loop 1b
    ret

other:
    mov $DATA32, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $STACK - 0x8000, %esp
    lidt idtr32
    movl $0x1ff, APIC + SVR
    movl $1, arrived
1:  pause
    cmpl $1, stage
    jne 1b
    call count
    movl $1, counted
    sti
    hlt
    cli
2:  call function
    cmp $1, %al
    je 3f
    incl loops
    jmp 2b
3:  movl $1, seen
4:  hlt
    jmp 4b

ipi:
    movl $0, APIC + EOI
    movl $1, woken
    iret

function:
    mov $0, %al
    ret

    .code16
trampoline:
    cli
    lgdtl %cs:trampoline_gdtr - trampoline
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $CODE32, $other
    .balign 4
trampoline_gdtr:
    .word gdt_end - gdt - 1
    .long gdt
trampoline_end:

    .balign 64
arrived: .long 0
stage: .long 0
counted: .long 0
woken: .long 0
seen: .long 0
loops: .long 0
lock_word: .long 0
    .balign 64
atomic: .long 0
guarded: .long 0
exchanged: .long 0
    TABLES
