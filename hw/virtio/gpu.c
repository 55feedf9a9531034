/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/gpu.c - virtio display, 2D commands (Virtual I/O Device 1.2, section 5.7)
 *
 * Commands run on an iothread and are done when they are answered, so fences are signalled at once.
 * Not modelled: virgl and Vulkan contexts, blob resources, UUIDs. */
#include "hw/virtio/gpu.h"

#include "display/edid.h"
#include "hw/virtio/gpu-resource.h"
#include "hw/virtio/virtio-devices.h"

#include <glib/gi18n-lib.h>
#include <pthread.h>
#include <string.h>

enum {
    CONTROL = 0,
    CURSOR = 1,
    F_EDID = 1,
    EVENT_DISPLAY = 1,
    FLAG_FENCE = 1,
    CONFIG_SIZE = 16,
    MAX_BACKING = 16384,
    CURSOR_SIDE = 256,
    EDID_FIELD = 1024
};
enum {
    GET_DISPLAY_INFO = 0x100, RESOURCE_CREATE_2D, RESOURCE_UNREF, SET_SCANOUT, RESOURCE_FLUSH,
    TRANSFER_TO_HOST_2D, ATTACH_BACKING, DETACH_BACKING, GET_CAPSET_INFO, GET_CAPSET, GET_EDID,
    UPDATE_CURSOR = 0x300, MOVE_CURSOR,
    OK_NODATA = 0x1100, OK_DISPLAY_INFO, OK_EDID = 0x1104,
    ERR_UNSPEC = 0x1200, ERR_OUT_OF_MEMORY, ERR_SCANOUT, ERR_RESOURCE, ERR_CONTEXT, ERR_PARAMETER,
};

typedef struct { uint32_t type, flags; uint64_t fence; uint32_t context, ring; } Header;
typedef struct { uint32_t x, y, width, height; } Rect;
static_assert(sizeof(Header) == 24 && sizeof(Rect) == 16);

typedef struct {
    uint32_t resource;                      /* 0 = dark */
    uint32_t x, y, width, height;           /* part of the resource that it shows */
    uint32_t cursor, cursor_x, cursor_y, hot_x, hot_y;
} Output;

typedef struct { int width, height, width_mm, height_mm; } Mode;

typedef struct {
    VitVirtio    virtio;        /* first member */
    uint32_t     max_outputs, xres, yres;
    uint64_t     max_hostmem;
    bool         edid;
    VitScanout  *scanouts[VIT_VIRTIO_GPU_OUTPUTS];
    VitScanout  *shared;        /* borrowed: output 0 when it is not ours */
    void       (*active)(void *opaque, bool on);
    void        *active_opaque;
    pthread_mutex_t lock;          /* leaf: modes and st.events */
    Mode         modes[VIT_VIRTIO_GPU_OUTPUTS];     /* what the viewers want */
    struct { VitVirtio *virtio; unsigned n; } producers[VIT_VIRTIO_GPU_OUTPUTS];
    GpuResources resources;     /* as st.saved has them */
    struct {
        VitVirtioState virtio;
        uint32_t       events;      /* guarded by lock */
        Output         outputs[VIT_VIRTIO_GPU_OUTPUTS];
        uint8_t       *saved;       /* resources, written out when the device comes to rest */
        size_t         saved_size;
    } st;
} Gpu;

/* ---- Showing --------------------------------------------------------------------------------- */

static void unref_surface(void *surface) { vit_surface_unref(surface); }

static void show(Gpu *g, unsigned n)
{
    const Output *o = &g->st.outputs[n];
    GpuResource *res = gpu_resource_find(&g->resources, o->resource);

    if (n == 0 && g->active)
        g->active(g->active_opaque, res != NULL);
    if (!res) {
        if (n || !g->active)
            vit_scanout_set_surface(g->scanouts[n], NULL);
        return;
    }
    VitSurface *whole = res->surface;
    uint8_t *pixels = whole->pixels + (size_t) o->y * (size_t) whole->stride + (size_t) o->x * 4;
    g_autoptr(VitSurface)
        part = vit_surface_new_shared((int) o->width, (int) o->height, whole->stride, whole->format,
                                      pixels, unref_surface, vit_surface_ref(whole));
    vit_scanout_set_surface(g->scanouts[n], part);
}

