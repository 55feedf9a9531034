/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/snapshot.c - the snapshot table ("Snapshots"): reading, checking, writing it anew
 *
 * The table is never changed in place: a new one is written, then the header leads to it. */
#include "block/qcow2/snapshot.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { /* offsets in an entry */
       E_L1_OFFSET = 0,
       E_L1_SIZE = 8,
       E_ID_SIZE = 12,
       E_NAME_SIZE = 14,
       E_DATE_SEC = 16,
       E_DATE_NSEC = 20,
       E_VM_CLOCK = 24,
       E_VM_STATE = 32,
       E_EXTRA_SIZE = 36,
       ENTRY = 40,
       X_VM_STATE = 0, /* in the extra data */
       X_DISK_SIZE = 8,
       X_ICOUNT = 16,
       EXTRA = 24,
       MAX_EXTRA = 1024
};

void vit_qcow2_snapshot_free(void *data)
{
    VitQcow2Snapshot *s = data;

    if (!s) return;
    vit_block_snapshot_free(s->facts);
    if (s->extra) g_bytes_unref(s->extra);
    g_free(s);
}

static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static bool bad(const VitQcow2 *q, unsigned index, const char *what, GError **error)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: snapshot table entry %u: %s"),
                          q->parent.file->node->filename, index, what);
}

/* Strings may hold anything, but not what would end them early or break a terminal's encoding. */
static char *text(const uint8_t *p, size_t n)
{
    g_autofree char *raw = g_strndup((const char *)p, n);

    return g_utf8_make_valid(raw, -1);
}

/* Length of an entry, from its fixed part; 0: absurd. */
static size_t length(const uint8_t *entry)
{
    uint32_t extra = vit_get32(entry + E_EXTRA_SIZE);

    if (extra > MAX_EXTRA) return 0;
    return ENTRY + extra + get16(entry + E_ID_SIZE) + get16(entry + E_NAME_SIZE);
}

/* Of a snapshot that cannot be read the image is none the worse. */
static const char *what_is_wrong(const VitQcow2 *q, const VitQcow2Snapshot *s)
{
    uint64_t end = q->parent.file->node->size + q->cluster_size;

    if (s->l1_offset & (q->cluster_size - 1)) return N_("L1 table offset invalid");
    if (s->l1_size > VIT_QCOW2_MAX_L1_BYTES / 8) return N_("L1 table too large");
    if (s->l1_offset > end || (uint64_t)s->l1_size * 8 > end - s->l1_offset)
        return N_("L1 table lies past the end of the file");
    return NULL;
}

bool vit_qcow2_snapshot_usable(const VitQcow2 *q, const VitQcow2Snapshot *s, GError **error)
{
    return !s->broken ||
           vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                          _("“%s”: snapshot “%s”: %s (0x%" PRIx64 ")"), q->parent.filename,
                          s->facts->name, _(s->broken), s->l1_offset);
}

/* One entry, all of it at buf. */
static VitQcow2Snapshot *parse(const VitQcow2 *q, const uint8_t *buf, unsigned index,
                               GError **error)
{
    uint32_t extra = vit_get32(buf + E_EXTRA_SIZE);
    size_t id = get16(buf + E_ID_SIZE), name = get16(buf + E_NAME_SIZE);
    const uint8_t *x = buf + ENTRY;

    VitQcow2Snapshot *s = g_new0(VitQcow2Snapshot, 1);
    VitBlockSnapshot *f = s->facts = vit_block_snapshot_new();
    s->l1_offset = vit_get64(buf + E_L1_OFFSET);
    s->l1_size = vit_get32(buf + E_L1_SIZE);
    s->extra_size = extra;
    f->date_sec = vit_get32(buf + E_DATE_SEC);
    f->date_nsec = vit_get32(buf + E_DATE_NSEC);
    f->vm_clock_nsec = vit_get64(buf + E_VM_CLOCK);
    f->vm_state_size = extra >= X_DISK_SIZE ? vit_get64(x + X_VM_STATE)
                                            : vit_get32(buf + E_VM_STATE);
    f->disk_size = extra >= X_ICOUNT ? vit_get64(x + X_DISK_SIZE) : q->parent.size;
    f->icount = extra >= EXTRA ? (int64_t)vit_get64(x + X_ICOUNT) : -1;
    if (extra > EXTRA) s->extra = g_bytes_new(x + EXTRA, extra - EXTRA);
    f->id = text(x + extra, id);
    f->name = text(x + extra + id, name);
    s->broken = what_is_wrong(q, s);
    if (f->disk_size <= INT64_MAX) return s;
    bad(q, index, "disk size too large", error);
    vit_qcow2_snapshot_free(s);
    return NULL;
}

static bool load_table(VitQcow2 *q, GPtrArray *list, GError **error)
{
    VitBlockNode *file = q->parent.file->node;
    uint64_t at = q->snapshots_offset, end = at + VIT_QCOW2_MAX_SNAPSHOT_TABLE;

    if (q->nb_snapshots > VIT_QCOW2_MAX_SNAPSHOTS)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: Too many snapshots (%u)"),
                              file->filename, q->nb_snapshots);
    if (at & (q->cluster_size - 1) || at >= file->size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Snapshot table offset invalid (0x%" PRIx64 ")"),
                              file->filename, at);
    end = MIN(end, file->size);
    for (unsigned i = 0; i < q->nb_snapshots; i++) {
        uint8_t head[ENTRY];
        if (at >= end || end - at < ENTRY) return bad(q, i, "the table ends in it", error);
        int result = vit_co_read(file, at, head, sizeof head);
        size_t size = length(head);
        if (result == 0 && size == 0) return bad(q, i, "too much extra data", error);
        if (result == 0 && size > end - at) return bad(q, i, "the table ends in it", error);
        g_autofree uint8_t *buf = g_malloc(size);
        if (result == 0) result = vit_co_read(file, at, buf, size);
        if (result < 0)
            return vit_block_fail_errno(error, result, _("“%s”: Could not read snapshots"),
                                        file->filename);
        memcpy(buf, head, sizeof head);
        VitQcow2Snapshot *s = parse(q, buf, i, error);
        if (!s) return false;
        g_ptr_array_add(list, s);
        at += (size + 7) & ~(size_t)7;
    }
    q->snapshots_bytes = at - q->snapshots_offset;
    return true;
}

