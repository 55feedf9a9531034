/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/amend.h - the larger steps of amend.c; both wait and take `meta` themselves */
#pragma once
#include "block/qcow2/bitmap.h"

/* amend-refcounts.c: refcounts of 1 << order bits.  Refused, with nothing changed, when one is too
 * high. */
[[nodiscard]] bool vit_qcow2_amend_refcounts(VitQcow2 *q, unsigned order, VitBlockProgress progress,
                                             void *opaque, GError **error);
/* amend-zeroes.c: leaves no zero cluster in the image, which version 2 does not know. */
[[nodiscard]] bool vit_qcow2_amend_zeroes(VitQcow2 *q, VitBlockProgress progress, void *opaque,
                                          GError **error);