static uint32_t straight(uint32_t argb)
{
    uint32_t a = argb >> 24, out = a << 24;
    if (a == 0 || a == 255)
        return argb;
    for (unsigned shift = 0; shift < 24; shift += 8)
        out |= MIN((argb >> shift & 0xff) * 255 / a, 255) << shift;
    return out;
}

/* Drivers upload cursors with premultiplied alpha; scanouts take straight alpha. */
static void show_cursor(Gpu *g, unsigned n)
{
    const Output *o = &g->st.outputs[n];
    GpuResource *res = gpu_resource_find(&g->resources, o->cursor);
    VitSurface *s = res ? res->surface : NULL;

    if (!s || s->width > CURSOR_SIDE || s->height > CURSOR_SIDE) {
        vit_scanout_set_cursor(g->scanouts[n], NULL);
        return;
    }
    size_t pixels = (size_t) s->width * (size_t) s->height;
    g_autofree VitCursor *c = g_malloc(sizeof *c + pixels * 4);
    *c = (VitCursor) { s->width, s->height, (int) MIN(o->hot_x, CURSOR_SIDE),
                       (int) MIN(o->hot_y, CURSOR_SIDE) };
    bool bgr = s->format == VIT_PIXEL_ABGR8888 || s->format == VIT_PIXEL_XBGR8888;
    bool opaque = s->format == VIT_PIXEL_XRGB8888 || s->format == VIT_PIXEL_XBGR8888;
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++) {
            uint32_t p;
            memcpy(&p, s->pixels + (size_t) y * (size_t) s->stride + (size_t) x * 4, 4);
            p = GUINT32_FROM_LE(p);
            if (bgr)
                p = (p & 0xff00ff00u) | (p & 0xff) << 16 | (p >> 16 & 0xff);
            c->argb[(size_t) y * (size_t) s->width + (size_t) x] = opaque ? p | 0xff000000u
                                                                          : straight(p);
        }
    vit_scanout_set_cursor(g->scanouts[n], c);
    vit_scanout_move_cursor(g->scanouts[n], (int) o->cursor_x, (int) o->cursor_y, true);
}

static void forget_resource(Gpu *g, uint32_t id)
{
    for (unsigned i = 0; i < g->max_outputs; i++) {
        if (g->st.outputs[i].resource == id) {
            g->st.outputs[i].resource = 0;
            show(g, i);
        }
        if (g->st.outputs[i].cursor == id)
            g->st.outputs[i].cursor = 0;    /* the shape that was set stays */
    }
}

/* ---- Commands, on the command thread --------------------------------------------------------- */

typedef struct {
    Gpu             *gpu;
    VitVirtqElement *element;
    uint8_t          body[64];          /* after the header; zero beyond what was sent */
    uint8_t          reply[sizeof(Header) + 8 + EDID_FIELD];
    size_t           reply_size;
} Command;

static uint32_t body32(const Command *c, unsigned offset)
{
    uint32_t v;
    memcpy(&v, c->body + offset, 4);
    return GUINT32_FROM_LE(v);
}

static uint64_t body64(const Command *c, unsigned offset)
{
    return body32(c, offset) | (uint64_t) body32(c, offset + 4) << 32;
}

static Rect body_rect(const Command *c)
{
    return (Rect) { body32(c, 0), body32(c, 4), body32(c, 8), body32(c, 12) };
}

static void put32(uint8_t *p, uint32_t v)
{
    v = GUINT32_TO_LE(v);
    memcpy(p, &v, 4);
}