bool vit_qcow2_snapshots_load(VitQcow2 *q, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(vit_qcow2_snapshot_free);

    q->snapshots_bytes = 0;
    if (q->nb_snapshots > 0 && !load_table(q, list, error)) return false;
    if (q->snapshots) g_ptr_array_unref(q->snapshots);
    q->snapshots = g_steal_pointer(&list);
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static size_t entry_size(const VitQcow2Snapshot *s)
{
    size_t extra = EXTRA + (s->extra ? g_bytes_get_size(s->extra) : 0);

    return (ENTRY + extra + strlen(s->facts->id) + strlen(s->facts->name) + 7) & ~(size_t)7;
}

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void write_entry(const VitQcow2Snapshot *s, uint8_t *p)
{
    const VitBlockSnapshot *f = s->facts;
    gsize more = 0;
    const void *rest = s->extra ? g_bytes_get_data(s->extra, &more) : NULL;
    size_t id = strlen(f->id), name = strlen(f->name);

    vit_put64(p + E_L1_OFFSET, s->l1_offset);
    vit_put32(p + E_L1_SIZE, s->l1_size);
    put16(p + E_ID_SIZE, id);
    put16(p + E_NAME_SIZE, name);
    vit_put32(p + E_DATE_SEC, f->date_sec);
    vit_put32(p + E_DATE_NSEC, f->date_nsec);
    vit_put64(p + E_VM_CLOCK, f->vm_clock_nsec);
    vit_put32(p + E_VM_STATE, f->vm_state_size > UINT32_MAX ? 0 : (uint32_t)f->vm_state_size);
    vit_put32(p + E_EXTRA_SIZE, (uint32_t)(EXTRA + more));
    vit_put64(p + ENTRY + X_VM_STATE, f->vm_state_size);
    vit_put64(p + ENTRY + X_DISK_SIZE, f->disk_size);
    vit_put64(p + ENTRY + X_ICOUNT, (uint64_t)f->icount);
    p += ENTRY + EXTRA;
    if (more) memcpy(p, rest, more);
    memcpy(p + more, f->id, id);
    memcpy(p + more + id, f->name, name);
}

/* The table in clusters of its own; *offset 0 for an empty one. */
static int write_table(VitQcow2 *q, GPtrArray *list, uint64_t *offset, uint64_t *bytes)
{
    size_t size = 0, at = 0;

    *offset = *bytes = 0;
    for (guint i = 0; i < list->len; i++) size += entry_size(list->pdata[i]);
    if (size > VIT_QCOW2_MAX_SNAPSHOT_TABLE || list->len > VIT_QCOW2_MAX_SNAPSHOTS) return -EFBIG;
    if (size == 0) return 0;
    g_autofree uint8_t *buf = g_try_malloc0(size);
    if (!buf) return -ENOMEM;
    for (guint i = 0; i < list->len; i++) {
        write_entry(list->pdata[i], buf + at);
        at += entry_size(list->pdata[i]);
    }
    int result = vit_qcow2_alloc(q, vit_qcow2_clusters(q, size), offset);
    if (result == 0) result = vit_qcow2_write_meta(q, *offset, buf, size);
    *bytes = size;
    return result;
}

int vit_qcow2_snapshots_store(VitQcow2 *q, GPtrArray *list)
{
    uint64_t old = q->snapshots_offset, old_bytes = q->snapshots_bytes, offset, bytes;
    uint8_t field[12];
    int result = write_table(q, list, &offset, &bytes);

    if (result == 0) result = vit_qcow2_sync(q); /* its refcounts and all that it leads to */
    vit_put32(field, list->len);
    vit_put64(field + 4, offset);
    if (result == 0)
        result = vit_qcow2_write_field(q, VIT_QCOW2_H_NB_SNAPSHOTS, field, sizeof field);
    if (result < 0) {
        if (offset) vit_qcow2_unalloc(q, offset, bytes);
        return result;
    }
    if (list != q->snapshots) {
        if (q->snapshots) g_ptr_array_unref(q->snapshots);
        q->snapshots = g_ptr_array_ref(list);
    }
    q->nb_snapshots = list->len;
    q->snapshots_offset = offset;
    q->snapshots_bytes = bytes;
    if (old_bytes) vit_qcow2_free(q, old, old_bytes, VIT_QCOW2_FREE_OTHER);
    return 0;
}

int vit_qcow2_snapshot_find(const VitQcow2 *q, const char *id_or_name)
{
    for (int by_name = 0; by_name < 2; by_name++) {
        for (guint i = 0; i < q->snapshots->len; i++) {
            const VitQcow2Snapshot *s = q->snapshots->pdata[i];
            const char *is = by_name ? s->facts->name : s->facts->id;
            if (strcmp(is, id_or_name) == 0) return (int)i;
        }
    }
    return -1;
}
