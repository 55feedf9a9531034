/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vhdx/log.c - the log, through which tables change ([MS-VHDX] 2.3)
 *
 * Every change is an entry of its own: it is stable before the table is touched, and the table is
 * stable before the next entry is written.  Entries follow one another in the log's ring and never
 * overlap the one before, so that from the first entry to the clean end one of them is always
 * whole. */
#include "block/vhdx/vhdx.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { MOST_SECTORS = 60, MAX_LOG = 64 << 20 };

static size_t descriptor_sectors(uint32_t count)
{
    return (sizeof(VhdxLogEntry) + (size_t)count * sizeof(VhdxDescriptor) + VHDX_LOG_SECTOR - 1) /
           VHDX_LOG_SECTOR;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void make_entry(const Vhdx *v, uint8_t *buf, uint32_t length, uint64_t offset,
                       const uint8_t *sectors, uint32_t count)
{
    VhdxLogEntry *e = (VhdxLogEntry *)buf;
    VhdxDescriptor *d = (VhdxDescriptor *)(e + 1);
    VhdxLogData *data = (VhdxLogData *)(buf + VHDX_LOG_SECTOR);
    uint64_t sequence = v->log_sequence + 1, size = v->parent.file->node->size;

    *e = (VhdxLogEntry){ .signature = { 'l', 'o', 'g', 'e' },
                         .length = GUINT32_TO_LE(length),
                         .tail = GUINT32_TO_LE(v->log_next),
                         .sequence = GUINT64_TO_LE(sequence),
                         .descriptors = GUINT32_TO_LE(count),
                         .log = v->header.log,
                         .flushed_size = GUINT64_TO_LE(size),
                         .last_size = GUINT64_TO_LE(size) };
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *from = sectors + (size_t)i * VHDX_LOG_SECTOR;
        d[i] = (VhdxDescriptor){ .signature = { 'd', 'e', 's', 'c' },
                                 .offset = GUINT64_TO_LE(offset + (uint64_t)i * VHDX_LOG_SECTOR),
                                 .sequence = GUINT64_TO_LE(sequence) };
        memcpy(&d[i].leading, from, 8);
        memcpy(&d[i].trailing, from + VHDX_LOG_SECTOR - 4, 4);
        memcpy(data[i].signature, "data", 4);
        data[i].sequence_high = GUINT32_TO_LE((uint32_t)(sequence >> 32));
        data[i].sequence_low = GUINT32_TO_LE((uint32_t)sequence);
        memcpy(data[i].bytes, from + 8, sizeof data[i].bytes);
    }
    e->checksum = GUINT32_TO_LE(vhdx_crc(buf, length, offsetof(VhdxLogEntry, checksum)));
}

static int log_one(Vhdx *v, uint64_t offset, const uint8_t *sectors, uint32_t count)
{
    VitBlockNode *file = v->parent.file->node;
    uint32_t length = (1 + count) * VHDX_LOG_SECTOR;
    bool first = vhdx_guid_is_zero(&v->header.log);
    g_autofree uint8_t *buf = g_try_malloc0(length);

    if (!buf) return -ENOMEM;
    if (first) v->header.log = vhdx_guid_new();
    if (v->log_next + length > GUINT32_FROM_LE(v->header.log_length)) v->log_next = 0;
    make_entry(v, buf, length, offset, sectors, count);
    int result = vit_co_flush(file); /* what the entry before has changed */
    if (result == 0)
        result = vit_co_write(file, GUINT64_FROM_LE(v->header.log_offset) + v->log_next, buf,
                              length, 0);
    if (result == 0) result = vit_co_flush(file);
    /* Only now may the header say that there is something in the log. */
    if (result == 0 && first) result = vhdx_co_update_header(v);
    if (result < 0) {
        if (first) memset(&v->header.log, 0, sizeof v->header.log);
        return result;
    }
    v->log_sequence++;
    v->log_next += length;
    return vit_co_write(file, offset, sectors, (uint64_t)count * VHDX_LOG_SECTOR, 0);
}

