/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/deferred.h - a call on the machine thread, under the machine lock, coalesced
 *
 * For data paths that must reach slow-path state (an INTx line, a config-change interrupt) and may
 * not wait for the machine lock. */
#pragma once
#include "engine/core/system.h"

typedef struct VitDeferred VitDeferred;

[[nodiscard]] VitDeferred *vit_deferred_new(VitSystem *sys, VitIoFunc fn, void *opaque);
void vit_deferred_schedule(VitDeferred *deferred);  /* any thread; several calls may become one */
void vit_deferred_free(VitDeferred *deferred);      /* fn is not called afterwards; NULL is fine */
