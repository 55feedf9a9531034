/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/throttle/submit.h - a node's requests under the limits of a group */
#pragma once
#include "block/driver.h"
#include "block/throttle/pool.h"

/* Submits child (a child request of node) to node->file, when the limits let it run.  Flushes never
 * wait; writes, zeroes and discards are writes to the group. */
void vit_throttle_submit(VitThrottleMember *member, VitBlockNode *node, VitBlockRequest *child);
