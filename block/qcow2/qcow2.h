/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/qcow2.h - between the files of the qcow2 driver ("Qcow2 Image File Format", versions
 * 2, 3)
 *
 * Order on disk.  Tables are changed in memory (caches) under the lock `meta` and reach the file by
 * vit_qcow2_write_back() in steps, each durable before the next begins:
 *   0. new refcount blocks (nothing leads to them yet);
 *   1. refcount blocks, the refcount table's entries, new L2 tables; and all data written so far;
 *   2. L2 tables that the file's L1 table leads to, L1 entries;
 *   3. only then are the references that 2 has dropped taken off the refcounts, the space given
 * back
 *      and used anew (vit_qcow2_free() merely notes them).
 * A crash therefore leaves clusters that nothing uses, never one that is used twice or unwritten.
 *
 * Requests that move data between a look at the tables and the end of their I/O are counted
 * (vit_qcow2_io_begin/end); step 3 waits for those that may still use what is to be freed.  They do
 * not wait for `meta` in between. */
#pragma once
#include "block/driver.h"

/* ---- the format ------------------------------------------------------------------------------ */

#define VIT_QCOW2_MAGIC 0x514649fbu

enum { /* incompatible_features */
       VIT_QCOW2_DIRTY = 1 << 0,
       VIT_QCOW2_CORRUPT = 1 << 1,
       VIT_QCOW2_DATA_FILE = 1 << 2,
       VIT_QCOW2_COMPRESSION = 1 << 3,
       VIT_QCOW2_EXTENDED_L2 = 1 << 4,
       VIT_QCOW2_INCOMPATIBLE_KNOWN = 0x1f,
};
enum { VIT_QCOW2_LAZY_REFCOUNTS = 1 << 0 }; /* compatible_features */
enum { /* autoclear_features */
       VIT_QCOW2_BITMAPS = 1 << 0,
       VIT_QCOW2_DATA_FILE_RAW = 1 << 1,
       VIT_QCOW2_AUTOCLEAR_KNOWN = 3,
};
enum { VIT_QCOW2_ZLIB = 0, VIT_QCOW2_ZSTD = 1 }; /* compression_type */
enum { VIT_QCOW2_CRYPT_NONE = 0, VIT_QCOW2_CRYPT_AES = 1, VIT_QCOW2_CRYPT_LUKS = 2 };

enum { /* offsets of header fields */
       VIT_QCOW2_H_VERSION = 4,
       VIT_QCOW2_H_BACKING_OFFSET = 8,
       VIT_QCOW2_H_BACKING_SIZE = 16,
       VIT_QCOW2_H_CLUSTER_BITS = 20,
       VIT_QCOW2_H_SIZE = 24,
       VIT_QCOW2_H_CRYPT_METHOD = 32,
       VIT_QCOW2_H_L1_SIZE = 36,
       VIT_QCOW2_H_L1_OFFSET = 40,
       VIT_QCOW2_H_RT_OFFSET = 48,
       VIT_QCOW2_H_RT_CLUSTERS = 56,
       VIT_QCOW2_H_NB_SNAPSHOTS = 60,
       VIT_QCOW2_H_SNAPSHOTS_OFFSET = 64,
       VIT_QCOW2_H_V2_LENGTH = 72,
       VIT_QCOW2_H_INCOMPATIBLE = 72,
       VIT_QCOW2_H_COMPATIBLE = 80,
       VIT_QCOW2_H_AUTOCLEAR = 88,
       VIT_QCOW2_H_REFCOUNT_ORDER = 96,
       VIT_QCOW2_H_LENGTH = 100,
       VIT_QCOW2_H_COMPRESSION_TYPE = 104,
       VIT_QCOW2_H_V3_LENGTH = 112,
};

#define VIT_QCOW2_EXT_END            0u
#define VIT_QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define VIT_QCOW2_EXT_FEATURE_NAMES  0x6803f857u
#define VIT_QCOW2_EXT_BITMAPS        0x23852875u
#define VIT_QCOW2_EXT_CRYPTO         0x0537be77u
#define VIT_QCOW2_EXT_DATA_FILE      0x44415441u

