/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/segment.c - descriptors, segment registers and stacks
 * (Intel SDM vol. 3A, 3.4, 6) */
#include "engine/guest/x86/cpu-private.h"

/* ---- Descriptors ----------------------------------------------------------------------------- */

bool x86_desc_read(X86Cpu *x, unsigned selector, X86Desc *d)
{
    uint64_t base, raw;
    uint32_t limit;

    if (selector & 4) {
        const X86Segment *ldt = &x->seg[X86_LDTR];
        if (ldt->attr & X86_ATTR_UNUSABLE) return false;
        base = ldt->base;
        limit = ldt->limit;
    } else {
        if (!(selector & 0xfffc)) return false;
        base = x->gdt.base;
        limit = x->gdt.limit;
    }
    if ((selector | 7) > limit) return false;
    d->linear = x86_system_linear(x, base + (selector & 0xfff8));
    raw = vit_cpu_load(&x->cpu, d->linear, 8, x86_system_mmu(x));
    d->lo = (uint32_t)raw;
    d->hi = (uint32_t)(raw >> 32);
    return true;
}

X86Segment x86_desc_segment(unsigned selector, const X86Desc *d)
{
    X86Segment s = {
        .selector = (uint16_t)selector,
        .attr = (uint16_t)x86_desc_attr(d),
        .limit = (d->lo & 0xffff) | (d->hi & 0xf0000),
        .base = (d->lo >> 16) | (d->hi & 0xff) << 16 | (d->hi & 0xff000000),
    };
    if (s.attr & X86_ATTR_G) s.limit = s.limit << 12 | 0xfff;
    return s;
}

void x86_desc_set_accessed(X86Cpu *x, const X86Desc *d)
{
    if (!(d->hi & 0x100))
        vit_cpu_atomic(&x->cpu, VIT_ATOMIC_OR, x86_system_linear(x, d->linear + 5), ATTR_ACCESSED,
                       1, x86_system_mmu(x));
}

uint64_t x86_desc_base64(X86Cpu *x, const X86Desc *d)
{
    uint64_t high = vit_cpu_load(&x->cpu, d->linear + 8, 4, x86_system_mmu(x));
    return x86_desc_segment(0, d).base | high << 32;
}

/* ---- Segment registers ----------------------------------------------------------------------- */

void x86_set_null(X86Cpu *x, unsigned n, unsigned selector, unsigned dpl)
{
    x->seg[n] = (X86Segment){ .selector = (uint16_t)selector,
                              .attr = (uint16_t)(X86_ATTR_UNUSABLE | dpl << 5) };
}

void x86_set_flat(X86Cpu *x, unsigned n, unsigned selector, unsigned attr)
{
    x->seg[n] =
        (X86Segment){ .selector = (uint16_t)selector, .attr = (uint16_t)attr, .limit = UINT32_MAX };
}

/* Real mode leaves limit and attributes as they are. */
void x86_set_real(X86Cpu *x, unsigned n, unsigned selector)
{
    x->seg[n].selector = (uint16_t)selector;
    x->seg[n].base = (selector & 0xffff) << 4;
    if (x->seg[n].attr & X86_ATTR_UNUSABLE) {
        x->seg[n].attr = X86_ATTR_P | X86_ATTR_S | 3;
        x->seg[n].limit = 0xffff;
    }
}

void x86_set_vm86(X86Cpu *x, unsigned n, unsigned selector)
{
    x->seg[n] = (X86Segment){ .selector = (uint16_t)selector,
                              .attr = X86_ATTR_P | X86_ATTR_S | 0x60 | 3,
                              .limit = 0xffff,
                              .base = (selector & 0xffff) << 4 };
}

static int check_stack_segment(X86Cpu *x, unsigned selector, unsigned cpl, X86Desc *d)
{
    unsigned attr;

    if (!x86_desc_read(x, selector, d)) return X86_GP;
    attr = x86_desc_attr(d);
    if ((selector & 3) != cpl || !attr_is_data(attr) || !(attr & ATTR_WRITABLE) ||
        attr_dpl(attr) != cpl)
        return X86_GP;
    return attr & X86_ATTR_P ? 0 : X86_SSF;
}

int x86_check_data_segment(X86Cpu *x, unsigned n, unsigned selector, unsigned cpl, X86Desc *d)
{
    unsigned attr;

    if (n == X86_SS) return check_stack_segment(x, selector, cpl, d);
    if (!x86_desc_read(x, selector, d)) return X86_GP;
    attr = x86_desc_attr(d);
    if (!(attr & X86_ATTR_S) || (attr_is_code(attr) && !(attr & ATTR_READABLE))) return X86_GP;
    if (!(attr_is_code(attr) && (attr & ATTR_CONFORMING)) &&
        (attr_dpl(attr) < cpl || attr_dpl(attr) < (selector & 3)))
        return X86_GP;
    return attr & X86_ATTR_P ? 0 : X86_NP;
}

