/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qed/io.c - the data of a QED image
 *
 * Clusters that exist are written in place.  New ones are written whole at the file's end, with
 * what the backing file holds around the request, and only then entered into their L2 table; with a
 * backing file there is a flush between, since a lost cluster would otherwise hide what the backing
 * file has. */
#include "block/qed/qed.h"

#include <errno.h>
#include <string.h>

enum { MAX_LOOKUPS = 4096 }; /* for one answer of qed_status() */

static VitBlockNode *file_of(VitBlockNode *node)
{
    return node->file->node;
}

/* What lies below: the backing file's bytes, zeroes past its end and without one. */
static int read_below(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov)
{
    uint64_t size = node->backing ? node->backing->node->size : 0;
    uint64_t have = offset < size ? MIN(bytes, size - offset) : 0;

    if (have < bytes) vit_iov_zero(iov, niov, have, bytes - have);
    if (have == 0) return 0;
    if (have == bytes) return vit_co_readv(node->backing->node, offset, bytes, iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, (size_t)niov);
    int n = vit_iov_slice(iov, niov, 0, have, part);
    return vit_co_readv(node->backing->node, offset, have, part, n);
}

int qed_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, int niov)
{
    g_autofree struct iovec *part = g_new(struct iovec, (size_t)niov);
    uint64_t done = 0;

    while (done < bytes) {
        QedRun run;
        int result = qed_lookup((Qed *)node, offset + done, bytes - done, &run);
        if (result < 0) return result;
        int n = vit_iov_slice(iov, niov, done, run.bytes, part);
        if (run.kind == QED_ZERO) vit_iov_zero(part, n, 0, run.bytes);
        else if (run.kind == QED_NONE) result = read_below(node, offset + done, run.bytes, part, n);
        else result = vit_co_readv(file_of(node), run.host, run.bytes, part, n);
        if (result < 0) return result;
        done += run.bytes;
    }
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* What [offset, offset + bytes) of a cluster that is being added held before. */
static int fill(VitBlockNode *node, bool zero, uint64_t offset, uint8_t *buf, uint64_t bytes)
{
    uint64_t have = offset < node->size ? MIN(bytes, node->size - offset) : 0;
    struct iovec iov = { buf, have };

    memset(buf, 0, bytes);
    return zero || have == 0 ? 0 : read_below(node, offset, have, &iov, 1);
}

/* New clusters for a stretch of which none has one; its range is locked. */
static int add_clusters(VitBlockNode *node, bool zero, uint64_t offset, uint64_t bytes,
                        const struct iovec *iov, int niov)
{
    Qed *q = (Qed *)node;
    uint64_t mask = q->header.cluster_size - 1;
    uint64_t start = offset & ~mask, end = (offset + bytes + mask) & ~mask, host;
    uint64_t before = offset - start, after = end - (offset + bytes);
    g_autofree uint8_t *around = before + after ? g_try_malloc(before + after) : NULL;
    g_autofree struct iovec *all = g_new(struct iovec, (size_t)niov + 2);
    int n = 0, result = qed_mark_in_use(q);

    if (!around && before + after) return -ENOMEM;
    if (result == 0 && before) result = fill(node, zero, start, around, before);
    if (result == 0 && after) result = fill(node, zero, offset + bytes, around + before, after);
    if (result < 0) return result;
    if (before) all[n++] = (struct iovec){ around, before };
    memcpy(all + n, iov, (size_t)niov * sizeof *iov);
    n += niov;
    if (after) all[n++] = (struct iovec){ around + before, after };
    host = q->end;
    q->end += end - start; /* a failure leaves these unused: a leak */
    result = vit_co_writev(file_of(node), host, end - start, all, n, 0);
    if (result == 0 && node->backing) result = vit_co_flush(file_of(node));
    return result < 0 ? result : qed_link(q, start, (end - start) / (mask + 1), host);
}

/* Writes to clusters, all of one kind, some way on from `offset`; returns how far in *done. */
static int write_some(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov, uint64_t *done)
{
    Qed *q = (Qed *)node;
    QedRun run;
    int result = qed_lookup(q, offset, bytes, &run);

    if (result < 0) return result;
    g_autofree struct iovec *part = g_new(struct iovec, (size_t)niov);
    if (run.kind == QED_DATA) { /* stays what it is */
        int n = vit_iov_slice(iov, niov, 0, run.bytes, part);
        *done = run.bytes;
        return vit_co_writev(file_of(node), run.host, run.bytes, part, n, 0);
    }
    VitBlockRange range;
    uint64_t mask = q->header.cluster_size - 1, start = offset & ~mask;
    vit_block_range_lock(&q->allocating, &range, start,
                         ((offset + run.bytes + mask) & ~mask) - start);
    result = qed_lookup(q, offset, run.bytes, &run); /* another may have been first */
    if (result == 0 && run.kind != QED_DATA) {
        int n = vit_iov_slice(iov, niov, 0, run.bytes, part);
        result = add_clusters(node, run.kind == QED_ZERO, offset, run.bytes, part, n);
        *done = run.bytes;
    }
    vit_block_range_unlock(&q->allocating, &range);
    return result;
}

int qed_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
              int niov, uint32_t flags)
{
    g_autofree struct iovec *part = g_new(struct iovec, (size_t)niov);
    uint64_t at = 0;

    if (flags & VIT_BLOCK_COMPRESSED) return -ENOTSUP;
    while (at < bytes) {
        uint64_t done = 0;
        int n = vit_iov_slice(iov, niov, at, bytes - at, part);
        int result = write_some(node, offset + at, bytes - at, part, n, &done);
        if (result < 0) return result;
        at += done;
    }
    return flags & VIT_BLOCK_FUA ? vit_co_flush(file_of(node)) : 0;
}