/* L1 and L2 entries */
/* refcount exactly one: may be written in place */
#define VIT_QCOW2_COPIED         (UINT64_C(1) << 63)
#define VIT_QCOW2_COMPRESSED_BIT (UINT64_C(1) << 62)
#define VIT_QCOW2_ZERO_BIT       UINT64_C(1)
#define VIT_QCOW2_OFFSET_MASK    UINT64_C(0x00fffffffffffe00)
#define VIT_QCOW2_L1_RESERVED    UINT64_C(0x7f000000000001ff)
#define VIT_QCOW2_L2_RESERVED    UINT64_C(0x3f000000000001fe)

enum { /* limits, those of the distribution's tools */
       VIT_QCOW2_MIN_CLUSTER_BITS = 9,
       VIT_QCOW2_MAX_CLUSTER_BITS = 21,
       VIT_QCOW2_MAX_L1_BYTES = 32 << 20,
       VIT_QCOW2_MAX_RT_BYTES = 8 << 20,
       VIT_QCOW2_MAX_SNAPSHOTS = 65536,
       VIT_QCOW2_MAX_SNAPSHOT_TABLE = 64 << 20, /* bytes */
       VIT_QCOW2_MAX_BITMAPS = 65535,
       VIT_QCOW2_MAX_BITMAP_DIRECTORY = 64 << 20,
       VIT_QCOW2_MAX_BACKING_NAME = 1023,
};

/* ---- caches of tables ------------------------------------------------------------------------ */

typedef struct VitQcow2Slice VitQcow2Slice;
struct VitQcow2Slice { /* a piece of a table as it is in the file (big endian) */
    uint64_t offset; /* in the file */
    uint8_t *table; /* owned, slice_size bytes, aligned for O_DIRECT */
    VitQcow2Slice *next; /* of the same hash value */
    uint64_t dirty; /* bit n: the n-th 1/64 (at least 512 bytes) is newer than the file */
    unsigned pins; /* who uses `table` across a wait */
    bool used; /* since the clean-up last came by */
    bool loading;
    bool fresh; /* of a table that the file's L1 or refcount table does not lead to yet */
};

typedef struct {
    uint32_t slice_size; /* bytes, power of two, at most 64 KiB and the cluster size */
    unsigned page_bits; /* log2 of what one bit of `dirty` stands for */
    unsigned max; /* slices; more only while they are pinned or dirty */
    unsigned n_dirty;
    GPtrArray *slices; /* of VitQcow2Slice*, owned */
    VitQcow2Slice **buckets; /* owned */
    unsigned n_buckets, hand;
} VitQcow2Cache;

/* ---- the instance ---------------------------------------------------------------------------- */

typedef struct { /* an extension of the header that this driver does not know: kept as it is */
    uint32_t type;
    GBytes *data; /* owned */
} VitQcow2Extension;

typedef struct { /* an entry of the snapshot table */
    VitBlockSnapshot *facts; /* owned; disk_size is valid always (version 2: that of the image) */
    uint64_t l1_offset;
    uint32_t l1_size; /* entries */
    GBytes *extra; /* owned, extra data past the known 24 bytes; NULL: none */
    uint32_t extra_size; /* as in the file; 0 for new ones */
    const char *broken;  /* why its L1 table cannot be used, in English; NULL: it can */
} VitQcow2Snapshot;

typedef struct { /* the bitmaps extension */
    uint32_t count; /* 0: there is none */
    uint64_t directory_size, directory_offset;
} VitQcow2BitmapsExt;

typedef struct VitQcow2 VitQcow2;

/* Encryption: data.c calls these for whole 512-byte sectors.  May run on any fiber, may offload.
 * host is the offset in the file, guest the offset on the disk; result 0 or -errno. */
typedef struct {
    int (*co_encrypt)(VitQcow2 *q, uint64_t host, uint64_t guest, uint8_t *buf, uint64_t bytes);
    int (*co_decrypt)(VitQcow2 *q, uint64_t host, uint64_t guest, uint8_t *buf, uint64_t bytes);
} VitQcow2Cipher;

