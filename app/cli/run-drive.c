/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/run-drive.c - "-drive": names, defaults and messages are QEMU's */
#include "app/cli/run-drive.h"

#include "app/cli/run-options.h"
#include "engine/core/options.h"

#include <string.h>

/* The index of a word; words ends with NULL.  The option's absence leaves *value alone. */
static bool take_word(VitOptions *o, const char *key, const char *const *words, int *value,
                      GError **error)
{
    const char *text = vit_options_take(o, key);

    if (!text) return true;
    for (int i = 0; words[i]; i++) {
        if (!strcmp(words[i], text)) {
            *value = i;
            return true;
        }
    }
    g_autofree char *all = g_strjoinv(", ", (char **)words);
    return run_fail(error, "-drive: %s=%s is not known; %s are", key, text, all);
}

/* A word that the engine reads itself; it stays NULL when it is not given. */
static bool take_text(VitOptions *o, const char *key, const char *const *words, char **member,
                      GError **error)
{
    int value = -1;

    if (!take_word(o, key, words, &value, error)) return false;
    if (value >= 0) *member = g_strdup(words[value]);
    return true;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static const struct {
    const char *name, *alias; /* alias NULL: none */
} limits[] = {
    { "bps-total", "bps" },
    { "bps-read", "bps_rd" },
    { "bps-write", "bps_wr" },
    { "iops-total", "iops" },
    { "iops-read", "iops_rd" },
    { "iops-write", "iops_wr" },
    { "bps-total-max", "bps_max" },
    { "bps-read-max", "bps_rd_max" },
    { "bps-write-max", "bps_wr_max" },
    { "iops-total-max", "iops_max" },
    { "iops-read-max", "iops_rd_max" },
    { "iops-write-max", "iops_wr_max" },
    { "bps-total-max-length", NULL },
    { "bps-read-max-length", NULL },
    { "bps-write-max-length", NULL },
    { "iops-total-max-length", NULL },
    { "iops-read-max-length", NULL },
    { "iops-write-max-length", NULL },
    { "iops-size", "iops_size" },
};

/* Either name of an option, in *value; NULL: neither was given. */
static bool take_either(VitOptions *o, const char *name, const char *alias, const char **value,
                        GError **error)
{
    const char *by_alias = alias ? vit_options_take(o, alias) : NULL;

    *value = vit_options_take(o, name);
    if (*value && by_alias)
        return run_fail(error, "-drive: '%s' and its alias '%s' can't be used at the same time",
                        name, alias);
    if (!*value) *value = by_alias;
    return true;
}

static bool take_limits(VitDriveConfig *d, VitOptions *o, GError **error)
{
    g_autoptr(GString) all = g_string_new(NULL);
    const char *value;

    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        g_autofree char *name = g_strconcat("throttling.", limits[i].name, NULL);
        uint64_t number;
        if (!take_either(o, name, limits[i].alias, &value, error)) return false;
        if (!value) continue;
        if (!vit_parse_uint(value, INT64_MAX, &number))
            return run_fail(error, "-drive: Parameter '%s' expects a number", name);
        g_string_append_printf(all, "%s%s=%s", all->len ? "," : "", limits[i].name, value);
    }
    if (!take_either(o, "throttling.group", "group", &value, error)) return false;
    d->throttle_group = g_strdup(value);
    if (all->len) d->throttle = g_strdup(all->str);
    return true;
}

/* ---- the cache ------------------------------------------------------------------------------- */

static bool take_cache(VitDriveConfig *d, VitOptions *o, GError **error)
{
    static const char *const modes[] = { "writeback",    "none",       "off", "unsafe",
                                         "writethrough", "directsync", NULL };
    static const struct {
        bool direct, no_flush, write_through;
    } meanings[] = {
        { false, false, false }, { true, false, false }, { true, false, false },
        { false, true, false },  { false, false, true }, { true, false, true },
    };
    int mode = 0;

    if (!take_word(o, "cache", modes, &mode, error)) return false;
    bool writeback = !meanings[mode].write_through;
    d->direct = meanings[mode].direct;
    d->no_flush = meanings[mode].no_flush;
    if (!vit_options_take_bool(o, "cache.direct", &d->direct, error) ||
        !vit_options_take_bool(o, "cache.no-flush", &d->no_flush, error) ||
        !vit_options_take_bool(o, "cache.writeback", &writeback, error))
        return false;
    d->write_through = !writeback;
    return true;
}

/* ---- where it is ----------------------------------------------------------------------------- */

static bool take_number(VitOptions *o, const char *key, int *member, GError **error)
{
    uint64_t value = UINT64_MAX;

    if (!vit_options_take_uint(o, key, 31, &value, error)) return false;
    if (value != UINT64_MAX) *member = (int)value;
    return true;
}

