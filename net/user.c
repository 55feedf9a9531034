/* SPDX-License-Identifier: GPL-3.0-or-later */
/* net/user.c - user-mode network: libslirp (4.7 and later) polled by the netdev's iothread
 *
 * NAT for TCP, UDP and ICMP echo, a DHCP and a DNS server, TFTP; forwards from host ports, bound to
 * 127.0.0.1 unless an address is given.  Not offered: guestfwd, SMB, unix-socket forwards. */
#include "net/netdev-private.h"

#include "engine/core/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <libslirp.h>
#include <netinet/in.h>
#include <string.h>

typedef struct {
    VitNetdev  parent;
    Slirp     *slirp;
    GSource   *source;          /* polls slirp's sockets */
    GMainContext *context;      /* borrowed */
} User;

/* A source whose set of descriptors slirp rebuilds before each poll. */
typedef struct {
    GSource source;
    User   *user;
    GPollFD *fds;               /* owned; as last added to the source */
    unsigned n_fds, capacity;
} PollSource;

/* ---- polling --------------------------------------------------------------------------------- */

static int add_poll(int fd, int events, void *opaque)
{
    PollSource *p = opaque;
    gushort wanted = 0;

    if (events & SLIRP_POLL_IN)
        wanted |= G_IO_IN;
    if (events & SLIRP_POLL_OUT)
        wanted |= G_IO_OUT;
    if (events & SLIRP_POLL_PRI)
        wanted |= G_IO_PRI;
    if (events & SLIRP_POLL_ERR)
        wanted |= G_IO_ERR;
    if (events & SLIRP_POLL_HUP)
        wanted |= G_IO_HUP;
    if (p->n_fds == p->capacity) {
        p->capacity = MAX(16, p->capacity * 2);
        p->fds = g_renew(GPollFD, p->fds, p->capacity);
    }
    p->fds[p->n_fds] = (GPollFD) { .fd = fd, .events = wanted };
    return (int) p->n_fds++;
}

static int get_revents(int index, void *opaque)
{
    const PollSource *p = opaque;
    int events = 0;

    if (index < 0 || (unsigned) index >= p->n_fds)
        return 0;
    gushort ready = p->fds[index].revents;
    if (ready & G_IO_IN)
        events |= SLIRP_POLL_IN;
    if (ready & G_IO_OUT)
        events |= SLIRP_POLL_OUT;
    if (ready & G_IO_PRI)
        events |= SLIRP_POLL_PRI;
    if (ready & (G_IO_ERR | G_IO_NVAL))
        events |= SLIRP_POLL_ERR;
    if (ready & G_IO_HUP)
        events |= SLIRP_POLL_HUP;
    return events;
}

static void drop_polls(PollSource *p)
{
    for (unsigned i = 0; i < p->n_fds; i++)
        g_source_remove_poll(&p->source, &p->fds[i]);
    p->n_fds = 0;
}

static gboolean source_prepare(GSource *source, gint *timeout)
{
    PollSource *p = (PollSource *) source;
    uint32_t wait = UINT32_MAX;

    drop_polls(p);
    slirp_pollfds_fill(p->user->slirp, &wait, add_poll, p);
    /* The array no longer moves: GLib keeps pointers into it. */
    for (unsigned i = 0; i < p->n_fds; i++)
        g_source_add_poll(source, &p->fds[i]);
    *timeout = wait > INT32_MAX ? -1 : (gint) wait;
    return FALSE;
}

static gboolean source_check(GSource *source)
{
    return TRUE;    /* slirp looks after every poll: it also runs its own time-outs then */
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    PollSource *p = (PollSource *) source;
    slirp_pollfds_poll(p->user->slirp, 0, get_revents, p);
    return G_SOURCE_CONTINUE;
}

static void source_finalize(GSource *source)
{
    g_free(((PollSource *) source)->fds);
}

/* ---- slirp's callbacks ----------------------------------------------------------------------- */

static slirp_ssize_t send_packet(const void *data, size_t size, void *opaque)
{
    User *u = opaque;
    vit_netdev_deliver(&u->parent, data, size);
    return (slirp_ssize_t) size;
}

