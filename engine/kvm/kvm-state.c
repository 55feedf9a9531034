/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/kvm/kvm-state.c - registers between the X86Cpu and KVM; the processor that CPUID tells of
 *
 * AVX state is not carried: CPUID does not offer it. */
#include "engine/kvm/kvm-private.h"

#include "engine/cpu/tlb.h"
#include "engine/guest/x86/cpuid.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/ioctl.h>

/* ---- Model-specific registers ---------------------------------------------------------------- */

enum { MAX_MSRS = 48 };

static const struct { uint32_t index; uint16_t offset; } msr_rows[] = {
    { 0xc0000081, offsetof(X86Cpu, star) }, { 0xc0000082, offsetof(X86Cpu, lstar) },
    { 0xc0000083, offsetof(X86Cpu, cstar) }, { 0xc0000084, offsetof(X86Cpu, fmask) },
    { 0xc0000102, offsetof(X86Cpu, kernel_gs_base) }, { 0xc0000103, offsetof(X86Cpu, tsc_aux) },
    { 0x174, offsetof(X86Cpu, sysenter_cs) }, { 0x175, offsetof(X86Cpu, sysenter_esp) },
    { 0x176, offsetof(X86Cpu, sysenter_eip) }, { 0x1a0, offsetof(X86Cpu, misc_enable) },
    { 0x277, offsetof(X86Cpu, pat) }, { 0x2ff, offsetof(X86Cpu, mtrr_def) },
};
static const uint32_t fixed_mtrrs[] = {
    0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f
};
enum { MTRR_PHYS = 0x200 };

typedef struct { struct kvm_msrs head; struct kvm_msr_entry entries[MAX_MSRS]; } Msrs;

/* Where entry n of the list lives, and its number; NULL past the end. */
static uint64_t *msr_slot(X86Cpu *x, unsigned n, uint32_t *index)
{
    if (n < G_N_ELEMENTS(msr_rows)) {
        *index = msr_rows[n].index;
        return (uint64_t *) (void *) ((uint8_t *) x + msr_rows[n].offset);
    }
    n -= G_N_ELEMENTS(msr_rows);
    if (n < G_N_ELEMENTS(fixed_mtrrs)) {
        *index = fixed_mtrrs[n];
        return &x->mtrr_fixed[n];
    }
    n -= G_N_ELEMENTS(fixed_mtrrs);
    if (n >= 2 * G_N_ELEMENTS(x->mtrr_base))
        return NULL;
    *index = MTRR_PHYS + n;
    return n % 2 ? &x->mtrr_mask[n / 2] : &x->mtrr_base[n / 2];
}

/* KVM stops at the first register that it does not have: go on behind it. */
static void transfer_msrs(KvmCpu *kc, bool get)
{
    uint32_t index;

    for (unsigned from = 0; msr_slot(kc->x, from, &index);) {
        Msrs m = { 0 };
        while (m.head.nmsrs < MAX_MSRS) {
            uint64_t *slot = msr_slot(kc->x, from + m.head.nmsrs, &index);
            if (!slot)
                break;
            m.entries[m.head.nmsrs++] = (struct kvm_msr_entry) { .index = index, .data = *slot };
        }
        int done = ioctl(kc->fd, get ? KVM_GET_MSRS : KVM_SET_MSRS, &m);
        if (done < 0)
            return;
        for (unsigned i = 0; get && i < (unsigned) done; i++)
            *msr_slot(kc->x, from + i, &index) = m.entries[i].data;
        from += MAX((unsigned) done, 1) + ((unsigned) done < m.head.nmsrs && done > 0);
    }
}

/* ---- Segments -------------------------------------------------------------------------------- */

