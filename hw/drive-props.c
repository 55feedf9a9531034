/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/drive-props.c - see drive-props.h */
#include "hw/drive-props.h"

#include "block/driver.h"
#include "engine/core/options.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static bool bad(GError **error, const char *id, const char *key, const char *value,
                const char *words)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("%s: %s=%s is none of %s"), id, key,
                          value, words);
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

static bool check_block(const char *id, const char *key, uint64_t bytes, GError **error)
{
    enum { LEAST = 512, MOST = 2 << 20 };

    if (bytes >= LEAST && bytes <= MOST && (bytes & (bytes - 1)) == 0) return true;
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("%s: parameter %s must be a power of 2 between %d and %d"), id, key,
                          LEAST, MOST);
}

static bool check_multiple(const char *id, const char *key, uint64_t bytes, uint64_t block,
                           GError **error)
{
    if (bytes % block == 0) return true;
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("%s: %s must be a multiple of logical_block_size"), id, key);
}

static bool check_sizes(VitDriveProps *p, VitBlockNode *node, const char *id, GError **error)
{
    uint64_t own = node ? vit_block_info(node).logical_block : 512;

    if (!p->logical_block) p->logical_block = own;
    if (!p->physical_block) p->physical_block = own;
    if (!check_block(id, "logical_block_size", p->logical_block, error) ||
        !check_block(id, "physical_block_size", p->physical_block, error))
        return false;
    if (p->logical_block > p->physical_block)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("%s: logical_block_size > physical_block_size not supported"), id);
    if (!check_multiple(id, "min_io_size", p->min_io, p->logical_block, error) ||
        !check_multiple(id, "opt_io_size", p->opt_io, p->logical_block, error))
        return false;
    if (p->min_io / p->logical_block > UINT16_MAX)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("%s: min_io_size must not exceed %d logical blocks"), id,
                              UINT16_MAX);
    if (p->opt_io > UINT32_MAX)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("%s: opt_io_size must not exceed %u"), id, UINT32_MAX);
    if (p->discard_granularity == VIT_DRIVE_AUTO) return true;
    if (p->discard_granularity > UINT32_MAX)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("%s: discard_granularity must not exceed %u"), id, UINT32_MAX);
    return check_multiple(id, "discard_granularity", p->discard_granularity, p->logical_block,
                          error);
}

bool vit_drive_props_apply(VitDriveProps *p, VitBlockNode *node, const char *id, bool *cache,
                           GError **error)
{
    VitBlockOnError read = VIT_ON_ERROR_AUTO, write = VIT_ON_ERROR_AUTO;

    if (node) vit_block_get_on_error(node, &read, &write);
    if (!parse(p->rerror, false, &read))
        return bad(error, id, "rerror", p->rerror, "report, ignore, stop, auto");
    if (!parse(p->werror, true, &write))
        return bad(error, id, "werror", p->werror, "report, ignore, enospc, stop, auto");
    if (!take_cache(p, node, cache))
        return bad(error, id, "write-cache", p->write_cache, "on, off, auto");
    if (!check_sizes(p, node, id, error)) return false;
    if (node) vit_block_set_on_error(node, read, write);
    return true;
}
