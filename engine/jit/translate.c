/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/translate.c - from a guest address to a translated block */
#include "engine/core/log.h"
#include "engine/jit/jit-private.h"

#include <string.h>

enum { DEFAULT_INSNS = 40, ROOM = 96 << 10, RETRIES = 12 };

/* ---- What an ISA's translate() calls --------------------------------------------------------- */

static JitCpu *of(VitTranslate *t)
{
    return jit_cpu(t->cpu);
}

bool vit_translate_same_page(const VitTranslate *t, uint64_t pc)
{
    return vit_mode_linear(t->mode, pc) >> VIT_PAGE_BITS ==
           vit_mode_linear(t->mode, t->pc) >> VIT_PAGE_BITS;
}

static unsigned code_mmu(VitCpu *cpu)
{
    return cpu->isa->code_mmu ? cpu->isa->code_mmu(cpu) : 0;
}

/* Bytes of a page that is no RAM, as far as an instruction may reach. */
static const uint8_t *copy_page(VitCpu *cpu, uint64_t phys, unsigned from, uint8_t *buf)
{
    for (unsigned i = from; i < MIN(from + 15, VIT_PAGE_SIZE); i++)
        buf[i] = (uint8_t) vit_as_load(cpu->memory, phys + i, 1, NULL);
    return buf;
}

static void find_next_page(VitTranslate *t, uint64_t linear)
{
    JitCpu *jc = of(t);
    uint64_t phys;

    jc->next_tried = true;
    if (!vit_tlb_probe(t->cpu, linear, VIT_ACCESS_EXEC, code_mmu(t->cpu), &phys))
        return;
    VitMemTarget target = vit_as_translate(t->cpu->memory, phys);
    if (target.ram && target.length >= VIT_PAGE_SIZE)
        t->next_page = target.host;
    else
        t->next_page = copy_page(t->cpu, phys, 0, jc->next_page);
}

unsigned vit_translate_fetch(VitTranslate *t, uint64_t pc, uint8_t buf[15])
{
    uint64_t linear = vit_mode_linear(t->mode, pc);
    unsigned at = (unsigned) linear & (VIT_PAGE_SIZE - 1), n = 0;

    if (vit_translate_same_page(t, pc)) {
        n = MIN(15, VIT_PAGE_SIZE - at);
        memcpy(buf, t->page + at, n);
        if (n == 15)
            return n;
        linear += n;
        if (!(t->mode & VIT_MODE_WIDE))
            linear = (uint32_t) linear;
        at = 0;
    }
    if (!of(t)->next_tried)
        find_next_page(t, linear & ~(uint64_t) (VIT_PAGE_SIZE - 1));
    if (!t->next_page)
        return n;
    unsigned more = MIN(15 - n, VIT_PAGE_SIZE - at);
    memcpy(buf + n, t->next_page + at, more);
    return n + more;
}

void vit_translate_fault(VitTranslate *t, uint64_t pc)
{
    VitCpu *cpu = t->cpu;
    uint64_t linear = vit_mode_linear(t->mode, pc);
    uint64_t next = (linear | (VIT_PAGE_SIZE - 1)) + 1;
    unsigned mmu = code_mmu(cpu);
    VitTlbFill f;

    if (cpu->isa->tlb_fill(cpu, linear, VIT_ACCESS_EXEC, mmu, false, &f)) {
        if (!(t->mode & VIT_MODE_WIDE))
            next = (uint32_t) next;
        (void) cpu->isa->tlb_fill(cpu, next, VIT_ACCESS_EXEC, mmu, false, &f);
    }
    vit_cpu_unwind(cpu);
}

/* ---- One translation ------------------------------------------------------------------------- */

/* From now on stores to the page are seen. */
static void watch(JitCpu *jc, unsigned which, JitPage *page)
{
    JitAccel *a = jc->accel;

    g_mutex_lock(&a->lock);
    jc->page[which] = page;
    jc->writes[which] = page->writes;
    g_mutex_unlock(&a->lock);
    if (!(__atomic_load_n(&page->ram->clients, __ATOMIC_SEQ_CST) & 1u << VIT_DIRTY_CODE)) {
        vit_ram_set_code_hook(page->ram, jit_code_written, a);
        vit_ram_track(page->ram, VIT_DIRTY_CODE, true);
    }
    if (vit_ram_is_dirty(page->ram, VIT_DIRTY_CODE, page->offset, VIT_PAGE_SIZE))
        vit_ram_clear_dirty(page->ram, VIT_DIRTY_CODE, page->offset, VIT_PAGE_SIZE);
}

