/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/driver.h - what a format, protocol or filter gives to be a node, and what it may call
 *
 * A driver is one const struct, listed in block/drivers.c.  Functions named co_ run on a fiber of
 * the node's thread and may wait (block/co.h); several of them run interleaved, so what must hold
 * across a wait takes a VitFiberMutex of the node.  Results are 0 or -errno unless a GError is
 * passed.
 *
 * The core has checked bounds, permissions and, when `alignment` is set, split and merged requests
 * so that offset and bytes are multiples of it. */
#pragma once
#include "block/args.h"
#include "block/co.h"
#include "block/event.h"
#include "block/graph.h"
#include "block/node.h"
#include "block/range-lock.h"

typedef enum {
    VIT_EDGE_FILE,
    VIT_EDGE_DATA,
    VIT_EDGE_BACKING,
    VIT_EDGE_FILTERED,
    VIT_EDGE_EXTENT
} VitBlockRole;

/* A parent's hold on a child.  `node` changes when the graph does (only while both are drained):
 * read it anew after each wait. */
struct VitBlockEdge {
    VitBlockNode *node; /* a reference */
    VitBlockNode *parent; /* borrowed */
    VitBlockRole role;
    char *name; /* owned: "file", "backing", "extents.0" */
};

typedef enum { VIT_BLOCK_PROTOCOL, VIT_BLOCK_FORMAT, VIT_BLOCK_FILTER } VitBlockKind;
typedef enum { VIT_OPT_STRING, VIT_OPT_BOOL, VIT_OPT_SIZE, VIT_OPT_UINT } VitBlockOptType;

typedef struct {
    const char *name; /* as in "-o name=value" */
    VitBlockOptType type;
    const char *help;
    const char *def; /* printed in "-o help"; NULL: none */
    bool amendable;
} VitBlockOption;

typedef struct {
    VitBlockGraph *graph; /* borrowed */
    VitIoThread *thread; /* borrowed; the fiber runs there */
    const char *filename; /* NULL when `file` is given (blockdev-create) */
    VitBlockNode *file; /* borrowed, writable, empty; NULL: vit_co_create_file() makes it */
    uint64_t size; /* virtual size, bytes, rounded up to 512 */
    const char *backing_file, *backing_format; /* as to be stored; NULL: none */
    VitBlockArgs *options; /* the rest, names of create_options; the driver takes them */
    const VitBlockDriver *driver; /* of the image */
    GPtrArray *made; /* of char*: files made for it, to be taken back; NULL: nobody asks */
    const char *format; /* what a protocol node is made for, or NULL */
} VitBlockCreate;

typedef struct {
    uint64_t required, fully_allocated, bitmaps; /* bytes of the file */
    bool has_bitmaps;
} VitBlockMeasure;

enum { VIT_FIX_LEAKS = 1, VIT_FIX_ERRORS = 2 };
typedef struct { /* corruptions and leaks: all that were found, also those that were fixed */
    uint64_t check_errors, corruptions, corruptions_fixed, leaks, leaks_fixed;
    uint64_t image_end_offset;
    uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    void (*message)(void *opaque, const char *text); /* one line, without newline; may be NULL */
    void (*progress)(void *opaque, uint64_t done, uint64_t total); /* may be NULL */
    void *opaque;
} VitBlockCheck;

typedef struct { /* an internal snapshot */
    char *id, *name; /* owned */
    uint64_t vm_state_size, disk_size;
    uint32_t date_sec, date_nsec;
    uint64_t vm_clock_nsec;
    int64_t icount; /* -1: none */
} VitBlockSnapshot;
VitBlockSnapshot *vit_block_snapshot_new(void);
void vit_block_snapshot_free(VitBlockSnapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitBlockSnapshot, vit_block_snapshot_free)

typedef void (*VitBlockProgress)(void *opaque, uint64_t done, uint64_t total);

struct VitBlockDriver {
    const char *name; /* "qcow2" */
    VitBlockKind kind;
    size_t instance_size; /* of a struct that begins with VitBlockNode */
    uint32_t alignment; /* 0: takes any; else a power of two (a node may set its own) */
    const char *const *protocols; /* NULL-ended: "nbd", "nbd+unix"; NULL: none */
    const VitBlockOption *create_options; /* ended by a NULL name; NULL: cannot create */
    const VitBlockOption *amend_options; /* more that amend alone knows; NULL: none */
    bool supports_backing;
    /* Of rows in drivers.c: it has name, kind and protocols, and the rest when it is loaded from
     * this module: vit_block_driver_load().  A node's driver is never such a row. */
    const char *module;
    bool fits_devices; /* co_create needs no file that grows or that is zero where not written */

