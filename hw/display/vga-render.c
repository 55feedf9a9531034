/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/display/vga-render.c - draws what the registers and video memory mean into the scanout's
 * surface
 *
 * IBM VGA technical reference (1992), "CRT Controller", "Attribute Controller".  Text is compared
 * cell by cell with what was drawn last; other pictures are converted where pages of video memory
 * are dirty; 32-bit VBE modes are shown straight from video memory.  Not modelled: colours changed
 * in mid-frame, row scan and pixel panning in text modes, mode 7's second font page. */
#include "hw/display/vga-private.h"

#include <string.h>

enum { CRTC_OVERFLOW = 0x07, CRTC_MAX_SCAN = 0x09, CRTC_CURSOR_START = 0x0a, CRTC_CURSOR_END,
       CRTC_START_HIGH, CRTC_START_LOW, CRTC_CURSOR_HIGH, CRTC_CURSOR_LOW, CRTC_V_END = 0x12,
       CRTC_OFFSET, CRTC_UNDERLINE, CRTC_MODE = 0x17, CRTC_LINE_COMPARE };
enum { MAX_COLS = 256, MAX_ROWS = 128, CELL_CURSOR = 1 << 16, CELL_DIM = 1 << 17 };
#define BLINK_NS (INT64_C(266) * VIT_NS_PER_MS)

/* ---- surfaces -------------------------------------------------------------------------------- */

static void show(Vga *v, VitSurface *surface, bool shared)
{
    vit_surface_unref(v->surface);
    v->surface = surface;
    v->surface_shared = shared;
    v->redraw = true;
    vit_scanout_set_surface(v->scanout, surface);
}

static void want_surface(Vga *v, int width, int height)
{
    if (v->surface && !v->surface_shared && v->surface->width == width &&
        v->surface->height == height)
        return;
    show(v, vit_surface_new(width, height, VIT_PIXEL_XRGB8888), false);
}

static uint32_t *line_at(const Vga *v, unsigned y)
{
    return (uint32_t *) (void *) (v->surface->pixels + (size_t) y * (size_t) v->surface->stride);
}

/* ---- colours --------------------------------------------------------------------------------- */

static uint32_t dac_colour(const Vga *v, unsigned index)
{
    const uint8_t *p = &v->st.palette[3 * (index & v->st.dac_mask)];

    if (v->st.vbe[VBE_ENABLE] & VBE_8BIT_DAC)
        return (uint32_t) p[0] << 16 | (uint32_t) p[1] << 8 | p[2];
    uint32_t rgb = 0;
    for (int i = 0; i < 3; i++) {
        unsigned c = p[i] & 63;
        rgb = rgb << 8 | (c << 2 | c >> 4);
    }
    return rgb;
}

/* The DAC entry of a 4-bit colour. */
static unsigned attribute_index(const Vga *v, unsigned colour)
{
    const uint8_t *attr = v->st.attr;
    unsigned entry = attr[colour & attr[ATTR_PLANES] & 15] & 63, select = attr[ATTR_COLOR_SELECT];

    if (attr[ATTR_MODE] & 0x80)
        return (entry & 15) | (select & 15) << 4;
    return entry | (select & 12) << 4;
}

/* ---- text ------------------------------------------------------------------------------------ */

typedef struct {
    unsigned cols, rows, cell_width, cell_height, scale;    /* scale 2: half dot clock */
    uint32_t colours[16];
    uint32_t fonts[2];          /* plane addresses; [1]: of characters with attribute bit 3 set */
} Text;

static unsigned vertical_end(const Vga *v)
{
    const uint8_t *crtc = v->st.crtc;
    unsigned overflow = crtc[CRTC_OVERFLOW];
    return (crtc[CRTC_V_END] | (overflow & 2) << 7 | (overflow & 0x40u) << 3) + 1;
}

static uint32_t font_address(unsigned select)
{
    return ((select & 3) * 2 + (select >> 2 & 1)) * 8192;
}

