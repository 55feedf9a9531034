/* engine/core/char-socket.c - Unix and TCP sockets as a host end, as client or as server
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A server talks to one client at a time; others wait in its backlog.  While nobody is connected
 * output is dropped.  Not modelled: telnet negotiation, reconnecting clients, TLS. */
#include "engine/core/char-private.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <glib/gi18n-lib.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
    VitCharPort port;           /* first member */
    int         listener;       /* owned; -1: a client */
    int         peer;           /* owned; -1: not connected */
    VitIoWatch *accept_watch;   /* owned */
    char       *unlink_path;    /* owned: our own socket file */
} Socket;

/* ---- Connections ----------------------------------------------------------------------------- */

static void listen_on(Socket *s, bool on)
{
    if (s->accept_watch)
        vit_io_watch_set(s->accept_watch, on ? G_IO_IN : 0);
}

static void connected(Socket *s, int fd)
{
    int one = 1;
    s->peer = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));   /* fails on Unix sockets: fine */
    listen_on(s, false);
    vit_char_port_start(&s->port, fd, fd);
    vit_char_event(&s->port.chr, VIT_CHAR_OPENED);
}

static void disconnected(VitChar *chr)
{
    Socket *s = (Socket *) chr;
    vit_char_port_stop(&s->port);
    if (s->peer >= 0)
        close(s->peer);
    s->peer = -1;
    vit_char_event(chr, VIT_CHAR_CLOSED);
    listen_on(s, true);
}

static void accept_ready(void *opaque, GIOCondition ready)
{
    Socket *s = opaque;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        connected(s, fd);
}

static void socket_finish(VitChar *chr)
{
    Socket *s = (Socket *) chr;
    vit_char_port_stop(&s->port);
    g_clear_pointer(&s->accept_watch, vit_io_watch_free);
    if (s->peer >= 0)
        close(s->peer);
    if (s->listener >= 0)
        close(s->listener);
    if (s->unlink_path)
        unlink(s->unlink_path);
    g_free(s->unlink_path);
}

static const VitCharBack socket_back = {
    .name = "socket", .write = vit_char_port_write, .accept_input = vit_char_port_accept_input,
    .finish = socket_finish,
};

/* ---- Addresses ------------------------------------------------------------------------------- */

typedef struct {
    char                    *text;      /* owned: for messages */
    struct sockaddr_storage  addr;
    socklen_t                length;
    bool                     server, wait;
} Address;

static bool parse_options(char **parts, Address *a, GError **error)
{
    a->wait = true;
    for (char **p = parts; *p; p++) {
        if (g_str_equal(*p, "server") || g_str_equal(*p, "server=on"))
            a->server = true;
        else if (g_str_equal(*p, "nowait") || g_str_equal(*p, "wait=off"))
            a->wait = false;
        else if (!g_str_equal(*p, "wait") && !g_str_equal(*p, "wait=on")
                 && !g_str_equal(*p, "server=off")) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        _("\"%s\" is no option of a character device on a socket: these are server "
                          "and nowait"),
                        *p);
            return false;
        }
    }
    return true;
}

static bool parse_unix(const char *path, Address *a, GError **error)
{
    struct sockaddr_un *un = (struct sockaddr_un *) (void *) &a->addr;
    if (!*path || strlen(path) >= sizeof(un->sun_path)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    _("The socket path \"%s\" must have 1 to %zu bytes"), path,
                    sizeof(un->sun_path) - 1);
        return false;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    a->length = sizeof(*un);
    return true;
}

static bool parse_tcp(const char *text, Address *a, GError **error)
{
    const char *colon = strrchr(text, ':');
    if (!colon || !colon[1]) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    _("\"tcp:%s\" has no port: write tcp:HOST:PORT"), text);
        return false;
    }
    g_autofree char *host = g_strndup(text, (gsize) (colon - text));
    size_t length = strlen(host);
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {     /* IPv6 */
        host[length - 1] = '\0';
        memmove(host, host + 1, length - 1);
    }
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    int code = getaddrinfo(*host ? host : "127.0.0.1", colon + 1, &hints, &found);
    if (code != 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND, _("Cannot find \"tcp:%s\": %s"),
                    text, gai_strerror(code));
        return false;
    }
    memcpy(&a->addr, found->ai_addr, found->ai_addrlen);
    a->length = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static bool fail(GError **error, const Address *a, const char *what)
{
    int code = errno;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code), _("Cannot %s %s: %s"), what,
                a->text, g_strerror(code));
    return false;
}