typedef struct { /* host clusters whose references go when step 3 comes */
    uint64_t offset, bytes; /* whole clusters */
    bool discard; /* pass the discard on where the refcount becomes 0 */
} VitQcow2Pending;

struct VitQcow2 {
    VitBlockNode parent;
    VitBlockEdge *data; /* borrowed: where guest clusters lie, parent.file or the data file */

    /* The header, as in the file but in the host's byte order. */
    unsigned version, cluster_bits, refcount_order;
    uint64_t incompatible, compatible, autoclear;
    uint32_t crypt_method, header_length;
    uint8_t compression_type;
    GBytes *unknown_header; /* owned: bytes from 112 to header_length; NULL: none */
    GPtrArray *extensions; /* of VitQcow2Extension*: the unknown ones */
    char *data_file_name; /* owned: the extension's string; NULL: none */
    struct {
        uint64_t offset, length; /* length 0: none */
    } crypto_header;
    VitQcow2BitmapsExt bitmaps;
    uint32_t l1_size; /* entries */
    uint64_t l1_offset;
    uint64_t rt_offset;
    uint32_t rt_clusters;
    uint32_t nb_snapshots;
    uint64_t snapshots_offset, snapshots_bytes; /* of the table in the file */
    GPtrArray *snapshots; /* of VitQcow2Snapshot*, owned */

    /* Derived. */
    uint64_t cluster_size;
    unsigned l2_entry_size; /* 8, or 16 with extended L2 entries */
    unsigned l2_bits; /* log2 of the entries of an L2 table */
    unsigned subclusters; /* of a cluster: 1 or 32 */
    unsigned subcluster_bits; /* log2 of a subcluster's bytes */
    unsigned refcount_bits;
    unsigned rb_bits; /* log2 of the entries of a refcount block */
    uint64_t refcount_max;
    uint32_t vm_state_index; /* first L1 entry past the disk */

    /* Tables, guarded by meta for writing; reading needs no lock between two waits. */
    VitFiberMutex meta;
    uint64_t *l1; /* owned, l1_size entries, host order */
    uint64_t *l1_dirty; /* owned, one bit for each 64 entries */
    bool l1_is_dirty;
    uint64_t *rt; /* owned, rt_entries, host order */
    uint64_t rt_entries;
    uint64_t *rt_dirty; /* owned, one bit for each 64 entries */
    bool rt_is_dirty;
    bool fresh_blocks; /* there are new refcount blocks: step 0 is needed */
    bool unsynced; /* something was written since the last flush of the file began */
    unsigned syncing; /* flushes of the file that have not ended */
    VitQcow2Cache l2, refcounts;
    VitFiberCond loaded; /* a slice has been read */
    GArray *pending; /* of VitQcow2Pending */
    uint64_t pending_bytes;
    uint64_t free_hint; /* cluster index: none below is free, as far as is known */
    uint64_t byte_hint; /* where the next compressed cluster may begin, 0: at a new cluster */
    GHashTable *tables; /* of cluster index: active L2 tables and refcount blocks; see overlap.c */

    VitBlockRangeLock clusters; /* guest clusters whose mapping is about to change */
    unsigned epoch; /* 0 or 1: which of in_epoch counts new requests */
    unsigned in_epoch[2];
    VitFiberCond epoch_over;

    const VitQcow2Cipher *cipher; /* NULL: plain */
    void *crypto; /* owned by crypto.c */
    bool new_is_zero; /* were it new, it would read as zeroes */
    bool file_grows_zeroed; /* what lies past the file's end reads as zeroes later on */
    bool broken; /* found corrupt: nothing is written any more */
    bool looked_ahead, ahead; /* whether clusters that hold nothing are likely; was it looked at */
    bool lazy; /* refcounts are written late, under the dirty bit */
    bool discard_request, discard_snapshot, discard_other, discard_no_unref;
    unsigned overlap; /* bits of what overlap.c looks at */
    unsigned clean_interval; /* seconds, 0: never */
    GSource *clean_timer; /* owned */
    struct VitQcow2Compressor *compressor; /* owned: contexts of workers; NULL until used */
    void (*forward)(VitBlockRequest *child); /* fast.c: what the core does at a child's end */