/* Where the CRTC's counter points: byte, word or doubleword addressing. */
static uint32_t counter_address(const Vga *v, uint32_t counter)
{
    if (v->st.crtc[CRTC_UNDERLINE] & 0x40)
        return counter << 2 & 0xffff;
    if (!(v->st.crtc[CRTC_MODE] & 0x40))
        return (counter << 1 | (counter >> (v->st.crtc[CRTC_MODE] & 0x20 ? 15 : 13) & 1)) & 0xffff;
    return counter & 0xffff;
}

static void draw_cell(const Vga *v, const Text *t, unsigned col, unsigned row, uint32_t cell)
{
    unsigned attr = cell >> 8 & 0xff, ch = cell & 0xff, mode = v->st.attr[ATTR_MODE];
    bool blinks = mode & 8;
    uint32_t fg = t->colours[attr & 15], bg = t->colours[attr >> 4 & (blinks ? 7 : 15)];
    uint32_t glyph = t->fonts[attr >> 3 & 1] + ch * 32;
    bool wide_line = (mode & 4) && ch >= 0xc0 && ch <= 0xdf;
    unsigned first = v->st.crtc[CRTC_CURSOR_START] & 31, last = v->st.crtc[CRTC_CURSOR_END] & 31;
    unsigned underline = (mode & 2) && (attr & 7) == 1 ? v->st.crtc[CRTC_UNDERLINE] & 31 : 32;

    if (cell & CELL_DIM)
        fg = bg;
    for (unsigned y = 0; y < t->cell_height; y++) {
        uint32_t *out = line_at(v, row * t->cell_height + y) + col * t->cell_width * t->scale;
        unsigned bits = (unsigned) v->vram->host[((glyph + y) & 0xffff) * 4 + 2] << 1;
        if (wide_line)
            bits |= bits >> 1 & 1;
        if (y == underline || ((cell & CELL_CURSOR) && y >= first && y <= last))
            bits = 0x1ff;
        for (unsigned x = 0; x < t->cell_width; x++) {
            uint32_t colour = bits & (0x100u >> x) ? fg : bg;
            *out++ = colour;
            if (t->scale == 2)
                *out++ = colour;
        }
    }
}

static void render_text(Vga *v)
{
    const uint8_t *crtc = v->st.crtc, *seq = v->st.seq;
    Text t = {
        .cols = MIN(crtc[1] + 1u, MAX_COLS),
        .cell_width = seq[SEQ_CLOCKING] & 1 ? 8 : 9,
        .cell_height = (crtc[CRTC_MAX_SCAN] & 31) + 1u,
        .scale = seq[SEQ_CLOCKING] & 8 ? 2 : 1,
    };
    unsigned lines = vertical_end(v) >> (crtc[CRTC_MAX_SCAN] >> 7);
    t.rows = CLAMP(lines / t.cell_height, 1, MAX_ROWS);
    for (unsigned i = 0; i < 16; i++)
        t.colours[i] = dac_colour(v, attribute_index(v, i));
    unsigned select = seq[SEQ_FONT];
    t.fonts[0] = font_address((select & 3) | (select >> 2 & 4));
    t.fonts[1] = font_address((select >> 2 & 3) | (select >> 3 & 4));
    want_surface(v, (int) (t.cols * t.cell_width * t.scale), (int) (t.rows * t.cell_height));

    int64_t now = vit_clock_now(v->parent.sys->clock);
    bool cursor_on = (now / BLINK_NS & 1) == 0 && !(crtc[CRTC_CURSOR_START] & 0x20);
    bool dim = (v->st.attr[ATTR_MODE] & 8) && (now / (2 * BLINK_NS) & 1);
    uint32_t cursor = (uint32_t) crtc[CRTC_CURSOR_HIGH] << 8 | crtc[CRTC_CURSOR_LOW];
    uint32_t line = (uint32_t) crtc[CRTC_START_HIGH] << 8 | crtc[CRTC_START_LOW];

    for (unsigned row = 0; row < t.rows; row++, line += crtc[CRTC_OFFSET] * 2u) {
        unsigned first = t.cols, last = 0;
        for (unsigned col = 0; col < t.cols; col++) {
            uint32_t counter = (line + col) & 0xffff;
            const uint8_t *planes = &v->vram->host[(size_t) counter_address(v, counter) * 4];
            uint32_t cell = planes[0] | (uint32_t) planes[1] << 8;
            if (dim && (cell & 0x8000))
                cell |= CELL_DIM;
            if (cursor_on && counter == cursor)
                cell |= CELL_CURSOR | (uint32_t) (crtc[CRTC_CURSOR_START] & 31) << 18 |
                        (uint32_t) (crtc[CRTC_CURSOR_END] & 31) << 23;
            uint32_t *drawn = &v->cells[row * MAX_COLS + col];
            if (*drawn == cell && !v->redraw)
                continue;
            *drawn = cell;
            draw_cell(v, &t, col, row, cell);
            first = MIN(first, col);
            last = col;
        }
        if (first < t.cols)
            vit_scanout_damage(v->scanout, (VitRect) {
                (int) (first * t.cell_width * t.scale), (int) (row * t.cell_height),
                (int) ((last - first + 1) * t.cell_width * t.scale), (int) t.cell_height });
    }
}

