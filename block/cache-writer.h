/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/cache-writer.h - writes into one regular file through the host's page cache
 *
 * Belongs to one VitIoThread; results come on it, never inside submit or plug. */
#pragma once
#include "block/io-engine.h"

typedef struct VitCacheWriter VitCacheWriter;

VitCacheWriter *vit_cache_writer_new(VitIoThread *thread, int fd);
void vit_cache_writer_free(VitCacheWriter *writer);     /* nothing in flight; on the iothread */
/* io: a write that need not be durable. */
void vit_cache_writer_submit(VitCacheWriter *writer, VitIo *io);
void vit_cache_writer_plug(VitCacheWriter *writer, bool on);