static bool inside(Rect r, const VitSurface *s)
{
    uint32_t w = (uint32_t) s->width, h = (uint32_t) s->height;
    return r.width && r.height && r.x < w && r.y < h && r.width <= w - r.x && r.height <= h - r.y;
}

static uint32_t get_display_info(Command *c)
{
    Gpu *g = c->gpu;

    pthread_mutex_lock(&g->lock);
    for (unsigned i = 0; i < g->max_outputs; i++) {
        uint8_t *p = c->reply + sizeof(Header) + i * 24;
        put32(p + 8, (uint32_t) g->modes[i].width);
        put32(p + 12, (uint32_t) g->modes[i].height);
        put32(p + 16, g->modes[i].width > 0);
    }
    pthread_mutex_unlock(&g->lock);
    c->reply_size = sizeof(Header) + VIT_VIRTIO_GPU_OUTPUTS * 24;
    return OK_DISPLAY_INFO;
}

static uint32_t get_edid(Command *c)
{
    Gpu *g = c->gpu;
    uint32_t n = body32(c, 0);

    if (n >= g->max_outputs)
        return ERR_SCANOUT;
    pthread_mutex_lock(&g->lock);
    Mode m = g->modes[n];
    pthread_mutex_unlock(&g->lock);
    VitEdidInfo info = { .width = m.width,
                         .height = m.height,
                         .width_mm = m.width_mm,
                         .height_mm = m.height_mm,
                         .serial = n + 1 };
    size_t size = vit_edid_make(&info, c->reply + sizeof(Header) + 8);
    put32(c->reply + sizeof(Header), (uint32_t) size);
    c->reply_size = sizeof(Header) + 8 + EDID_FIELD;
    return OK_EDID;
}

static uint32_t create_2d(Command *c)
{
    switch (gpu_resource_create(&c->gpu->resources, body32(c, 0), body32(c, 4), body32(c, 8),
                                body32(c, 12))) {
    case GPU_OK: return OK_NODATA;
    case GPU_EXISTS: return ERR_RESOURCE;
    case GPU_NO_MEMORY: return ERR_OUT_OF_MEMORY;
    default: return ERR_PARAMETER;
    }
}

static uint32_t unref(Command *c)
{
    uint32_t id = body32(c, 0);

    if (!gpu_resource_find(&c->gpu->resources, id))
        return ERR_RESOURCE;
    forget_resource(c->gpu, id);
    gpu_resource_unref(&c->gpu->resources, id);
    return OK_NODATA;
}

static uint32_t set_scanout(Command *c)
{
    Gpu *g = c->gpu;
    Rect r = body_rect(c);
    uint32_t n = body32(c, 16), id = body32(c, 20);

    if (n >= g->max_outputs)
        return ERR_SCANOUT;
    Output *o = &g->st.outputs[n];
    if (id) {
        GpuResource *res = gpu_resource_find(&g->resources, id);
        if (!res)
            return ERR_RESOURCE;
        if (!inside(r, res->surface))
            return ERR_PARAMETER;
        bool same = o->resource == id && o->x == r.x && o->y == r.y && o->width == r.width &&
                    o->height == r.height;
        o->resource = id;
        o->x = r.x;
        o->y = r.y;
        o->width = r.width;
        o->height = r.height;
        if (same)
            return OK_NODATA;
    } else {
        o->resource = 0;
    }
    show(g, n);
    return OK_NODATA;
}

static uint32_t flush(Command *c)
{
    Gpu *g = c->gpu;
    Rect r = body_rect(c);
    uint32_t id = body32(c, 16);
    GpuResource *res = gpu_resource_find(&g->resources, id);

    if (!res)
        return ERR_RESOURCE;
    if (!inside(r, res->surface))
        return ERR_PARAMETER;
    for (unsigned i = 0; i < g->max_outputs; i++) {
        const Output *o = &g->st.outputs[i];
        if (o->resource == id)      /* the scanout clips */
            vit_scanout_damage(g->scanouts[i],
                               (VitRect) { (int) r.x - (int) o->x, (int) r.y - (int) o->y,
                                           (int) r.width, (int) r.height });
    }
    return OK_NODATA;
}

