/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qed/qed.h - between the files of the QED driver
 *
 * The QEMU Enhanced Disk format (its "QED Image File Format Specification"): a header, one L1 table
 * and L2 tables of little-endian offsets, clusters that are only ever added at the file's end. */
#pragma once
#include "block/drivers.h"

enum {
    QED_MAGIC = 0x00444551,
    QED_F_BACKING_FILE = 1,
    QED_F_NEED_CHECK = 2,
    QED_F_BACKING_FORMAT_NO_PROBE = 4,
    QED_F_KNOWN = 7,
    QED_ZERO_CLUSTER = 1, /* an L2 entry: reads as zeroes */
    QED_MIN_CLUSTER = 4096,
    QED_MAX_CLUSTER = 1 << 26,
    QED_MAX_TABLE = 16, /* clusters */
    QED_MAX_NAME = 1023,
    QED_SLICE = 64 << 10, /* bytes of a table that are read together */
    QED_SLICES = 64,
};

typedef struct { /* the header of the specification, in host order */
    uint32_t cluster_size, table_size, header_size;
    uint64_t features, compat_features, autoclear_features;
    uint64_t l1_table_offset, image_size;
    uint32_t backing_filename_offset, backing_filename_size;
} QedHeader;
enum { QED_HEADER_BYTES = 64 };

typedef struct {
    uint64_t offset; /* in the file; 0: free */
    uint64_t used; /* Qed.clock of the last use */
    uint64_t *entries; /* owned, QED_SLICE bytes at most, little-endian */
} QedSlice;

typedef struct {
    VitBlockNode parent;
    QedHeader header;
    uint64_t table_entries, slice_entries;
    uint64_t n_l1; /* entries of the L1 table that the image's size asks for */
    uint64_t *l1; /* owned, host order; guarded by tables */
    uint64_t end; /* where the next cluster goes, bytes */
    QedSlice slices[QED_SLICES]; /* guarded by tables */
    uint64_t clock;
    VitFiberMutex tables; /* and the header in the file */
    VitBlockRangeLock allocating; /* clusters that are being added, by guest offset */
} Qed;

typedef enum { QED_NONE, QED_ZERO, QED_DATA } QedKind;
typedef struct {
    QedKind kind;
    uint64_t bytes; /* of one kind and, when DATA, one after the other in the file */
    uint64_t host; /* DATA: file offset */
} QedRun;

/* header.c */
void qed_header_encode(const QedHeader *h, uint8_t buf[QED_HEADER_BYTES]);
void qed_header_decode(QedHeader *h, const uint8_t buf[QED_HEADER_BYTES]);
[[nodiscard]] bool qed_header_check(const QedHeader *h, const char *name, uint64_t file_size,
                                    GError **error);
int qed_write_header(Qed *q); /* waits */
uint64_t qed_max_size(const QedHeader *h);
[[nodiscard]] bool qed_create(VitBlockCreate *create, GError **error);
extern const VitBlockOption qed_create_options[];

/* table.c; all wait and take `tables` themselves */
[[nodiscard]] bool qed_load_l1(Qed *q, GError **error);
int qed_lookup(Qed *q, uint64_t offset, uint64_t bytes, QedRun *run);
/* Lets n clusters from the guest offset on be host, host + cluster_size, ... (or all
 * QED_ZERO_CLUSTER). */
int qed_link(Qed *q, uint64_t offset, uint64_t n, uint64_t host);
int qed_mark_in_use(Qed *q); /* sets QED_F_NEED_CHECK on the disk before anything is added */
void qed_forget_slices(Qed *q);
void qed_free_tables(Qed *q);

/* io.c */
int qed_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
             int niov);
int qed_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
              int niov, uint32_t flags);
int qed_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags);
int qed_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent);

/* check.c */
int qed_check(VitBlockNode *node, VitBlockCheck *check, unsigned fix);

static inline bool qed_offset_valid(const Qed *q, uint64_t offset, uint64_t clusters,
                                    uint64_t file_size)
{
    uint64_t cluster = q->header.cluster_size, bytes = clusters * cluster, end;

    return (offset & (cluster - 1)) == 0 && offset >= q->header.header_size * cluster &&
           !__builtin_add_overflow(offset, bytes, &end) && end - cluster < file_size;
}
