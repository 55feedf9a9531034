/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vhdx/vhdx.h - between the files of the VHDX driver; structures of [MS-VHDX], little-endian
 *
 * Microsoft, "[MS-VHDX]: Virtual Hard Disk v2 (VHDX) File Format". */
#pragma once
#include "block/block-map.h"

enum : uint32_t { VHDX_MIB = 1 << 20, VHDX_LOG_SECTOR = 4096 };
enum : uint64_t {
    VHDX_HEADER_1 = 64 << 10,
    VHDX_HEADER_2 = 128 << 10,
    VHDX_REGIONS_1 = 192 << 10,
    VHDX_REGIONS_2 = 256 << 10,
    VHDX_MAX_SIZE = UINT64_C(64) << 40
};
enum { VHDX_REGION_TABLE = 64 << 10, VHDX_MAX_REGIONS = 2047, VHDX_MAX_METADATA = 2047 };
/* Section 2.5.1.1: states of a payload block. */
enum {
    VHDX_NOT_PRESENT,
    VHDX_UNDEFINED,
    VHDX_ZERO,
    VHDX_UNMAPPED,
    VHDX_FULL = 6,
    VHDX_PARTIAL = 7
};
enum : uint64_t { VHDX_STATE_MASK = 7, VHDX_PLACE_MASK = ~UINT64_C(0xfffff) };

typedef struct {
    uint8_t bytes[16];
} VhdxGuid;

/* clang-format off */
typedef struct __attribute__((packed)) {    /* 2.2.2; 4096 bytes are covered by the checksum */
    char     signature[4];                  /* "head" */
    uint32_t checksum;
    uint64_t sequence;
    VhdxGuid file_write, data_write, log;
    uint16_t log_version, version;
    uint32_t log_length;
    uint64_t log_offset;
    uint8_t  reserved[4016];
} VhdxHeader;

typedef struct __attribute__((packed)) {    /* 2.2.3 */
    char     signature[4];                  /* "regi" */
    uint32_t checksum, count, reserved;
} VhdxRegionTable;

typedef struct __attribute__((packed)) {
    VhdxGuid guid;
    uint64_t offset;
    uint32_t length, required;
} VhdxRegion;

typedef struct __attribute__((packed)) {    /* 2.6.1 */
    char     signature[8];                  /* "metadata" */
    uint16_t reserved, count;
    uint8_t  reserved2[20];
} VhdxMetadataTable;

typedef struct __attribute__((packed)) {
    VhdxGuid guid;
    uint32_t offset, length, flags, reserved;
} VhdxMetadata;

typedef struct __attribute__((packed)) {    /* 2.3.1.1 */
    char     signature[4];                  /* "loge" */
    uint32_t checksum, length, tail;
    uint64_t sequence;
    uint32_t descriptors, reserved;
    VhdxGuid log;
    uint64_t flushed_size, last_size;
} VhdxLogEntry;

typedef struct __attribute__((packed)) {    /* 2.3.1.2 and 2.3.1.3 */
    char     signature[4];                  /* "desc" or "zero" */
    uint32_t trailing;                      /* "zero": reserved */
    uint64_t leading;                       /* "zero": how many bytes */
    uint64_t offset, sequence;
} VhdxDescriptor;

typedef struct __attribute__((packed)) {    /* 2.3.1.4 */
    char     signature[4];                  /* "data" */
    uint32_t sequence_high;
    uint8_t  bytes[4084];
    uint32_t sequence_low;
} VhdxLogData;
/* clang-format on */
static_assert(sizeof(VhdxHeader) == 4096 && sizeof(VhdxRegion) == 32 && sizeof(VhdxMetadata) == 32);
static_assert(sizeof(VhdxLogEntry) == 64 && sizeof(VhdxDescriptor) == 32 &&
              sizeof(VhdxLogData) == VHDX_LOG_SECTOR);

enum { VHDX_LOADED_PARAMETERS = 1, VHDX_LOADED_SIZE = 2, VHDX_LOADED_SECTOR = 4 };
enum { VHDX_META_USER = 1, VHDX_META_DISK = 2, VHDX_META_REQUIRED = 4 };
enum { VHDX_HAS_PARENT = 2, VHDX_LEAVE_ALLOCATED = 1 };
extern const VhdxGuid vhdx_region_bat, vhdx_region_metadata;
extern const VhdxGuid vhdx_meta_parameters, vhdx_meta_size, vhdx_meta_page83, vhdx_meta_sector,
    vhdx_meta_physical, vhdx_meta_parent;

typedef struct {
    VitBlockNode parent;
    VitBlockMap map;
    VhdxHeader header; /* the current one, as it is stored */
    uint64_t header_at; /* where; the next one goes to the other place */
    uint64_t bat, bat_size; /* region */
    uint64_t metadata, metadata_size; /* region */
    uint32_t block_size, sector_size;
    uint64_t disk_size, chunk_ratio;
    unsigned loaded; /* VHDX_LOADED_* */
    bool writing; /* the header says that somebody writes */
    bool log_pending, log_replayed;
    uint64_t log_sequence; /* of the newest entry */
    uint32_t log_next; /* where in the log the next entry goes */
    VitFiberMutex starting;
} Vhdx;

uint32_t vhdx_crc(const void *data, size_t size,
                  size_t field); /* CRC-32C, the field taken as zero */
bool vhdx_guid_equal(const VhdxGuid *a, const VhdxGuid *b);
bool vhdx_guid_is_zero(const VhdxGuid *guid);
VhdxGuid vhdx_guid_new(void);

/* header.c: reads both headers, region tables and metadata into v. */
bool vhdx_co_read_headers(Vhdx *v, GError **error);
bool vhdx_co_read_regions(Vhdx *v, GError **error);
bool vhdx_co_read_metadata(Vhdx *v, GError **error);
/* Stores v->header with the next sequence number in the other place, and flushes. */
int vhdx_co_update_header(Vhdx *v);

/* log.c: what a crash left in the log goes where it belongs; nothing to do: true. */
bool vhdx_co_replay(Vhdx *v, GError **error);
/* Writes sectors of 4096 bytes at `offset` (a multiple of that) of the file by way of the log. */
int vhdx_co_log_write(Vhdx *v, uint64_t offset, const uint8_t *sectors, uint32_t count);

/* create.c */
extern const VitBlockOption vhdx_create_options[];
bool vhdx_co_create(VitBlockCreate *create, GError **error);