static uint32_t transfer(Command *c)
{
    Gpu *g = c->gpu;
    Rect r = body_rect(c);
    GpuResource *res = gpu_resource_find(&g->resources, body32(c, 24));

    if (!res)
        return ERR_RESOURCE;
    if (!inside(r, res->surface) || !res->backing)
        return ERR_PARAMETER;
    VitRect rect = { (int) r.x, (int) r.y, (int) r.width, (int) r.height };
    return gpu_resource_transfer(res, g->virtio.parent.sys->memory, rect, body64(c, 16))
               ? OK_NODATA
               : ERR_UNSPEC;
}

static uint32_t attach_backing(Command *c)
{
    Gpu *g = c->gpu;
    GpuResource *res = gpu_resource_find(&g->resources, body32(c, 0));
    uint32_t n = body32(c, 4);
    size_t at = sizeof(Header) + 8;

    if (!res)
        return ERR_RESOURCE;
    if (res->backing)
        return ERR_UNSPEC;
    if (!n || n > MAX_BACKING || (c->element->out_size - at) / 16 < n)
        return ERR_PARAMETER;
    GpuBacking *entries = g_new0(GpuBacking, n);
    for (uint32_t i = 0; i < n; i++) {
        struct { uint64_t addr; uint32_t length, padding; } e;
        (void) vit_iov_read(c->element->out, c->element->n_out, at + i * sizeof e, &e, sizeof e);
        entries[i].addr = GUINT64_FROM_LE(e.addr);
        entries[i].length = GUINT32_FROM_LE(e.length);
    }
    return gpu_resource_attach(&g->resources, res, entries, n) ? OK_NODATA : ERR_OUT_OF_MEMORY;
}

static uint32_t detach_backing(Command *c)
{
    GpuResource *res = gpu_resource_find(&c->gpu->resources, body32(c, 0));

    if (!res)
        return ERR_RESOURCE;
    if (!res->backing)
        return ERR_UNSPEC;
    gpu_resource_detach(&c->gpu->resources, res);
    return OK_NODATA;
}

static uint32_t cursor(Command *c, bool update)
{
    Gpu *g = c->gpu;
    uint32_t n = body32(c, 0);

    if (n >= g->max_outputs)
        return ERR_SCANOUT;
    Output *o = &g->st.outputs[n];
    o->cursor_x = MIN(body32(c, 4), INT32_MAX);
    o->cursor_y = MIN(body32(c, 8), INT32_MAX);
    if (update) {
        o->cursor = body32(c, 16);
        o->hot_x = body32(c, 20);
        o->hot_y = body32(c, 24);
        show_cursor(g, n);
    } else {
        vit_scanout_move_cursor(g->scanouts[n], (int) o->cursor_x, (int) o->cursor_y,
                                o->cursor != 0);
    }
    return OK_NODATA;
}

static uint32_t run_command(Command *c, uint32_t type)
{
    switch (type) {
    case GET_DISPLAY_INFO: return get_display_info(c);
    case RESOURCE_CREATE_2D: return create_2d(c);
    case RESOURCE_UNREF: return unref(c);
    case SET_SCANOUT: return set_scanout(c);
    case RESOURCE_FLUSH: return flush(c);
    case TRANSFER_TO_HOST_2D: return transfer(c);
    case ATTACH_BACKING: return attach_backing(c);
    case DETACH_BACKING: return detach_backing(c);
    case GET_EDID: return c->gpu->edid ? get_edid(c) : ERR_UNSPEC;
    case UPDATE_CURSOR: return cursor(c, true);
    case MOVE_CURSOR: return cursor(c, false);
    default: return ERR_UNSPEC;
    }
}

