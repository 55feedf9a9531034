/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vmdk/vmdk.h - between the files of the VMDK driver
 *
 * VMware, "Virtual Disk Format 1.1"; what the document calls a hosted sparse extent is SPARSE here.
 */
#pragma once
#include "block/driver.h"

enum { VMDK_SECTOR = 512, VMDK_TABLE_CACHE = 8192 };
/* Values of a grain's entry in memory; everything above is an offset in the extent's file. */
enum { VMDK_NONE = 0, VMDK_ZERO = 1, VMDK_FIRST_OFFSET = 512 };
enum : uint32_t { VMDK_NO_PARENT = 0xffffffff };

typedef struct {
    uint64_t *at; /* owned: entry of each grain; NULL: not loaded */
    bool dirty;
} VmdkTable;

typedef enum { VMDK_FLAT, VMDK_ZERO_EXTENT, VMDK_SPARSE, VMDK_COWD } VmdkKind;

typedef struct {
    VitBlockEdge *edge; /* borrowed; NULL for ZERO extents */
    char *type,
        *filename; /* owned: as the descriptor says; type "" for a whole image in one file */
    VmdkKind kind;
    bool read_only, compressed, markers, zero_grains;
    uint64_t start, bytes; /* of the disk */
    uint64_t flat_offset; /* FLAT: where it begins in the file */
    /* sparse */
    uint64_t grain, per_table, tables; /* bytes; entries; how many tables */
    uint32_t *directory,
        *spare_directory; /* owned: sector of each table, 0: none; spare: may be NULL */
    VmdkTable *table; /* owned, of `tables` */
    GArray *loaded; /* of uint32_t, owned: which tables are in memory */
    guint evict; /* where in `loaded` the search for one to drop goes on */
    uint64_t end, fresh; /* where the next grain goes; from here on the file is zero */
    uint64_t file_size; /* when it was opened */
    bool any_dirty;
    GArray *spare; /* of uint64_t, owned: grains that failed to be written */
} VmdkExtent;

typedef struct {
    uint32_t cid, parent_cid;
    char *create_type, *parent_hint; /* owned, NULL: not there */
    GPtrArray *extents; /* of VmdkLine*, owned */
} VmdkDescriptor;

typedef struct { /* "RW 4192256 SPARSE "name" 0" */
    char *access, *type, *filename; /* owned; filename NULL for ZERO */
    uint64_t sectors, offset;
} VmdkLine;

typedef struct {
    VitBlockNode parent;
    VmdkExtent *extents; /* owned */
    unsigned n_extents;
    uint32_t cid, parent_cid;
    char *create_type; /* owned */
    char *descriptor; /* owned: its text */
    uint64_t descriptor_at, descriptor_room; /* where it lies in the file; 0, 0: none */
    bool cid_renewed; /* by the first write since it was opened */
    bool parent_checked;
    VitBlockRangeLock allocating; /* in bytes of the disk */
    VitFiberMutex flushing, renewing, loading;
} Vmdk;

/* descriptor.c */
VmdkDescriptor *vmdk_descriptor_parse(const char *filename, const char *text, GError **error);
void vmdk_descriptor_free(VmdkDescriptor *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmdkDescriptor, vmdk_descriptor_free)
/* Whether a file's first bytes are a descriptor. */
bool vmdk_descriptor_probe(const uint8_t *head, size_t size);
/* Names that lead out of the image's folder are refused: an image must not open what its user did
 * not mean. */
bool vmdk_name_is_safe(const char *filename, const char *name, GError **error);
/* Puts a new content ID into the stored descriptor. */
int vmdk_co_renew_cid(Vmdk *v);

/* extent.c */
bool vmdk_co_open_sparse(VitBlockNode *node, VmdkExtent *e, bool whole_image, GError **error);
/* The embedded descriptor of an image in one file. */
bool vmdk_co_find_descriptor(Vmdk *v, GError **error);
void vmdk_extent_finish(VmdkExtent *e);
/* Brings a table into memory; 0 or -errno. */
int vmdk_co_load_table(Vmdk *v, VmdkExtent *e, uint64_t index);
int vmdk_co_flush_tables(Vmdk *v, VmdkExtent *e);
VmdkExtent *vmdk_find_extent(Vmdk *v, uint64_t offset); /* never NULL within the disk */

/* io.c */
int vmdk_co_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                 int niov);
int vmdk_co_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                  int niov, uint32_t flags);
int vmdk_co_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags);
int vmdk_co_flush(VitBlockNode *node);
int vmdk_co_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent);
bool vmdk_try_submit(VitBlockNode *node, VitBlockRequest *req);

/* compress.c: one grain; buffers of e->grain bytes. */
int vmdk_co_read_compressed(Vmdk *v, VmdkExtent *e, uint64_t at, uint8_t *grain);
/* Appends it and gives its place. */
int vmdk_co_write_compressed(Vmdk *v, VmdkExtent *e, uint64_t in_extent, const uint8_t *grain,
                             uint64_t *at);

/* create.c */
extern const VitBlockOption vmdk_create_options[];
bool vmdk_co_create(VitBlockCreate *create, GError **error);

/* check.c */
int vmdk_co_check(VitBlockNode *node, VitBlockCheck *check, unsigned fix);

/* Section 5.1, SparseExtentHeader; little-endian. */
/* clang-format off */
typedef struct __attribute__((packed)) {
    char     magic[4];                      /* "KDMV" */
    uint32_t version, flags;
    uint64_t capacity, grain_size, descriptor_offset, descriptor_size;     /* in sectors */
    uint32_t per_table;
    uint64_t spare_directory, directory, overhead;
    uint8_t  unclean, newline[4];           /* "\n \r\n" */
    uint16_t compression;
    uint8_t  pad[433];
} VmdkHeader;
/* clang-format on */
static_assert(sizeof(VmdkHeader) == VMDK_SECTOR);
enum {
    VMDK_FLAG_NEWLINE = 1,
    VMDK_FLAG_SPARE = 2,
    VMDK_FLAG_ZERO_GRAINS = 4,
    VMDK_FLAG_COMPRESSED = 1 << 16,
    VMDK_FLAG_MARKERS = 1 << 17,
    VMDK_DEFLATE = 1
};