    /* 0: not mine, to 100: surely mine.  head: the first bytes (at most 4096), tail: the last 512
     * or NULL. */
    int (*probe)(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename);
    /* Adds to options what a "proto:..." name says. */
    bool (*parse_filename)(const char *filename, JsonObject *options, GError **error);

    /* node: zeroed but for the common fields; node->how says read-only and the like.  A failed open
     * leaves nothing behind but edges, which the core drops. */
    bool (*co_open)(VitBlockNode *node, VitBlockArgs *args, GError **error);
    void (*co_close)(VitBlockNode *node); /* no requests in flight; children are still there */
    int (*co_reopen)(VitBlockNode *node, bool read_only); /* NULL: follows its file child */
    /* Of a node that was opened with how.share: others must not write from now on. */
    bool (*co_unshare)(VitBlockNode *node, GError **error);

    /* Data.  NULL: co_write reads only; co_write_zeroes, co_discard, co_flush as the core falls
     * back (buffers of zeroes; nothing; flush of the children). */
    int (*co_read)(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                   int niov);
    int (*co_write)(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                    int niov, uint32_t flags);
    int (*co_write_zeroes)(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags);
    int (*co_discard)(VitBlockNode *node, uint64_t offset, uint64_t bytes);
    /* In place of these three, for whom all changes are alike; iov: of a WRITE alone. */
    int (*co_change)(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes,
                     const struct iovec *iov, int niov, uint32_t flags);
    int (*co_flush)(VitBlockNode *node);
    /* from: see vit_co_copy_range(); NULL: not possible. */
    int (*co_copy_range)(VitBlockNode *node, uint64_t offset, VitBlockNode *from,
                         uint64_t from_offset, uint64_t bytes);
    int (*co_status)(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent);
    bool (*co_truncate)(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                        GError **error);
    /* The fast way, without a fiber: true when the request was taken and vit_block_complete() will
     * end it; false sends it to the co_ functions.  Drivers with only this one (protocols) always
     * return true. */
    bool (*try_submit)(VitBlockNode *node, VitBlockRequest *req);
    void (*plug)(VitBlockNode *node, bool on); /* NULL: passed on to the children */
    void (*co_event)(VitBlockNode *node, VitBlockEvent event); /* blkdebug's: see vit_co_event() */
    /* Between on and off (they nest) requests must not be kept waiting: somebody drains.  NULL: the
     * driver keeps none. */
    void (*hurry)(VitBlockNode *node, bool on);

    void (*info)(VitBlockNode *node,
                 VitBlockInfo *info); /* any thread; preset from node->size ... */
    JsonObject *(*co_specific)(VitBlockNode *node,
                               GError **error); /* {"type":, "data":} of "info", NULL: none */
    /* The node changes its thread, drained: before, on a fiber of the old one, may wait. */
    void (*detach)(VitBlockNode *node);
    /* After, on the new one (or the old, when nothing came of it); must not wait.  NULL: the driver
     * keeps nothing of the thread between requests. */
    void (*attach)(VitBlockNode *node);

    /* Images. */
    bool (*co_create)(VitBlockCreate *create, GError **error);
    bool (*co_amend)(VitBlockNode *node, VitBlockArgs *options, bool force,
                     VitBlockProgress progress, void *opaque, GError **error);
    bool (*co_measure)(VitBlockArgs *options, VitBlockNode *source, uint64_t size,
                       VitBlockMeasure *result, GError **error);
    int (*co_check)(VitBlockNode *node, VitBlockCheck *check, unsigned fix);
    bool (*co_change_backing)(VitBlockNode *node, const char *file, const char *format,
                              GError **error);
    int (*co_make_empty)(VitBlockNode *node); /* after a commit */
    bool (*co_snapshot_list)(VitBlockNode *node, GPtrArray *list, GError **error);
    bool (*co_snapshot_create)(VitBlockNode *node, VitBlockSnapshot *snapshot, GError **error);
    bool (*co_snapshot_goto)(VitBlockNode *node, const char *id_or_name, GError **error);
    bool (*co_snapshot_delete)(VitBlockNode *node, const char *id_or_name, GError **error);
    bool (*co_snapshot_load)(VitBlockNode *node, const char *id_or_name,
                             GError **error); /* read-only view */
    int (*co_load_vmstate)(VitBlockNode *node, uint64_t offset, void *buf, uint64_t bytes);
    int (*co_save_vmstate)(VitBlockNode *node, uint64_t offset, const void *buf, uint64_t bytes);
    /* Persistent dirty bitmaps: block/bitmap.h keeps them in memory and calls these. */
    bool (*co_bitmap_can_store)(VitBlockNode *node, const char *name, uint32_t granularity,
                                GError **error);
    bool (*co_bitmap_remove)(VitBlockNode *node, const char *name, GError **error);
};

