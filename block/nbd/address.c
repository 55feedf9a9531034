/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/address.c - see address.h */
#include "block/nbd/address.h"

#include "block/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128, UNIX_BUFFER = 2 << 20, MAX_LISTEN = 16, CONNECT_SECONDS = 30 };

void vit_nbd_address_clear(VitNbdAddress *a)
{
    g_free(a->host);
    g_free(a->port);
    g_free(a->path);
    g_free(a->name);
    *a = (VitNbdAddress){ 0 };
}

static bool take_members(VitBlockArgs *args, int type, VitNbdAddress *a, GError **error)
{
    if (type == 1) {
        a->path = g_strdup(vit_block_args_str(args, "path"));
        if (!a->path)
            return vit_block_args_fail_missing(args, "path", error,
                                               _("Parameter 'path' is missing"));
    } else if (type == 2) {
        a->name = g_strdup(vit_block_args_str(args, "str"));
        if (!a->name)
            return vit_block_args_fail_missing(args, "str", error, _("Parameter 'str' is missing"));
    } else {
        a->host = g_strdup(vit_block_args_str(args, "host"));
        a->port = g_strdup(vit_block_args_str(args, "port"));
        if (!a->host)
            return vit_block_args_fail_missing(args, "host", error,
                                               _("Parameter 'host' is missing"));
        if (!vit_block_args_bool(args, "ipv4", &a->ipv4, error) ||
            !vit_block_args_bool(args, "ipv6", &a->ipv6, error))
            return false;
    }
    return true;
}

bool vit_nbd_address_take(VitBlockArgs *args, VitNbdAddress *a, GError **error)
{
    static const char *const types[] = { "inet", "unix", "fd", NULL };
    int type = -1;

    if (!vit_block_args_enum(args, "type", types, &type, error)) return false;
    if (type < 0)
        type = vit_block_args_has(args, "path") ? 1 : vit_block_args_has(args, "host") ? 0 : -1;
    if (type < 0)
        return vit_block_args_fail_missing(args, "type", error, _("Parameter 'type' is missing"));
    g_autoptr(VitBlockArgs) data = vit_block_args_sub(args, "data");
    bool good = take_members(data ?: args, type, a, error) &&
                (!data || vit_block_args_finish(data, error)) && vit_block_args_finish(args, error);
    if (!good) vit_nbd_address_clear(a);
    return good;
}

char *vit_nbd_address_text(const VitNbdAddress *a)
{
    if (a->path) return g_strdup(a->path);
    if (a->name) return g_strdup(a->name);
    bool six = strchr(a->host, ':') != NULL;
    return g_strdup_printf("%s%s%s:%s", six ? "[" : "", a->host, six ? "]" : "",
                           a->port ?: "10809");
}

void vit_nbd_address_tune(int fd)
{
    int one = 1, size = UNIX_BUFFER;
    struct sockaddr_storage name;
    socklen_t length = sizeof name;

    if (getsockname(fd, (struct sockaddr *)&name, &length) == 0 && name.ss_family == AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
}

static bool fill_unix(const VitNbdAddress *a, struct sockaddr_un *name, GError **error)
{
    *name = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(a->path) >= sizeof name->sun_path)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("UNIX socket path '%s' is too long: Path must be less than %zu bytes"), a->path,
            sizeof name->sun_path);
    memcpy(name->sun_path, a->path, strlen(a->path) + 1);
    return true;
}

static struct addrinfo *look_up(const VitNbdAddress *a, bool passive, GError **error)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0 };
    struct addrinfo *found = NULL;
    const char *port = a->port && *a->port ? a->port : "10809";

    if (a->ipv4 != a->ipv6) hints.ai_family = a->ipv4 ? AF_INET : AF_INET6;
    int code = getaddrinfo(*a->host ? a->host : NULL, port, &hints, &found);
    if (code != 0)
        vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                       _("address resolution failed for %s:%s: %s"), a->host, port,
                       gai_strerror(code));
    return code == 0 ? found : NULL;
}

static int connect_one(const struct sockaddr *name, socklen_t length)
{
    int fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), code;
    const struct timeval patience = { .tv_sec = CONNECT_SECONDS }; /* also bounds connect() */

    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    do code = connect(fd, name, length);
    while (code < 0 && errno == EINTR);
    if (code < 0) {
        code = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
        close(fd);
        return code;
    }
    return fd;
}

int vit_nbd_address_connect(const VitNbdAddress *a, GError **error)
{
    int fd = -EINVAL;

    if (a->path) {
        struct sockaddr_un name;
        if (!fill_unix(a, &name, error)) return -1;
        fd = connect_one((struct sockaddr *)&name, sizeof name);
    } else if (a->host) {
        struct addrinfo *found = look_up(a, false, error);
        if (!found) return -1;
        for (struct addrinfo *i = found; i && fd < 0; i = i->ai_next)
            fd = connect_one(i->ai_addr, i->ai_addrlen);
        freeaddrinfo(found);
    }
    if (fd < 0) {
        g_autofree char *text = vit_nbd_address_text(a);
        vit_block_fail_errno(error, fd, _("Failed to connect to '%s'"), text);
        return -1;
    }
    return fd;
}

static bool listen_one(const struct sockaddr *name, socklen_t length, const char *path, GArray *fds,
                       GError **error)
{
    int one = 1, fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const char *what = "create";

    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (name->sa_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        what = "bind";
        if (bind(fd, name, length) == 0) {
            what = "listen";
            if (listen(fd, BACKLOG) == 0) {
                g_array_append_val(fds, fd);
                return true;
            }
        }
    }
    int code = -errno;
    if (fd >= 0) close(fd);
    return vit_block_fail_errno(error, code, _("Failed to %s socket%s%s"), what, path ? " to " : "",
                                path ?: "");
}

bool vit_nbd_address_listen(const VitNbdAddress *a, GArray *fds, GError **error)
{
    if (a->path) {
        struct sockaddr_un name;
        struct stat st;
        if (!fill_unix(a, &name, error)) return false;
        if (lstat(a->path, &st) == 0 && S_ISSOCK(st.st_mode)) unlink(a->path);
        return listen_one((struct sockaddr *)&name, sizeof name, a->path, fds, error);
    }
    if (a->name) {
        guint64 number;
        int fd;
        if (!g_ascii_string_to_unsigned(a->name, 10, 0, G_MAXINT, &number, NULL))
            return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                                  _("No file descriptor named '%s' found"), a->name);
        fd = (int)number;
        if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
            return vit_block_fail_errno(error, -errno, _("File descriptor '%s'"), a->name);
        g_array_append_val(fds, fd);
        return true;
    }
    struct addrinfo *found = look_up(a, true, error);
    if (!found) return false;
    g_autoptr(GError) why = NULL;
    for (struct addrinfo *i = found; i && fds->len < MAX_LISTEN; i = i->ai_next) {
        g_clear_error(&why);
        (void)listen_one(i->ai_addr, i->ai_addrlen, NULL, fds, &why);
    }
    freeaddrinfo(found);
    if (fds->len > 0) return true;
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}