    struct { /* for tests and "info"; on the thread */
        uint64_t fast_reads, fast_writes, slow_reads, slow_writes;
        uint64_t allocations, copied_bytes, write_backs, syncs;
    } stats;
};

/* ---- small things ---------------------------------------------------------------------------- */

static inline uint32_t vit_get32(const void *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return GUINT32_FROM_BE(v);
}
static inline uint64_t vit_get64(const void *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return GUINT64_FROM_BE(v);
}
static inline void vit_put32(void *p, uint32_t v)
{
    v = GUINT32_TO_BE(v);
    __builtin_memcpy(p, &v, 4);
}
static inline void vit_put64(void *p, uint64_t v)
{
    v = GUINT64_TO_BE(v);
    __builtin_memcpy(p, &v, 8);
}
static inline uint64_t vit_qcow2_clusters(const VitQcow2 *q, uint64_t bytes) /* rounded up */
{
    return (bytes >> q->cluster_bits) + ((bytes & (q->cluster_size - 1)) != 0);
}
static inline bool vit_qcow2_has_data_file(const VitQcow2 *q)
{
    return q->incompatible & VIT_QCOW2_DATA_FILE;
}
static inline bool vit_qcow2_data_file_raw(const VitQcow2 *q)
{
    return q->autoclear & VIT_QCOW2_DATA_FILE_RAW;
}
/* Bytes of the disk that one L2 table maps; log2. */
static inline unsigned vit_qcow2_l1_shift(const VitQcow2 *q)
{
    return q->cluster_bits + q->l2_bits;
}

/* ---- header.c -------------------------------------------------------------------------------- */

/* Reads the file's first cluster into q and checks it; does not read other tables. */
[[nodiscard]] bool vit_qcow2_read_header(VitQcow2 *q, GError **error);
/* Writes header and extensions from q and node->backing_file/format, then flushes.  Only sectors
 * that change are written. */
[[nodiscard]] int vit_qcow2_write_header(VitQcow2 *q);
/* Writes `bytes` bytes of the first 512 at `at` (a field that changes alone), then flushes. */
[[nodiscard]] int vit_qcow2_write_field(VitQcow2 *q, unsigned at, const void *field,
                                        unsigned bytes);
/* Sets and clears bits of incompatible_features on disk; nothing to do: no I/O. */
[[nodiscard]] int vit_qcow2_set_incompatible(VitQcow2 *q, uint64_t set, uint64_t clear);
/* Fills a zeroed cluster with header and extensions; -ENOSPC when they do not fit. */
[[nodiscard]] int vit_qcow2_build_header(const VitQcow2 *q, const char *backing_file,
                                         const char *backing_format, uint8_t *cluster);
void vit_qcow2_extension_free(void *extension);
/* Of q's version, cluster_bits, refcount_order and incompatible: what follows from them. */
void vit_qcow2_derive(VitQcow2 *q);

/* A structure that contradicts the format was met.  Message: "qcow2: Marking image as corrupt:
 * ...".  Sets the corrupt bit of a writable version 3 image; later writes fail.  Returns -EIO. */
