/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/request-private.h - between the files that requests go through: request.c, perform.c,
 * failures.c; all on the node's thread */
#pragma once
#include "block/driver.h"

/* Slots of node_private; drivers use 0 and 1. */
enum { VIT_REQUEST_NODE = 3, VIT_REQUEST_UNCOUNTED = 2 };

/* perform.c: what the driver does about a request that has been checked; on a fiber. */
int vit_co_request_perform(VitBlockNode *node, const VitBlockRequest *req);

/* request.c */
void vit_request_dispatch(VitBlockNode *node, VitBlockRequest *req); /* one that is counted */
void vit_request_account(VitBlockNode *node, const VitBlockRequest *req, int result);
void vit_request_leave(VitBlockNode *node); /* one is not in flight any more */
void vit_request_end(VitBlockNode *node, VitBlockRequest *req); /* by req->result */

/* failures.c: the same for one that has failed; it may be held instead. */
void vit_request_end_failed(VitBlockNode *node, VitBlockRequest *req);