static void guest_error(const char *message, void *opaque)
{
    vit_log(VIT_LOG_GUEST_ERROR, "user net: %s\n", message);
}

static int64_t clock_get_ns(void *opaque)
{
    return g_get_monotonic_time() * 1000;
}

typedef struct { User *user; SlirpTimerId id; void *opaque; GSource *source; } Timer;

static gboolean timer_fired(gpointer data)
{
    Timer *t = data;
    g_source_set_ready_time(t->source, -1);
    slirp_handle_timer(t->user->slirp, t->id, t->opaque);
    return G_SOURCE_CONTINUE;
}

static gboolean timer_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    return callback(data);
}

static const GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

static void *timer_new(SlirpTimerId id, void *timer_opaque, void *opaque)
{
    User *u = opaque;
    Timer *t = g_new0(Timer, 1);

    *t = (Timer) { u, id, timer_opaque,
                   g_source_new((GSourceFuncs *) &timer_funcs, sizeof(GSource)) };
    g_source_set_callback(t->source, timer_fired, t, NULL);
    g_source_set_ready_time(t->source, -1);
    g_source_attach(t->source, u->context);
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    Timer *t = timer;
    g_source_destroy(t->source);
    g_source_unref(t->source);
    g_free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    Timer *t = timer;
    g_source_set_ready_time(t->source, expire_ms * 1000);
}

static void register_poll_fd(int fd, void *opaque)
{
}

static void notify(void *opaque)
{
    User *u = opaque;
    g_main_context_wakeup(u->context);
}

/* ---- options --------------------------------------------------------------------------------- */

static bool refuse(GError **error, const char *key, const char *value, const char *remedy)
{
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("-netdev user: “%s=%s” %s"), key,
                value, remedy);
    return false;
}

static bool take_ipv4(VitOptions *o, const char *key, struct in_addr *address, GError **error)
{
    const char *text = vit_options_take(o, key);
    if (!text || inet_pton(AF_INET, text, address) == 1)
        return true;
    return refuse(error, key, text, _("is not an IPv4 address"));
}

static bool take_net(VitOptions *o, SlirpConfig *c, GError **error)
{
    const char *text = vit_options_take(o, "net");
    uint32_t mask = 0xffffff00;

    inet_pton(AF_INET, "10.0.2.0", &c->vnetwork);
    if (text) {
        g_auto(GStrv) parts = g_strsplit(text, "/", 2);
        struct in_addr netmask;
        uint64_t bits = 24;
        if (!parts[0] || inet_pton(AF_INET, parts[0], &c->vnetwork) != 1)
            return refuse(error, "net", text, _("is not an IPv4 network such as 10.0.2.0/24"));
        if (parts[1] && inet_pton(AF_INET, parts[1], &netmask) == 1)
            mask = ntohl(netmask.s_addr);
        else if (!parts[1] || vit_parse_uint(parts[1], 28, &bits))
            mask = bits ? ~0u << (32 - bits) : 0;
        else
            return refuse(error, "net", text, _("has no prefix length of 8 to 28 bits"));
        if (mask < 0xff000000 || mask > 0xfffffff0 || (~mask & (~mask + 1)))
            return refuse(error, "net", text, _("has no prefix length of 8 to 28 bits"));
    }
    uint32_t base = ntohl(c->vnetwork.s_addr) & mask;
    c->vnetwork.s_addr = htonl(base);
    c->vnetmask.s_addr = htonl(mask);
    c->vhost.s_addr = htonl(base + 2);
    c->vnameserver.s_addr = htonl(base + 3);
    /* .15 as people know it, or the last half of a smaller net */
    c->vdhcp_start.s_addr = htonl(base + (~mask > 31 ? 15 : 8));
    return true;
}

static bool inside(const SlirpConfig *c, struct in_addr a)
{
    return (a.s_addr & c->vnetmask.s_addr) == c->vnetwork.s_addr;
}

