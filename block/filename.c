/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/filename.c - names of images: paths, "protocol:..." and "json:{...}" */
#include "block/drivers.h"
#include "block/node-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/stat.h>

char *vit_block_filename_protocol(const char *filename)
{
    size_t n = strspn(filename,
                      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._");

    return n > 0 && filename[n] == ':' ? g_strndup(filename, n) : NULL;
}

const VitBlockDriver *vit_block_protocol_driver(const char *protocol)
{
    for (const VitBlockDriver *const *d = vit_block_drivers(); *d; d++) {
        if ((*d)->protocols && g_strv_contains((*d)->protocols, protocol)) return *d;
    }
    return NULL;
}

char *vit_block_filename_join(const char *base, const char *name)
{
    g_autofree char *own = vit_block_filename_protocol(name),
                    *theirs = vit_block_filename_protocol(base);

    if (own || g_path_is_absolute(name)) return g_strdup(name);
    if (theirs) {
        const char *slash = strrchr(base, '/');
        return slash ? g_strdup_printf("%.*s/%s", (int)(slash - base), base, name) : g_strdup(name);
    }
    g_autofree char *folder = g_path_get_dirname(base);
    return strcmp(folder, ".") == 0 && base[0] != '.' ? g_strdup(name)
                                                      : g_build_filename(folder, name, NULL);
}

JsonObject *vit_block_filename_options(const char *filename, VitIoThread *thread, GError **error)
{
    g_autofree char *protocol = vit_block_filename_protocol(filename);
    const VitBlockDriver *driver = NULL;

    if (protocol && strcmp(protocol, "json") == 0) {
        g_autoptr(JsonParser) parser = json_parser_new();
        g_autoptr(GError) why = NULL;
        if (!json_parser_load_from_data(parser, filename + strlen("json:"), -1, &why) ||
            !json_parser_get_root(parser)) {
            vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                           _("Could not parse the JSON options: %s"),
                           why ? why->message : _("Expecting a JSON value"));
            return NULL;
        }
        if (!JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser))) {
            vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Invalid JSON object given"));
            return NULL;
        }
        return json_node_dup_object(json_parser_get_root(parser));
    }
    if (protocol && !(driver = vit_block_protocol_driver(protocol))) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Unknown protocol '%s'"), protocol);
        return NULL;
    }
    if (!driver) {
        struct stat st;
        bool device = stat(filename, &st) == 0 && (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode));
        driver = device ? &vit_block_host_device_driver : &vit_block_file_driver;
    }
    driver = vit_co_driver_load(driver, thread, error);
    return driver ? vit_block_filename_options_of(filename, driver, error) : NULL;
}

JsonObject *vit_block_filename_options_of(const char *filename, const VitBlockDriver *driver,
                                          GError **error)
{
    g_autofree char *protocol = vit_block_filename_protocol(filename);
    g_autoptr(JsonObject) options = json_object_new();

    json_object_set_string_member(options, "driver", driver->name);
    if (driver->parse_filename)
        return driver->parse_filename(filename, options, error) ? g_steal_pointer(&options) : NULL;
    bool own = protocol && vit_block_protocol_driver(protocol) == driver;
    json_object_set_string_member(options, "filename",
                                  own ? filename + strlen(protocol) + 1 : filename);
    return g_steal_pointer(&options);
}
