/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/input.c - virtio keyboard, mouse and tablet (Virtual I/O Device 1.2, section 5.8)
 *
 * Events are those of linux/input-event-codes.h.  The wheel is reported twice, in detents and in
 * 1/120 of one (REL_WHEEL_HI_RES).  Everything runs under the machine lock. */
#include "hw/virtio/virtio-devices.h"

#include <linux/input-event-codes.h>
#include <string.h>

enum {
    EVENTS = 0, STATUS = 1, PENDING = 256, CONFIG_SIZE = 136, PAYLOAD = 8, PAYLOAD_SIZE = 128,
    ABS_MAX_VALUE = 32767, BUS = 6 /* virtual */,
};
enum {
    CFG_NAME = 0x01,
    CFG_SERIAL = 0x02,
    CFG_IDS = 0x03,
    CFG_PROPS = 0x10,
    CFG_BITS = 0x11,
    CFG_ABS = 0x12
};

typedef enum { KEYBOARD, MOUSE, TABLET, N_KINDS } Kind;

typedef struct { uint16_t type, code; uint32_t value; } Event;     /* little-endian in memory */
static_assert(sizeof(Event) == 8);

typedef struct {
    VitVirtio    virtio;        /* first member */
    VitInputHub *hub;           /* borrowed; NULL in tests of the bare device */
    uint32_t     kind;
    char        *serial;
    struct {
        VitVirtioState virtio;
        uint8_t        select, subsel;
        uint16_t       n_pending;           /* of one report that is not ended yet */
        int32_t        wheel_x, wheel_y;    /* 1/120 detents not yet reported as whole ones */
        uint8_t        pending[PENDING * sizeof(Event)];
    } st;
} Input;

static const struct { const char *name; uint16_t product; } kinds[N_KINDS] = {
    [KEYBOARD] = { "Vitrine Virtio Keyboard", 1 },
    [MOUSE] = { "Vitrine Virtio Mouse", 2 },
    [TABLET] = { "Vitrine Virtio Tablet", 3 },
};

/* ---- Host to guest --------------------------------------------------------------------------- */

static void queue_event(Input *in, uint16_t type, uint16_t code, int32_t value)
{
    if (in->st.n_pending >= PENDING - 1)    /* room for the SYN_REPORT stays */
        return;
    Event e = { GUINT16_TO_LE(type), GUINT16_TO_LE(code), GUINT32_TO_LE((uint32_t) value) };
    memcpy(in->st.pending + sizeof e * in->st.n_pending++, &e, sizeof e);
}

static void wheel(Input *in, uint16_t code, uint16_t hi_res, int32_t *rest, int32_t value)
{
    enum { DETENT = 120 };

    value = CLAMP(value, -100 * DETENT, 100 * DETENT);
    if (!value)
        return;
    queue_event(in, EV_REL, hi_res, value);
    if ((*rest > 0 && value < 0) || (*rest < 0 && value > 0))
        *rest = 0;      /* turned round */
    *rest += value;
    if (*rest / DETENT) {
        queue_event(in, EV_REL, code, *rest / DETENT);
        *rest %= DETENT;
    }
}

static void input_event(void *opaque, const VitInputEvent *e)
{
    Input *in = opaque;

    if (!vit_virtio_driver_ok(&in->virtio))
        return;
    switch (e->kind) {
    case VIT_INPUT_KEY:
    case VIT_INPUT_BUTTON:
        queue_event(in, EV_KEY, e->code, e->value);
        break;
    case VIT_INPUT_ABS:
        queue_event(in, EV_ABS, ABS_X, CLAMP(e->value, 0, ABS_MAX_VALUE));
        queue_event(in, EV_ABS, ABS_Y, CLAMP(e->value2, 0, ABS_MAX_VALUE));
        break;
    case VIT_INPUT_REL:
        if (e->value)
            queue_event(in, EV_REL, REL_X, e->value);
        if (e->value2)
            queue_event(in, EV_REL, REL_Y, e->value2);
        break;
    case VIT_INPUT_WHEEL:
        wheel(in, REL_HWHEEL, REL_HWHEEL_HI_RES, &in->st.wheel_x, e->value);
        wheel(in, REL_WHEEL, REL_WHEEL_HI_RES, &in->st.wheel_y, e->value2);
        break;
    }
}

/* A report goes in whole or not at all: half a report would leave keys held down. */
static void input_sync(void *opaque)
{
    Input *in = opaque;
    VitVirtio *v = &in->virtio;
    VitVirtqElement *elements[PENDING];
    size_t written[PENDING];
    unsigned n = 0;

    if (!in->st.n_pending)
        return;
    Event syn = { GUINT16_TO_LE(EV_SYN), GUINT16_TO_LE(SYN_REPORT), 0 };
    memcpy(in->st.pending + sizeof syn * in->st.n_pending++, &syn, sizeof syn);
    unsigned wanted = in->st.n_pending;
    in->st.n_pending = 0;
    if (!vit_virtio_enter(v))
        return;
    while (n < wanted && (elements[n] = vit_virtq_pop(v, EVENTS)))
        n++;
    if (n < wanted) {
        while (n)
            vit_virtq_unpop(elements[--n]);
    } else {
        for (unsigned i = 0; i < n; i++)
            written[i] = vit_iov_write(elements[i]->in, elements[i]->n_in, 0,
                                       in->st.pending + i * sizeof(Event), sizeof(Event));
        vit_virtq_push_many(elements, written, n);
        vit_virtq_notify(v, EVENTS);
    }
    vit_virtio_leave(v);
}