int vit_qcow2_corrupt(VitQcow2 *q, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* ---- cache.c --------------------------------------------------------------------------------- */

void vit_qcow2_cache_init(VitQcow2Cache *c, uint32_t slice_size, uint64_t bytes);
void vit_qcow2_cache_clear(VitQcow2Cache *c); /* forgets all, frees; no I/O */
/* The slice that begins at `offset`, read if need be; pinned until put.  May wait. */
[[nodiscard]] int vit_qcow2_cache_get(VitQcow2 *q, VitQcow2Cache *c, uint64_t offset,
                                      VitQcow2Slice **slice);
/* The same without waiting: NULL when it is not there.  Not pinned: valid until the next wait. */
VitQcow2Slice *vit_qcow2_cache_peek(VitQcow2Cache *c, uint64_t offset);
/* A slice of zeroes without reading, wholly dirty; pinned. */
VitQcow2Slice *vit_qcow2_cache_new(VitQcow2Cache *c, uint64_t offset, bool fresh);
static inline void vit_qcow2_cache_put(VitQcow2Slice *slice)
{
    slice->pins--;
}
/* meta is held.  Bytes [at, at + bytes) of the slice have been changed. */
void vit_qcow2_cache_dirty(VitQcow2Cache *c, VitQcow2Slice *slice, unsigned at, unsigned bytes);
/* The table at offset is one no more: drops its slices, dirty or not. */
void vit_qcow2_cache_forget(VitQcow2Cache *c, uint64_t offset, uint64_t bytes);
/* Drops clean slices that were not used since the last call; all: also those that were. */
void vit_qcow2_cache_clean(VitQcow2Cache *c, bool all);

/* ---- flush.c (meta is held) ------------------------------------------------------------------ */

/* Steps 0 to 2; the last one's writes are not yet durable. */
[[nodiscard]] int vit_qcow2_write_back(VitQcow2 *q);
/* Steps 0 to 3, all durable but the refcounts that step 3 changes. */
[[nodiscard]] int vit_qcow2_sync(VitQcow2 *q);
/* Makes what was written to file and data file durable; the tables in memory stay there. */
[[nodiscard]] int vit_qcow2_sync_files(VitQcow2 *q);
/* Anything in memory that the file lacks. */
bool vit_qcow2_is_dirty(const VitQcow2 *q);
/* Before closing: all of it on disk, also late refcounts, and the dirty bit taken away. */
[[nodiscard]] int vit_qcow2_settle(VitQcow2 *q);
/* co_flush: meta is not held.  Others go on while the disk syncs. */
[[nodiscard]] int vit_qcow2_flush(VitQcow2 *q);
/* Writes bytes of a table (or header) that is not cached, after the overlap check. */
[[nodiscard]] int vit_qcow2_write_meta(VitQcow2 *q, uint64_t offset, const void *buf,
                                       uint64_t bytes);
unsigned vit_qcow2_io_begin(VitQcow2 *q);
void vit_qcow2_io_end(VitQcow2 *q, unsigned epoch);

/* ---- refcount.c (meta is held) --------------------------------------------------------------- */

[[nodiscard]] int vit_qcow2_refcount_get(VitQcow2 *q, uint64_t offset, uint64_t *count);
/* Of one entry in a refcount block's memory, for any width. */
uint64_t vit_qcow2_refcount_load(const VitQcow2 *q, const uint8_t *block, uint64_t index);
void vit_qcow2_refcount_store(const VitQcow2 *q, uint8_t *block, uint64_t index, uint64_t count);
/* Adds one reference to each cluster of the range; -ERANGE when a refcount cannot hold it (then
 * none of the range is changed). */
[[nodiscard]] int vit_qcow2_refcount_add(VitQcow2 *q, uint64_t offset, uint64_t bytes);
/* Contiguous clusters with refcount 1; what the file has there is anything. */
[[nodiscard]] int vit_qcow2_alloc(VitQcow2 *q, uint64_t clusters, uint64_t *offset);
/* The same, as many as are contiguous, at least 1, at most *clusters.  *zeroed: they read as
 * zeroes. */
[[nodiscard]] int vit_qcow2_alloc_some(VitQcow2 *q, uint64_t *clusters, uint64_t *offset,
                                       bool *zeroed);
/* The clusters at a given place, if they are free: *clusters: how many were taken from `offset` on.
 */
[[nodiscard]] int vit_qcow2_alloc_at(VitQcow2 *q, uint64_t offset, uint64_t *clusters);
/* Room for a compressed cluster; shares host clusters with its neighbours. */
[[nodiscard]] int vit_qcow2_alloc_bytes(VitQcow2 *q, uint64_t bytes, uint64_t *offset);
typedef enum { VIT_QCOW2_FREE_REQUEST, VIT_QCOW2_FREE_SNAPSHOT, VIT_QCOW2_FREE_OTHER } VitQcow2Free;
/* Drops one reference of each cluster that [offset, offset + bytes) touches, once what no longer
 * refers to them is durable (step 3).  Also gives up cached slices of the range. */
void vit_qcow2_free(VitQcow2 *q, uint64_t offset, uint64_t bytes, VitQcow2Free why);
/* Of what an L2 entry leads to: data, preallocated zeroes or compressed data; nothing for others.
 */
void vit_qcow2_free_entry(VitQcow2 *q, uint64_t entry, VitQcow2Free why);
/* Step 3 for a list of VitQcow2Pending; waits for requests that may use what is freed. */
[[nodiscard]] int vit_qcow2_apply_frees(VitQcow2 *q, GArray *pending);
/* Writes new refcount blocks and makes them durable (step 0). */
[[nodiscard]] int vit_qcow2_write_fresh_blocks(VitQcow2 *q);
/* Makes clusters free that never became reachable (after a failure): at once. */
void vit_qcow2_unalloc(VitQcow2 *q, uint64_t offset, uint64_t bytes);

/* ---- overlap.c ------------------------------------------------------------------------------- */

enum { /* q->overlap */
       VIT_QCOW2_OL_MAIN_HEADER = 1 << 0,
       VIT_QCOW2_OL_ACTIVE_L1 = 1 << 1,
       VIT_QCOW2_OL_ACTIVE_L2 = 1 << 2,
       VIT_QCOW2_OL_REFCOUNT_TABLE = 1 << 3,
       VIT_QCOW2_OL_REFCOUNT_BLOCK = 1 << 4,
       VIT_QCOW2_OL_SNAPSHOT_TABLE = 1 << 5,
       VIT_QCOW2_OL_INACTIVE_L1 = 1 << 6,
       VIT_QCOW2_OL_INACTIVE_L2 = 1 << 7,
       VIT_QCOW2_OL_BITMAP_DIRECTORY = 1 << 8,
};
/* Whether a write of data to [offset, offset + bytes) of the file would hit a table.  all: also
 * those that the option overlap-check leaves out. */
bool vit_qcow2_overlaps(VitQcow2 *q, uint64_t offset, uint64_t bytes, bool all);
void vit_qcow2_tables_add(VitQcow2 *q, uint64_t offset);
void vit_qcow2_tables_remove(VitQcow2 *q, uint64_t offset);
/* From q->l1 and q->rt anew; false: two tables are in the same place (error says which). */
[[nodiscard]] bool vit_qcow2_tables_collect(VitQcow2 *q, GError **error);
[[nodiscard]] bool vit_qcow2_overlap_options(VitQcow2 *q, VitBlockArgs *args, GError **error);

/* ---- map.c ----------------------------------------------------------------------------------- */

typedef enum {
    VIT_QCOW2_UNALLOCATED, /* read from the backing file; may have a host cluster (extended L2) */
    VIT_QCOW2_ZERO, /* reads as zeroes; may have a host cluster */
    VIT_QCOW2_NORMAL,
    VIT_QCOW2_COMPRESSED,
    VIT_QCOW2_INVALID
} VitQcow2Type;

typedef struct { /* an L2 entry, host order; bitmap is 0 without extended L2 entries */
    uint64_t entry, bitmap;
} VitQcow2Entry;

typedef struct { /* a stretch of the disk that is stored in one way and in one place */
    VitQcow2Type type;
    uint64_t bytes;
    uint64_t host; /* of its first byte, when has_host; COMPRESSED: of the cluster's data */
    bool has_host;
    bool copied; /* the host clusters are this mapping's alone: written in place */
    VitQcow2Entry entry; /* of the first cluster */
} VitQcow2Map;

VitQcow2Entry vit_qcow2_entry_get(const VitQcow2 *q, const VitQcow2Slice *slice, unsigned index);
/* meta is held; marks the slice dirty. */
void vit_qcow2_entry_set(VitQcow2 *q, VitQcow2Slice *slice, unsigned index, VitQcow2Entry entry);
/* Of subcluster `sub` (0 without extended L2 entries). */
VitQcow2Type vit_qcow2_type(const VitQcow2 *q, VitQcow2Entry entry, unsigned sub);
/* Host offset and size of compressed data. */
void vit_qcow2_compressed(const VitQcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *bytes);
uint64_t vit_qcow2_compressed_entry(const VitQcow2 *q, uint64_t offset, uint64_t bytes);

/* What [offset, offset + bytes) is, from the beginning as far as it is one stretch.  May wait
 * before it looks, not after.  Offsets past the disk are those of the VM state. */
[[nodiscard]] int vit_qcow2_map(VitQcow2 *q, uint64_t offset, uint64_t bytes, VitQcow2Map *map);
/* The same without waiting: false when the tables are not in memory, or are wrong. */
bool vit_qcow2_map_cached(VitQcow2 *q, uint64_t offset, uint64_t bytes, VitQcow2Map *map);
/* meta is held: the slice with the entry of guest offset, of an L2 table that may be changed (made
 * or copied if need be); pinned.  *index: of the entry in the slice; *count: entries from there on.
 */
[[nodiscard]] int vit_qcow2_l2_writable(VitQcow2 *q, uint64_t offset, VitQcow2Slice **slice,
                                        unsigned *index, unsigned *count);
/* The same for looking; *slice NULL: there is no table. */
[[nodiscard]] int vit_qcow2_l2_slice(VitQcow2 *q, uint64_t offset, VitQcow2Slice **slice,
                                     unsigned *index, unsigned *count);
/* Whether a cluster that an L2 entry names may be: the first byte of each was in the file before.
 */
bool vit_qcow2_host_is_there(const VitQcow2 *q, uint64_t host);
void vit_qcow2_l1_set(VitQcow2 *q, uint32_t index, uint64_t entry); /* meta is held */
/* meta is held.  Gives the L1 table room for `entries` at least (a new table, header updated). */
[[nodiscard]] int vit_qcow2_l1_grow(VitQcow2 *q, uint64_t entries, bool exact);

/* ---- data: read.c, write.c, zero.c, compress.c ----------------------------------------------- */

/* The work of co_read and co_write; also for offsets past the disk (VM state). */
[[nodiscard]] int vit_qcow2_read_range(VitQcow2 *q, uint64_t offset, uint64_t bytes,
                                       const struct iovec *iov, int niov);
[[nodiscard]] int vit_qcow2_write_range(VitQcow2 *q, uint64_t offset, uint64_t bytes,
                                        const struct iovec *iov, int niov);
int vit_qcow2_co_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov);
int vit_qcow2_co_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                       int niov, uint32_t flags);
int vit_qcow2_co_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags);
int vit_qcow2_co_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes);
int vit_qcow2_co_flush(VitBlockNode *node);
int vit_qcow2_co_status(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                        VitBlockExtent *extent);
bool vit_qcow2_try_submit(VitBlockNode *node, VitBlockRequest *req);
/* Guest clusters as they are in data file or file, decrypted and encrypted on the way. */
[[nodiscard]] int vit_qcow2_data_read(VitQcow2 *q, uint64_t host, uint64_t guest, uint64_t bytes,
                                      const struct iovec *iov, int niov);