/* Zeroes in clusters of one kind; whole clusters when they are to become zero clusters. */
static int zero_some(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags,
                     uint64_t *done)
{
    Qed *q = (Qed *)node;
    uint64_t cluster = q->header.cluster_size, mask = cluster - 1, whole;
    QedRun run;
    int result = qed_lookup(q, offset, bytes, &run);

    if (result < 0) return result;
    *done = run.bytes;
    if (run.kind == QED_DATA)
        return vit_co_zero(file_of(node), run.host, run.bytes, flags & VIT_BLOCK_MAY_UNMAP);
    if (run.kind == QED_ZERO) return 0;
    bool to_end = offset + run.bytes == node->size;
    if ((offset & mask) || (run.bytes < cluster && !to_end)) {
        /* A part of a cluster: it reads as zero already unless the backing file says otherwise. */
        *done = MIN(run.bytes, cluster - (offset & mask));
        if (!node->backing) return 0;
        g_autofree uint8_t *zeroes = g_try_malloc0(*done);
        struct iovec iov = { zeroes, *done };
        return zeroes ? write_some(node, offset, *done, &iov, 1, done) : -ENOMEM;
    }
    whole = to_end ? (run.bytes + mask) & ~mask : run.bytes & ~mask;
    *done = MIN(whole, run.bytes);
    VitBlockRange range;
    vit_block_range_lock(&q->allocating, &range, offset, whole);
    result = qed_lookup(q, offset, *done, &run);
    *done = MIN(*done, run.bytes);
    if (result == 0 && run.kind == QED_NONE)
        result = qed_link(q, offset, (*done + mask) / cluster, QED_ZERO_CLUSTER);
    else *done = 0; /* look again */
    vit_block_range_unlock(&q->allocating, &range);
    return result;
}

int qed_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    uint64_t at = 0;

    while (at < bytes) {
        uint64_t done = 0;
        int result = zero_some(node, offset + at, bytes - at, flags, &done);
        if (result < 0) return result;
        at += done;
    }
    return flags & VIT_BLOCK_FUA ? vit_co_flush(file_of(node)) : 0;
}

int qed_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    static const unsigned flags[] = {
        [QED_NONE] = 0,
        [QED_ZERO] = VIT_EXTENT_ZERO | VIT_EXTENT_ALLOCATED,
        [QED_DATA] = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET,
    };
    QedRun run, next;
    int result = qed_lookup((Qed *)node, offset, bytes, &run);

    if (result < 0) return result;
    for (int i = 0; run.bytes < bytes && i < MAX_LOOKUPS; i++) { /* on through the next tables */
        result = qed_lookup((Qed *)node, offset + run.bytes, bytes - run.bytes, &next);
        if (result < 0 || next.kind != run.kind ||
            (run.kind == QED_DATA && next.host != run.host + run.bytes))
            break;
        run.bytes += next.bytes;
    }
    *extent = (VitBlockExtent){ .bytes = run.bytes,
                                .flags = flags[run.kind],
                                .host_offset = run.host,
                                .file = run.kind == QED_DATA ? file_of(node) : NULL };
    return 0;
}