static void log_in(JitCpu *jc, uint64_t pc)
{
    VitCpu *cpu = jc->cpu;

    if (vit_log_enabled(VIT_LOG_IN_ASM) && cpu->isa->disassemble) {
        g_autofree char *text = cpu->isa->disassemble(cpu, pc, jc->ir.n_insns);
        vit_log(VIT_LOG_IN_ASM, "IN: %" G_GINT64_MODIFIER "x\n%s", pc, text ? text : "");
    }
    if (vit_log_enabled(VIT_LOG_OP)) {
        g_autofree char *text = vit_ir_dump(&jc->ir, cpu->isa);
        vit_log(VIT_LOG_OP, "OP: %" G_GINT64_MODIFIER "x\n%s", pc, text);
    }
}

static void log_out(const JitBlock *b)
{
    if (!b->code || !vit_log_enabled(VIT_LOG_OUT_ASM))
        return;
    g_autoptr(GString) s = g_string_new(NULL);
    for (unsigned i = 0; i < b->code_size; i++)
        g_string_append_printf(s, "%02x", b->code[i]);
    vit_log(VIT_LOG_OUT_ASM, "OUT: %" G_GINT64_MODIFIER "x at %p: %s", b->pc, b->code, s->str);
}

static bool lift(JitCpu *jc, uint64_t pc, const uint8_t *page, unsigned max_insns)
{
    VitTranslate *t = &jc->request;

    *t = (VitTranslate) { .cpu = jc->cpu, .ir = &jc->ir, .pc = pc, .mode = jc->cpu->mode,
                          .max_insns = max_insns, .page = page };
    jc->next_tried = false;
    vit_ir_reset(&jc->ir);
    jc->cpu->isa->translate(t);
    if (jc->ir.overflow)
        return false;
    log_in(jc, pc);
    vit_ir_optimise(&jc->ir, jc->cpu->isa, jc->accel->options.ir_passes);
    return true;
}

/* Block and code in the cache; lock held (let go of when a region must be dropped: then NULL).  One
 * instruction that the host backend has no room for is interpreted, once. */
static JitBlock *build(JitCpu *jc, uint64_t pc, uint32_t view, bool *too_big)
{
    JitAccel *a = jc->accel;
    JitRegion *r = jit_cache_region(a, ROOM + sizeof(VitIrOp) * jc->ir.n_ops);

    *too_big = false;
    if (!r) {
        jit_cache_advance(a, jc);
        return NULL;
    }
    uint8_t *meta = r->meta;
    JitBlock *b = jit_cache_meta(r, sizeof *b, 8);
    memset(b, 0, sizeof *b);
    b->pc = pc;
    b->mode = jc->request.mode;
    b->view = view;
    b->size = (uint16_t) MAX(1, jc->request.end_pc - pc);
    b->n_insns = (uint8_t) jc->ir.n_insns;
    bool compiled = !a->interp && jit_host_compile(jc, r, b, code_mmu(jc->cpu));
    if (!compiled) {
        if (!a->interp && jc->ir.n_insns > 1) {
            r->meta = meta;
            *too_big = true;
            return NULL;
        }
        size_t size = offsetof(VitIr, ops) + sizeof(VitIrOp) * jc->ir.n_ops;
        b->ir = jit_cache_meta(r, size, 16);
        memcpy(b->ir, &jc->ir, size);
        b->code = NULL;
        b->single = !a->interp;
        if (b->single)
            return b;
    }
    if (r->n_blocks == r->max_blocks) {
        r->max_blocks = MAX(1024, r->max_blocks * 2);
        r->blocks = g_renew(JitBlock *, r->blocks, r->max_blocks);
    }
    r->blocks[r->n_blocks++] = b;
    jc->cpu->stats[VIT_CPU_STAT_TRANSLATED]++;
    log_out(b);
    return b;
}

/* What the exec TLB says of the page: its view, or 0 for one that is no RAM (at *phys).  May
 * unwind. */
static uint32_t view_at(JitCpu *jc, uint64_t linear, unsigned mmu, uint64_t *phys)
{
    JitAccel *a = jc->accel;
    VitTlbEntry *e = vit_tlb_exec(jc->cpu, linear, mmu, phys);

    if (e->addend)
        return (uint32_t) e->addend;
    VitMemTarget t = vit_as_translate(jc->cpu->memory, *phys);
    if (t.ram && t.length >= VIT_PAGE_SIZE) {
        g_mutex_lock(&a->lock);
        e->addend = jit_view_get(a, jit_page_get(a, t.ram, t.ram_offset), linear);
        g_mutex_unlock(&a->lock);
    }
    return (uint32_t) e->addend;
}

