/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/net/test-user.c - a fake card on the user-mode network: ARP, DHCP, UDP, ICMP, forwards,
 * options */
#include "net/netdev.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FRAMES = 512 };

typedef struct {
    VitIoThread *thread;
    VitNetdev   *netdev;
    GMutex       lock;
    GCond        cond;
    GBytes      *frames[MAX_FRAMES];    /* guarded by lock, like what follows */
    unsigned     n, taken;
    bool         full, inside;
} Card;

static bool receive(void *opaque, const struct iovec *iov, int niov, size_t size)
{
    Card *c = opaque;
    bool room;

    g_assert_true(vit_io_thread_is_current(c->thread));
    g_assert_false(c->inside);          /* never from within the card's own send */
    g_mutex_lock(&c->lock);
    room = !c->full && c->n < MAX_FRAMES;
    if (room) {
        g_autofree uint8_t *frame = g_malloc(size);
        size_t at = 0;
        for (int i = 0; i < niov; i++) {
            memcpy(frame + at, iov[i].iov_base, iov[i].iov_len);
            at += iov[i].iov_len;
        }
        c->frames[c->n++] = g_bytes_new(frame, at);
        g_cond_signal(&c->cond);
    }
    g_mutex_unlock(&c->lock);
    return room;
}

static const VitNetPeer peer = { .receive = receive };

static void card_new(Card *c, const char *spec)
{
    g_autoptr(GError) error = NULL;

    memset(c, 0, sizeof *c);
    c->thread = vit_io_thread_new("net");
    g_mutex_init(&c->lock);
    g_cond_init(&c->cond);
    c->netdev = vit_netdev_open(spec, c->thread, &error);
    g_assert_no_error(error);
    vit_netdev_attach(c->netdev, &peer, c);
}

static void card_free(Card *c)
{
    vit_netdev_attach(c->netdev, NULL, NULL);
    vit_netdev_free(c->netdev);
    vit_io_thread_free(c->thread);
    for (unsigned i = 0; i < c->n; i++)
        g_bytes_unref(c->frames[i]);
    g_mutex_clear(&c->lock);
    g_cond_clear(&c->cond);
}

typedef struct { Card *card; const uint8_t *frame; size_t size; } Sending;

static void send_here(void *opaque)
{
    Sending *s = opaque;
    struct iovec iov[2] = { { (void *) s->frame, 20 }, { (void *) (s->frame + 20), s->size - 20 } };
    s->card->inside = true;
    vit_netdev_send(s->card->netdev, iov, 2, s->size);
    s->card->inside = false;
}

static void card_send(Card *c, const uint8_t *frame, size_t size)
{
    Sending s = { c, frame, size };
    vit_io_thread_call_sync(c->thread, send_here, &s);
}

typedef bool (*Match)(const uint8_t *frame, size_t size, const void *data);

/* The next frame that matches, waiting up to two seconds; NULL when none comes.  Borrowed. */
static const uint8_t *card_expect(Card *c, Match match, const void *data, size_t *size)
{
    gint64 deadline = g_get_monotonic_time() + 2 * G_TIME_SPAN_SECOND;
    const uint8_t *found = NULL;

    g_mutex_lock(&c->lock);
    while (!found) {
        for (; c->taken < c->n && !found; c->taken++) {
            const uint8_t *frame = g_bytes_get_data(c->frames[c->taken], size);
            if (match(frame, *size, data))
                found = frame;
        }
        if (!found && !g_cond_wait_until(&c->cond, &c->lock, deadline))
            break;
    }
    g_mutex_unlock(&c->lock);
    return found;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
static const uint8_t gateway_mac[6] = { 0x52, 0x55, 10, 0, 2, 2 };

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t) (v >> 8);
    p[1] = (uint8_t) v;
}

static unsigned get16(const uint8_t *p)
{
    return (unsigned) p[0] << 8 | p[1];
}