static struct kvm_segment to_kvm(const X86Segment *s)
{
    return (struct kvm_segment) {
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->attr & 15,
        .s = s->attr >> 4 & 1,
        .dpl = s->attr >> 5 & 3,
        .present = s->attr >> 7 & 1,
        .avl = s->attr >> 8 & 1,
        .l = s->attr >> 9 & 1,
        .db = s->attr >> 10 & 1,
        .g = s->attr >> 11 & 1,
        .unusable = !!(s->attr & X86_ATTR_UNUSABLE),
    };
}

static X86Segment from_kvm(const struct kvm_segment *s)
{
    unsigned attr = s->type | s->s << 4u | s->dpl << 5u | s->present << 7u | s->avl << 8u |
                    s->l << 9u | s->db << 10u | s->g << 11u |
                    (s->unusable ? X86_ATTR_UNUSABLE : 0u);

    return (X86Segment) {
        .selector = s->selector, .attr = (uint16_t) attr, .limit = s->limit, .base = s->base
    };
}

static const struct { uint8_t index; uint16_t offset; } segment_rows[] = {
    { X86_ES, offsetof(struct kvm_sregs, es) }, { X86_CS, offsetof(struct kvm_sregs, cs) },
    { X86_SS, offsetof(struct kvm_sregs, ss) }, { X86_DS, offsetof(struct kvm_sregs, ds) },
    { X86_FS, offsetof(struct kvm_sregs, fs) }, { X86_GS, offsetof(struct kvm_sregs, gs) },
    { X86_LDTR, offsetof(struct kvm_sregs, ldt) }, { X86_TR, offsetof(struct kvm_sregs, tr) },
};

static struct kvm_segment *segment_at(struct kvm_sregs *s, unsigned row)
{
    return (struct kvm_segment *) (void *) ((uint8_t *) s + segment_rows[row].offset);
}

/* ---- From KVM -------------------------------------------------------------------------------- */

static void fetch_regs(X86Cpu *x, const struct kvm_regs *r)
{
    const uint64_t gpr[16] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                               r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };

    memcpy(x->gpr, gpr, sizeof gpr);
    x->rip = r->rip;
}

static void fetch_sregs(X86Cpu *x, struct kvm_sregs *s)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(segment_rows); i++)
        x->seg[segment_rows[i].index] = from_kvm(segment_at(s, i));
    x->gdt.base = s->gdt.base;
    x->gdt.limit = s->gdt.limit;
    x->idt.base = s->idt.base;
    x->idt.limit = s->idt.limit;
    x->cr0 = s->cr0;
    x->cr2 = s->cr2;
    x->cr3 = s->cr3;
    x->cr4 = s->cr4;
    x->cr8 = s->cr8;
    x->efer = s->efer;
    if ((x->cr0 >> 31 & 1) && (x->cr4 >> 5 & 1) && !(x->efer >> 10 & 1)) /* PAE outside long mode */
        (void) vit_as_read(x->cpu.memory, x->cr3 & 0xffffffe0, x->pdpte, sizeof x->pdpte);
}

/* The head of the XSAVE area: FXSAVE's 64-bit format (Intel SDM vol. 1, table 10-2). */
typedef struct {
    uint16_t fcw, fsw;
    uint8_t  ftw, reserved;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t  st[8][16], xmm[16][16], unused[96];
    uint64_t xstate_bv;
} Legacy;
static_assert(offsetof(Legacy, xstate_bv) == 512);

static void fetch_fpu(X86Cpu *x, const Legacy *f)
{
    x->fcw = f->fcw;
    x->fp_top = f->fsw >> 11 & 7;
    x->fsw = f->fsw & (uint16_t) ~0x3800;
    x->fp_tag = f->ftw;
    x->fp_op = f->fop & 0x7ff;
    x->fp_ip = f->fip;
    x->fp_dp = f->fdp;
    x->mxcsr = f->mxcsr;
    for (unsigned i = 0; i < 8; i++) {
        unsigned reg = (x->fp_top + i) & 7;
        memcpy(&x->st[reg].mant, f->st[i], 8);
        memcpy(&x->st[reg].se, f->st[i] + 8, 2);
    }
    memcpy(x->xmm, f->xmm, sizeof x->xmm);
}