int vhdx_co_log_write(Vhdx *v, uint64_t offset, const uint8_t *sectors, uint32_t count)
{
    int result = 0;

    for (uint32_t done = 0; done < count && result == 0; done += MOST_SECTORS)
        result = log_one(v, offset + (uint64_t)done * VHDX_LOG_SECTOR,
                         sectors + (size_t)done * VHDX_LOG_SECTOR, MIN(MOST_SECTORS, count - done));
    return result;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct {
    const Vhdx *v;
    uint8_t *ring; /* owned: the log's bytes, twice, so that an entry at the end goes on */
    uint32_t length;
    uint64_t budget; /* bytes that may still be summed: entries that overlap are not worth more */
} Log;

/* The entry at an offset of the ring, NULL: there is no valid one. */
static const VhdxLogEntry *entry_at(Log *log, uint32_t at)
{
    const VhdxLogEntry *e = (const VhdxLogEntry *)(log->ring + at);
    uint32_t length = GUINT32_FROM_LE(e->length), count = GUINT32_FROM_LE(e->descriptors);
    uint32_t tail = GUINT32_FROM_LE(e->tail);

    if (memcmp(e->signature, "loge", 4) != 0 || !vhdx_guid_equal(&e->log, &log->v->header.log) ||
        length == 0 || length % VHDX_LOG_SECTOR || length > log->length || tail % VHDX_LOG_SECTOR ||
        tail >= log->length || e->sequence == 0 || count > length / sizeof(VhdxDescriptor) ||
        descriptor_sectors(count) * VHDX_LOG_SECTOR > length || length > log->budget)
        return NULL;
    log->budget -= length;
    if (GUINT32_FROM_LE(e->checksum) != vhdx_crc(e, length, offsetof(VhdxLogEntry, checksum)))
        return NULL;
    const VhdxDescriptor *d = (const VhdxDescriptor *)(e + 1);
    const VhdxLogData *data = (const VhdxLogData *)((const uint8_t *)e +
                                                    descriptor_sectors(count) * VHDX_LOG_SECTOR);
    uint64_t room = length / VHDX_LOG_SECTOR - descriptor_sectors(count), sequence = e->sequence;
    for (uint32_t i = 0; i < count; i++) {
        bool zero = memcmp(d[i].signature, "zero", 4) == 0;
        if ((!zero && memcmp(d[i].signature, "desc", 4) != 0) || d[i].sequence != sequence ||
            GUINT64_FROM_LE(d[i].offset) % VHDX_LOG_SECTOR ||
            GUINT64_FROM_LE(d[i].offset) > INT64_MAX / 2 ||
            (zero && (GUINT64_FROM_LE(d[i].leading) % VHDX_LOG_SECTOR ||
                      GUINT64_FROM_LE(d[i].leading) > INT64_MAX / 2)))
            return NULL;
        if (zero) continue;
        if (room-- == 0 || memcmp(data->signature, "data", 4) != 0 ||
            ((uint64_t)GUINT32_FROM_LE(data->sequence_high) << 32 |
             GUINT32_FROM_LE(data->sequence_low)) != GUINT64_FROM_LE(sequence))
            return NULL;
        data++;
    }
    return e;
}

/* Where the newest sequence of entries that is whole begins, and how many it has; 0: none. */
static unsigned find_active(Log *log, uint32_t *tail)
{
    uint64_t newest = 0;
    unsigned best = 0;
    uint32_t most = log->length / VHDX_LOG_SECTOR;
    g_autofree const VhdxLogEntry **valid = g_new0(const VhdxLogEntry *, most);

    for (uint32_t i = 0; i < most; i++) valid[i] = entry_at(log, i * VHDX_LOG_SECTOR);
    for (uint32_t i = 0; i < most; i++) {
        const VhdxLogEntry *head = valid[i];
        if (!head || GUINT64_FROM_LE(head->sequence) <= newest) continue;
        /* From its tail, one after the other, up to itself. */
        uint32_t at = GUINT32_FROM_LE(head->tail) / VHDX_LOG_SECTOR;
        const VhdxLogEntry *e = valid[at];
        unsigned count = 1;
        while (e && e != head && count < most) {
            at = (at + GUINT32_FROM_LE(e->length) / VHDX_LOG_SECTOR) % most;
            const VhdxLogEntry *next = valid[at];
            if (!next || GUINT64_FROM_LE(next->sequence) != GUINT64_FROM_LE(e->sequence) + 1) break;
            e = next;
            count++;
        }
        if (e != head) continue;
        newest = GUINT64_FROM_LE(head->sequence);
        *tail = GUINT32_FROM_LE(head->tail);
        best = count;
    }
    return best;
}

static int apply(VitBlockNode *file, const VhdxLogEntry *e)
{
    uint32_t count = GUINT32_FROM_LE(e->descriptors);
    const VhdxDescriptor *d = (const VhdxDescriptor *)(e + 1);
    const VhdxLogData *data = (const VhdxLogData *)((const uint8_t *)e +
                                                    descriptor_sectors(count) * VHDX_LOG_SECTOR);
    g_autofree uint8_t *sector = g_malloc(VHDX_LOG_SECTOR);
    int result = 0;

    for (uint32_t i = 0; i < count && result == 0; i++) {
        uint64_t at = GUINT64_FROM_LE(d[i].offset);
        if (memcmp(d[i].signature, "zero", 4) == 0) {
            /* No longer than the file: what lies behind its end is zero. */
            uint64_t n = GUINT64_FROM_LE(d[i].leading);
            if (at < file->size) result = vit_co_zero(file, at, MIN(n, file->size - at), 0);
            continue;
        }
        memcpy(sector, &d[i].leading, 8);
        memcpy(sector + 8, data->bytes, sizeof data->bytes);
        memcpy(sector + VHDX_LOG_SECTOR - 4, &d[i].trailing, 4);
        data++;
        if (at >= file->size) return -EINVAL;
        result = vit_co_write(file, at, sector, VHDX_LOG_SECTOR, 0);
    }
    return result;
}

static bool replay(Vhdx *v, const Log *log, uint32_t tail, unsigned count, GError **error)
{
    VitBlockNode *file = v->parent.file->node;
    uint32_t at = tail;
    int result = 0;

    for (unsigned i = 0; i < count && result == 0; i++) {
        const VhdxLogEntry *e = (const VhdxLogEntry *)(log->ring + at);
        uint64_t flushed = GUINT64_FROM_LE(e->flushed_size), last = GUINT64_FROM_LE(e->last_size);
        if (flushed > file->size)
            return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                                  _("“%s”: the file has been truncated: its log knows %" PRIu64
                                    " bytes, there are %" PRIu64),
                                  v->parent.filename, flushed, file->size);
        if (last > file->size && last < VHDX_MAX_SIZE * 2 &&
            !vit_co_truncate(file, last, false, VIT_PREALLOC_OFF, error))
            return false;
        result = apply(file, e);
        at = (at + GUINT32_FROM_LE(e->length)) % log->length;
    }
    if (result == 0) result = vit_co_flush(file);
    if (result == 0) {
        memset(&v->header.log, 0, sizeof v->header.log);
        result = vhdx_co_update_header(v);
    }
    v->log_replayed = result == 0;
    return result == 0 ||
           vit_block_fail_errno(error, result, _("“%s”: could not replay the VHDX log"),
                                v->parent.filename);
}

