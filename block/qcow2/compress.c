/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/compress.c - compressed clusters: deflate without a header in a window of 4 KiB
 * (zlib's
 * -12), or zstd; worked on by the worker threads, several clusters at a time */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

/* Levels: at most one or two hundredths larger than the libraries' defaults, in less than two
 * thirds of their time. */
enum { WINDOW_BITS = -12, MEM_LEVEL = 8, DEFLATE_LEVEL = 4, ZSTD_LEVEL = 1, BATCH = 64 };

/* ---- contexts: made once, used by any worker ------------------------------------------------- */

typedef struct Context Context;
struct Context {
    Context *next;
    ZSTD_CCtx *zstd_out; /* owned, like the others; NULL until needed */
    ZSTD_DCtx *zstd_in;
    struct libdeflate_decompressor *deflate_in;
    z_stream deflate_out;
    bool has_deflate_out;
};

struct VitQcow2Compressor {
    GMutex mutex;
    Context *idle; /* guarded by mutex */
};

static struct VitQcow2Compressor *compressor_of(VitQcow2 *q)
{
    if (!q->compressor) {
        q->compressor = g_new0(struct VitQcow2Compressor, 1);
        g_mutex_init(&q->compressor->mutex);
    }
    return q->compressor;
}

static Context *take(struct VitQcow2Compressor *c)
{
    g_mutex_lock(&c->mutex);
    Context *x = c->idle;
    if (x) c->idle = x->next;
    g_mutex_unlock(&c->mutex);
    return x ?: g_new0(Context, 1);
}

static void give(struct VitQcow2Compressor *c, Context *x)
{
    g_mutex_lock(&c->mutex);
    x->next = c->idle;
    c->idle = x;
    g_mutex_unlock(&c->mutex);
}

void vit_qcow2_compressor_free(VitQcow2 *q)
{
    struct VitQcow2Compressor *c = g_steal_pointer(&q->compressor);

    if (!c) return;
    while (c->idle) {
        Context *x = c->idle;
        c->idle = x->next;
        ZSTD_freeCCtx(x->zstd_out);
        ZSTD_freeDCtx(x->zstd_in);
        if (x->deflate_in) libdeflate_free_decompressor(x->deflate_in);
        if (x->has_deflate_out) deflateEnd(&x->deflate_out);
        g_free(x);
    }
    g_mutex_clear(&c->mutex);
    g_free(c);
}

/* ---- on a worker thread ---------------------------------------------------------------------- */

typedef struct {
    struct VitQcow2Compressor *compressor;
    uint8_t type;
    const uint8_t *in;
    uint8_t *out;
    size_t in_size, out_size; /* out_size: room; after compressing what is used, 0: did not fit */
    int result;
} Work;

static int inflate_deflate(Context *x, const Work *w)
{
    size_t got;

    if (!x->deflate_in && !(x->deflate_in = libdeflate_alloc_decompressor())) return -ENOMEM;
    /* Behind the data the last sector has anything: only the beginning counts. */
    enum libdeflate_result r = libdeflate_deflate_decompress_ex(x->deflate_in, w->in, w->in_size,
                                                                w->out, w->out_size, NULL, &got);
    return r == LIBDEFLATE_SUCCESS && got == w->out_size ? 0 : -EIO;
}

static int inflate_zstd(Context *x, const Work *w)
{
    ZSTD_inBuffer in = { w->in, w->in_size, 0 };
    ZSTD_outBuffer out = { w->out, w->out_size, 0 };

    if (!x->zstd_in && !(x->zstd_in = ZSTD_createDCtx())) return -ENOMEM;
    ZSTD_DCtx_reset(x->zstd_in, ZSTD_reset_session_only);
    while (out.pos < out.size) {
        size_t before = out.pos, in_before = in.pos;
        size_t r = ZSTD_decompressStream(x->zstd_in, &out, &in);
        if (ZSTD_isError(r)) return -EIO;
        if (out.pos == before && in.pos == in_before) return -EIO; /* it ends too early */
    }
    return 0;
}

static void decompress_work(void *opaque)
{
    Work *w = opaque;
    Context *x = take(w->compressor);

    w->result = w->type == VIT_QCOW2_ZSTD ? inflate_zstd(x, w) : inflate_deflate(x, w);
    give(w->compressor, x);
}

static int deflate_deflate(Context *x, Work *w)
{
    z_stream *z = &x->deflate_out;

    if (!x->has_deflate_out) {
        if (deflateInit2(z, DEFLATE_LEVEL, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL,
                         Z_DEFAULT_STRATEGY) != Z_OK)
            return -ENOMEM;
        x->has_deflate_out = true;
    } else {
        deflateReset(z);
    }
    z->next_in = (uint8_t *)w->in;
    z->avail_in = (uInt)w->in_size;
    z->next_out = w->out;
    z->avail_out = (uInt)w->out_size;
    w->out_size = deflate(z, Z_FINISH) == Z_STREAM_END ? w->out_size - z->avail_out : 0;
    return 0;
}

