/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/net.c - virtio network card (Virtual I/O Device 1.2, section 5.1)
 *
 * One pair of queues and the control queue, all on the netdev's iothread.
 * Not modelled: checksum and segmentation offloads, multiqueue, RSS, notification coalescing. */
#include "hw/virtio/virtio-devices.h"

#include <glib/gi18n-lib.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { RX = 0, TX = 1, CTRL = 2, N_QUEUES = 3 };
enum {
    F_MAC = 5, F_MRG_RXBUF = 15, F_STATUS = 16, F_CTRL_VQ = 17, F_CTRL_RX = 18, F_CTRL_VLAN = 19,
    F_CTRL_RX_EXTRA = 20, F_GUEST_ANNOUNCE = 21, F_CTRL_MAC_ADDR = 23,
};
#define BIT(n) (1ull << (n))
enum { STATUS_LINK_UP = 1, STATUS_ANNOUNCE = 2 };
enum {
    HEADER = 12,
    NUM_BUFFERS = 10,
    MAX_FRAME = 65550,
    MAX_MERGED = 64,
    MAX_MACS = 64,
    CONFIG_SIZE = 8,
    CTRL_OK = 0,
    CTRL_ERR = 1,
    MAC_LEN = 6,
    MIN_FRAME = 14,
    VLANS = 4096,
};

typedef struct {
    VitVirtio  virtio;          /* first member */
    VitNetdev *netdev;          /* borrowed; NULL: a card whose cable is out */
    char      *mac_text;
    uint32_t   rx_queue_size, tx_queue_size;
    uint8_t    own_mac[MAC_LEN];
    uint8_t   *frame;           /* owned: the frame being sent, out of the guest's reach */
    pthread_mutex_t lock; /* leaf: mac and announce between the iothread and config reads */
    struct {
        VitVirtioState virtio;
        uint8_t mac[MAC_LEN];   /* guarded by lock as well */
        bool    link_down, announce;
        bool    promiscuous, all_multicast, all_unicast, no_multicast, no_unicast, no_broadcast;
        bool    unicast_overflow, multicast_overflow;
        uint8_t n_unicast, n_multicast;
        uint8_t unicast[MAX_MACS * MAC_LEN], multicast[MAX_MACS * MAC_LEN];
        uint8_t vlans[VLANS / 8];
    } st;                       /* filters: used on the iothread only */
} Net;

/* ---- Host to guest --------------------------------------------------------------------------- */

static bool listed(const uint8_t *table, unsigned n, const uint8_t *mac)
{
    for (unsigned i = 0; i < n; i++)
        if (memcmp(table + i * MAC_LEN, mac, MAC_LEN) == 0)
            return true;
    return false;
}

