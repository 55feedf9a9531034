/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/console.c - virtio console with several ports (Virtual I/O Device 1.2, section 5.3)
 *
 * Port 0 is there from the start; drivers without MULTIPORT see it alone.  Everything runs on the
 * machine thread under the machine lock, where character devices live.
 * Not modelled: console size, emergency write. */
#include "hw/virtio/virtio-devices.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum {
    MAX_PORTS = 31,
    CTRL_RX = 2,
    CTRL_TX = 3,
    QUEUE_ENTRIES = 128,
    CONFIG_SIZE = 12,
    NAME_MAX_BYTES = 64
};
enum { F_MULTIPORT = 1 };
enum {
    DEVICE_READY,
    PORT_ADD,
    PORT_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME
};

typedef struct { uint32_t id; uint16_t event, value; } Control;     /* little-endian in memory */
static_assert(sizeof(Control) == 8);

typedef struct Console Console;

typedef struct {
    Console *console;
    unsigned n;
    VitChar *chr;           /* borrowed; NULL: output is thrown away */
    bool     exists, is_console;
    char    *name;          /* owned */
} Port;

struct Console {
    VitVirtio virtio;       /* first member */
    uint32_t  max_ports;
    Port      ports[MAX_PORTS];
    struct {
        VitVirtioState virtio;
        bool     guest_open[MAX_PORTS];
        bool     host_open[MAX_PORTS];      /* as the guest was told */
        uint64_t announce[MAX_PORTS]; /* control messages that wait for a buffer: bit = event */
        uint32_t tx_done[MAX_PORTS]; /* bytes of the oldest chain that the host took already */
    } st;
};

static unsigned rx_queue(unsigned port) { return port ? 2 + 2 * port : 0; }
static unsigned tx_queue(unsigned port) { return rx_queue(port) + 1; }
static bool multiport(Console *c) { return vit_virtio_has(&c->virtio, 1u << F_MULTIPORT); }

/* ---- Control messages ------------------------------------------------------------------------ */

/* Sends what is announced as far as there are buffers; the rest waits for the next kick. */
static void flush_control(Console *c)
{
    static const uint8_t order[] = { PORT_ADD, CONSOLE_PORT, PORT_NAME, PORT_OPEN };
    VitVirtio *v = &c->virtio;
    bool sent = false;

    if (!multiport(c) || !vit_virtio_enter(v))
        return;
    for (unsigned port = 0; port < c->max_ports; port++) {
        for (unsigned i = 0; i < sizeof order; i++) {
            uint64_t bit = 1ull << order[i];
            if (!(c->st.announce[port] & bit))
                continue;
            VitVirtqElement *e = vit_virtq_pop(v, CTRL_RX);
            if (!e)
                goto out;
            bool open = c->st.host_open[port];
            Control m = { GUINT32_TO_LE(port), GUINT16_TO_LE(order[i]),
                          GUINT16_TO_LE((uint16_t) (order[i] == PORT_OPEN ? open : 1)) };
            size_t size = vit_iov_write(e->in, e->n_in, 0, &m, sizeof m);
            if (order[i] == PORT_NAME && c->ports[port].name)
                size += vit_iov_write(e->in, e->n_in, size, c->ports[port].name,
                                      strlen(c->ports[port].name));
            vit_virtq_push(e, size);
            c->st.announce[port] &= ~bit;
            sent = true;
        }
    }
out:
    if (sent)
        vit_virtq_notify(v, CTRL_RX);
    vit_virtio_leave(v);
}

static void announce(Console *c, unsigned port, unsigned event)
{
    c->st.announce[port] |= 1ull << event;
}

static void take_control(Console *c, VitVirtqElement *e)
{
    Control m;
    bool ok = vit_iov_read(e->out, e->n_out, 0, &m, sizeof m) == sizeof m;
    uint32_t port = GUINT32_FROM_LE(m.id);
    unsigned event = GUINT16_FROM_LE(m.event), value = GUINT16_FROM_LE(m.value);

    vit_virtq_push(e, 0);
    if (!ok)
        return;
    if (event == DEVICE_READY && value == 1) {
        for (unsigned i = 0; i < c->max_ports; i++)
            if (c->ports[i].exists)
                announce(c, i, PORT_ADD);
    } else if (port < c->max_ports && c->ports[port].exists) {
        if (event == PORT_READY && value == 1) {
            if (c->ports[port].is_console)
                announce(c, port, CONSOLE_PORT);
            if (c->ports[port].name)
                announce(c, port, PORT_NAME);
            announce(c, port, PORT_OPEN);
        } else if (event == PORT_OPEN) {
            c->st.guest_open[port] = value;
            if (value && c->ports[port].chr)
                vit_char_accept_input(c->ports[port].chr);
        }
    }
    flush_control(c);
}

/* ---- Data ------------------------------------------------------------------------------------ */

static bool port_reads(const Port *p)
{
    Console *c = p->console;
    return vit_virtio_driver_ok(&c->virtio) &&
           (c->st.guest_open[p->n] || p->is_console || !multiport(c));
}

