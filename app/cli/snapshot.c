/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/snapshot.c - see snapshot.h */
#include "app/cli/snapshot.h"

#include "block/graph.h"
#include "engine/core/options.h"

#include <string.h>

/* What "snapshot.id=" and "snapshot.name=" say; NULL: not given. */
static bool parse(const VitOptions *given, const char **id, const char **name)
{
    for (unsigned i = 0; i < vit_options_count(given); i++) {
        const char *key = vit_options_key(given, i);
        if (!strcmp(key, "snapshot.id")) *id = vit_options_value(given, i);
        else if (!strcmp(key, "snapshot.name")) *name = vit_options_value(given, i);
        else return false;
    }
    return true;
}

static bool not_found(GError **error)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                          "Failed to load snapshot: Can't find snapshot");
}

/* The ID of the first snapshot that is both; owned by the caller; NULL: there is none. */
static char *find(VitBlockNode *node, const char *id, const char *name, GError **error)
{
    g_autoptr(GPtrArray)
        list = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_snapshot_free);

    if (!node->driver->co_snapshot_list(node, list, error)) return NULL;
    for (guint i = 0; i < list->len; i++) {
        const VitBlockSnapshot *s = list->pdata[i];
        if ((!id || !strcmp(s->id, id)) && (!name || !strcmp(s->name, name)))
            return g_strdup(s->id);
    }
    not_found(error);
    return NULL;
}

bool cli_co_load_snapshot(VitBlockNode *node, const char *text, GError **error)
{
    const VitBlockDriver *d = node->driver;
    bool pair = g_str_has_prefix(text, "snapshot.");
    const char *id = NULL, *name = NULL;
    g_autoptr(VitOptions) given = NULL;
    g_autoptr(GError) reason = NULL;
    g_autofree char *found = NULL;

    if (pair && !(given = vit_options_parse("-l", text, NULL, error))) return false;
    if (pair && !parse(given, &id, &name))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              "Failed in parsing snapshot param '%s'", text);
    if (!d->co_snapshot_load || !d->co_snapshot_list)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              "Failed to load snapshot: Block format '%s' used by device '' does "
                              "not support temporarily loading internal snapshots",
                              d->name);
    if (pair && !(found = find(node, id, name, error))) return false;
    if (d->co_snapshot_load(node, found ?: text, &reason)) return true;
    if (g_str_has_prefix(reason->message, "Failed to load snapshot")) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "Failed to load snapshot: %s",
                          vit_block_error_text(reason));
}