static bool take_place(VitDriveConfig *d, VitOptions *o, GError **error)
{
    static const char *const interfaces[] = { "ide", "virtio", "none", NULL };
    static const char *const media[] = { "disk", "cdrom", NULL };
    int interface = VIT_DRIVE_IDE, medium = 0;

    if (!take_word(o, "if", interfaces, &interface, error) ||
        !take_word(o, "media", media, &medium, error) ||
        !take_number(o, "index", &d->index, error) || !take_number(o, "bus", &d->bus, error) ||
        !take_number(o, "unit", &d->unit, error))
        return false;
    d->interface = (VitDriveInterface)interface;
    d->cdrom = medium == 1;
    if (d->index >= 0 && (d->bus >= 0 || d->unit >= 0))
        return run_fail(error, "-drive: index cannot be used with bus and unit");
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Options of images, which the block layer reads (and refuses by name). */
static bool is_image_option(const char *key)
{
    static const char *const names[] = {
        "node-name",
        "force-share",
        "offset",
        "size",
        "backing",
        "data-file",
        "lazy-refcounts",
        "l2-cache-size",
        "l2-cache-entry-size",
        "refcount-cache-size",
        "cache-size",
        "cache-clean-interval",
        "discard-no-unref",
        "pass-discard-request",
        "pass-discard-snapshot",
        "pass-discard-other",
        "key-secret",
        NULL,
    };
    static const char *const folders[] = { "file.", "backing.", "encrypt.", "data-file.", NULL };

    for (unsigned i = 0; folders[i]; i++) {
        if (g_str_has_prefix(key, folders[i])) return true;
    }
    return g_strv_contains(names, key);
}

static void take_image_options(VitDriveConfig *d, VitOptions *o)
{
    g_autoptr(GString) all = g_string_new(NULL);

    for (unsigned i = 0; i < vit_options_count(o); i++) {
        const char *key = vit_options_key(o, i);
        if (!is_image_option(key)) continue;
        g_auto(GStrv) parts = g_strsplit(vit_options_take(o, key), ",", -1);
        g_autofree char *doubled = g_strjoinv(",,", parts);
        g_string_append_printf(all, "%s%s=%s", all->len ? "," : "", key, doubled);
    }
    if (all->len) d->options = g_strdup(all->str);
}

static bool take_all(VitDriveConfig *d, VitOptions *o, GError **error)
{
    static const char *const aios[] = { "threads", "native", "io_uring", NULL };
    static const char *const detects[] = { "off", "on", "unmap", NULL };
    static const char *const discards[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const read_errors[] = { "report", "ignore", "stop", "auto", NULL };
    static const char *const write_errors[] = {
        "report", "ignore", "enospc", "stop", "auto", NULL
    };
    const char *text;
    int discard = 0;

    d->id = g_strdup(vit_options_take(o, "id"));
    d->serial = g_strdup(vit_options_take(o, "serial"));
    if (!take_either(o, "driver", "format", &text, error)) return false;
    d->format = g_strdup(text);
    if (!take_either(o, "read-only", "readonly", &text, error)) return false;
    if (text && !vit_parse_bool(text, &d->read_only))
        return run_fail(error, "-drive: Parameter 'read-only' expects 'on' or 'off'");
    if (!take_place(d, o, error) || !take_cache(d, o, error) || !take_limits(d, o, error) ||
        !vit_options_take_bool(o, "snapshot", &d->snapshot, error) ||
        !vit_options_take_bool(o, "auto-read-only", &d->auto_read_only, error) ||
        !vit_options_take_bool(o, "copy-on-read", &d->copy_on_read, error) ||
        !take_text(o, "aio", aios, &d->aio, error) ||
        !take_text(o, "detect-zeroes", detects, &d->detect_zeroes, error) ||
        !take_text(o, "rerror", read_errors, &d->rerror, error) ||
        !take_text(o, "werror", write_errors, &d->werror, error) ||
        !take_word(o, "discard", discards, &discard, error))
        return false;
    d->discard = discard >= 2;
    if (!g_strcmp0(d->aio, "native") && !d->direct)
        return run_fail(
            error, "-drive: aio=native was specified, but it requires cache.direct=on, which was "
                   "not specified.");
    take_image_options(d, o);
    if (!vit_options_finish(o, error)) return false;
    if (!d->file && !d->options && !d->cdrom) return run_fail(error, "-drive: file= is missing");
    return true;
}

VitDriveConfig *run_drive_parse(const char *text, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-drive", text, NULL, error);

    if (!options) return NULL;
    VitDriveConfig *d = vit_drive_config_new(vit_options_take(options, "file"));
    if (take_all(d, options, error)) return d;
    vit_drive_config_free(d);
    return NULL;
}