static bool wanted(Net *n, const uint8_t *header)
{
    static const uint8_t broadcast[MAC_LEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    if (n->st.promiscuous)
        return true;
    if (header[12] == 0x81 && header[13] == 0x00) {
        unsigned vlan = (header[14] << 8 | header[15]) & 0xfff;
        if (!(n->st.vlans[vlan / 8] & 1 << (vlan % 8)))
            return false;
    }
    if (header[0] & 1) {
        if (memcmp(header, broadcast, MAC_LEN) == 0)
            return !n->st.no_broadcast;
        if (n->st.no_multicast)
            return false;
        return n->st.all_multicast || n->st.multicast_overflow ||
               listed(n->st.multicast, n->st.n_multicast, header);
    }
    if (n->st.no_unicast)
        return false;
    return n->st.all_unicast || n->st.unicast_overflow || memcmp(header, n->st.mac, MAC_LEN) == 0 ||
           listed(n->st.unicast, n->st.n_unicast, header);
}

/* Copies [offset, offset+size) of one list into another, from its start + at. */
static void copy_between(VitVirtqElement *e, size_t at, const struct iovec *iov, unsigned niov,
                         size_t offset, size_t size)
{
    for (unsigned i = 0; i < niov && size; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        size_t part = MIN(size, iov[i].iov_len - offset);
        (void) vit_iov_write(e->in, e->n_in, at, (const uint8_t *) iov[i].iov_base + offset, part);
        at += part;
        size -= part;
        offset = 0;
    }
}

/* Spreads a frame over as many chains as it needs; false: not enough of them now. */
static bool put_frame(Net *n, const struct iovec *iov, unsigned niov, size_t size)
{
    VitVirtio *v = &n->virtio;
    bool merge = vit_virtio_has(v, BIT(F_MRG_RXBUF));
    VitVirtqElement *elements[MAX_MERGED];
    size_t written[MAX_MERGED], done = 0;
    unsigned used = 0;

    while (done < size || used == 0) {
        VitVirtqElement *e = used < (merge ? MAX_MERGED : 1) ? vit_virtq_pop(v, RX) : NULL;
        size_t header = used ? 0 : HEADER;
        bool too_small = e && (e->in_size <= header || (!merge && e->in_size < HEADER + size));
        if (!e || too_small) {
            bool never = too_small || used >= (merge ? MAX_MERGED : 1);
            if (e)
                vit_virtq_unpop(e);
            while (used)
                vit_virtq_unpop(elements[--used]);
            return never;       /* dropped: waiting would not help */
        }
        size_t part = MIN(size - done, e->in_size - header);
        copy_between(e, header, iov, niov, done, part);
        elements[used] = e;
        written[used++] = header + part;
        done += part;
    }
    uint8_t header[HEADER] = { 0 };
    uint16_t count = GUINT16_TO_LE((uint16_t) used);
    memcpy(header + NUM_BUFFERS, &count, 2);
    (void) vit_iov_write(elements[0]->in, elements[0]->n_in, 0, header, sizeof header);
    vit_virtq_push_many(elements, written, used);
    vit_virtq_notify(v, RX);
    return true;
}

static bool net_receive(void *opaque, const struct iovec *iov, int niov, size_t size)
{
    Net *n = opaque;
    uint8_t header[18] = { 0 };
    bool taken = true;

    if (size < MIN_FRAME || size > MAX_FRAME)
        return true;
    if (!vit_virtio_enter(&n->virtio))
        return false;
    (void) vit_iov_read(iov, (unsigned) niov, 0, header, sizeof header);
    if (!n->st.link_down && wanted(n, header))
        taken = put_frame(n, iov, (unsigned) niov, size);
    vit_virtio_leave(&n->virtio);
    return taken;
}

static void net_link_changed(void *opaque, bool up)
{
    Net *n = opaque;
    pthread_mutex_lock(&n->lock);
    bool changed = n->st.link_down == up;
    n->st.link_down = !up;
    pthread_mutex_unlock(&n->lock);
    if (changed)
        vit_virtio_config_changed(&n->virtio);
}

static const VitNetPeer net_peer = { .receive = net_receive, .link_changed = net_link_changed };

/* ---- Guest to host --------------------------------------------------------------------------- */

static void transmit(Net *n, VitVirtqElement *e)
{
    /* Copied first, since the guest may change it while the host parses it. */
    size_t size = e->out_size > HEADER ? e->out_size - HEADER : 0;

    if (size >= MIN_FRAME && size <= MAX_FRAME && n->netdev) {
        size = vit_iov_read(e->out, e->n_out, HEADER, n->frame, size);
        struct iovec iov = { n->frame, size };
        vit_netdev_send(n->netdev, &iov, 1, size);
    }
    vit_virtq_push(e, 0);
}

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_ANNOUNCE = 3 };

static bool control_rx(Net *n, unsigned command, bool on)
{
    bool *const flags[] = { &n->st.promiscuous, &n->st.all_multicast, &n->st.all_unicast,
                            &n->st.no_multicast, &n->st.no_unicast, &n->st.no_broadcast };
    if (command >= G_N_ELEMENTS(flags))
        return false;
    *flags[command] = on;
    return true;
}

