/* engine/core/char-pty.c - a pseudo-terminal as a host end
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The slave is held open here too: without any opener the master would report a hang-up without
 * end. Since nobody may be reading, a full queue loses its oldest bytes. */
#include "engine/core/char-private.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

typedef struct {
    VitCharPort port;           /* first member */
    int         master, slave;  /* owned */
} Pty;

static void pty_finish(VitChar *chr)
{
    Pty *pty = (Pty *) chr;
    vit_char_port_stop(&pty->port);
    close(pty->master);
    close(pty->slave);
}

static const VitCharBack pty_back = {
    .name = "pty", .write = vit_char_port_write, .accept_input = vit_char_port_accept_input,
    .finish = pty_finish,
};

VitChar *vit_char_open_pty(VitSystem *sys, const char *id, GError **error)
{
    char name[64];
    struct termios modes;
    int slave = -1, master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0
        || ptsname_r(master, name, sizeof(name)) != 0
        || (slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0
        || tcgetattr(slave, &modes) != 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    _("There is no pseudo-terminal to be had: %s"), g_strerror(errno));
        if (slave >= 0)
            close(slave);
        if (master >= 0)
            close(master);
        return NULL;
    }
    cfmakeraw(&modes);
    tcsetattr(slave, TCSANOW, &modes);
    Pty *pty = g_new0(Pty, 1);
    pty->master = master;
    pty->slave = slave;
    pty->port.lossy = true;
    pty->port.chr.connected = true;
    pty->port.chr.address = g_strdup(name);
    vit_char_init(&pty->port.chr, sys, id, &pty_back);
    vit_system_lock(sys);
    vit_char_port_start(&pty->port, master, master);
    vit_system_unlock(sys);
    return &pty->port.chr;
}