static bool take_config(VitOptions *o, SlirpConfig *c, char ***search, GError **error)
{
    bool restricted = false, ipv4 = true, ipv6 = true;
    g_autoptr(GStrvBuilder) domains = g_strv_builder_new();
    const char *text;

    c->version = 4;
    if (!take_net(o, c, error) || !take_ipv4(o, "host", &c->vhost, error) ||
        !take_ipv4(o, "dns", &c->vnameserver, error) ||
        !take_ipv4(o, "dhcpstart", &c->vdhcp_start, error) ||
        !vit_options_take_bool(o, "restrict", &restricted, error) ||
        !vit_options_take_bool(o, "ipv4", &ipv4, error) ||
        !vit_options_take_bool(o, "ipv6", &ipv6, error))
        return false;
    static const char *const names[] = { "host", "dns", "dhcpstart" };
    struct in_addr *addresses[] = { &c->vhost, &c->vnameserver, &c->vdhcp_start };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (!inside(c, *addresses[i])) {
            char buffer[INET_ADDRSTRLEN];
            inet_ntop(AF_INET, addresses[i], buffer, sizeof buffer);
            return refuse(error, names[i], buffer, _("is outside of the network (see “net”)"));
        }
    c->restricted = restricted;
    c->in_enabled = ipv4;
    c->in6_enabled = ipv6;
    inet_pton(AF_INET6, "fec0::", &c->vprefix_addr6);
    c->vprefix_len = 64;
    inet_pton(AF_INET6, "fec0::2", &c->vhost6);
    inet_pton(AF_INET6, "fec0::3", &c->vnameserver6);
    c->vhostname = vit_options_take(o, "hostname");
    c->vdomainname = vit_options_take(o, "domainname");
    c->tftp_server_name = vit_options_take(o, "tftp-server-name");
    c->tftp_path = vit_options_take(o, "tftp");
    c->bootfile = vit_options_take(o, "bootfile");
    if (c->tftp_path && !g_file_test(c->tftp_path, G_FILE_TEST_IS_DIR))
        return refuse(error, "tftp", c->tftp_path, _("is not a folder"));
    while ((text = vit_options_take_next(o, "dnssearch")))
        g_strv_builder_add(domains, text);
    *search = g_strv_builder_end(domains);
    c->vdnssearch = **search ? (const char **) *search : NULL;
    return true;
}

/* "tcp:[host address]:host port-[guest address]:guest port"; the text is cut in place. */
static bool forward(User *u, const char *text, GError **error)
{
    static const char form[] = N_("is not [tcp|udp]:[address]:port-[guest address]:port");
    g_autofree char *copy = g_strdup(text);
    char *fields[3], *guest[2], *rest = copy;
    struct sockaddr_in host = { .sin_family = AF_INET }, to = { .sin_family = AF_INET };
    uint64_t host_port, guest_port;

    char *dash = strchr(copy, '-');
    if (!dash)
        return refuse(error, "hostfwd", text, _(form));
    *dash = '\0';
    for (int i = 0; i < 3; i++) {
        fields[i] = rest;
        rest = rest ? strchr(rest, ':') : NULL;
        if (rest)
            *rest++ = '\0';
    }
    guest[0] = dash + 1;
    guest[1] = strchr(dash + 1, ':');
    if (!fields[2] || rest || !guest[1])
        return refuse(error, "hostfwd", text, _(form));
    *guest[1]++ = '\0';

    bool udp = strcmp(fields[0], "udp") == 0;
    if (!udp && *fields[0] && strcmp(fields[0], "tcp") != 0)
        return refuse(error, "hostfwd", text, _("names neither tcp nor udp"));
    host.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (*fields[1] && inet_pton(AF_INET, fields[1], &host.sin_addr) != 1)
        return refuse(error, "hostfwd", text, _("has no IPv4 address before the host port"));
    if (*guest[0] && inet_pton(AF_INET, guest[0], &to.sin_addr) != 1)
        return refuse(error, "hostfwd", text, _("has no IPv4 address before the guest port"));
    if (!vit_parse_uint(fields[2], 65535, &host_port) ||
        !vit_parse_uint(guest[1], 65535, &guest_port) || guest_port == 0)
        return refuse(error, "hostfwd", text,
                      _("needs ports of 1 to 65535 (host port 0: any free one)"));
    host.sin_port = htons((uint16_t) host_port);
    to.sin_port = htons((uint16_t) guest_port);

    if (slirp_add_hostxfwd(u->slirp, (struct sockaddr *) &host, sizeof host,
                           (struct sockaddr *) &to, sizeof to, udp ? SLIRP_HOSTFWD_UDP : 0) != 0) {
        char address[INET_ADDRSTRLEN];
        int code = errno;
        inet_ntop(AF_INET, &host.sin_addr, address, sizeof address);
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    _("-netdev user: cannot listen on %s port %s %u: %s; choose another host port "
                      "in “hostfwd=%s”"),
                    address, udp ? "UDP" : "TCP", (unsigned) host_port, g_strerror(code), text);
        return false;
    }
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