[[nodiscard]] int vit_qcow2_data_write(VitQcow2 *q, uint64_t host, uint64_t guest, uint64_t bytes,
                                       const struct iovec *iov, int niov, uint32_t flags);
/* From the backing file, zeroes past its end or without one. */
[[nodiscard]] int vit_qcow2_backing_read(VitQcow2 *q, uint64_t offset, uint64_t bytes,
                                         const struct iovec *iov, int niov);
/* Whether what is not stored in this image reads as zeroes from offset to its end. */
bool vit_qcow2_backing_is_zero(const VitQcow2 *q, uint64_t offset, uint64_t bytes);
void vit_qcow2_compressor_free(VitQcow2 *q);
/* What a compressed cluster holds into buf (cluster_size bytes). */
[[nodiscard]] int vit_qcow2_decompress(VitQcow2 *q, uint64_t entry, uint8_t *buf);
/* Stores whole clusters compressed (the last may end with the disk). */
[[nodiscard]] int vit_qcow2_write_compressed(VitQcow2 *q, uint64_t offset, uint64_t bytes,
                                             const struct iovec *iov, int niov);

/* ---- open.c, create.c, resize.c, info.c, fast.c ---------------------------------------------- */

bool vit_qcow2_co_open(VitBlockNode *node, VitBlockArgs *args, GError **error);
void vit_qcow2_co_close(VitBlockNode *node);
int vit_qcow2_co_reopen(VitBlockNode *node, bool read_only);
bool vit_qcow2_co_create(VitBlockCreate *create, GError **error);
extern const VitBlockOption vit_qcow2_create_options[];
bool vit_qcow2_co_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                           GError **error);
/* Maps [from, to), as far as it is not mapped; the data file or file gets its size as mode says. */
[[nodiscard]] bool vit_qcow2_preallocate(VitQcow2 *q, uint64_t from, uint64_t to, VitPrealloc mode,
                                         bool has_backing, GError **error);