struct VitBlockNode { /* first member of each driver's instance */
    const VitBlockDriver *driver;
    VitBlockGraph *graph; /* borrowed; NULL: none */
    char *name; /* owned: node-name */
    char *filename; /* owned, for messages */
    VitIoThread *thread; /* borrowed */
    VitBlockOptions how;
    uint64_t size; /* bytes; the driver's, atomic when it changes */
    uint32_t alignment;
    bool grows; /* as protocols do: a filter that a format may stand on */
    bool probed; /* raw since no format was named: must not come to look like another (raw.c) */
    enum { VIT_DETECT_ZEROES_OFF, VIT_DETECT_ZEROES_ON, VIT_DETECT_ZEROES_UNMAP } detect_zeroes;
    GPtrArray *edges; /* of VitBlockEdge*, owned */
    GPtrArray *parents; /* of VitBlockEdge*, borrowed: those that lead here */
    VitBlockEdge *file, *backing; /* borrowed: the usual ones of edges, NULL: none */
    char *backing_file, *backing_format; /* owned: as the image says; NULL: none */
    GPtrArray *bitmaps; /* of VitBlockBitmap*, owned; NULL: none; see block/bitmap.h */
    int refs; /* atomic */

    /* the core's */
    unsigned in_flight, quiesced;
    GSList *drained; /* of GPtrArray of VitBlockNode*: what each vit_co_drain_begin() stopped */
    GSList *hurried; /* of GPtrArray of VitBlockNode*: what each of them hurried */
    GQueue waiting; /* of VitBlockRequest*, while quiesced */
    GSList *drains; /* of those who wait for in_flight to reach 0 */
    VitFiberCond idle, resumed;
    VitBlockRangeLock serial; /* unaligned writes, see alignment */
    VitBlockRequest *pool; /* of child requests, linked by opaque */
    VitBlockFailedFunc failed; /* NULL: every error is reported */
    void *failed_opaque;
    uint8_t on_error[2]; /* of VitBlockOnError: reads, the others; atomic */
    uint8_t io_status; /* of VitBlockIoStatus; atomic */
    bool given_up; /* nothing is held until the next retry */
    GPtrArray *hurrying; /* of vit_block_hurry(), while given up; NULL: none */
    int hurry_wishes; /* of vit_block_hurry_up() */
    GPtrArray *wished; /* of vit_block_hurry(), while there are some; NULL: none */
    bool implicit; /* a filter that -drive put in: users of the root see what is below */
    bool opened;
    GQueue held; /* of VitBlockRequest*: they failed and wait for a retry */
    uint64_t write_threshold; /* a write that ends past it is told, once; 0: none */
    VitBlockThresholdFunc crossed;
    void *crossed_opaque;
    GSList *claims; /* of those who use it, see vit_block_claim() */
    GSList *users; /* of VitBlockUse*: devices that are told */
    struct {
        uint64_t bytes[5], ops[5], errors[5];
    } stats; /* by VitBlockOp; of those that ended */
};

/* ---- for drivers ----------------------------------------------------------------------------- */

/* co_status and info of a driver that passes requests on to node->file: what that one says, but for
 * the node's own size and permission. */
int vit_block_forward_status(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                             VitBlockExtent *extent);
void vit_block_forward_info(VitBlockNode *node, VitBlockInfo *info);
/* For co_status of a driver whose space is given ahead (DATA and OFFSET are set): cut off where the
 * file below changes, with ZERO when it stores nothing there. */
int vit_co_status_ahead(VitBlockExtent *extent);

/* Opens the child that args has under `name` (an object of options, or a node's name) and adds the
 * edge. With neither, an error that says so.  The child inherits how (backing files: read-only). */
[[nodiscard]] VitBlockEdge *vit_co_open_child(VitBlockNode *node, VitBlockArgs *args,
                                              const char *name, VitBlockRole role, GError **error);
/* For names found inside images ("data file", backing file, extents): relative to the image's
 * folder, refusing what is neither a path nor of a known protocol.  format NULL: probed (refused
 * for backing files of images that must not be probed). */
[[nodiscard]] VitBlockEdge *vit_co_open_named(VitBlockNode *node, const char *filename,
                                              const char *format, const char *edge_name,
                                              VitBlockRole role, GError **error);