/* ---- pictures: which lines are to be drawn --------------------------------------------------- */

typedef struct {
    Vga     *v;
    int      from;          /* first line of a run of drawn ones, or -1 */
} Damage;

static void damage_line(Damage *d, int y, bool drawn)
{
    if (drawn && d->from < 0)
        d->from = y;
    if (!drawn && d->from >= 0) {
        vit_scanout_damage(d->v->scanout,
                           (VitRect) { 0, d->from, d->v->surface->width, y - d->from });
        d->from = -1;
    }
}

static bool dirty_range(const Vga *v, uint64_t start, uint64_t size)
{
    const unsigned bits = 8 * sizeof(unsigned long);
    uint64_t last = MIN(start + size, v->vram->size) - 1;

    if (v->redraw)
        return true;
    for (uint64_t page = start >> VIT_PAGE_BITS; page <= last >> VIT_PAGE_BITS; page++)
        if (v->dirty[page / bits] >> (page % bits) & 1)
            return true;
    return false;
}

/* ---- planar, CGA and 256-colour pictures ----------------------------------------------------- */

typedef struct {
    uint32_t palette[256];
    unsigned width, shift;      /* pixels; panning to the left */
    bool     packed;            /* 256 colours */
    bool     interleaved;       /* CGA's four colours: pairs of bits in planes 0 and 1 */
} Picture;

/* Eight (or four, when packed) pixels of one counter step. */
static unsigned expand_step(const Picture *p, const uint8_t *planes, uint32_t out[8])
{
    if (p->packed) {
        for (unsigned i = 0; i < 4; i++)
            out[i] = p->palette[planes[i]];
        return 4;
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned colour = 0;
        if (p->interleaved) {
            unsigned pair = 6 - 2 * (i & 3), plane = i >> 2;
            colour = (planes[plane] >> pair & 3) | (planes[plane + 2] >> pair & 3) << 2;
        } else {
            for (unsigned plane = 0; plane < 4; plane++)
                colour |= (unsigned) (planes[plane] >> (7 - i) & 1) << plane;
        }
        out[i] = p->palette[colour];
    }
    return 8;
}

static void draw_planar(const Vga *v, const Picture *p, uint32_t *out, uint32_t counter,
                        unsigned row_scan)
{
    unsigned mode = v->st.crtc[CRTC_MODE], done = 0, skip = p->shift;
    uint32_t pixels[8];

    while (done < p->width) {
        uint32_t a = counter_address(v, counter++ & 0xffff);
        if (!(mode & 1))
            a = (a & ~0x2000u) | (row_scan & 1) << 13;
        if (!(mode & 2))
            a = (a & ~0x4000u) | (row_scan >> 1 & 1) << 14;
        unsigned n = expand_step(p, &v->vram->host[(size_t) a * 4], pixels);
        for (unsigned i = MIN(skip, n); i < n && done < p->width; i++)
            out[done++] = pixels[i];
        skip -= MIN(skip, n);
    }
}