static void gpu_element(VitVirtio *v, unsigned queue, VitVirtqElement *e)
{
    Command c = { .gpu = (Gpu *) v, .element = e, .reply_size = sizeof(Header) };
    Header request, *reply = (Header *) c.reply;

    if (vit_iov_read(e->out, e->n_out, 0, &request, sizeof request) != sizeof request) {
        vit_virtio_broken(v, "a display command without its header");
        vit_virtq_push(e, 0);
        return;
    }
    (void) vit_iov_read(e->out, e->n_out, sizeof request, c.body, sizeof c.body);
    uint32_t type = GUINT32_FROM_LE(request.type);
    bool mine = (type >= UPDATE_CURSOR) == (queue == CURSOR);
    uint32_t result = mine ? run_command(&c, type) : ERR_UNSPEC;
    if (result >= ERR_UNSPEC)
        c.reply_size = sizeof(Header);
    reply->type = GUINT32_TO_LE(result);
    if (request.flags & GUINT32_TO_LE(FLAG_FENCE)) {
        reply->flags = GUINT32_TO_LE(FLAG_FENCE);
        reply->fence = request.fence;
        reply->context = request.context;
    }
    vit_virtq_push(e, vit_iov_write(e->in, e->n_in, 0, c.reply, c.reply_size));
}

/* ---- Configuration --------------------------------------------------------------------------- */

static uint64_t gpu_features(VitVirtio *v) { return ((Gpu *) v)->edid ? 1u << F_EDID : 0; }

static void gpu_read_config(VitVirtio *v, uint8_t *config)
{
    Gpu *g = (Gpu *) v;
    pthread_mutex_lock(&g->lock);
    put32(config, g->st.events);
    pthread_mutex_unlock(&g->lock);
    put32(config + 8, g->max_outputs);
}

static void gpu_write_config(VitVirtio *v, unsigned offset, unsigned size, uint32_t value)
{
    Gpu *g = (Gpu *) v;
    if (offset != 4 || size != 4)
        return;
    pthread_mutex_lock(&g->lock);
    g->st.events &= ~value;
    pthread_mutex_unlock(&g->lock);
}

void vit_virtio_gpu_resize(VitDevice *d, unsigned output, int width, int height, int width_mm,
                           int height_mm)
{
    Gpu *g = (Gpu *) d;
    Mode mode = { CLAMP(width, 64, VIT_EDID_MAX_SIDE), CLAMP(height, 64, VIT_EDID_MAX_SIDE),
                  MAX(width_mm, 0), MAX(height_mm, 0) };

    if (output >= g->max_outputs)
        return;
    pthread_mutex_lock(&g->lock);
    bool changed = memcmp(&g->modes[output], &mode, sizeof mode) != 0;
    g->modes[output] = mode;
    if (changed)
        g->st.events |= EVENT_DISPLAY;
    pthread_mutex_unlock(&g->lock);
    if (changed)
        vit_virtio_config_changed(&g->virtio);
}

static void producer_resize(void *opaque, int width, int height, int width_mm, int height_mm)
{
    const typeof(((Gpu *) NULL)->producers[0]) *p = opaque;
    vit_virtio_gpu_resize(&p->virtio->parent, p->n, width, height, width_mm, height_mm);
}

static const VitScanoutProducer producer_ops = { .resize = producer_resize };

/* ---- Life ------------------------------------------------------------------------------------ */

static void go_dark(Gpu *g)
{
    for (unsigned i = 0; i < g->max_outputs; i++) {
        bool lit = g->st.outputs[i].resource || i > 0 || !g->active;
        memset(&g->st.outputs[i], 0, sizeof g->st.outputs[i]);
        if (!g->scanouts[i])
            continue;
        if (lit)
            show(g, i);
        vit_scanout_set_cursor(g->scanouts[i], NULL);
    }
}

static void gpu_reset(VitVirtio *v)
{
    Gpu *g = (Gpu *) v;
    go_dark(g);
    gpu_resources_clear(&g->resources);
    pthread_mutex_lock(&g->lock);
    g->st.events = 0;
    pthread_mutex_unlock(&g->lock);
}

