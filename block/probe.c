/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/probe.c - asks each format whether an image is its own
 *
 * An image shown raw by mistake is overwritten by the guest: formats that no driver reads are known
 * by their magic numbers, so that they can be refused. */
#include "block/drivers.h"
#include "block/node-private.h"

const VitBlockDriver *vit_block_probe(const uint8_t *head, size_t head_size, const uint8_t *tail,
                                      const char *filename)
{
    const VitBlockDriver *best = &vit_block_raw_driver;
    int best_score = 0;

    for (const VitBlockDriver *const *d = vit_block_drivers(); *d; d++) {
        int score = (*d)->probe ? (*d)->probe(head, head_size, tail, filename) : 0;
        if (score > best_score) {
            best = *d;
            best_score = score;
        }
    }
    return best;
}