static JitPage *page_of_view(JitAccel *a, uint32_t view)
{
    g_mutex_lock(&a->lock);
    JitPage *page = a->view_page[view];     /* NULL for 0 */
    g_mutex_unlock(&a->lock);
    return page;
}

static uint64_t next_linear_page(const VitCpu *cpu, uint64_t linear)
{
    uint64_t next = (linear | (VIT_PAGE_SIZE - 1)) + 1;
    return cpu->mode & VIT_MODE_WIDE ? next : (uint32_t) next;
}

static JitBlock *translate(JitCpu *jc, uint64_t pc, uint32_t view, JitPage *page,
                           const uint8_t *bytes, bool single)
{
    VitCpu *cpu = jc->cpu;
    JitAccel *a = jc->accel;
    uint64_t linear = vit_mode_linear(cpu->mode, pc);
    unsigned max_insns = single ? 1 : DEFAULT_INSNS;
    JitPage *second = NULL;
    uint32_t view2 = 0;

    for (unsigned tries = 0;; tries++) {
        jc->page[0] = jc->page[1] = NULL;
        if (tries == RETRIES) {     /* a page that others keep writing to: run on what was read */
            single = true;
            max_insns = 1;
        }
        if (page)
            watch(jc, 0, page);
        if (second)
            watch(jc, 1, second);
        if (!lift(jc, pc, bytes, max_insns)) {
            max_insns = MAX(1, jc->ir.n_insns / 2);
            continue;
        }
        bool crosses = (linear & (VIT_PAGE_SIZE - 1)) + (jc->request.end_pc - pc) > VIT_PAGE_SIZE;
        if (crosses && jc->ir.n_insns > 1) {
            max_insns = jc->ir.n_insns - 1;
            continue;
        }
        if (crosses && !single && !second) {
            uint64_t phys = 0;
            view2 = view_at(jc, next_linear_page(cpu, linear), code_mmu(cpu), &phys);
            second = page_of_view(a, view2);
            if (!view2)
                single = true;
            continue;
        }

        g_mutex_lock(&a->lock);
        bool stale = !single && ((page && page->writes != jc->writes[0]) ||
                                 (crosses && second->writes != jc->writes[1]));
        JitBlock *b = stale ? NULL : single ? NULL : jit_block_find(a, view, pc, cpu->mode);
        bool too_big = false;
        if (!b && !stale) {
            b = build(jc, pc, view, &too_big);
            if (b && (single || b->single)) {
                b->single = true;
            } else if (b) {
                b->view2 = crosses ? view2 : 0;
                jit_block_insert(a, b, page, crosses ? second : NULL);
            }
        }
        g_mutex_unlock(&a->lock);
        if (b)
            return b;
        if (too_big)
            max_insns = MAX(1, jc->ir.n_insns / 2);
    }
}

JitBlock *jit_translate_at(JitCpu *jc, uint64_t pc)
{
    VitCpu *cpu = jc->cpu;
    JitAccel *a = jc->accel;
    uint64_t linear = vit_mode_linear(cpu->mode, pc), phys = 0, phys2 = 0;
    unsigned mmu = code_mmu(cpu);
    bool single = jc->single;
    JitPage *page = NULL;
    JitBlock *b = NULL;

    cpu->stats[VIT_CPU_STAT_LOOKUPS]++;
    jc->single = false;
    uint32_t view = view_at(jc, linear, mmu, &phys);
    if (!view)
        single = true;
    g_mutex_lock(&a->lock);
    if (view)
        page = a->view_page[view];
    if (!single)
        b = jit_block_find(a, view, pc, cpu->mode);
    g_mutex_unlock(&a->lock);
    /* When its one instruction stands on two pages: is the second still there? */
    if (b && b->view2 && b->view2 != view_at(jc, next_linear_page(cpu, linear), mmu, &phys2)) {
        g_mutex_lock(&a->lock);
        jit_block_kill(a, b);
        g_mutex_unlock(&a->lock);
        b = NULL;
    }
    if (b)
        return b;
    const uint8_t *bytes = page ? page->ram->host + page->offset
                                : copy_page(cpu, phys, (unsigned) linear & (VIT_PAGE_SIZE - 1),
                                            jc->first_page);
    return translate(jc, pc, view, page, bytes, single);
}