void x86_load_segment(X86Cpu *x, unsigned n, unsigned selector)
{
    unsigned cpl = x86_cpl(x);
    X86Desc d;
    int vector;

    if (!(x->cr0 & CR0_PE)) {
        x86_set_real(x, n, selector);
        return;
    }
    if (x->eflags & X86_EFLAGS_VM) {
        x86_set_vm86(x, n, selector);
        return;
    }
    if (!(selector & 0xfffc)) {
        if (n == X86_SS && (!x86_long64(x) || cpl == 3 || (selector & 3) != cpl))
            x86_raise_error(x, X86_GP, 0);
        x86_set_null(x, n, selector, n == X86_SS ? cpl : 0);
        return;
    }
    vector = x86_check_data_segment(x, n, selector, cpl, &d);
    if (vector) x86_fault_selector(x, vector, selector);
    x86_desc_set_accessed(x, &d);
    x->seg[n] = x86_desc_segment(selector, &d);
}

void x86_drop_inner_segments(X86Cpu *x, unsigned cpl)
{
    static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };

    for (size_t i = 0; i < G_N_ELEMENTS(data); i++) {
        unsigned attr = x->seg[data[i]].attr;
        if (!(attr & X86_ATTR_UNUSABLE) && attr_dpl(attr) < cpl &&
            !(attr_is_code(attr) && (attr & ATTR_CONFORMING)))
            x86_set_null(x, data[i], 0, 0);
    }
}

bool x86_in_limit(const X86Segment *s, uint64_t offset, unsigned size)
{
    uint64_t last = offset + size - (size ? 1 : 0);

    if (attr_is_data(s->attr) && (s->attr & ATTR_EXPAND_DOWN))
        return offset > s->limit && last <= (s->attr & X86_ATTR_DB ? UINT32_MAX : 0xffff);
    return last <= s->limit && last >= offset;
}

uint64_t x86_h_load_seg(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    x86_load_segment(x, (unsigned)a & 7, (unsigned)b & 0xffff);
    if (a == X86_SS) {
        x->shadow_block = true;
        x->no_step = cpu->mode & (X86_MODE_TF | X86_MODE_BREAK);
    }
    x86_update_mode(x);
    return 0;
}
DEFINE_HELPER(x86_h_load_seg, VIT_HELPER_ALL);

uint64_t x86_h_seg_check(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    const X86Segment *s = &x->seg[a & 7];
    bool write = c >> 8 & 1, good = !(s->attr & X86_ATTR_UNUSABLE) && x86_in_limit(s, b, c & 0xff);

    if (good && (x->cr0 & CR0_PE) && !(x->eflags & X86_EFLAGS_VM)) {
        if (s->attr & ATTR_CODE) good = !write && (s->attr & ATTR_READABLE);
        else good = !write || (s->attr & ATTR_WRITABLE);
    }
    if (!good) x86_raise_error(x, a == X86_SS ? X86_SSF : X86_GP, 0);
    return (uint32_t)(s->base + b);
}
DEFINE_HELPER(x86_h_seg_check, VIT_HELPER_ALL);

/* ---- LDTR, TR -------------------------------------------------------------------------------- */

static void require_protected(X86Cpu *x)
{
    if (!(x->cr0 & CR0_PE) || (x->eflags & X86_EFLAGS_VM)) x86_raise(x, X86_UD);
}

uint64_t x86_h_lldt(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned selector = a & 0xffff;
    X86Desc desc;

    require_protected(x);
    x86_require_cpl0(x);
    if (!(selector & 0xfffc)) {
        x86_set_null(x, X86_LDTR, selector, 0);
        return 0;
    }
    if ((selector & 4) || !x86_desc_read(x, selector, &desc) ||
        (x86_desc_attr(&desc) & 0x1f) != TYPE_LDT)
        x86_fault_selector(x, X86_GP, selector);
    if (!(x86_desc_attr(&desc) & X86_ATTR_P)) x86_fault_selector(x, X86_NP, selector);
    X86Segment s = x86_desc_segment(selector, &desc);
    if (x86_lma(x)) s.base = x86_desc_base64(x, &desc);
    x->seg[X86_LDTR] = s;
    return 0;
}
DEFINE_HELPER(x86_h_lldt, VIT_HELPER_ALL);

