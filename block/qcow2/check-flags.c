/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/check-flags.c - repairs COPIED flags: set where exactly one entry leads to a cluster
 */
#include "block/qcow2/check.h"

#include <inttypes.h>

static bool wrong(const VitQcow2Check *c, uint64_t entry, uint32_t *refs)
{
    uint64_t offset = entry & VIT_QCOW2_OFFSET_MASK;

    if (offset == 0 || offset & (c->q->cluster_size - 1)) return false;
    *refs = vit_qcow2_counts_get(&c->refs, offset >> c->q->cluster_bits);
    return (*refs == 1) != ((entry & VIT_QCOW2_COPIED) != 0);
}

static int fix_table(void *opaque, uint64_t index, uint8_t *table, int error)
{
    VitQcow2Check *c = opaque;
    VitQcow2 *q = c->q;
    bool changed = false;
    uint32_t refs;

    if (!table) return error;
    for (uint64_t at = 0; at < q->cluster_size; at += q->l2_entry_size) {
        uint64_t entry = vit_get64(table + at);
        if (entry == 0 || (entry & VIT_QCOW2_COMPRESSED_BIT) || !wrong(c, entry, &refs)) continue;
        vit_block_check_say(c->result,
                            "Repairing OFLAG_COPIED data cluster: l2_entry=%" PRIx64 " refcount=%u",
                            entry, refs);
        vit_put64(table + at, entry ^ VIT_QCOW2_COPIED);
        c->result->corruptions++;
        c->result->corruptions_fixed++;
        changed = true;
    }
    return changed;
}

int vit_qcow2_check_fix_flags(VitQcow2Check *c)
{
    VitQcow2 *q = c->q;
    bool changed = false;
    uint32_t refs;
    int result = 0;

    for (uint32_t i = 0; i < q->l1_size; i++) {
        if (!wrong(c, q->l1[i], &refs)) continue;
        vit_block_check_say(c->result,
                            "Repairing OFLAG_COPIED L2 cluster: l1_index=%u l1_entry=%" PRIx64
                            " refcount=%u",
                            i, q->l1[i], refs);
        q->l1[i] ^= VIT_QCOW2_COPIED;
        c->result->corruptions++;
        c->result->corruptions_fixed++;
        changed = true;
    }
    if (!vit_qcow2_has_data_file(q))
        result = vit_qcow2_walk(q, q->l1, q->l1_size, VIT_QCOW2_OFFSET_MASK, fix_table, c);
    if (result == 0 && changed)
        result = vit_qcow2_bulk_write_l1(q, q->l1_offset, q->l1_size, q->l1);
    return result;
}