void kvm_fetch(KvmCpu *kc)
{
    X86Cpu *x = kc->x;
    struct kvm_regs regs = { 0 };
    struct kvm_sregs sregs = { 0 };
    struct kvm_xsave xsave = { 0 };
    struct kvm_debugregs debug = { 0 };
    struct kvm_xcrs xcrs = { 0 };

    if (kc->here)
        return;
    if (ioctl(kc->fd, KVM_GET_REGS, &regs) < 0 || ioctl(kc->fd, KVM_GET_SREGS, &sregs) < 0 ||
        ioctl(kc->fd, KVM_GET_XSAVE, &xsave) < 0 || ioctl(kc->fd, KVM_GET_DEBUGREGS, &debug) < 0 ||
        ioctl(kc->fd, KVM_GET_VCPU_EVENTS, &kc->events) < 0) {
        g_critical("KVM does not give a vCPU's registers: %s", g_strerror(errno));
        return;
    }
    fetch_regs(x, &regs);
    fetch_sregs(x, &sregs);
    fetch_fpu(x, (const Legacy *) (const void *) xsave.region);
    memcpy(x->dr, debug.db, sizeof debug.db);
    x->dr[6] = debug.dr6;
    x->dr[7] = debug.dr7;
    transfer_msrs(kc, true);
    if (x86_has(x, X86_FEATURE_XSAVE) && ioctl(kc->fd, KVM_GET_XCRS, &xcrs) == 0 && xcrs.nr_xcrs)
        x->xcr0 = xcrs.xcrs[0].value;
    x->nmi_blocked = kc->events.nmi.masked;
    x->shadow_block = kc->events.interrupt.shadow;
    kc->events_rip = x->rip;
    kc->events_cr0 = x->cr0;
    kc->events_cr3 = x->cr3;
    kc->here = true;
    x86_set_eflags(x, (uint32_t) regs.rflags, UINT32_MAX);
    x86_update_mode(x);
    vit_tlb_flush(&x->cpu);     /* the emulated way of delivering things looks through it */
}

/* ---- To KVM ---------------------------------------------------------------------------------- */

static struct kvm_regs regs_of(const X86Cpu *x)
{
    const uint64_t *g = x->gpr;

    return (struct kvm_regs) {
        .rax = g[0], .rcx = g[1], .rdx = g[2], .rbx = g[3], .rsp = g[4], .rbp = g[5], .rsi = g[6],
        .rdi = g[7], .r8 = g[8], .r9 = g[9], .r10 = g[10], .r11 = g[11], .r12 = g[12], .r13 = g[13],
        .r14 = g[14], .r15 = g[15], .rip = x->rip, .rflags = x86_get_eflags(x),
    };
}

static void put_sregs(KvmCpu *kc, struct kvm_sregs *s)
{
    X86Cpu *x = kc->x;

    for (unsigned i = 0; i < G_N_ELEMENTS(segment_rows); i++)
        *segment_at(s, i) = to_kvm(&x->seg[segment_rows[i].index]);
    s->gdt = (struct kvm_dtable) { .base = x->gdt.base, .limit = (uint16_t) x->gdt.limit };
    s->idt = (struct kvm_dtable) { .base = x->idt.base, .limit = (uint16_t) x->idt.limit };
    s->cr0 = x->cr0;
    s->cr2 = x->cr2;
    s->cr3 = x->cr3;
    s->cr4 = x->cr4;
    s->efer = x->efer;
    s->cr8 = x->ops && x->ops->get_cr8 ? x->ops->get_cr8(x->ops_opaque) : x->cr8;
    uint64_t base;
    if (x->ops && x->ops->msr_read && x->ops->msr_read(x->ops_opaque, 0x1b, &base))
        s->apic_base = base;
    kc->apic_base = s->apic_base;
    memset(s->interrupt_bitmap, 0, sizeof s->interrupt_bitmap);     /* told with the events */
}

