/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/cpu/host.c - runs code on the host's processor and catches how it ends */
#include "tests/cpu/cpu-test.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <asm/ldt.h>
#include <cpuid.h>

typedef struct __attribute__((packed)) {
    uint64_t gpr[16], flags, code, cs, ss;
} Registers;

static struct {
    uint64_t return_sp;
    CpuTestState *state;
    stack_t stack;
} host;

/* rdi = Registers *; loads everything and jumps; the signal handler comes back to native_return. */
__asm__(
    ".text\n"
    ".globl native_enter\n.hidden native_enter\n"
    "native_enter:\n"
    "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, (%rsi)\n  fxrstor (%rdx)\n"
    "  mov 32(%rdi), %rsp\n" /* the test's stack */
    "  pushq 136(%rdi)\n" /* code */
    "  pushq 128(%rdi)\n" /* flags */
    "  mov 0(%rdi), %rax\n  mov 8(%rdi), %rcx\n  mov 16(%rdi), %rdx\n  mov 24(%rdi), %rbx\n"
    "  mov 40(%rdi), %rbp\n  mov 48(%rdi), %rsi\n"
    "  mov 64(%rdi), %r8\n  mov 72(%rdi), %r9\n  mov 80(%rdi), %r10\n  mov 88(%rdi), %r11\n"
    "  mov 96(%rdi), %r12\n  mov 104(%rdi), %r13\n  mov 112(%rdi), %r14\n  mov 120(%rdi), %r15\n"
    "  mov 56(%rdi), %rdi\n"
    "  popfq\n"
    "  ret\n"
    /* rdi = Registers *, 32- and 16-bit code: by IRET, with data segments that it may use. */
    ".globl native_enter_legacy\n.hidden native_enter_legacy\n"
    "native_enter_legacy:\n"
    "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, (%rsi)\n  fxrstor (%rdx)\n"
    "  mov 152(%rdi), %eax\n  mov %eax, %ds\n  mov %eax, %es\n"
    "  pushq 152(%rdi)\n"
    "  pushq 32(%rdi)\n"
    "  pushq 128(%rdi)\n"
    "  pushq 144(%rdi)\n"
    "  pushq 136(%rdi)\n"
    "  mov 0(%rdi), %rax\n  mov 8(%rdi), %rcx\n  mov 16(%rdi), %rdx\n  mov 24(%rdi), %rbx\n"
    "  mov 40(%rdi), %rbp\n  mov 48(%rdi), %rsi\n  mov 56(%rdi), %rdi\n"
    "  iretq\n"
    ".globl native_return\n.hidden native_return\n"
    "native_return:\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
    "  cld\n"
    "  ret\n");
void native_enter(Registers *r, uint64_t *return_sp, const uint8_t *fx);
void native_enter_legacy(Registers *r, uint64_t *return_sp, const uint8_t *fx);
void native_return(void);

static const uint8_t greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                     REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                     REG_R12, REG_R13, REG_R14, REG_R15 };

static void on_signal(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;
    struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
    CpuTestState *s = host.state;

    if (!s) { /* not from the code under test */
        signal(number, SIG_DFL);
        return;
    }
    for (unsigned i = 0; i < 16; i++) s->gpr[i] = (uint64_t)g[greg_of[i]];
    s->rip = (uint64_t)g[REG_RIP];
    s->rflags = (uint64_t)g[REG_EFL];
    s->vector = (int)g[REG_TRAPNO];
    s->error = (uint64_t)g[REG_ERR];
    s->cr2 = s->vector == X86_PF ? (uint64_t)g[REG_CR2] : 0;
    memcpy(s->xmm, fp->_xmm, sizeof s->xmm);
    memcpy(s->x87, fp->_st, sizeof s->x87);
    s->mxcsr = fp->mxcsr;
    s->fcw = fp->cwd;
    s->fsw = fp->swd;
    s->ftw = fp->ftw;
    fp->mxcsr = 0x1f80;
    fp->cwd = 0x37f;
    fp->swd = 0;
    fp->ftw = 0;
    host.state = NULL;
    g[REG_CSGSFS] = 0x33 | 0x2bLL << 48;
    g[REG_RSP] = (greg_t)host.return_sp;
    g[REG_RIP] = (greg_t)(uintptr_t)native_return;
    g[REG_EFL] &= ~(greg_t)0x400;
}

bool cpu_test_host_init(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    void *code = (void *)(uintptr_t)CPU_TEST_CODE, *data = (void *)(uintptr_t)CPU_TEST_DATA;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;

    host.stack = (stack_t){ .ss_sp = g_malloc(1 << 16), .ss_size = 1 << 16 };
    sigaltstack(&host.stack, NULL);
    sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) sigaction(signals[i], &action, NULL);
    return mmap(code, CPU_TEST_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0) ==
               code &&
           mmap(data, CPU_TEST_DATA_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0) == data;
}

bool cpu_test_host_init16(void)
{
    struct user_desc code = {
        .entry_number = 0, .base_addr = CPU_TEST_CODE, .limit = 0xffff, .contents = 2
    };
    struct user_desc data = { .entry_number = 1,
                              .base_addr = CPU_TEST_DATA,
                              .limit = CPU_TEST_DATA_SIZE - 1 };

    return syscall(SYS_modify_ldt, 1, &code, sizeof code) == 0 &&
           syscall(SYS_modify_ldt, 1, &data, sizeof data) == 0;
}

void cpu_test_host_run(CpuTestState *s)
{
    Registers r;
    __attribute__((aligned(16))) uint8_t area[512] = { 0 };

    memcpy(r.gpr, s->gpr, sizeof r.gpr);
    r.flags = (s->rflags & CPU_TEST_EFLAGS) | 0x202;
    r.code = s->rip;
    memcpy(area + 0, &s->fcw, 2);
    memcpy(area + 2, &s->fsw, 2);
    area[4] = (uint8_t)s->ftw;
    memcpy(area + 24, &s->mxcsr, 4);
    memcpy(area + 32, s->x87, sizeof s->x87);
    memcpy(area + 160, s->xmm, sizeof s->xmm);
    host.state = s;
    r.cs = s->code == X86_CODE_16 ? CPU_TEST_CS16 : 0x23;
    r.ss = s->code == X86_CODE_16 ? CPU_TEST_DS16 : 0x2b;
    if (s->code != X86_CODE_64) native_enter_legacy(&r, &host.return_sp, area);
    else native_enter(&r, &host.return_sp, area);
}

bool cpu_test_host_has(const char *feature)
{
    static const struct {
        const char *name;
        unsigned bit;
    } ecx[] = {
        { "pclmulqdq", 1 }, { "ssse3", 9 },  { "cx16", 13 },   { "sse4.1", 19 },
        { "sse4.2", 20 },   { "movbe", 22 }, { "popcnt", 23 }, { "aes", 25 },
    };
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(ecx); i++) {
        if (g_str_equal(ecx[i].name, feature)) return c >> ecx[i].bit & 1;
    }
    return false;
}

#else
bool cpu_test_host_init(void)
{
    return false;
}
bool cpu_test_host_init16(void)
{
    return false;
}
void cpu_test_host_run(CpuTestState *s)
{
    g_assert_not_reached();
}
bool cpu_test_host_has(const char *feature)
{
    return false;
}
#endif
