/* engine/core/char-stdio.c - the tool's own terminal or pipes as a host end; files; the null end
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * O_NONBLOCK belongs to an open file, which the calling shell shares, so standard input and output
 * are opened anew where that is possible (terminals, pipes, files; not sockets, which have
 * MSG_DONTWAIT). */
#include "engine/core/char-private.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* ---- Terminal -------------------------------------------------------------------------------- */

typedef struct {
    VitCharPort    port;            /* first member */
    int            own_in, own_out; /* opened anew, owned; -1: 0 and 1 themselves are used */
    bool           raw;             /* the terminal's modes are to be put back */
    struct termios modes;
} Stdio;

static int open_anew(int fd, int flags)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void stdio_finish(VitChar *chr)
{
    Stdio *s = (Stdio *) chr;
    vit_char_port_stop(&s->port);
    if (s->raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &s->modes);
    if (s->own_in >= 0)
        close(s->own_in);
    if (s->own_out >= 0)
        close(s->own_out);
}

static const VitCharBack stdio_back = {
    .name = "stdio", .write = vit_char_port_write, .accept_input = vit_char_port_accept_input,
    .finish = stdio_finish,
};

/* As terminals of other machines do: no line editing, no echo; Ctrl-C ends the program unless the
 * monitor has the terminal. A process in the background leaves the terminal alone. */
static void make_raw(Stdio *s, bool monitor)
{
    if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp()
        || tcgetattr(STDIN_FILENO, &s->modes) != 0)
        return;
    struct termios raw = s->modes;
    raw.c_iflag &= (tcflag_t) ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | IEXTEN | (monitor ? ISIG : 0));
    raw.c_cflag = (raw.c_cflag & (tcflag_t) ~(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    s->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

VitChar *vit_char_open_stdio(VitSystem *sys, const char *id, bool monitor, GError **error)
{
    if (fcntl(STDOUT_FILENO, F_GETFD) < 0) {
        g_set_error_literal(
            error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
            _("Standard output is closed; use file:PATH for the serial port instead"));
        return NULL;
    }
    for (guint i = 0; i < sys->chars->len; i++) {
        const VitChar *other = sys->chars->pdata[i];
        if (other->back == &stdio_back) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                        _("\"%s\" has the terminal already; use pty or file:PATH for \"%s\""),
                        other->id, id);
            return NULL;
        }
    }
    fflush(stdout);
    Stdio *s = g_new0(Stdio, 1);
    vit_char_init(&s->port.chr, sys, id, &stdio_back);
    s->port.chr.connected = true;
    s->own_in = open_anew(STDIN_FILENO, O_RDONLY);
    s->own_out = open_anew(STDOUT_FILENO, O_WRONLY | O_APPEND);
    make_raw(s, monitor);
    s->port.chr.escapes = monitor || isatty(STDIN_FILENO);
    int in = s->own_in >= 0 ? s->own_in : fcntl(STDIN_FILENO, F_GETFD) >= 0 ? STDIN_FILENO : -1;
    vit_system_lock(sys);
    vit_char_port_start(&s->port, in, s->own_out >= 0 ? s->own_out : STDOUT_FILENO);
    vit_system_unlock(sys);
    return &s->port.chr;
}

/* ---- Files ----------------------------------------------------------------------------------- */

typedef struct {
    VitChar chr;            /* first member */
    int     fd;             /* owned */
    bool    failed;         /* reported; what follows is dropped */
} File;

static size_t file_write(VitChar *chr, const uint8_t *data, size_t size)
{
    File *file = (File *) chr;
    for (size_t done = 0; done < size && !file->failed;) {
        ssize_t n = write(file->fd, data + done, size - done);
        if (n >= 0) {
            done += (size_t) n;
        } else if (errno != EINTR) {
            file->failed = true;
            g_warning("%s: cannot write %s: %s; its further output is lost", chr->id, chr->address,
                      g_strerror(errno));
        }
    }
    return size;
}

static void file_finish(VitChar *chr)
{
    close(((File *) chr)->fd);
}

static const VitCharBack file_back = { .name = "file", .write = file_write, .finish = file_finish };

VitChar *vit_char_open_file(VitSystem *sys, const char *id, const char *path, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    _("Cannot write \"%s\": %s; name a file in a folder that is yours"), path,
                    g_strerror(errno));
        return NULL;
    }
    File *file = g_new0(File, 1);
    file->fd = fd;
    file->chr.connected = true;
    file->chr.address = g_strdup(path);
    vit_char_init(&file->chr, sys, id, &file_back);
    return &file->chr;
}

/* ---- Null ------------------------------------------------------------------------------------ */

static size_t null_write(VitChar *chr, const uint8_t *data, size_t size)
{
    return size;
}

static const VitCharBack null_back = { .name = "null", .write = null_write };

VitChar *vit_char_open_null(VitSystem *sys, const char *id)
{
    VitChar *chr = g_new0(VitChar, 1);
    chr->connected = true;
    vit_char_init(chr, sys, id, &null_back);
    return chr;
}