static int deflate_zstd(Context *x, Work *w)
{
    if (!x->zstd_out) {
        if (!(x->zstd_out = ZSTD_createCCtx())) return -ENOMEM;
        ZSTD_CCtx_setParameter(x->zstd_out, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    }
    size_t r = ZSTD_compress2(x->zstd_out, w->out, w->out_size, w->in, w->in_size);
    w->out_size = ZSTD_isError(r) ? 0 : r; /* for want of room, mostly */
    return 0;
}

static void compress_work(void *opaque)
{
    Work *w = opaque;
    Context *x = take(w->compressor);

    w->result = w->type == VIT_QCOW2_ZSTD ? deflate_zstd(x, w) : deflate_deflate(x, w);
    give(w->compressor, x);
}

/* ---- reading --------------------------------------------------------------------------------- */

int vit_qcow2_decompress(VitQcow2 *q, uint64_t entry, uint8_t *buf)
{
    uint64_t offset, bytes;

    vit_qcow2_compressed(q, entry, &offset, &bytes);
    if (offset < q->cluster_size || offset >= q->parent.file->node->size)
        return vit_qcow2_corrupt(
            q, "Compressed cluster at offset 0x%" PRIx64 " lies outside of the file", offset);
    g_autofree uint8_t *in = g_try_malloc(bytes);
    if (!in) return -ENOMEM;
    vit_co_event(q->parent.file->node, VIT_EVENT_READ_COMPRESSED);
    int result = vit_co_read(q->parent.file->node, offset, in, bytes);
    if (result < 0) return result;
    Work w = { .compressor = compressor_of(q),
               .type = q->compression_type,
               .in = in,
               .in_size = bytes,
               .out = buf,
               .out_size = q->cluster_size };
    vit_fiber_offload(q->parent.thread, decompress_work, &w);
    return w.result;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct {
    VitFiber *fiber;
    VitIoThread *thread;
    unsigned running;
} Group;

typedef struct {
    Work work;
    Group *group;
    uint64_t guest, host;
    uint8_t *padded; /* owned, NULL: work.in is the caller's memory */
} Piece;

static void piece_fiber(void *opaque)
{
    Piece *p = opaque;
    Group *g = p->group;

    vit_fiber_offload(g->thread, compress_work, &p->work);
    g->running--;
    vit_fiber_wake(g->fiber);
}

/* The clusters' bytes as linear memory: the caller's where it is that, else a copy. */
static int prepare(VitQcow2 *q, Piece *p, uint64_t skip, uint64_t bytes, const struct iovec *iov,
                   int niov)
{
    for (int i = 0; i < niov && bytes == q->cluster_size; i++) {
        if (skip < iov[i].iov_len) {
            if (iov[i].iov_len - skip < bytes) break;
            p->work.in = (const uint8_t *)iov[i].iov_base + skip;
            return 0;
        }
        skip -= iov[i].iov_len;
    }
    return -EAGAIN;
}

static int compress_all(VitQcow2 *q, Piece *pieces, unsigned n, uint64_t offset, uint64_t bytes,
                        const struct iovec *iov, int niov)
{
    Group group = { .fiber = vit_fiber_self(q->parent.thread), .thread = q->parent.thread };
    int result = 0;

    for (unsigned i = 0; i < n; i++) {
        Piece *p = &pieces[i];
        uint64_t skip = (uint64_t)i << q->cluster_bits, have = MIN(q->cluster_size, bytes - skip);
        p->guest = offset + skip;
        p->group = &group;
        p->work = (Work){ .compressor = compressor_of(q), .type = q->compression_type };
        p->work.in_size = q->cluster_size;
        p->work.out_size = q->cluster_size - 1; /* else it is not worth while */
        p->work.out = g_try_malloc(q->cluster_size);
        if (prepare(q, p, skip, have, iov, niov) < 0) {
            p->work.in = p->padded = g_try_malloc0(q->cluster_size);
            if (p->padded) vit_iov_to(iov, niov, skip, p->padded, have);
        }
        if (!p->work.out || !p->work.in) {
            result = -ENOMEM;
            break;
        }
        group.running++;
        vit_fiber_start(q->parent.thread, piece_fiber, p);
    }
    while (group.running > 0) vit_fiber_yield(q->parent.thread);
    for (unsigned i = 0; i < n && result == 0; i++) result = pieces[i].work.result;
    return result;
}

/* Compressed clusters into the file: as few writes as they lie together. */
static int write_pieces(VitQcow2 *q, Piece *pieces, unsigned n)
{
    g_autofree struct iovec *iov = g_new(struct iovec, n);
    int result = 0;

    for (unsigned i = 0; i < n && result == 0;) {
        uint64_t host = pieces[i].host, bytes = 0;
        int niov = 0;
        if (pieces[i].work.out_size == 0) {
            i++;
            continue;
        }
        for (; i < n && pieces[i].work.out_size && pieces[i].host == host + bytes; i++) {
            iov[niov++] = (struct iovec){ pieces[i].work.out, pieces[i].work.out_size };
            bytes += pieces[i].work.out_size;
        }
        vit_co_event(q->parent.file->node, VIT_EVENT_WRITE_COMPRESSED);
        if (vit_qcow2_overlaps(q, host, bytes, false))
            return vit_qcow2_corrupt(q,
                                     "Preventing invalid write on metadata (overlaps with a "
                                     "table) at offset 0x%" PRIx64,
                                     host);
        result = vit_co_writev(q->parent.file->node, host, bytes, iov, niov, 0);
        q->unsynced = true;
    }
    return result;
}

static int alloc_pieces(VitQcow2 *q, Piece *pieces, unsigned n, unsigned *taken)
{
    int result = 0;

    for (*taken = 0; *taken < n; ++*taken) {
        Piece *p = &pieces[*taken];
        if (p->work.out_size == 0) continue;
        if ((result = vit_qcow2_alloc_bytes(q, p->work.out_size, &p->host)) < 0) break;
    }
    return result;
}

static int link_piece(VitQcow2 *q, const Piece *p)
{
    VitQcow2Slice *s;
    unsigned index, count;

    vit_co_event(q->parent.file->node, VIT_EVENT_L2_UPDATE_COMPRESSED);
    int result = vit_qcow2_l2_writable(q, p->guest, &s, &index, &count);

    if (result < 0) return result;
    VitQcow2Entry old = vit_qcow2_entry_get(q, s, index);
    vit_qcow2_entry_set(
        q, s, index,
        (VitQcow2Entry){ vit_qcow2_compressed_entry(q, p->host, p->work.out_size), 0 });
    vit_qcow2_cache_put(s);
    vit_qcow2_free_entry(q, old.entry, VIT_QCOW2_FREE_OTHER);
    return 0;
}

static int store_pieces(VitQcow2 *q, Piece *pieces, unsigned n)
{
    VitBlockRange range;
    unsigned taken, linked = 0;

    vit_block_range_lock(&q->clusters, &range, pieces[0].guest, (uint64_t)n << q->cluster_bits);
    vit_fiber_mutex_lock(&q->meta);
    int result = q->broken ? -EIO : alloc_pieces(q, pieces, n, &taken);
    if (q->broken) taken = 0;
    vit_fiber_mutex_unlock(&q->meta);
    if (result == 0) result = write_pieces(q, pieces, n);
    vit_fiber_mutex_lock(&q->meta);
    for (; result == 0 && linked < n; linked++) {
        if (pieces[linked].work.out_size && (result = link_piece(q, &pieces[linked])) < 0) break;
    }
    for (unsigned i = linked; i < taken; i++) { /* what failed */
        const Piece *p = &pieces[i];
        if (p->work.out_size == 0) continue;
        uint64_t first = p->host & ~(q->cluster_size - 1);
        uint64_t end = p->host + p->work.out_size;
        vit_qcow2_unalloc(q, first, vit_qcow2_clusters(q, end - first) << q->cluster_bits);
    }
    vit_fiber_mutex_unlock(&q->meta);
    vit_block_range_unlock(&q->clusters, &range);
    return result;
}

int vit_qcow2_write_compressed(VitQcow2 *q, uint64_t offset, uint64_t bytes,
                               const struct iovec *iov, int niov)
{
    uint64_t mask = q->cluster_size - 1;
    int result = 0;

    /* Compressed clusters are not encrypted: in an encrypted image they would be there for all to
     * read. */
    if (vit_qcow2_has_data_file(q) || q->crypt_method) return -ENOTSUP;
    if ((offset & mask) || ((bytes & mask) && offset + bytes != q->parent.size)) return -EINVAL;
    g_autofree Piece *pieces = g_new0(Piece, BATCH);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    for (uint64_t at = 0; at < bytes && result == 0;) {
        uint64_t step = MIN(bytes - at, BATCH * q->cluster_size);
        unsigned n = (unsigned)vit_qcow2_clusters(q, step);
        int parts = vit_iov_slice(iov, niov, at, step, part);
        memset(pieces, 0, n * sizeof *pieces);
        result = compress_all(q, pieces, n, offset + at, step, part, parts);
        if (result == 0) result = store_pieces(q, pieces, n);
        for (unsigned i = 0; i < n; i++) {
            Piece *p = &pieces[i];
            uint64_t have = MIN(q->cluster_size, offset + bytes - p->guest);
            if (result == 0 && p->work.out_size == 0) { /* grows by compression: stored as it is */
                struct iovec whole = { (void *)p->work.in, have };
                result = vit_qcow2_write_range(q, p->guest, have, &whole, 1);
            }
            g_free(p->work.out);
            g_free(p->padded);
        }
        at += step;
    }
    return result;
}