static void put_fpu(const X86Cpu *x, struct kvm_xsave *xsave)
{
    Legacy *f = (Legacy *) (void *) xsave->region;

    f->fcw = x->fcw;
    f->fsw = (uint16_t) (x->fsw | x->fp_top << 11);
    f->ftw = x->fp_tag;
    f->fop = x->fp_op;
    f->fip = x->fp_ip;
    f->fdp = x->fp_dp;
    f->mxcsr = x->mxcsr;
    for (unsigned i = 0; i < 8; i++) {
        unsigned reg = (x->fp_top + i) & 7;
        memcpy(f->st[i], &x->st[reg].mant, 8);
        memcpy(f->st[i] + 8, &x->st[reg].se, 2);
    }
    memcpy(f->xmm, x->xmm, sizeof x->xmm);
    f->xstate_bv |= 3;          /* x87 and SSE are given */
}

/* What KVM was about to inject belongs to registers that may have been replaced by a reset. */
static void put_events(KvmCpu *kc)
{
    X86Cpu *x = kc->x;

    if (x->rip != kc->events_rip || x->cr0 != kc->events_cr0 || x->cr3 != kc->events_cr3)
        kc->events = (struct kvm_vcpu_events) { 0 };
    kc->events.nmi.masked = x->nmi_blocked;
    kc->events.interrupt.shadow = x->shadow_block ? KVM_X86_SHADOW_INT_STI : 0;
    kc->events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
}

void kvm_push(KvmCpu *kc)
{
    X86Cpu *x = kc->x;
    struct kvm_regs regs = regs_of(x);
    struct kvm_debugregs debug = { .dr6 = x->dr[6], .dr7 = x->dr[7] };
    struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = x->xcr0 } } };
    struct kvm_xsave xsave;
    struct kvm_sregs sregs;

    if (!kc->here)
        return;
    memset(&xsave, 0, sizeof xsave);
    memset(&sregs, 0, sizeof sregs);
    memcpy(debug.db, x->dr, sizeof debug.db);
    put_events(kc);
    bool good = ioctl(kc->fd, KVM_GET_SREGS, &sregs) == 0 &&
                ioctl(kc->fd, KVM_GET_XSAVE, &xsave) == 0;
    put_sregs(kc, &sregs);
    put_fpu(x, &xsave);
    good = good && ioctl(kc->fd, KVM_SET_SREGS, &sregs) == 0 &&
           ioctl(kc->fd, KVM_SET_REGS, &regs) == 0 && ioctl(kc->fd, KVM_SET_XSAVE, &xsave) == 0 &&
           ioctl(kc->fd, KVM_SET_DEBUGREGS, &debug) == 0;
    if (good && x86_has(x, X86_FEATURE_XSAVE))
        good = ioctl(kc->fd, KVM_SET_XCRS, &xcrs) == 0;
    transfer_msrs(kc, false);
    if (!good || ioctl(kc->fd, KVM_SET_VCPU_EVENTS, &kc->events) < 0) {
        g_autofree char *reason = g_strdup_printf(
            _("KVM does not take a vCPU's registers: %s; use -accel jit"), g_strerror(errno));
        vit_system_request(x->cpu.sys, VIT_REQUEST_PAUSE, 0, reason);
        kc->stuck = true;
    }
    kc->here = false;
    kc->run->ready_for_interrupt_injection = 0;     /* not known of these registers */
}

/* ---- CPUID ----------------------------------------------------------------------------------- */

enum { MAX_CPUID = 256 };

typedef struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entries[MAX_CPUID]; } Cpuid;