/* A name found inside the image `base`, as seen from here; the caller frees. */
char *vit_block_filename_join(const char *base, const char *name);
/* "nbd" of "nbd://host", NULL: a path; the driver of such a name, or NULL. */
char *vit_block_filename_protocol(const char *filename);
const VitBlockDriver *vit_block_protocol_driver(const char *protocol);
/* The driver whole, from its module if it is in one; itself if it is not.  Not on a fiber. */
[[nodiscard]] const VitBlockDriver *vit_block_driver_load(const VitBlockDriver *driver,
                                                          GError **error);
[[nodiscard]] const VitBlockDriver *vit_co_driver_load(const VitBlockDriver *driver,
                                                       VitIoThread *thread, GError **error);
/* The core opens the backing file itself, after co_open: what args has under "backing" (null:
 * none), else what co_open has put into node->backing_file and backing_format. */
VitBlockEdge *vit_block_add_edge(VitBlockNode *parent,
                                 VitBlockNode *child /* takes the reference */, const char *name,
                                 VitBlockRole role);
void vit_block_drop_edge(VitBlockEdge *edge); /* on a fiber; NULL is fine */

/* Creates an image, after the checks that are the same for all formats; size UINT64_MAX: the
 * backing file's.  Local files that were made for one that fails are removed. */
[[nodiscard]] bool vit_co_create(VitBlockCreate *create, GError **error);
void vit_block_remove_made(GPtrArray *made); /* also what it lists; NULL is fine */
/* Creates the protocol object of an image and opens it for writing: a reference. */
[[nodiscard]] VitBlockNode *vit_co_create_file(VitBlockCreate *create, uint64_t size,
                                               GError **error);
/* The file of a format's new image, made or given: empty, or a device that keeps its size and
 * content, which is refused unless the driver fits_devices.  A reference. */
[[nodiscard]] VitBlockNode *vit_co_create_begin(VitBlockCreate *create, GError **error);

/* Tells the node of a file what its user is about to do: blkdebug may then wait, and let requests
 * fail.  Where the fiber may wait.  Fast ways around fibers are not taken above such nodes. */
static inline void vit_co_event(VitBlockNode *node, VitBlockEvent event)
{
    if (node->driver->co_event) node->driver->co_event(node, event);
}

/* try_submit: a request of the node's own for a child, from a pool; forwards the result to req when
 * it ends.  Change offset, bytes, iov as needed, then vit_block_submit() it. */
VitBlockRequest *vit_block_child_request(VitBlockRequest *req);
/* Ends a request: sets result, calls done().  On the iothread, after try_submit has returned. */
void vit_block_complete(VitBlockRequest *req, int result);
/* The same for a driver that knows the result inside try_submit(). */
void vit_block_complete_later(VitBlockRequest *req, int result);

/* Copies between linear memory and bytes [skip, skip + bytes) of an iov. */
VIT_FOR_MODULES void vit_iov_from(const struct iovec *iov, int niov, uint64_t skip, const void *buf,
                                  uint64_t bytes);
VIT_FOR_MODULES void vit_iov_to(const struct iovec *iov, int niov, uint64_t skip, void *buf,
                                uint64_t bytes);
VIT_FOR_MODULES void vit_iov_zero(const struct iovec *iov, int niov, uint64_t skip, uint64_t bytes);
/* The part [skip, skip + bytes) as an iov of its own in out (room for niov entries); returns its
 * length. */
VIT_FOR_MODULES int vit_iov_slice(const struct iovec *iov, int niov, uint64_t skip, uint64_t bytes,
                                  struct iovec *out);

/* An error about the image: "“disk.vmdk”: grain table 3 at offset 0x1200: points past the end ...".
 */
#define VIT_BLOCK_ERROR vit_block_error_quark()
GQuark vit_block_error_quark(void);
typedef enum {
    VIT_BLOCK_ERROR_CORRUPT,
    VIT_BLOCK_ERROR_UNSUPPORTED,
    VIT_BLOCK_ERROR_INVALID,
    VIT_BLOCK_ERROR_IO,
    VIT_BLOCK_ERROR_BUSY,
    VIT_BLOCK_ERROR_NOT_FOUND,
    VIT_BLOCK_ERROR_EXISTS
} VitBlockErrorCode;
/* A line for the person who has an image checked; the second also counts a corruption. */
void vit_block_check_say(const VitBlockCheck *check, const char *format, ...) G_GNUC_PRINTF(2, 3);
void vit_block_check_corrupt(VitBlockCheck *check, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Both return false, for "return vit_block_fail(...)". */
VIT_FOR_MODULES bool vit_block_fail(GError **error, VitBlockErrorCode code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
VIT_FOR_MODULES bool vit_block_fail_errno(GError **error, int negative_errno, const char *format,
                                          ...) G_GNUC_PRINTF(3, 4);