static void fill_palette(const Vga *v, Picture *p)
{
    for (unsigned i = 0; i < 256; i++)
        p->palette[i] = dac_colour(v, p->packed ? i : attribute_index(v, i & 15));
}

static void render_graphics(Vga *v)
{
    const uint8_t *crtc = v->st.crtc;
    Picture p = {
        .packed = v->st.gc[GC_MODE] & 0x40,
        .interleaved = (v->st.gc[GC_MODE] & 0x60) == 0x20,
    };
    unsigned repeat = (crtc[CRTC_MAX_SCAN] & 0x80) ? 2 : 1, scans = (crtc[CRTC_MAX_SCAN] & 31) + 1u;
    bool cga = (crtc[CRTC_MODE] & 3) != 3;
    unsigned lines = vertical_end(v), every = cga ? repeat : repeat * scans;
    unsigned height = MAX(lines / every, 1);
    unsigned compare = (crtc[CRTC_LINE_COMPARE] | (crtc[CRTC_OVERFLOW] & 0x10u) << 4 |
                        (crtc[CRTC_MAX_SCAN] & 0x40u) << 3) + 1;
    uint32_t start = (uint32_t) crtc[CRTC_START_HIGH] << 8 | crtc[CRTC_START_LOW],
             stride = crtc[CRTC_OFFSET] * 2u;
    unsigned panning = v->st.attr[ATTR_PANNING] & 15;
    Damage damage = { v, -1 };

    p.width = (crtc[1] + 1u) * (p.packed ? 4 : 8);
    p.shift = p.packed ? panning / 2 & 3 : panning & 7;
    fill_palette(v, &p);
    want_surface(v, (int) p.width, (int) height);
    for (unsigned y = 0; y < height; y++) {
        unsigned scan = y * every, row = scan / (repeat * scans);
        uint32_t counter = start + row * stride;
        if (scan >= compare)        /* the part below a split screen starts at address 0 */
            counter = (scan - compare) / (repeat * scans) * stride;
        uint32_t from = counter_address(v, counter & 0xffff);
        uint32_t to = counter_address(v, (counter + p.width / 4) & 0xffff);
        bool draw = cga || to < from ||
                    dirty_range(v, (uint64_t) from * 4, (uint64_t) (to - from) * 4 + 4);
        if (draw)
            draw_planar(v, &p, line_at(v, y), counter, scan / repeat % scans);
        damage_line(&damage, (int) y, draw);
    }
    damage_line(&damage, (int) height, false);
}

/* ---- VBE pictures ---------------------------------------------------------------------------- */

static void draw_linear(const Vga *v, const Picture *p, unsigned bpp, const uint8_t *in,
                        uint32_t *out)
{
    for (unsigned x = 0; x < p->width; x++) {
        unsigned c;
        switch (bpp) {
        case 8:
            out[x] = p->palette[in[x]];
            break;
        case 15:
            c = in[2 * x] | (unsigned) in[2 * x + 1] << 8;
            out[x] = (c >> 10 & 31) * 0x21 / 4 << 16 | (c >> 5 & 31) * 0x21 / 4 << 8 |
                     (c & 31) * 0x21 / 4;
            break;
        case 16:
            c = in[2 * x] | (unsigned) in[2 * x + 1] << 8;
            out[x] = (c >> 11) * 0x21 / 4 << 16 | (c >> 5 & 63) * 0x41 / 16 << 8 |
                     (c & 31) * 0x21 / 4;
            break;
        default:
            out[x] = (uint32_t) in[3 * x + 2] << 16 | (uint32_t) in[3 * x + 1] << 8 | in[3 * x];
            break;
        }
    }
}