/* Header fields of a new image from options; q is zeroed and no node.  data_file_name is then
 * owned. */
[[nodiscard]] bool vit_qcow2_take_layout(VitBlockArgs *args, VitQcow2 *q, VitPrealloc *prealloc,
                                         GError **error);
/* meta is held.  Unmaps the disk from offset (of a cluster) on. */
[[nodiscard]] int vit_qcow2_unmap_tail(VitQcow2 *q, uint64_t offset);
bool vit_qcow2_co_measure(VitBlockArgs *options, VitBlockNode *source, uint64_t size,
                          VitBlockMeasure *result, GError **error);
bool vit_qcow2_co_change_backing(VitBlockNode *node, const char *file, const char *format,
                                 GError **error);
int vit_qcow2_co_make_empty(VitBlockNode *node);
void vit_qcow2_detach(VitBlockNode *node);
void vit_qcow2_attach(VitBlockNode *node);
void vit_qcow2_info(VitBlockNode *node, VitBlockInfo *info);
JsonObject *vit_qcow2_co_specific(VitBlockNode *node, GError **error);

/* ---- crypto.c -------------------------------------------------------------------------------- */

struct VitLuksOptions;
/* After the header has been read: takes "encrypt.*" and sets cipher, crypto and the node's
 * alignment. */