bool vhdx_co_replay(Vhdx *v, GError **error)
{
    VitBlockNode *node = &v->parent;
    Log log = { .v = v, .length = GUINT32_FROM_LE(v->header.log_length) };
    uint32_t tail = 0;

    if (vhdx_guid_is_zero(&v->header.log)) return true;
    if (log.length > MAX_LOG)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: a VHDX log of %u bytes is too long to be replayed"),
                              node->filename, log.length);
    g_autofree uint8_t *ring = g_try_malloc(2 * (size_t)log.length);
    log.ring = ring;
    log.budget = 8 * (uint64_t)log.length;
    int result = ring ? vit_co_read(node->file->node, GUINT64_FROM_LE(v->header.log_offset), ring,
                                    log.length)
                      : -ENOMEM;
    if (result < 0) return vit_block_fail_errno(error, result, _("“%s”: log"), node->filename);
    memcpy(ring + log.length, ring, log.length);
    unsigned count = find_active(&log, &tail);
    if (count == 0)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: the header says that there is a VHDX log to replay, but no entry "
              "of it is whole"),
            node->filename);
    if (!node->how.read_only) return replay(v, &log, tail, count, error);
    v->log_pending = true;
    if (node->how.check || node->how.no_io) return true;
    return vit_block_fail(
        error, VIT_BLOCK_ERROR_INVALID,
        _("VHDX image file '%s' opened read-only, but contains a log that needs to be "
          "replayed. To replay the log, run:\nvitrine-img check -r all '%s'"),
        node->filename, node->filename);
}
