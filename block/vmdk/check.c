/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vmdk/check.c - "check": every entry of every table leads to a grain of its own in the file
 */
#include "block/vmdk/vmdk.h"

#include <errno.h>

static int by_place(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static int check_extent(Vmdk *v, VmdkExtent *e, VitBlockCheck *check)
{
    g_autoptr(GArray) places = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    uint64_t apart = e->compressed ? 1 : e->grain;

    for (uint64_t t = 0; t < e->tables; t++) {
        int result = vmdk_co_load_table(v, e, t);
        if (result < 0) return result;
        if (!e->table[t].at) continue;
        for (uint64_t i = 0; i < e->per_table; i++) {
            uint64_t at = e->table[t].at[i], grain = t * e->per_table + i;
            if (at < VMDK_FIRST_OFFSET) continue;
            if (at >= e->end)
                vit_block_check_corrupt(check,
                                        "ERROR: cluster offset for sector %" G_GUINT64_FORMAT
                                        " points after EOF",
                                        (e->start + grain * e->grain) / VMDK_SECTOR);
            else g_array_append_val(places, at);
        }
    }
    g_array_sort(places, by_place);
    for (guint i = 1; i < places->len; i++) {
        uint64_t at = g_array_index(places, uint64_t, i);
        if (at - g_array_index(places, uint64_t, i - 1) < apart)
            vit_block_check_corrupt(
                check, "ERROR: the grain at offset %" G_GUINT64_FORMAT " is used twice", at);
    }
    return 0;
}

int vmdk_co_check(VitBlockNode *node, VitBlockCheck *check, unsigned fix)
{
    Vmdk *v = (Vmdk *)node;
    int result = 0;

    if (fix) return -ENOTSUP;
    for (unsigned i = 0; i < v->n_extents && result == 0; i++) {
        VmdkExtent *e = &v->extents[i];
        if (e->kind == VMDK_SPARSE || e->kind == VMDK_COWD) result = check_extent(v, e, check);
    }
    return result;
}