static size_t take_table(VitVirtqElement *e, size_t at, uint8_t *table, uint8_t *count,
                         bool *overflow)
{
    uint32_t entries;

    if (vit_iov_read(e->out, e->n_out, at, &entries, 4) != 4)
        return 0;
    entries = GUINT32_FROM_LE(entries);
    at += 4;
    if (entries > (e->out_size - at) / MAC_LEN)
        return 0;
    *overflow = entries > MAX_MACS;
    *count = *overflow ? 0 : (uint8_t) entries;
    (void) vit_iov_read(e->out, e->n_out, at, table, *count * MAC_LEN);
    return at + (size_t) entries * MAC_LEN;
}

static bool control_mac(Net *n, VitVirtqElement *e, unsigned command)
{
    enum { TABLE_SET = 0, ADDR_SET = 1 };

    if (command == ADDR_SET) {
        uint8_t mac[MAC_LEN];
        if (vit_iov_read(e->out, e->n_out, 2, mac, MAC_LEN) != MAC_LEN)
            return false;
        pthread_mutex_lock(&n->lock);
        memcpy(n->st.mac, mac, MAC_LEN);
        pthread_mutex_unlock(&n->lock);
        return true;
    }
    if (command != TABLE_SET)
        return false;
    size_t at = take_table(e, 2, n->st.unicast, &n->st.n_unicast, &n->st.unicast_overflow);
    return at && take_table(e, at, n->st.multicast, &n->st.n_multicast, &n->st.multicast_overflow);
}

static bool control_vlan(Net *n, VitVirtqElement *e, unsigned command)
{
    uint16_t vlan;

    if (command > 1 || vit_iov_read(e->out, e->n_out, 2, &vlan, 2) != 2)
        return false;
    vlan = GUINT16_FROM_LE(vlan);
    if (vlan >= VLANS)
        return false;
    uint8_t bit = (uint8_t) (1 << (vlan % 8));
    n->st.vlans[vlan / 8] = command == 0 ? n->st.vlans[vlan / 8] | bit
                                         : n->st.vlans[vlan / 8] & (uint8_t) ~bit;
    return true;
}

static void control(Net *n, VitVirtqElement *e)
{
    uint8_t command[3] = { 0xff, 0xff, 0 }, ack;
    size_t got = vit_iov_read(e->out, e->n_out, 0, command, sizeof command);
    bool ok = false;

    if (got < 2 || e->in_size < 1) {
        vit_virtio_broken(&n->virtio, "a network control command without its header or answer");
    } else if (command[0] == CLASS_RX && got == 3) {
        ok = control_rx(n, command[1], command[2]);
    } else if (command[0] == CLASS_MAC) {
        ok = control_mac(n, e, command[1]);
    } else if (command[0] == CLASS_VLAN) {
        ok = control_vlan(n, e, command[1]);
    } else if (command[0] == CLASS_ANNOUNCE && command[1] == 0) {
        pthread_mutex_lock(&n->lock);
        ok = n->st.announce;
        n->st.announce = false;
        pthread_mutex_unlock(&n->lock);
    }
    ack = ok ? CTRL_OK : CTRL_ERR;
    vit_virtq_push(e, vit_iov_write(e->in, e->n_in, 0, &ack, 1));
}

static void net_element(VitVirtio *v, unsigned queue, VitVirtqElement *e)
{
    if (queue == TX)
        transmit((Net *) v, e);
    else
        control((Net *) v, e);
}

static bool net_takes(VitVirtio *v, unsigned queue) { return queue != RX; }

static void net_kicked(VitVirtio *v, unsigned queue)
{
    Net *n = (Net *) v;
    if (n->netdev)
        vit_netdev_flush(n->netdev);    /* there are buffers again */
}

/* ---- Configuration and life ------------------------------------------------------------------ */

static uint64_t net_features(VitVirtio *v)
{
    return BIT(F_MAC) | BIT(F_MRG_RXBUF) | BIT(F_STATUS) | BIT(F_CTRL_VQ) | BIT(F_CTRL_RX) |
           BIT(F_CTRL_VLAN) | BIT(F_CTRL_RX_EXTRA) | BIT(F_GUEST_ANNOUNCE) | BIT(F_CTRL_MAC_ADDR);
}