static size_t port_can_receive(void *opaque)
{
    Port *p = opaque;
    enum { AT_ONCE = 4096 };
    return port_reads(p) && vit_virtq_has_buffers(&p->console->virtio, rx_queue(p->n)) ? AT_ONCE
                                                                                       : 0;
}

static void port_receive(void *opaque, const uint8_t *data, size_t size)
{
    Port *p = opaque;
    VitVirtio *v = &p->console->virtio;
    VitVirtqElement *e;

    if (!vit_virtio_enter(v))
        return;
    while (size && (e = vit_virtq_pop(v, rx_queue(p->n)))) {
        size_t part = vit_iov_write(e->in, e->n_in, 0, data, size);
        vit_virtq_push(e, part);
        data += part;
        size -= part;
    }
    vit_virtq_notify(v, rx_queue(p->n));
    vit_virtio_leave(v);
}

static void port_event(void *opaque, VitCharEvent event)
{
    Port *p = opaque;
    Console *c = p->console;

    if (event == VIT_CHAR_BREAK)
        return;
    c->st.host_open[p->n] = event == VIT_CHAR_OPENED;
    announce(c, p->n, PORT_OPEN);
    flush_control(c);
}

static void port_writable(void *opaque)
{
    Port *p = opaque;
    vit_virtio_kick(&p->console->virtio, tx_queue(p->n));
}

static const VitCharFront port_front = {
    .can_receive = port_can_receive,
    .receive = port_receive,
    .event = port_event,
    .writable = port_writable,
};

/* Takes output until the host end is full; the chain that it stopped in waits for writable(). */
static void flush_output(Console *c, unsigned port)
{
    enum { PIECE = 4096, CHAINS = 256 };
    VitVirtio *v = &c->virtio;
    VitChar *chr = c->ports[port].chr;
    unsigned queue = tx_queue(port);
    VitVirtqElement *e = NULL;
    unsigned budget = CHAINS;

    while (budget-- && (e = vit_virtq_pop(v, queue))) {
        size_t at = MIN(c->st.tx_done[port], e->out_size);
        while (at < e->out_size) {
            uint8_t piece[PIECE];
            size_t n = vit_iov_read(e->out, e->n_out, at, piece, sizeof piece);
            size_t taken = chr && n ? vit_char_write(chr, piece, n) : n;
            at += taken;
            if (taken < n)
                break;
        }
        if (at < e->out_size) {
            c->st.tx_done[port] = (uint32_t) at;
            vit_virtq_unpop(e);
            break;
        }
        c->st.tx_done[port] = 0;
        vit_virtq_push(e, 0);
    }
    vit_virtq_notify(v, queue);
    if (e && budget == UINT_MAX)
        vit_virtio_kick(v, queue);
}

static bool console_takes(VitVirtio *v, unsigned queue) { return queue == CTRL_TX; }

static void console_element(VitVirtio *v, unsigned queue, VitVirtqElement *e)
{
    take_control((Console *) v, e);
}

static void console_kicked(VitVirtio *v, unsigned queue)
{
    Console *c = (Console *) v;
    unsigned port = queue < 2 ? 0 : queue / 2 - 1;

    if (queue == CTRL_RX) {
        flush_control(c);
        return;
    }
    if (port >= c->max_ports || !c->ports[port].exists)
        return;
    if (queue & 1)
        flush_output(c, port);
    else if (c->ports[port].chr)
        vit_char_accept_input(c->ports[port].chr);
}

/* ---- Configuration and life ------------------------------------------------------------------ */

static uint64_t console_features(VitVirtio *v) { return 1u << F_MULTIPORT; }

static void console_read_config(VitVirtio *v, uint8_t *config)
{
    uint32_t ports = GUINT32_TO_LE(((Console *) v)->max_ports);
    memcpy(config + 4, &ports, 4);
}

static void console_reset(VitVirtio *v)
{
    Console *c = (Console *) v;
    memset(c->st.guest_open, 0, sizeof c->st.guest_open);
    memset(c->st.announce, 0, sizeof c->st.announce);
    memset(c->st.tx_done, 0, sizeof c->st.tx_done);
}

static const VitVirtioClass console_virtio = {
    .id = 3,
    .pci_class = 0x0780,
    .features = console_features,
    .read_config = console_read_config,
    .takes = console_takes,
    .element = console_element,
    .kicked = console_kicked,
    .reset = console_reset,
};

static bool console_init(VitDevice *d, GError **error)
{
    Console *c = (Console *) d;

    if (c->max_ports < 1 || c->max_ports > MAX_PORTS) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: max_ports must be from 1 to %d"), d->id, MAX_PORTS);
        return false;
    }
    for (unsigned i = 0; i < MAX_PORTS; i++) {
        c->ports[i].console = c;
        c->ports[i].n = i;
    }
    c->virtio.n_queues = 2 + 2 * c->max_ports;
    for (unsigned i = 0; i < c->virtio.n_queues; i++)
        c->virtio.queue_size[i] = QUEUE_ENTRIES;
    c->virtio.config_size = CONFIG_SIZE;
    vit_virtio_init(&c->virtio, &console_virtio, &c->st.virtio);
    return true;
}