static bool input_active(void *opaque)
{
    return vit_virtio_driver_ok(&((Input *) opaque)->virtio);
}

static const VitInputSink sinks[N_KINDS] = {
    [KEYBOARD] = { "virtio-keyboard", 1 << VIT_INPUT_KEY, input_active, input_event, input_sync },
    [MOUSE] = { "virtio-mouse", 1 << VIT_INPUT_REL | 1 << VIT_INPUT_BUTTON | 1 << VIT_INPUT_WHEEL,
                input_active, input_event, input_sync },
    [TABLET] = { "virtio-tablet", 1 << VIT_INPUT_ABS | 1 << VIT_INPUT_BUTTON | 1 << VIT_INPUT_WHEEL,
                 input_active, input_event, input_sync },
};

/* ---- Guest to host: LEDs --------------------------------------------------------------------- */

static void input_element(VitVirtio *v, unsigned queue, VitVirtqElement *e)
{
    Input *in = (Input *) v;
    Event event;
    bool led = vit_iov_read(e->out, e->n_out, 0, &event, sizeof event) == sizeof event &&
               GUINT16_FROM_LE(event.type) == EV_LED && in->kind == KEYBOARD && in->hub;

    if (led) {
        uint16_t code = GUINT16_FROM_LE(event.code);
        unsigned bit = code == LED_SCROLLL ? 1 : code == LED_NUML ? 2 : code == LED_CAPSL ? 4 : 0;
        unsigned leds = vit_input_hub_leds(in->hub);
        vit_input_hub_set_leds(in->hub, event.value ? leds | bit : leds & ~bit);
    }
    vit_virtq_push(e, 0);
}

static bool input_takes(VitVirtio *v, unsigned queue) { return queue == STATUS; }

/* ---- Configuration --------------------------------------------------------------------------- */

static uint8_t set_bit(uint8_t *bits, unsigned n)
{
    bits[n / 8] |= (uint8_t) (1 << (n % 8));
    return (uint8_t) (n / 8 + 1);
}

static uint8_t set_bits(uint8_t *bits, const uint16_t *codes, unsigned n)
{
    uint8_t size = 0;
    for (unsigned i = 0; i < n; i++)
        size = MAX(size, set_bit(bits, codes[i]));
    return size;
}

static uint8_t ev_bits(const Input *in, uint8_t type, uint8_t *bits)
{
    static const uint16_t buttons[] = { BTN_LEFT,  BTN_RIGHT,   BTN_MIDDLE, BTN_SIDE,
                                        BTN_EXTRA, BTN_FORWARD, BTN_BACK };
    static const uint16_t wheels[] = { REL_WHEEL, REL_HWHEEL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES };
    static const uint16_t motion[] = { REL_X, REL_Y };
    static const uint16_t axes[] = { ABS_X, ABS_Y };
    static const uint16_t leds[] = { LED_NUML, LED_CAPSL, LED_SCROLLL };
    uint8_t size = 0;

    switch (type) {
    case EV_KEY:
        if (in->kind != KEYBOARD)
            return set_bits(bits, buttons, G_N_ELEMENTS(buttons));
        for (unsigned code = KEY_ESC; code <= KEY_MICMUTE; code++)
            size = set_bit(bits, code);
        return size;
    case EV_REL:
        if (in->kind == KEYBOARD)
            return 0;
        size = set_bits(bits, wheels, G_N_ELEMENTS(wheels));
        if (in->kind == MOUSE)
            size = MAX(size, set_bits(bits, motion, G_N_ELEMENTS(motion)));
        return size;
    case EV_ABS:
        return in->kind == TABLET ? set_bits(bits, axes, G_N_ELEMENTS(axes)) : 0;
    case EV_LED:
        return in->kind == KEYBOARD ? set_bits(bits, leds, G_N_ELEMENTS(leds)) : 0;
    case EV_REP:
        return in->kind == KEYBOARD ? set_bit(bits, REP_DELAY) : 0;
    default:
        return 0;
    }
}

static uint8_t payload(const Input *in, uint8_t *p)
{
    uint8_t sub = in->st.subsel;
    const char *text = NULL;

    switch (in->st.select) {
    case CFG_NAME:
        text = kinds[in->kind].name;
        break;
    case CFG_SERIAL:
        text = in->serial;
        break;
    case CFG_IDS: {
        uint16_t ids[4] = { GUINT16_TO_LE(BUS), GUINT16_TO_LE(0x1af4),
                            GUINT16_TO_LE(kinds[in->kind].product), GUINT16_TO_LE(1) };
        memcpy(p, ids, sizeof ids);
        return sizeof ids;
    }
    case CFG_PROPS:
        return 0;
    case CFG_BITS:
        return ev_bits(in, sub, p);
    case CFG_ABS:
        if (in->kind == TABLET && sub <= ABS_Y) {
            uint32_t info[5] = { 0, GUINT32_TO_LE(ABS_MAX_VALUE) };
            memcpy(p, info, sizeof info);
            return sizeof info;
        }
        return 0;
    default:
        return 0;
    }
    size_t size = text ? MIN(strlen(text), PAYLOAD_SIZE) : 0;
    memcpy(p, text ? text : "", size);
    return (uint8_t) size;
}