static void net_read_config(VitVirtio *v, uint8_t *config)
{
    Net *n = (Net *) v;
    pthread_mutex_lock(&n->lock);
    memcpy(config, n->st.mac, MAC_LEN);
    config[6] = (uint8_t) ((n->st.link_down ? 0 : STATUS_LINK_UP) |
                           (n->st.announce ? STATUS_ANNOUNCE : 0));
    pthread_mutex_unlock(&n->lock);
}

static void net_reset(VitVirtio *v)
{
    Net *n = (Net *) v;
    pthread_mutex_lock(&n->lock);
    memcpy(n->st.mac, n->own_mac, MAC_LEN);
    n->st.announce = false;
    pthread_mutex_unlock(&n->lock);
    n->st.promiscuous = true;       /* until the driver says what it wants */
    n->st.all_multicast = n->st.all_unicast = false;
    n->st.no_multicast = n->st.no_unicast = n->st.no_broadcast = false;
    n->st.unicast_overflow = n->st.multicast_overflow = false;
    n->st.n_unicast = n->st.n_multicast = 0;
    memset(n->st.unicast, 0, sizeof n->st.unicast);
    memset(n->st.multicast, 0, sizeof n->st.multicast);
    memset(n->st.vlans, 0, sizeof n->st.vlans);
}

static const VitVirtioClass net_virtio = {
    .id = 1, .pci_class = 0x0200, .features = net_features, .read_config = net_read_config,
    .takes = net_takes, .element = net_element, .kicked = net_kicked, .reset = net_reset,
};

static bool parse_mac(const char *text, uint8_t *mac)
{
    unsigned b[MAC_LEN];
    int end = 0;

    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) !=
            6 ||
        text[end])
        return false;
    for (unsigned i = 0; i < MAC_LEN; i++)
        mac[i] = (uint8_t) b[i];
    return !(mac[0] & 1);
}

/* 52:54:00:12:34:56 and up, as QEMU numbers its cards. */
static void default_mac(VitDevice *d, uint8_t *mac)
{
    static const uint8_t first[MAC_LEN] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
    unsigned others = 0;

    for (guint i = 0; i < d->sys->devices->len; i++) {
        VitDevice *other = d->sys->devices->pdata[i];
        others += other != d && other->klass == d->klass;
    }
    memcpy(mac, first, MAC_LEN);
    mac[5] = (uint8_t) (mac[5] + others);
}

static bool net_init(VitDevice *d, GError **error)
{
    Net *n = (Net *) d;
    uint32_t sizes[] = { n->rx_queue_size, n->tx_queue_size };

    pthread_mutex_init(&n->lock, NULL);
    if (n->mac_text && !parse_mac(n->mac_text, n->own_mac)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: “mac=%s” is not an address of one card, such as 52:54:00:12:34:56"),
                    d->id, n->mac_text);
        return false;
    }
    if (!n->mac_text)
        default_mac(d, n->own_mac);
    for (unsigned i = 0; i < 2; i++)
        if (sizes[i] < 64 || sizes[i] > VIT_VIRTIO_QUEUE_SIZE || (sizes[i] & (sizes[i] - 1))) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        _("%s: %s_queue_size must be a power of two from 64 to %d"), d->id,
                        i ? "tx" : "rx", VIT_VIRTIO_QUEUE_SIZE);
            return false;
        }
    n->frame = g_malloc(MAX_FRAME);
    n->virtio.thread = n->netdev ? n->netdev->thread : NULL;
    n->virtio.n_queues = N_QUEUES;
    n->virtio.queue_size[RX] = (uint16_t) n->rx_queue_size;
    n->virtio.queue_size[TX] = (uint16_t) n->tx_queue_size;
    n->virtio.queue_size[CTRL] = 64;
    n->virtio.config_size = CONFIG_SIZE;
    vit_virtio_init(&n->virtio, &net_virtio, &n->st.virtio);
    net_reset(&n->virtio);
    if (n->netdev)
        vit_netdev_attach(n->netdev, &net_peer, n);
    return true;
}