static const VitVirtioClass gpu_virtio = {
    .id = 16, .pci_class = 0x0380, .features = gpu_features, .read_config = gpu_read_config,
    .write_config = gpu_write_config, .element = gpu_element, .reset = gpu_reset,
};

static bool gpu_init(VitDevice *d, GError **error)
{
    Gpu *g = (Gpu *) d;

    pthread_mutex_init(&g->lock, NULL);
    gpu_resources_init(&g->resources, g->max_hostmem);
    if (g->max_outputs < 1 || g->max_outputs > VIT_VIRTIO_GPU_OUTPUTS) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: max_outputs must be from 1 to %d"), d->id, VIT_VIRTIO_GPU_OUTPUTS);
        g->max_outputs = 0;
        return false;
    }
    for (unsigned i = 0; i < g->max_outputs; i++) {
        g_autofree char *name = g_strdup_printf("%s.%u", d->id, i);
        g->producers[i].virtio = &g->virtio;
        g->producers[i].n = i;
        g->scanouts[i] = i == 0 && g->shared
                             ? g->shared
                             : vit_scanout_new(name, &producer_ops, &g->producers[i]);
    }
    g->modes[0] = (Mode) { .width = (int) CLAMP(g->xres, 64, VIT_EDID_MAX_SIDE),
                           .height = (int) CLAMP(g->yres, 64, VIT_EDID_MAX_SIDE) };
    g->virtio.n_queues = 2;
    g->virtio.queue_size[CONTROL] = 256;
    g->virtio.queue_size[CURSOR] = 16;
    g->virtio.config_size = CONFIG_SIZE;
    vit_virtio_init(&g->virtio, &gpu_virtio, &g->st.virtio);
    return true;
}

static void gpu_finish(VitDevice *d)
{
    Gpu *g = (Gpu *) d;

    vit_virtio_finish(d);
    for (unsigned i = 0; i < g->max_outputs; i++)
        if (g->scanouts[i] != g->shared)
            vit_scanout_free(g->scanouts[i]);
    gpu_resources_finish(&g->resources);
    pthread_mutex_destroy(&g->lock);
}

static void gpu_quiesce(VitDevice *d, bool on)
{
    Gpu *g = (Gpu *) d;

    vit_virtio_quiesce(d, on);
    if (!on || !g->resources.by_id)
        return;
    g_free(g->st.saved);
    gpu_resources_save(&g->resources, &g->st.saved, &g->st.saved_size);
}

static bool gpu_validate(VitDevice *d, const void *st, GError **error)
{
    Gpu *g = (Gpu *) d;
    const typeof(g->st) *s = st;
    GpuResources trial;
    bool ok = true;

    if (!vit_virtio_validate(d, st, error))
        return false;
    gpu_resources_init(&trial, g->max_hostmem);
    ok = gpu_resources_load(&trial, s->saved, s->saved_size);
    for (unsigned i = 0; ok && i < VIT_VIRTIO_GPU_OUTPUTS; i++) {
        const Output *o = &s->outputs[i];
        GpuResource *res = gpu_resource_find(&trial, o->resource);
        ok = !o->resource || (i < g->max_outputs && res &&
                              inside((Rect) { o->x, o->y, o->width, o->height }, res->surface));
    }
    gpu_resources_finish(&trial);
    if (!ok)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    _("%s: the saved state has pictures that do not fit"), d->id);
    return ok;
}

/* RAM is loaded before devices: what the driver drew is still in the backing. */
static void gpu_loaded(VitDevice *d)
{
    Gpu *g = (Gpu *) d;
    GHashTableIter iter;
    gpointer value;

    vit_virtio_loaded(d);
    gpu_resources_clear(&g->resources);
    if (!gpu_resources_load(&g->resources, g->st.saved, g->st.saved_size))
        vit_virtio_broken(&g->virtio, "not enough memory for the pictures of the saved state");
    g_hash_table_iter_init(&iter, g->resources.by_id);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        GpuResource *res = value;
        (void) gpu_resource_transfer(res, d->sys->memory,
                                     (VitRect) { 0, 0, res->surface->width, res->surface->height },
                                     0); /* a shorter backing draws as far as it goes */
    }
    for (unsigned i = 0; i < g->max_outputs; i++) {
        show(g, i);
        show_cursor(g, i);
    }
}