/* Planar VBE: steps run on without the CRTC's addressing. */
static void draw_vbe_planar(const Picture *p, const uint8_t *in, uint32_t *out)
{
    uint32_t pixels[8];

    for (unsigned x = 0; x + 8 <= p->width; x += 8, in += 4) {
        expand_step(p, in, pixels);
        memcpy(out + x, pixels, sizeof pixels);
    }
}

static void render_shared(Vga *v, unsigned stride, uint64_t start, unsigned lines)
{
    int width = v->st.vbe[VBE_XRES];
    Damage damage = { v, -1 };

    if (!v->surface || !v->surface_shared || v->surface->width != width ||
        v->surface->height != (int) lines || v->surface->stride != (int) stride ||
        v->shared_start != start) {
        show(v,
             vit_surface_new_shared(width, (int) lines, (int) stride, VIT_PIXEL_XRGB8888,
                                    v->vram->host + start, vga_vram_unref,
                                    vga_vram_ref(v->vram_ref)),
             true);
        v->shared_start = start;
    }
    for (unsigned y = 0; y < lines; y++)
        damage_line(&damage, (int) y,
                    dirty_range(v, start + (uint64_t) y * stride, (uint64_t) width * 4));
    damage_line(&damage, (int) lines, false);
}

static void render_vbe(Vga *v)
{
    unsigned stride, lines, bpp = v->st.vbe[VBE_BPP];
    uint64_t start;
    Picture p = { .packed = bpp == 8, .width = v->st.vbe[VBE_XRES] };
    Damage damage = { v, -1 };

    if (!vga_vbe_geometry(v, &stride, &start, &lines))
        return;
    if (bpp == 32) {
        render_shared(v, stride, start, lines);
        return;
    }
    fill_palette(v, &p);
    want_surface(v, (int) p.width, (int) lines);
    for (unsigned y = 0; y < lines; y++) {
        uint64_t at = start + (uint64_t) y * stride;
        bool draw = dirty_range(v, at, stride);
        if (draw && bpp == 4)
            draw_vbe_planar(&p, v->vram->host + (at & ~UINT64_C(3)), line_at(v, y));
        else if (draw)
            draw_linear(v, &p, bpp, v->vram->host + at, line_at(v, y));
        damage_line(&damage, (int) y, draw);
    }
    damage_line(&damage, (int) lines, false);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void render_blank(Vga *v)
{
    if (v->surface && !v->redraw && !v->surface_shared)
        return;
    int width = v->surface ? v->surface->width : 640,
        height = v->surface ? v->surface->height : 480;
    want_surface(v, width, height);
    memset(v->surface->pixels, 0, (size_t) v->surface->stride * (size_t) height);
    vit_scanout_damage(v->scanout, (VitRect) { 0, 0, width, height });
}

void vga_render(void *opaque)
{
    Vga *v = opaque;

    if (atomic_load(&v->asleep)) {
        v->slept = true;
        return;
    }
    if (v->slept) {
        v->slept = false;
        show(v, NULL, false);
    }
    bool dirty = vit_ram_test_and_clear_dirty(v->vram, VIT_DIRTY_DISPLAY, 0, v->vram->size,
                                              v->dirty);
    bool text = !vga_vbe_on(v) && !(v->st.gc[GC_MISC] & 1);
    /* bochs-display has no attribute controller to blank with; the VBE drivers of guests
     * unblank. */
    bool blank = !(v->st.attr_index & ATTR_ON) || (v->st.seq[SEQ_CLOCKING] & 0x20);

    if (v->parent.klass == &vit_bochs_display_class)
        blank = !vga_vbe_on(v);
    if (blank)
        render_blank(v);
    else if (!dirty && !v->redraw && !text)     /* text looks at its blinking every time */
        return;
    else if (vga_vbe_on(v))
        render_vbe(v);
    else if (text)
        render_text(v);
    else
        render_graphics(v);
    v->redraw = false;
}