static unsigned checksum(const uint8_t *p, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += get16(p + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* Ethernet and IPv4 headers over a payload at frame + 34; returns the frame's length. */
static size_t ip(uint8_t *frame, const uint8_t *to_mac, const char *from, const char *to,
                 unsigned protocol, size_t size)
{
    memcpy(frame, to_mac, 6);
    memcpy(frame + 6, mac, 6);
    put16(frame + 12, 0x0800);
    memset(frame + 14, 0, 20);
    frame[14] = 0x45;
    put16(frame + 16, (unsigned) (20 + size));
    frame[22] = 64;
    frame[23] = (uint8_t) protocol;
    inet_pton(AF_INET, from, frame + 26);
    inet_pton(AF_INET, to, frame + 30);
    put16(frame + 24, checksum(frame + 14, 20));
    return 34 + size;
}

static size_t udp(uint8_t *frame, const uint8_t *to_mac, const char *from, const char *to,
                  unsigned from_port, unsigned to_port, size_t size)
{
    put16(frame + 34, from_port);
    put16(frame + 36, to_port);
    put16(frame + 38, (unsigned) (8 + size));
    put16(frame + 40, 0);
    return ip(frame, to_mac, from, to, 17, 8 + size);
}

static bool is_arp_reply(const uint8_t *f, size_t size, const void *data)
{
    return size >= 42 && get16(f + 12) == 0x0806 && get16(f + 20) == 2;
}

static bool is_udp_from(const uint8_t *f, size_t size, const void *data)
{
    return size >= 42 && get16(f + 12) == 0x0800 && f[23] == 17 &&
           get16(f + 34) == *(const unsigned *) data;
}

static bool is_udp_to(const uint8_t *f, size_t size, const void *data)
{
    return size >= 42 && get16(f + 12) == 0x0800 && f[23] == 17 &&
           get16(f + 36) == *(const unsigned *) data;
}

static bool is_echo_reply(const uint8_t *f, size_t size, const void *data)
{
    return size >= 42 && get16(f + 12) == 0x0800 && f[23] == 1 && f[34] == 0;
}

static bool is_any(const uint8_t *f, size_t size, const void *data)
{
    return true;
}

/* Lets slirp learn the guest's address. */
static void arp(Card *c)
{
    uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    size_t size;

    memcpy(frame + 6, mac, 6);
    put16(frame + 12, 0x0806);
    memcpy(frame + 14, "\0\1\x08\0\6\4\0\1", 8);
    memcpy(frame + 22, mac, 6);
    inet_pton(AF_INET, "10.0.2.15", frame + 28);
    inet_pton(AF_INET, "10.0.2.2", frame + 38);
    card_send(c, frame, sizeof frame);
    const uint8_t *reply = card_expect(c, is_arp_reply, NULL, &size);
    g_assert_nonnull(reply);
    g_assert_cmpmem(reply + 22, 6, gateway_mac, 6);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_dhcp(void)
{
    Card c;
    uint8_t frame[400] = {}, *p = frame + 42;
    size_t size;

    card_new(&c, "user,id=n0,hostname=guest,net=10.0.7.0/24,dhcpstart=10.0.7.40");
    g_assert_cmpstr(c.netdev->id, ==, "n0");
    p[0] = 1;
    p[1] = 1;
    p[2] = 6;
    put16(p + 4, 0xabcd);
    memcpy(p + 28, mac, 6);
    memcpy(p + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
    static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    card_send(&c, frame, udp(frame, all, "0.0.0.0", "255.255.255.255", 68, 67, 300));
    unsigned port = 67;
    const uint8_t *offer = card_expect(&c, is_udp_from, &port, &size);
    g_assert_nonnull(offer);
    struct in_addr given;
    memcpy(&given, offer + 42 + 16, 4);
    g_assert_cmpstr(inet_ntoa(given), ==, "10.0.7.40");
    card_free(&c);
}

static void test_udp_out(void)
{
    Card c;
    uint8_t frame[64] = {};
    size_t size;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
                       from;
    socklen_t length = sizeof at;
    char buf[16];

    g_assert_cmpint(bind(s, (struct sockaddr *) &at, sizeof at), ==, 0);
    getsockname(s, (struct sockaddr *) &at, &length);
    card_new(&c, "user");
    arp(&c);
    memcpy(frame + 42, "ping", 4);
    card_send(&c, frame,
              udp(frame, gateway_mac, "10.0.2.15", "10.0.2.2", 5555, ntohs(at.sin_port), 4));
    length = sizeof from;
    g_assert_cmpint(recvfrom(s, buf, sizeof buf, 0, (struct sockaddr *) &from, &length), ==, 4);
    g_assert_cmpmem(buf, 4, "ping", 4);
    g_assert_cmpint(sendto(s, "pong!", 5, 0, (struct sockaddr *) &from, length), ==, 5);
    unsigned port = 5555;
    const uint8_t *reply = card_expect(&c, is_udp_to, &port, &size);
    g_assert_nonnull(reply);
    g_assert_cmpmem(reply + 42, 5, "pong!", 5);
    close(s);
    card_free(&c);
}

static void test_icmp(void)
{
    Card c;
    uint8_t frame[64] = {};
    size_t size;

    card_new(&c, "user");
    arp(&c);
    frame[34] = 8;
    put16(frame + 38, 77);
    put16(frame + 36, checksum(frame + 34, 8));
    card_send(&c, frame, ip(frame, gateway_mac, "10.0.2.15", "10.0.2.2", 1, 8));
    const uint8_t *reply = card_expect(&c, is_echo_reply, NULL, &size);
    g_assert_nonnull(reply);
    g_assert_cmpuint(get16(reply + 38), ==, 77);
    card_free(&c);
}

static unsigned free_port(int type)
{
    int s = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof at;

    g_assert_cmpint(bind(s, (struct sockaddr *) &at, sizeof at), ==, 0);
    getsockname(s, (struct sockaddr *) &at, &length);
    close(s);
    return ntohs(at.sin_port);
}

/* A card with a free port of the host forwarded to the guest's 4000; a socket to send to it. */
static int open_forward(Card *c, struct sockaddr_in *to)
{
    unsigned host = free_port(SOCK_DGRAM);
    g_autofree char *spec = g_strdup_printf("user,hostfwd=udp::%u-:4000", host);

    *to = (struct sockaddr_in) { .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t) host) };
    card_new(c, spec);
    arp(c);
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* A forward brings the host's datagrams to the guest, and listens on 127.0.0.1 alone. */
static void test_forward(void)
{
    Card c;
    size_t size;
    unsigned port = 4000;
    struct sockaddr_in to;
    int s = open_forward(&c, &to);

    g_assert_cmpint(sendto(s, "hello", 5, 0, (struct sockaddr *) &to, sizeof to), ==, 5);
    const uint8_t *frame = card_expect(&c, is_udp_to, &port, &size);
    g_assert_nonnull(frame);
    g_assert_cmpmem(frame + 42, 5, "hello", 5);
    /* the port is still free on another address of the host */
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(other, (struct sockaddr *) &to, sizeof to), ==, 0);
    close(other);
    close(s);
    card_free(&c);
}

/* A full card: frames wait, at most so many, and come in order after a flush. */
static void test_backlog(void)
{
    Card c;
    size_t size;
    unsigned port = 4000;
    struct sockaddr_in to;
    int s = open_forward(&c, &to);

    g_mutex_lock(&c.lock);
    c.full = true;
    g_mutex_unlock(&c.lock);
    for (unsigned i = 0; i < 600; i++) {
        g_assert_cmpint(sendto(s, &i, sizeof i, 0, (struct sockaddr *) &to, sizeof to), ==,
                        sizeof i);
        if (i % 10 == 0)
            g_usleep(1000);
    }
    g_usleep(100000);
    g_assert_null(card_expect(&c, is_any, NULL, &size));
    g_mutex_lock(&c.lock);
    c.full = false;
    g_mutex_unlock(&c.lock);
    vit_netdev_flush(c.netdev);
    for (unsigned i = 0; i < 50; i++) {
        unsigned number;
        const uint8_t *frame = card_expect(&c, is_udp_to, &port, &size);
        g_assert_nonnull(frame);
        memcpy(&number, frame + 42, sizeof number);
        g_assert_cmpuint(number, ==, i);
    }
    close(s);
    card_free(&c);
}

static void test_options(void)
{
    static const struct { const char *spec, *message; } rows[] = {
        { "usr", "unknown type “usr”" },
        { "user,hostfwt=tcp::1-:2", "did you mean “hostfwd”?" },
        { "user,hostfwd=tcp:22", "tcp:22" },
        { "user,hostfwd=sctp::2222-:22", "neither tcp nor udp" },
        { "user,hostfwd=tcp::99999-:22", "ports" },
        { "user,hostfwd=tcp:localhost:1-:22", "IPv4 address" },
        { "user,net=300.0.0.0/8", "net=300.0.0.0/8" },
        { "user,net=10.0.2.0/31", "8 to 28" },
        { "user,dns=8.8.8.8", "outside of the network" },
        { "user,restrict=maybe", "“on” or “off”" },
        { "user,tftp=/no/such/folder", "is not a folder" },
    };
    VitIoThread *thread = vit_io_thread_new("net");

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(vit_netdev_open(rows[i].spec, thread, &error));
        if (!strstr(error->message, rows[i].message))
            g_error("%s: %s", rows[i].spec, error->message);
    }
    /* a port in use, by name */
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof at;
    g_autoptr(GError) error = NULL;
    bind(s, (struct sockaddr *) &at, sizeof at);
    listen(s, 1);
    getsockname(s, (struct sockaddr *) &at, &length);
    g_autofree char *spec = g_strdup_printf("user,hostfwd=tcp::%u-:22", ntohs(at.sin_port));
    g_assert_null(vit_netdev_open(spec, thread, &error));
    g_assert_nonnull(strstr(error->message, "choose another host port"));
    close(s);
    vit_io_thread_free(thread);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/net/user/dhcp", test_dhcp);
    g_test_add_func("/net/user/udp", test_udp_out);
    g_test_add_func("/net/user/icmp", test_icmp);
    g_test_add_func("/net/user/forward", test_forward);
    g_test_add_func("/net/user/backlog", test_backlog);
    g_test_add_func("/net/user/options", test_options);
    return g_test_run();
}
