/* engine/core/region.c - the region tree: making, placing and changing regions
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A change climbs from its region through parents and aliases to every root that shows it and has
 * the address spaces there publish a new view.  Machine lock held throughout. */
#include "engine/core/memory-private.h"

#include <string.h>

enum { MAX_DEPTH = 64 };    /* of nested containers and aliases */

static void climb(VitRegion *region, unsigned depth)
{
    if (depth > MAX_DEPTH)
        return;
    for (guint i = 0; i < region->spaces->len; i++)
        vit_as_changed(region->spaces->pdata[i]);
    for (guint i = 0; i < region->aliases->len; i++)
        climb(region->aliases->pdata[i], depth + 1);
    if (region->parent)
        climb(region->parent, depth + 1);
}

static void changed(VitRegion *region)
{
    climb(region, 0);
}

/* Whether needle is region or shown somewhere below it. */
static bool shows(const VitRegion *region, const VitRegion *needle, unsigned depth)
{
    if (region == needle || depth > MAX_DEPTH)
        return true;
    if (region->target && shows(region->target, needle, depth + 1))
        return true;
    for (guint i = 0; i < region->children->len; i++)
        if (shows(region->children->pdata[i], needle, depth + 1))
            return true;
    return false;
}

static VitRegion *region_new(const char *name, RegionKind kind, uint64_t size)
{
    VitRegion *region = g_new0(VitRegion, 1);
    region->kind = kind;
    region->name = g_strdup(name);
    region->size = size;
    region->enabled = true;
    region->children = g_ptr_array_new();
    region->aliases = g_ptr_array_new();
    region->spaces = g_ptr_array_new();
    return region;
}

VitRegion *vit_region_new_container(const char *name, uint64_t size)
{
    return region_new(name, REGION_CONTAINER, size);
}

static VitRegion *ram_region(const char *name, RegionKind kind, VitRam *ram, uint64_t ram_offset,
                             uint64_t size)
{
    VitRegion *region = region_new(name, kind, size);
    region->ram = ram;
    region->ram_offset = ram_offset;
    region->readonly = kind == REGION_ROM;
    return region;
}

VitRegion *vit_region_new_ram(const char *name, VitRam *ram, uint64_t ram_offset, uint64_t size)
{
    return ram_region(name, REGION_RAM, ram, ram_offset, size);
}

VitRegion *vit_region_new_rom(const char *name, VitRam *ram, uint64_t ram_offset, uint64_t size)
{
    return ram_region(name, REGION_ROM, ram, ram_offset, size);
}

VitRegion *vit_region_new_mmio(const char *name, const VitMmioOps *ops, void *opaque,
                               uint64_t size)
{
    VitRegion *region = region_new(name, REGION_MMIO, size);
    region->ops = ops;
    region->opaque = opaque;
    return region;
}

VitRegion *vit_region_new_alias(const char *name, VitRegion *target, uint64_t offset,
                                uint64_t size)
{
    VitRegion *region = region_new(name, REGION_ALIAS, size);
    region->target = target;
    region->alias_offset = offset;
    g_ptr_array_add(target->aliases, region);
    return region;
}

void vit_region_free(VitRegion *region)
{
    if (!region)
        return;
    if (region->parent)
        vit_region_remove(region->parent, region);
    while (region->children->len)
        vit_region_remove(region, region->children->pdata[0]);
    if (region->target)
        g_ptr_array_remove_fast(region->target->aliases, region);
    while (region->aliases->len) {
        VitRegion *alias = region->aliases->pdata[0];
        alias->target = NULL;
        g_ptr_array_remove_index_fast(region->aliases, 0);
        changed(alias);
    }
    while (region->spaces->len) {
        VitAddressSpace *as = region->spaces->pdata[0];
        g_ptr_array_remove_index_fast(region->spaces, 0);
        as->root = NULL;
        vit_as_changed(as);
    }
    g_ptr_array_unref(region->children);
    g_ptr_array_unref(region->aliases);
    g_ptr_array_unref(region->spaces);
    g_free(region->name);
    g_free(region);
}

const char *vit_region_name(const VitRegion *region)
{
    return region->name;
}

uint64_t vit_region_size(const VitRegion *region)
{
    return region->size;
}

void vit_region_add(VitRegion *parent, uint64_t offset, VitRegion *child, int priority)
{
    if (child->parent) {
        g_critical("region \"%s\" is added to \"%s\" while it is in \"%s\"", child->name,
                   parent->name, child->parent->name);
        return;
    }
    if (shows(child, parent, 0)) {
        g_critical("region \"%s\" would contain itself", child->name);
        return;
    }
    child->parent = parent;
    child->offset = offset;
    child->priority = priority;
    guint at = 0;
    while (at < parent->children->len
           && ((VitRegion *) parent->children->pdata[at])->priority >= priority)
        at++;
    g_ptr_array_insert(parent->children, (int) at, child);
    changed(parent);
}

void vit_region_remove(VitRegion *parent, VitRegion *child)
{
    if (child->parent != parent)
        return;
    g_ptr_array_remove(parent->children, child);
    child->parent = NULL;
    changed(parent);
}

void vit_region_set_enabled(VitRegion *region, bool enabled)
{
    if (region->enabled == enabled)
        return;
    region->enabled = enabled;
    changed(region);
}

void vit_region_set_readonly(VitRegion *region, bool readonly)
{
    if (region->readonly == readonly)
        return;
    region->readonly = readonly;
    changed(region);
}

void vit_region_move(VitRegion *region, uint64_t offset)
{
    if (region->offset == offset)
        return;
    region->offset = offset;
    changed(region);
}

void vit_region_set_alias_offset(VitRegion *alias, uint64_t offset)
{
    if (alias->alias_offset == offset)
        return;
    alias->alias_offset = offset;
    changed(alias);
}

void vit_region_resize(VitRegion *region, uint64_t size)
{
    if (region->size == size)
        return;
    region->size = size;
    changed(region);
}

bool vit_region_is_mapped(const VitRegion *region)
{
    return region->parent != NULL;
}

char *vit_region_check(const VitRegion *root)
{
    for (guint i = 0; i < root->children->len; i++) {
        const VitRegion *a = root->children->pdata[i];
        for (guint k = i + 1; k < root->children->len; k++) {
            const VitRegion *b = root->children->pdata[k];
            if (b->priority != a->priority)
                break;
            bool apart = a->offset < b->offset ? b->offset - a->offset >= a->size
                                               : a->offset - b->offset >= b->size;
            if (a->enabled && b->enabled && !apart && a->size && b->size)
                return g_strdup_printf(
                    "\"%s\" at %#" G_GINT64_MODIFIER "x and \"%s\" at %#" G_GINT64_MODIFIER
                    "x overlap in \"%s\" with equal priority %d", a->name, a->offset, b->name,
                    b->offset, root->name, a->priority);
        }
        char *below = vit_region_check(a);
        if (below)
            return below;
    }
    return NULL;
}