typedef struct {
    User       *user;
    VitOptions *options;
    GError    **error;
    bool        good;
} Opening;

static void user_finish(VitNetdev *netdev)
{
    User *u = (User *) netdev;

    if (u->source) {
        drop_polls((PollSource *) u->source);
        g_source_destroy(u->source);
        g_source_unref(u->source);
        u->source = NULL;
    }
    if (u->slirp)
        slirp_cleanup(u->slirp);
    u->slirp = NULL;
}

static void open_on_thread(void *data)
{
    static const SlirpCb callbacks = {
        .send_packet = send_packet,
        .guest_error = guest_error,
        .clock_get_ns = clock_get_ns,
        .timer_free = timer_free,
        .timer_mod = timer_mod,
        .notify = notify,
        .timer_new_opaque = timer_new,
        .register_poll_fd = register_poll_fd,
        .unregister_poll_fd = register_poll_fd,
    };
    static const GSourceFuncs source_funcs = {
        .prepare = source_prepare,
        .check = source_check,
        .dispatch = source_dispatch,
        .finalize = source_finalize,
    };
    Opening *open = data;
    User *u = open->user;
    SlirpConfig config = {};
    g_auto(GStrv) search = NULL;
    const char *text;

    if (!take_config(open->options, &config, &search, open->error))
        return;
    u->context = vit_io_thread_context(u->parent.thread);
    u->slirp = slirp_new(&config, &callbacks, u);
    if (!u->slirp) {
        g_set_error(open->error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    _("-netdev user: libslirp does not accept these settings"));
        return;
    }
    while ((text = vit_options_take_next(open->options, "hostfwd")))
        if (!forward(u, text, open->error)) {
            user_finish(&u->parent);
            return;
        }
    if (!vit_options_finish(open->options, open->error)) {
        user_finish(&u->parent);
        return;
    }
    u->source = g_source_new((GSourceFuncs *) &source_funcs, sizeof(PollSource));
    ((PollSource *) u->source)->user = u;
    g_source_set_static_name(u->source, "slirp");
    g_source_attach(u->source, u->context);
    open->good = true;
}

static bool user_open(VitNetdev *netdev, VitOptions *options, GError **error)
{
    Opening open = { (User *) netdev, options, error, false };
    vit_io_thread_call_sync(netdev->thread, open_on_thread, &open);
    return open.good;
}

static void user_send(VitNetdev *netdev, const struct iovec *iov, int niov, size_t size)
{
    User *u = (User *) netdev;

    if (niov == 1) {
        slirp_input(u->slirp, iov->iov_base, (int) iov->iov_len);
        return;
    }
    g_autofree uint8_t *frame = g_malloc(size);
    size_t have = 0;
    for (int i = 0; i < niov && have < size; i++) {
        size_t n = MIN(iov[i].iov_len, size - have);
        memcpy(frame + have, iov[i].iov_base, n);
        have += n;
    }
    slirp_input(u->slirp, frame, (int) have);
}

const VitNetdevType vit_netdev_user = {
    .driver = { .name = "user", .instance_size = sizeof(User), .send = user_send,
                .finish = user_finish },
    .open = user_open,
};