static const VitField output_rows[] = {
    VIT_UINT(Output, resource),
    VIT_UINT(Output, x),
    VIT_UINT(Output, y),
    VIT_UINT(Output, width),
    VIT_UINT(Output, height),
    VIT_UINT(Output, cursor),
    VIT_UINT(Output, cursor_x, .max = INT32_MAX),
    VIT_UINT(Output, cursor_y, .max = INT32_MAX),
    VIT_UINT(Output, hot_x),
    VIT_UINT(Output, hot_y),
    { VIT_END },
};

static const VitField gpu_hidden[] = {
    VIT_VIRTIO_ROWS(Gpu),
    VIT_UINT(Gpu, st.events),
    VIT_STRUCTS(Gpu, st.outputs, output_rows),
    { .kind = VIT_FIELD_VARBYTES,
      .offset = offsetof(Gpu, st.saved),
      .len_offset = offsetof(Gpu, st.saved_size),
      .count = 1,
      .name = "st.saved" },
    { VIT_END },
};

static const VitProp gpu_props[] = {
    VIT_PROP("max_outputs", VIT_PROP_U32, Gpu, max_outputs, "1", "monitors, at most 16"),
    VIT_PROP("max_hostmem", VIT_PROP_SIZE, Gpu, max_hostmem, "256M", "host memory for pictures"),
    VIT_PROP("xres", VIT_PROP_U32, Gpu, xres, "1280", "preferred width"),
    VIT_PROP("yres", VIT_PROP_U32, Gpu, yres, "800", "preferred height"),
    VIT_PROP("edid", VIT_PROP_BOOL, Gpu, edid, "on", "describe the monitors to the guest"),
    { 0 },
};

const VitDeviceClass vit_virtio_gpu_class = {
    .name = "virtio-gpu",
    .description = "Virtio display",
    .version = 1,
    VIT_STATE(Gpu, st),
    .hidden = gpu_hidden,
    .props = gpu_props,
    .init = gpu_init,
    .finish = gpu_finish,
    .reset = vit_virtio_reset,
    .loaded = gpu_loaded,
    .validate = gpu_validate,
    .quiesce = gpu_quiesce,
};

void vit_virtio_gpu_setup(VitDevice *d, VitIoThread *thread, VitScanout *shared)
{
    Gpu *g = (Gpu *) d;
    g->virtio.thread = thread;
    g->shared = shared;
}

unsigned vit_virtio_gpu_n_scanouts(VitDevice *d) { return ((Gpu *) d)->max_outputs; }
VitScanout *vit_virtio_gpu_scanout(VitDevice *d, unsigned n) { return ((Gpu *) d)->scanouts[n]; }

void vit_virtio_gpu_set_active_hook(VitDevice *d, void (*active)(void *opaque, bool on),
                                    void *opaque)
{
    Gpu *g = (Gpu *) d;
    g->active = active;
    g->active_opaque = opaque;
}

static bool gpu_setup(VitDevice *d, VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    vit_virtio_gpu_setup(d, ctx->iothread, NULL);
    return true;
}

VitDevice *vit_virtio_gpu_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    VitDevice *d = vit_virtio_create_pci(ctx, options, &vit_virtio_gpu_class, gpu_setup, 0, error);

    for (unsigned i = 0; d && ctx->scanouts && i < vit_virtio_gpu_n_scanouts(d); i++)
        g_ptr_array_add(ctx->scanouts, vit_virtio_gpu_scanout(d, i));
    return d;
}