uint64_t x86_h_ltr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned selector = a & 0xffff, type;
    X86Desc desc;

    require_protected(x);
    x86_require_cpl0(x);
    if (!(selector & 0xfffc)) x86_raise_error(x, X86_GP, 0);
    if ((selector & 4) || !x86_desc_read(x, selector, &desc))
        x86_fault_selector(x, X86_GP, selector);
    type = x86_desc_attr(&desc) & 0x1f;
    if (type != TYPE_TSS32 && (type != TYPE_TSS16 || x86_lma(x)))
        x86_fault_selector(x, X86_GP, selector);
    if (!(x86_desc_attr(&desc) & X86_ATTR_P)) x86_fault_selector(x, X86_NP, selector);
    X86Segment s = x86_desc_segment(selector, &desc);
    if (x86_lma(x)) s.base = x86_desc_base64(x, &desc);
    vit_cpu_atomic(cpu, VIT_ATOMIC_OR, x86_system_linear(x, desc.linear + 5), 2, 1,
                   x86_system_mmu(x));
    s.attr |= 2; /* busy */
    x->seg[X86_TR] = s;
    return 0;
}
DEFINE_HELPER(x86_h_ltr, VIT_HELPER_ALL);

uint64_t x86_h_read_sel(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if (a != 8) require_protected(x);
    if ((x->cr4 & CR4_UMIP) && x86_cpl(x) > 0) x86_raise_error(x, X86_GP, 0);
    return a == 8 ? (uint32_t)x->cr0 : x->seg[a & 7].selector;
}
DEFINE_HELPER(x86_h_read_sel, VIT_HELPER_ALL);

/* ---- VERR VERW LAR LSL ----------------------------------------------------------------------- */

static void set_zero_flag(X86Cpu *x, bool z)
{
    vit_flags_set(&x->cpu, (vit_flags_get(&x->cpu) & ~0x40u) | (z ? 0x40 : 0));
}

/* Whether a descriptor may be looked at from the present privilege level. */
static bool visible(X86Cpu *x, unsigned selector, X86Desc *d)
{
    unsigned attr;

    require_protected(x);
    if (!x86_desc_read(x, selector, d)) return false;
    attr = x86_desc_attr(d);
    if (attr_is_code(attr) && (attr & ATTR_CONFORMING)) return true;
    return attr_dpl(attr) >= x86_cpl(x) && attr_dpl(attr) >= (selector & 3);
}

uint64_t x86_h_verr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    X86Desc desc;
    bool good = visible(x, a & 0xffff, &desc);
    unsigned attr = good ? x86_desc_attr(&desc) : 0;

    set_zero_flag(x,
                  good && (attr_is_data(attr) || (attr_is_code(attr) && (attr & ATTR_READABLE))));
    return 0;
}
DEFINE_HELPER(x86_h_verr, VIT_HELPER_ALL);

uint64_t x86_h_verw(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    X86Desc desc;
    bool good = visible(x, a & 0xffff, &desc);
    unsigned attr = good ? x86_desc_attr(&desc) : 0;

    set_zero_flag(x, good && attr_is_data(attr) && (attr & ATTR_WRITABLE));
    return 0;
}
DEFINE_HELPER(x86_h_verw, VIT_HELPER_ALL);

uint64_t x86_h_lar(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    enum {
        LEGACY = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12,
        LONG = 1 << 2 | 1 << 9 | 1 << 11 | 1 << 12
    };
    X86Cpu *x = (X86Cpu *)cpu;
    X86Desc desc;
    bool good = visible(x, a & 0xffff, &desc);

    if (good && !(x86_desc_attr(&desc) & X86_ATTR_S))
        good = (x86_lma(x) ? LONG : LEGACY) >> (x86_desc_attr(&desc) & 15) & 1;
    set_zero_flag(x, good);
    return good ? desc.hi & 0x00ffff00 : b;
}
DEFINE_HELPER(x86_h_lar, VIT_HELPER_ALL);

uint64_t x86_h_lsl(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    enum { LEGACY = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11, LONG = 1 << 2 | 1 << 9 | 1 << 11 };
    X86Cpu *x = (X86Cpu *)cpu;
    X86Desc desc;
    bool good = visible(x, a & 0xffff, &desc);

    if (good && !(x86_desc_attr(&desc) & X86_ATTR_S))
        good = (x86_lma(x) ? LONG : LEGACY) >> (x86_desc_attr(&desc) & 15) & 1;
    set_zero_flag(x, good);
    return good ? x86_desc_segment(0, &desc).limit : b;
}
DEFINE_HELPER(x86_h_lsl, VIT_HELPER_ALL);