[[nodiscard]] bool vit_qcow2_crypto_open(VitQcow2 *q, VitBlockArgs *args, GError **error);
void vit_qcow2_crypto_close(VitQcow2 *q); /* also of a plain image */
JsonObject *vit_qcow2_crypto_describe(const VitQcow2 *q); /* "encrypt" of "info" */
/* "encrypt.*" of an image to be created or measured; *bytes: of the LUKS header, 0: not encrypted.
 */
[[nodiscard]] bool vit_qcow2_crypto_take(struct VitLuksOptions *options, VitBlockArgs *args,
                                         uint64_t *bytes, GError **error);
/* Writes the LUKS header where q->crypto_header says; durable. */
[[nodiscard]] bool vit_qcow2_crypto_create(const VitQcow2 *q, VitBlockNode *file,
                                           VitBlockGraph *graph,
                                           const struct VitLuksOptions *options, GError **error);
/* encrypt: the options below "encrypt." of "amend". */
extern const VitBlockOption vit_qcow2_amend_options[];
[[nodiscard]] bool vit_qcow2_crypto_amend(VitQcow2 *q, VitBlockArgs *encrypt, bool force,
                                          GError **error);

/* ---- snapshot.c ------------------------------------------------------------------------------ */

/* Reads and checks the snapshot table into q->snapshots and snapshots_bytes. */
[[nodiscard]] bool vit_qcow2_snapshots_load(VitQcow2 *q, GError **error);
void vit_qcow2_snapshot_free(void *snapshot);