/* A socket file that nobody listens on is left over from a program that died. */
static void remove_stale(const Address *a)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *) (const void *) &a->addr;
    struct stat st;
    if (un->sun_family != AF_UNIX || lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *) &a->addr, a->length) != 0 && errno == ECONNREFUSED)
        unlink(un->sun_path);
    close(fd);
}

static char *bound_address(int fd)
{
    struct sockaddr_storage addr;
    socklen_t length = sizeof(addr);
    char host[64], port[16];
    if (getsockname(fd, (struct sockaddr *) &addr, &length) != 0 || addr.ss_family == AF_UNIX
        || getnameinfo((struct sockaddr *) &addr, length, host, sizeof(host), port, sizeof(port),
                       NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return NULL;
    return g_strdup_printf("%s:%s", host, port);
}

static int open_server(const Address *a, GError **error)
{
    int one = 1, fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fail(error, a, _("make a socket for"));
        return -1;
    }
    remove_stale(a);
    if (a->addr.ss_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *) &a->addr, a->length) != 0 || listen(fd, 4) != 0) {
        fail(error, a, _("listen on"));
        close(fd);
        return -1;
    }
    return fd;
}

static int open_client(const Address *a, GError **error)
{
    int fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *) &a->addr, a->length) != 0) {
        fail(error, a, _("connect to"));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static void set_nonblocking(int fd)
{
    g_unix_set_fd_nonblocking(fd, TRUE, NULL);
}

static VitChar *start(VitSystem *sys, const char *id, const Address *a, bool is_unix,
                      GError **error)
{
    int listener = -1, peer = -1;
    if (a->server) {
        listener = open_server(a, error);
        if (listener < 0)
            return NULL;
        if (a->wait) {
            g_message("%s: waiting for a connection to %s", id, a->text);
            do
                peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            while (peer < 0 && errno == EINTR);
        }
    } else if ((peer = open_client(a, error)) < 0) {
        return NULL;
    }
    Socket *s = g_new0(Socket, 1);
    s->listener = listener;
    s->peer = s->port.in = s->port.out = -1;
    s->port.closed = disconnected;
    if (a->server && is_unix)
        s->unlink_path = g_strdup(((const struct sockaddr_un *) (const void *) &a->addr)->sun_path);
    s->port.chr.address = is_unix ? g_strdup(a->text) : bound_address(a->server ? listener : peer);
    vit_char_init(&s->port.chr, sys, id, &socket_back);
    vit_system_lock(sys);
    if (listener >= 0) {
        set_nonblocking(listener);
        s->accept_watch = vit_io_watch_new_locked(sys->thread, &sys->lock, listener, G_IO_IN,
                                                  accept_ready, s);
    }
    if (peer >= 0) {
        set_nonblocking(peer);
        connected(s, peer);
    }
    vit_system_unlock(sys);
    return &s->port.chr;
}

VitChar *vit_char_open_socket(VitSystem *sys, const char *id, const char *kind, const char *rest,
                              GError **error)
{
    g_auto(GStrv) parts = g_strsplit(rest, ",", -1);
    Address a = { 0 };
    const char *where = parts[0] ? parts[0] : "";
    bool is_unix = strcmp(kind, "unix") == 0;
    if ((is_unix ? !parse_unix(where, &a, error) : !parse_tcp(where, &a, error))
        || (parts[0] && !parse_options(parts + 1, &a, error)))
        return NULL;
    g_autofree char *text = g_strdup_printf("%s:%s", kind, where);
    a.text = text;
    return start(sys, id, &a, is_unix, error);
}