static void input_read_config(VitVirtio *v, uint8_t *config)
{
    const Input *in = (const Input *) v;
    config[0] = in->st.select;
    config[1] = in->st.subsel;
    config[2] = payload(in, config + PAYLOAD);
}

static void input_write_config(VitVirtio *v, unsigned offset, unsigned size, uint32_t value)
{
    Input *in = (Input *) v;
    for (unsigned i = 0; i < size; i++) {
        if (offset + i == 0)
            in->st.select = (uint8_t) (value >> 8 * i);
        else if (offset + i == 1)
            in->st.subsel = (uint8_t) (value >> 8 * i);
    }
}

static void input_reset(VitVirtio *v)
{
    Input *in = (Input *) v;
    in->st.select = in->st.subsel = 0;
    in->st.n_pending = 0;
    in->st.wheel_x = in->st.wheel_y = 0;
}

static const VitVirtioClass input_virtio[N_KINDS] = {
#define INPUT_CLASS(c)                                                                             \
    { .id = 18,                                                                                    \
      .pci_class = (c),                                                                            \
      .read_config = input_read_config,                                                            \
      .write_config = input_write_config,                                                          \
      .takes = input_takes,                                                                        \
      .element = input_element,                                                                    \
      .reset = input_reset }
    [KEYBOARD] = INPUT_CLASS(0x0900), [MOUSE] = INPUT_CLASS(0x0902), [TABLET] = INPUT_CLASS(0x0980),
};

/* ---- The device ------------------------------------------------------------------------------ */

static bool input_init(VitDevice *d, GError **error)
{
    Input *in = (Input *) d;

    (void) error;
    in->virtio.n_queues = 2;
    in->virtio.queue_size[EVENTS] = in->virtio.queue_size[STATUS] = 64;
    in->virtio.config_size = CONFIG_SIZE;
    vit_virtio_init(&in->virtio, &input_virtio[in->kind], &in->st.virtio);
    if (in->hub)
        vit_input_hub_add(in->hub, &sinks[in->kind], in);
    return true;
}

static void input_finish(VitDevice *d)
{
    Input *in = (Input *) d;
    if (in->hub)
        vit_input_hub_remove(in->hub, &sinks[in->kind], in);
    vit_virtio_finish(d);
}

static const VitField input_hidden[] = {
    VIT_VIRTIO_ROWS(Input),
    VIT_UINT(Input, st.select),
    VIT_UINT(Input, st.subsel),
    VIT_UINT(Input, st.n_pending, .max = PENDING - 1),
    VIT_UINT(Input, st.wheel_x),
    VIT_UINT(Input, st.wheel_y),
    VIT_BYTES(Input, st.pending),
    { VIT_END },
};

static const VitProp input_props[] = {
    VIT_PROP("serial", VIT_PROP_STR, Input, serial, NULL, "serial number"),
    { 0 },
};

const VitDeviceClass vit_virtio_input_class = {
    .name = "virtio-input",
    .description = "Virtio keyboard, mouse or tablet",
    .version = 1,
    VIT_STATE(Input, st),
    .hidden = input_hidden,
    .props = input_props,
    .init = input_init,
    .finish = input_finish,
    VIT_VIRTIO_HOOKS,
};

static VitDevice *create(VitDeviceContext *ctx, VitOptions *options, VitVirtioSetup setup,
                         GError **error)
{
    return vit_virtio_create_pci(ctx, options, &vit_virtio_input_class, setup, 0, error);
}

static bool setup_kind(VitDevice *d, VitDeviceContext *ctx, Kind kind)
{
    Input *in = (Input *) d;
    in->kind = kind;
    in->hub = ctx->input;
    return true;
}

static bool setup_keyboard(VitDevice *d, VitDeviceContext *ctx, VitOptions *o, GError **error)
{
    return setup_kind(d, ctx, KEYBOARD);
}

static bool setup_mouse(VitDevice *d, VitDeviceContext *ctx, VitOptions *o, GError **error)
{
    return setup_kind(d, ctx, MOUSE);
}

static bool setup_tablet(VitDevice *d, VitDeviceContext *ctx, VitOptions *o, GError **error)
{
    return setup_kind(d, ctx, TABLET);
}

VitDevice *vit_virtio_keyboard_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create(ctx, options, setup_keyboard, error);
}

VitDevice *vit_virtio_mouse_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create(ctx, options, setup_mouse, error);
}

VitDevice *vit_virtio_tablet_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create(ctx, options, setup_tablet, error);
}