static void console_finish(VitDevice *d)
{
    Console *c = (Console *) d;
    for (unsigned i = 0; i < MAX_PORTS; i++) {
        if (c->ports[i].chr)
            vit_char_attach(c->ports[i].chr, NULL, NULL);
        g_free(c->ports[i].name);
    }
    vit_virtio_finish(d);
}

static void reopen(Console *c)
{
    for (unsigned i = 0; i < MAX_PORTS; i++)
        c->st.host_open[i] = c->ports[i].exists && c->ports[i].chr;
}

static void console_device_reset(VitDevice *d)
{
    vit_virtio_reset(d);
    reopen((Console *) d);
}

static const VitField console_hidden[] = {
    VIT_VIRTIO_ROWS(Console),
    VIT_BOOLS(Console, st.guest_open, false),
    VIT_BOOLS(Console, st.host_open, false),
    VIT_UINTS(Console, st.announce),
    VIT_UINTS(Console, st.tx_done),
    { VIT_END },
};

static const VitProp console_props[] = {
    VIT_PROP("max_ports", VIT_PROP_U32, Console, max_ports, "31", "ports, at most 31"),
    { 0 },
};

const VitDeviceClass vit_virtio_console_class = {
    .name = "virtio-serial",
    .description = "Virtio console",
    .version = 1,
    VIT_STATE(Console, st),
    .hidden = console_hidden,
    .props = console_props,
    .init = console_init,
    .finish = console_finish,
    .reset = console_device_reset,
    .loaded = vit_virtio_loaded,
    .validate = vit_virtio_validate,
    .quiesce = vit_virtio_quiesce,
};

/* ---- Ports by name: virtconsole, virtserialport, and a console in one piece ------------------ */

static bool add_port(Console *c, VitOptions *options, VitDeviceContext *ctx, bool is_console,
                     GError **error)
{
    uint64_t nr = 0;
    bool given = vit_options_get(options, "nr");

    if (!vit_options_take_uint(options, "nr", MAX_PORTS - 1, &nr, error))
        return false;
    const char *name = vit_options_take(options, "name");
    const char *chardev = vit_options_get(options, "chardev");
    VitChar *chr = chardev ? vit_pci_take_backend(options, "chardev", ctx->chardevs,
                                                  "character device", error)
                           : NULL;
    if (chardev && !chr)
        return false;
    /* Port 0 is kept for a console, unless asked for: drivers without MULTIPORT have only that. */
    if (!given)
        for (nr = is_console ? 0 : 1; nr < c->max_ports && c->ports[nr].exists; nr++)
            ;
    if (nr >= c->max_ports || c->ports[nr].exists) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device %s: port %u of %s is taken or does not exist"),
                    vit_options_get(options, "driver"), (unsigned) nr, c->virtio.parent.id);
        return false;
    }
    if (name && strlen(name) > NAME_MAX_BYTES) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device %s: the name is longer than %d bytes"),
                    vit_options_get(options, "driver"), NAME_MAX_BYTES);
        return false;
    }
    Port *p = &c->ports[nr];
    p->exists = true;
    p->is_console = is_console;
    p->name = g_strdup(name);
    p->chr = chr;
    return true;
}

static void attach_port(Port *p)
{
    if (p->chr)
        vit_char_attach(p->chr, &port_front, p);
}

static VitDevice *create_port(VitDeviceContext *ctx, VitOptions *options, bool is_console,
                              GError **error)
{
    Console *c = (Console *) ctx->serial_bus;

    (void) vit_options_take(options, "id");
    (void) vit_options_take(options, "bus");
    if (!c) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device %s: put -device virtio-serial-pci before it"),
                    vit_options_get(options, "driver"));
        return NULL;
    }
    Port before[MAX_PORTS];
    memcpy(before, c->ports, sizeof before);
    if (!add_port(c, options, ctx, is_console, error))
        return NULL;
    bool ok = vit_options_finish(options, error);
    for (unsigned i = 0; i < MAX_PORTS; i++) {
        if (before[i].exists || !c->ports[i].exists)
            continue;
        if (ok) {
            attach_port(&c->ports[i]);
        } else {
            g_free(c->ports[i].name);
            c->ports[i] = before[i];
        }
    }
    return ok ? &c->virtio.parent : NULL;
}

VitDevice *vit_virtio_console_port_create(VitDeviceContext *ctx, VitOptions *options,
                                          GError **error)
{
    return create_port(ctx, options, true, error);
}

VitDevice *vit_virtio_serial_port_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create_port(ctx, options, false, error);
}

VitDevice *vit_virtio_serial_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    VitDevice *d = vit_virtio_create_pci(ctx, options, &vit_virtio_console_class, NULL, 4, error);
    if (d)
        ctx->serial_bus = d;
    return d;
}