static const struct { uint32_t leaf, subleaf; uint8_t reg, word;
} feature_words[] = {
    { 1, 0, 3, X86_WORD_1_EDX },
    { 1, 0, 2, X86_WORD_1_ECX },
    { 7, 0, 1, X86_WORD_7_EBX },
    { 7, 0, 2, X86_WORD_7_ECX },
    { 7, 0, 3, X86_WORD_7_EDX },
    { 0x80000001, 0, 3, X86_WORD_EXT1_EDX },
    { 0x80000001, 0, 2, X86_WORD_EXT1_ECX },
    { 0x80000007, 0, 3, X86_WORD_EXT7_EDX },
    { 0x80000008, 0, 1, X86_WORD_EXT8_EBX },
    { 0x80000021, 0, 0, X86_WORD_EXT21_EAX },
    { 6, 0, 0, X86_WORD_6_EAX },
    { 0xd, 1, 0, X86_WORD_D1_EAX },
};

static void forget(X86Cpu *x, X86Feature feature)
{
    x->features[feature / 32] &= ~(1u << feature % 32);
}

/* The guest is offered what its model has and this host can do. */
static void mask_features(X86Cpu *x, const Cpuid *host)
{
    bool hypervisor = x86_has(x, X86_FEATURE_HYPERVISOR);

    for (size_t i = 0; i < G_N_ELEMENTS(feature_words); i++) {
        uint32_t bits = 0;
        for (unsigned n = 0; n < host->head.nent; n++) {
            const struct kvm_cpuid_entry2 *e = &host->entries[n];
            const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };
            if (e->function == feature_words[i].leaf && e->index == feature_words[i].subleaf)
                bits = regs[feature_words[i].reg];
        }
        x->features[feature_words[i].word] &= bits;
    }
    x->features[X86_WORD_ARCH_CAP] = 0;
    forget(x, X86_FEATURE_ARCH_CAPABILITIES);
    forget(x, X86_FEATURE_TSC_DEADLINE);
    forget(x, X86_FEATURE_X2APIC);
    forget(x, X86_FEATURE_TSC_ADJUST);
    if (hypervisor)
        x->features[X86_FEATURE_HYPERVISOR / 32] |= 1u << X86_FEATURE_HYPERVISOR % 32;
}

static void add_leaf(const X86Cpu *x, Cpuid *c, uint32_t leaf, uint32_t subleaf, bool indexed)
{
    uint32_t out[4];

    if (c->head.nent == MAX_CPUID)
        return;
    x86_cpuid(x, leaf, subleaf, out);
    c->entries[c->head.nent++] = (struct kvm_cpuid_entry2) {
        .function = leaf, .index = subleaf, .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = out[0], .ebx = out[1], .ecx = out[2], .edx = out[3],
    };
}

static void add_range(const X86Cpu *x, Cpuid *c, uint32_t first)
{
    uint32_t out[4];

    x86_cpuid(x, first, 0, out);
    for (uint32_t leaf = first; leaf <= out[0] && leaf - first < 64; leaf++) {
        bool indexed = leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd;
        for (uint32_t sub = 0; sub < (indexed ? 8u : 1u); sub++)
            add_leaf(x, c, leaf, sub, indexed);
    }
}

bool kvm_set_cpuid(KvmCpu *kc, GError **error)
{
    g_autofree Cpuid *c = g_new0(Cpuid, 1);

    c->head.nent = MAX_CPUID;
    if (ioctl(kc->accel->kvm, KVM_GET_SUPPORTED_CPUID, &c->head) == 0) {
        mask_features(kc->x, c);
        *c = (Cpuid) { 0 };
        add_range(kc->x, c, 0);
        add_range(kc->x, c, 0x80000000);
        if (x86_has(kc->x, X86_FEATURE_HYPERVISOR))
            add_range(kc->x, c, 0x40000000);
        if (ioctl(kc->fd, KVM_SET_CPUID2, &c->head) == 0)
            return true;
    }
    g_set_error(
        error, G_IO_ERROR, g_io_error_from_errno(errno),
        _("-accel kvm: KVM does not take this CPU model: %s; try another -cpu, or -accel jit"),
        g_strerror(errno));
    return false;
}
