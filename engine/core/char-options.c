/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/char-options.c - "-chardev" values, told to vit_char_open() in -serial's notation */
#include "engine/core/char.h"
#include "engine/core/options.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

VitChar *vit_char_open_options(VitSystem *sys, const char *option, const char *text, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse(option, text, "backend", error);

    if (!options) return NULL;
    const char *backend = vit_options_take(options, "backend");
    const char *id = vit_options_take(options, "id"), *path = vit_options_take(options, "path");
    const char *host = vit_options_take(options, "host"), *port = vit_options_take(options, "port");
    bool server = false, wait = true;

    if (!vit_options_take_bool(options, "server", &server, error) ||
        !vit_options_take_bool(options, "wait", &wait, error) ||
        !vit_options_finish(options, error))
        return NULL;
    if (!backend || !id) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    _("%s %s: needs a backend and id=NAME"), option, text);
        return NULL;
    }
    if (vit_char_find(sys, id)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, _("%s %s: the id “%s” is given twice"),
                    option, text, id);
        return NULL;
    }
    g_autoptr(GString) spec = g_string_new(NULL);
    bool socket = strcmp(backend, "socket") == 0;
    if (socket)
        g_string_append_printf(spec, path ? "unix:%s" : "tcp:%s", path ?: host ?: "127.0.0.1");
    else g_string_append_printf(spec, path ? "%s:%s" : "%s", backend, path);
    if (socket && port) g_string_append_printf(spec, ":%s", port);
    if (server) g_string_append(spec, wait ? ",server" : ",server,nowait");
    return vit_char_open(sys, id, spec->str, error);
}
