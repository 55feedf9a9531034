/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/drive-props.c - see drive-props.h */
#include "hw/drive-props.h"

#include "engine/core/options.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static bool bad(GError **error, const char *id, const char *key, const char *value,
                const char *words)
{
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("%s: %s=%s is none of %s"), id,
                key, value, words);
    return false;
}

/* "auto" leaves what the drive has. */
static bool parse(const char *text, bool write, VitBlockOnError *value)
{
    VitBlockOnError given = VIT_ON_ERROR_AUTO;

    if (text && !vit_block_on_error_parse(text, write, &given)) return false;
    if (given != VIT_ON_ERROR_AUTO) *value = given;
    return true;
}

static bool take_cache(const VitDriveProps *p, VitBlockNode *node, bool *cache)
{
    const char *text = p->write_cache ?: "auto";

    if (strcmp(text, "auto") != 0) return vit_parse_bool(text, cache);
    *cache = !node || !vit_block_info(node).write_through;
    return true;
}

bool vit_drive_props_apply(const VitDriveProps *p, VitBlockNode *node, const char *id, bool *cache,
                           GError **error)
{
    VitBlockOnError read = VIT_ON_ERROR_AUTO, write = VIT_ON_ERROR_AUTO;
    uint32_t granularity = p->discard_granularity;

    if (node) vit_block_get_on_error(node, &read, &write);
    if (!parse(p->rerror, false, &read))
        return bad(error, id, "rerror", p->rerror, "report, ignore, stop, auto");
    if (!parse(p->werror, true, &write))
        return bad(error, id, "werror", p->werror, "report, ignore, enospc, stop, auto");
    if (!take_cache(p, node, cache))
        return bad(error, id, "write-cache", p->write_cache, "on, off, auto");
    if (granularity != VIT_DRIVE_AUTO && (granularity % 512 || granularity & (granularity - 1))) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: discard_granularity must be a power of two of at least 512"), id);
        return false;
    }
    if (node) vit_block_set_on_error(node, read, write);
    return true;
}