static void net_finish(VitDevice *d)
{
    Net *n = (Net *) d;
    if (n->netdev && n->netdev->opaque == n)
        vit_netdev_attach(n->netdev, NULL, NULL);
    vit_virtio_finish(d);
    g_free(n->frame);
    pthread_mutex_destroy(&n->lock);
}

static void net_device_reset(VitDevice *d)
{
    Net *n = (Net *) d;
    n->st.link_down = !n->netdev || !n->netdev->link_up;
    vit_virtio_reset(d);
}

/* Somewhere else now: the network should learn it (5.1.6.5.4). */
static void net_loaded(VitDevice *d)
{
    Net *n = (Net *) d;
    vit_virtio_loaded(d);
    n->st.link_down = !n->netdev || !n->netdev->link_up;
    if (vit_virtio_has(&n->virtio, BIT(F_GUEST_ANNOUNCE)) && !n->st.link_down) {
        n->st.announce = true;
        vit_virtio_config_changed(&n->virtio);
    }
}

static const VitField net_hidden[] = {
    VIT_VIRTIO_ROWS(Net),
    VIT_BYTES(Net, st.mac),
    VIT_BOOL(Net, st.link_down, false),
    VIT_BOOL(Net, st.announce, false),
    VIT_BOOL(Net, st.promiscuous, true),
    VIT_BOOL(Net, st.all_multicast, false),
    VIT_BOOL(Net, st.all_unicast, false),
    VIT_BOOL(Net, st.no_multicast, false),
    VIT_BOOL(Net, st.no_unicast, false),
    VIT_BOOL(Net, st.no_broadcast, false),
    VIT_BOOL(Net, st.unicast_overflow, false),
    VIT_BOOL(Net, st.multicast_overflow, false),
    VIT_UINT(Net, st.n_unicast, .max = MAX_MACS),
    VIT_UINT(Net, st.n_multicast, .max = MAX_MACS),
    VIT_BYTES(Net, st.unicast),
    VIT_BYTES(Net, st.multicast),
    VIT_BYTES(Net, st.vlans),
    { VIT_END },
};

static const VitProp net_props[] = {
    VIT_PROP("mac", VIT_PROP_STR, Net, mac_text, NULL, "address of the card"),
    VIT_PROP("rx_queue_size", VIT_PROP_U32, Net, rx_queue_size, "256", "entries"),
    VIT_PROP("tx_queue_size", VIT_PROP_U32, Net, tx_queue_size, "256", "entries"),
    { 0 },
};

const VitDeviceClass vit_virtio_net_class = {
    .name = "virtio-net",
    .description = "Virtio network card",
    .version = 1,
    VIT_STATE(Net, st),
    .hidden = net_hidden,
    .props = net_props,
    .init = net_init,
    .finish = net_finish,
    .reset = net_device_reset,
    .loaded = net_loaded,
    .validate = vit_virtio_validate,
    .quiesce = vit_virtio_quiesce,
};

static bool net_setup(VitDevice *d, VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    Net *n = (Net *) d;
    uint64_t bootindex = 0;     /* read by the machine assembler from the same text */

    n->netdev = vit_pci_take_backend(options, "netdev", ctx->netdevs, "network backend", error);
    if (!n->netdev || !vit_options_take_uint(options, "bootindex", INT32_MAX, &bootindex, error))
        return false;
    (void) vit_options_take(options, "romfile");    /* there is no boot ROM to leave out */
    if (n->netdev->peer) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device virtio-net-pci: the network backend “%s” is in use by another card"),
                    n->netdev->id);
        n->netdev = NULL;
        return false;
    }
    return true;
}

VitDevice *vit_virtio_net_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return vit_virtio_create_pci(ctx, options, &vit_virtio_net_class, net_setup, 0, error);
}
