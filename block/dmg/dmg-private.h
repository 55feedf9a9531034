/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/dmg/dmg-private.h - the table of chunks of a UDIF image */
#pragma once
#include "block/driver.h"

enum {
    DMG_MAX_CHUNK = 64 << 20, /* bytes, packed or not: what one read may have to unpack */
    DMG_MAX_CHUNKS = 1 << 22,
    DMG_MAX_PLIST = 64 << 20,
};

/* Kinds of chunks as stored. */
#define DMG_ZERO    0x00000000u
#define DMG_RAW     0x00000001u
#define DMG_IGNORE  0x00000002u
#define DMG_ADC     0x80000004u
#define DMG_ZLIB    0x80000005u
#define DMG_BZIP2   0x80000006u
#define DMG_LZFSE   0x80000007u
#define DMG_XZ      0x80000008u
#define DMG_COMMENT 0x7ffffffeu
#define DMG_END     0xffffffffu

typedef struct {
    uint64_t start, bytes; /* of the disk */
    uint64_t offset, packed; /* in the file */
    uint32_t kind;
} DmgChunk;

/* plist.c: the "blkx" tables (GBytes) of the XML property list and of a resource fork; NULL: error.
 */
GPtrArray *dmg_plist_tables(const char *text, size_t size, const char *name, GError **error);
GPtrArray *dmg_fork_tables(const uint8_t *fork, size_t size, const char *name, GError **error);

/* unpack.c: on a worker thread; 0 or -errno (-ENOTSUP: built without that compression). */
int dmg_unpack(uint32_t kind, const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size);
bool dmg_can_unpack(uint32_t kind);
