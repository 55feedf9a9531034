/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/iothread-private.h - between iothread.c and fiber.c */
#pragma once
#include "engine/core/iothread.h"

typedef struct VitFibers VitFibers;     /* the fibers of one thread */

/* Where a thread keeps its fibers; used by the thread only. */
VitFibers **vit_io_thread_fibers(VitIoThread *thread);
/* fiber.c: when the thread has ended.  NULL is fine. */
void vit_fibers_free(VitFibers *fibers);
