/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vmdk/extent.c - sparse extents: headers, grain directories, and tables in memory
 *
 * Virtual Disk Format 1.1, "Hosted Sparse Extents" (SPARSE) and "ESX Server Sparse Extents" (COWD).
 */
#include "block/vmdk/vmdk.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum {
    MAX_TABLES = 1 << 20,
    MAX_GRAIN = 16 << 20,
    MAX_DESCRIPTOR = 1 << 20,
    COWD_PER_TABLE = 4096
};

/* clang-format off */
typedef struct __attribute__((packed)) {
    char     magic[4];                      /* "COWD" */
    uint32_t version, flags, sectors, grain_size, directory, directory_entries, free_sector;
} CowdHeader;
/* clang-format on */

void vmdk_extent_finish(VmdkExtent *e)
{
    for (guint i = 0; e->loaded && i < e->loaded->len; i++)
        g_free(e->table[g_array_index(e->loaded, uint32_t, i)].at);
    g_clear_pointer(&e->loaded, g_array_unref);
    g_clear_pointer(&e->spare, g_array_unref);
    g_clear_pointer(&e->table, g_free);
    g_clear_pointer(&e->directory, g_free);
    g_clear_pointer(&e->spare_directory, g_free);
    g_clear_pointer(&e->type, g_free);
    g_clear_pointer(&e->filename, g_free);
}

VmdkExtent *vmdk_find_extent(Vmdk *v, uint64_t offset)
{
    unsigned low = 0, high = v->n_extents;

    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (v->extents[middle].start <= offset) low = middle;
        else high = middle;
    }
    return &v->extents[low];
}

static bool corrupt(const VmdkExtent *e, GError **error, const char *what, uint64_t value)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: VMDK header: %s: %" PRIu64),
                          e->edge->node->filename, what, value);
}

/* ---- headers --------------------------------------------------------------------------------- */

static bool read_directory(const VmdkExtent *e, uint64_t sector, uint32_t **directory,
                           GError **error)
{
    VitBlockNode *file = e->edge->node;
    uint64_t bytes = e->tables * 4, at = sector * VMDK_SECTOR;

    if (sector > (uint64_t)INT64_MAX / VMDK_SECTOR || at > file->size || file->size - at < bytes)
        return corrupt(e, error, _("the grain directory does not fit into the file at sector"),
                       sector);
    *directory = g_try_new(uint32_t, e->tables + 1);
    int result = *directory ? vit_co_read(file, at, *directory, bytes) : -ENOMEM;
    if (result < 0)
        return vit_block_fail_errno(error, result, _("“%s”: grain directory"), file->filename);
    for (uint64_t i = 0; i < e->tables; i++) (*directory)[i] = GUINT32_FROM_LE((*directory)[i]);
    return true;
}

static bool set_up(VmdkExtent *e, uint64_t capacity, uint64_t grain, uint64_t per_table,
                   GError **error)
{
    if (grain == 0 || (grain & (grain - 1)) != 0 || grain > MAX_GRAIN / VMDK_SECTOR)
        return corrupt(e, error, _("Invalid granularity, image may be corrupt"), grain);
    if (per_table == 0 || per_table > COWD_PER_TABLE)
        return corrupt(e, error, _("L2 table size too big"), per_table);
    if (capacity > (uint64_t)INT64_MAX / VMDK_SECTOR)
        return corrupt(e, error, _("absurd capacity"), capacity);
    e->grain = grain * VMDK_SECTOR;
    e->per_table = per_table;
    uint64_t per_table_sectors = grain * per_table;
    e->tables = (capacity + per_table_sectors - 1) / per_table_sectors;
    if (e->tables > MAX_TABLES) return corrupt(e, error, _("L1 size too big"), e->tables);
    e->bytes = capacity * VMDK_SECTOR;
    e->table = g_try_new0(VmdkTable, e->tables + 1);
    e->loaded = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    e->spare = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    return e->table || vit_block_fail_errno(error, -ENOMEM, "“%s”", e->edge->node->filename);
}

static bool open_cowd(VitBlockNode *node, VmdkExtent *e, GError **error)
{
    CowdHeader h;
    int result = vit_co_read(e->edge->node, 0, &h, sizeof h);

    if (result < 0)
        return vit_block_fail_errno(error, result, _("“%s”: header"), e->edge->node->filename);
    if (!node->how.read_only)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_UNSUPPORTED,
            _("“%s”: ESX server sparse extents can only be read; open it read-only, "
              "or convert it"),
            e->edge->node->filename);
    e->kind = VMDK_COWD;
    if (!set_up(e, GUINT32_FROM_LE(h.sectors), GUINT32_FROM_LE(h.grain_size), COWD_PER_TABLE,
                error))
        return false;
    if (e->tables > GUINT32_FROM_LE(h.directory_entries))
        return corrupt(e, error, _("the grain directory is too short"),
                       GUINT32_FROM_LE(h.directory_entries));
    return read_directory(e, GUINT32_FROM_LE(h.directory), &e->directory, error);
}

static bool check_header(const VmdkExtent *e, const VmdkHeader *h, GError **error)
{
    static const uint8_t newline[] = { '\n', ' ', '\r', '\n' };
    uint32_t version = GUINT32_FROM_LE(h->version), flags = GUINT32_FROM_LE(h->flags);

    if (version == 0 || version > 3)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: Unsupported VMDK version %u"), e->edge->node->filename,
                              version);
    if ((flags & VMDK_FLAG_NEWLINE) && memcmp(h->newline, newline, sizeof newline) != 0)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: its line ends were changed on the way here; copy it again, in "
              "binary mode"),
            e->edge->node->filename);
    if ((flags & VMDK_FLAG_COMPRESSED) && GUINT16_FROM_LE(h->compression) != VMDK_DEFLATE)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: unknown compression method %u"), e->edge->node->filename,
                              GUINT16_FROM_LE(h->compression));
    return true;
}

/* A stream's directory may be known only at its end: footer marker, footer, end-of-stream marker.
 */
static bool read_footer(const VmdkExtent *e, VmdkHeader *h, GError **error)
{
    VitBlockNode *file = e->edge->node;
    uint32_t type;
    uint8_t marker[VMDK_SECTOR];

    if (file->size < 4 * VMDK_SECTOR)
        return corrupt(e, error, _("no room for a footer in a file of bytes"), file->size);
    int result = vit_co_read(file, file->size - 3 * VMDK_SECTOR, marker, sizeof marker);
    if (result == 0) result = vit_co_read(file, file->size - 2 * VMDK_SECTOR, h, sizeof *h);
    if (result < 0) return vit_block_fail_errno(error, result, _("“%s”: footer"), file->filename);
    memcpy(&type, marker + 12, sizeof type);
    if (GUINT32_FROM_LE(type) != 3 || memcmp(h->magic, "KDMV", 4) != 0 ||
        GUINT64_FROM_LE(h->directory) == UINT64_MAX)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: the stream has no footer; its end is missing"),
                              file->filename);
    return check_header(e, h, error);
}

/* Who writes needs every table to be there. */
static bool tables_exist(const VmdkExtent *e, const uint32_t *directory, GError **error)
{
    for (uint64_t i = 0; i < e->tables; i++) {
        uint64_t at = (uint64_t)directory[i] * VMDK_SECTOR;
        if (at == 0 || at > e->file_size || e->file_size - at < e->per_table * 4)
            return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                                  _("“%s”: grain table %" PRIu64 " at offset %" PRIu64
                                    " is not in the file; open it read-only, or "
                                    "convert it"),
                                  e->edge->node->filename, i, at);
    }
    return true;
}

bool vmdk_co_open_sparse(VitBlockNode *node, VmdkExtent *e, bool whole_image, GError **error)
{
    VitBlockNode *file = e->edge->node;
    g_autofree VmdkHeader *h = g_new(VmdkHeader, 1);
    uint64_t announced = e->bytes;
    int result = vit_co_read(file, 0, h, sizeof *h);

    if (result < 0) return vit_block_fail_errno(error, result, _("“%s”: header"), file->filename);
    e->fresh = e->file_size = file->size;
    if (memcmp(h->magic, "COWD", 4) == 0) {
        if (!open_cowd(node, e, error)) return false;
    } else {
        if (memcmp(h->magic, "KDMV", 4) != 0)
            return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                                  _("“%s”: not a sparse extent: bad magic"), file->filename);
        if (!check_header(e, h, error)) return false;
        bool at_end = GUINT64_FROM_LE(h->directory) == UINT64_MAX;
        if (at_end && !read_footer(e, h, error)) return false;
        if (at_end && !node->how.read_only)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_UNSUPPORTED,
                _("“%s”: a finished stream can only be read; open it read-only, or "
                  "convert it"),
                file->filename);
        uint32_t flags = GUINT32_FROM_LE(h->flags);
        e->kind = VMDK_SPARSE;
        e->compressed = flags & VMDK_FLAG_COMPRESSED;
        e->markers = flags & VMDK_FLAG_MARKERS;
        e->zero_grains = flags & VMDK_FLAG_ZERO_GRAINS;
        if (GUINT32_FROM_LE(h->per_table) > 512)
            return corrupt(e, error, _("L2 table size too big"), GUINT32_FROM_LE(h->per_table));
        if (!set_up(e, GUINT64_FROM_LE(h->capacity), GUINT64_FROM_LE(h->grain_size),
                    GUINT32_FROM_LE(h->per_table), error) ||
            !read_directory(e, GUINT64_FROM_LE(h->directory), &e->directory, error) ||
            ((flags & VMDK_FLAG_SPARE) && !at_end &&
             !read_directory(e, GUINT64_FROM_LE(h->spare_directory), &e->spare_directory, error)))
            return false;
        if (!node->how.read_only &&
            (!tables_exist(e, e->directory, error) ||
             (e->spare_directory && !tables_exist(e, e->spare_directory, error))))
            return false;
    }
    uint64_t unit = e->compressed ? VMDK_SECTOR : e->grain;
    e->end = (file->size + unit - 1) / unit * unit;
    if (whole_image) return true;
    if (announced > e->bytes)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: extent of %" PRIu64 " bytes, but the descriptor says %" PRIu64),
            file->filename, e->bytes, announced);
    e->bytes = announced;
    return true;
}

bool vmdk_co_find_descriptor(Vmdk *v, GError **error)
{
    VitBlockNode *file = v->parent.file->node;
    VmdkHeader h;
    int result = vit_co_read(file, 0, &h, sizeof h);

    if (result < 0)
        return vit_block_fail_errno(error, result, _("“%s”: descriptor"), v->parent.filename);
    if (memcmp(h.magic, "KDMV", 4) == 0) {
        uint64_t sector = GUINT64_FROM_LE(h.descriptor_offset);
        uint64_t sectors = GUINT64_FROM_LE(h.descriptor_size);
        if (sector > file->size / VMDK_SECTOR || sectors > MAX_DESCRIPTOR / VMDK_SECTOR)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_CORRUPT,
                _("“%s”: VMDK header: a descriptor of %" PRIu64 " sectors at sector %" PRIu64),
                v->parent.filename, sectors, sector);
        v->descriptor_at = sector * VMDK_SECTOR;
        v->descriptor_room = sector ? sectors * VMDK_SECTOR : 0;
    } else if (memcmp(h.magic, "COWD", 4) != 0) {
        v->descriptor_room = MIN(file->size, MAX_DESCRIPTOR);
    }
    v->descriptor = g_malloc0(v->descriptor_room + 1);
    if (v->descriptor_room)
        result = vit_co_read(file, v->descriptor_at, v->descriptor, v->descriptor_room);
    return result == 0 ||
           vit_block_fail_errno(error, result, _("“%s”: descriptor"), v->parent.filename);
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* Lets a clean table go, so that the memory for them is bounded. */
static void evict_one(VmdkExtent *e)
{
    for (guint tries = 0; tries < e->loaded->len; tries++) {
        e->evict = (e->evict + 1) % e->loaded->len;
        uint32_t index = g_array_index(e->loaded, uint32_t, e->evict);
        if (e->table[index].dirty) continue;
        g_clear_pointer(&e->table[index].at, g_free);
        g_array_remove_index_fast(e->loaded, e->evict);
        return;
    }
}

static uint64_t entry_value(const VmdkExtent *e, uint32_t sector)
{
    if (sector == 0) return VMDK_NONE;
    return sector == 1 && e->zero_grains ? VMDK_ZERO : (uint64_t)sector * VMDK_SECTOR;
}

int vmdk_co_load_table(Vmdk *v, VmdkExtent *e, uint64_t index)
{
    VmdkTable *t = &e->table[index];
    int result = 0;

    if (t->at) return 0;
    vit_fiber_mutex_lock(&v->loading);
    if (!t->at) {
        g_autofree uint64_t *at = g_try_new0(uint64_t, e->per_table);
        g_autofree uint32_t *stored = g_try_new(uint32_t, e->per_table);
        uint64_t sector = e->directory[index];
        if (!at || !stored) result = -ENOMEM;
        if (result == 0 && sector != 0)
            result = vit_co_read(e->edge->node, sector * VMDK_SECTOR, stored, e->per_table * 4);
        for (uint64_t i = 0; i < e->per_table && result == 0 && sector != 0; i++)
            at[i] = entry_value(e, GUINT32_FROM_LE(stored[i]));
        if (result == 0) {
            uint32_t number = (uint32_t)index;
            if (e->loaded->len >= VMDK_TABLE_CACHE) evict_one(e);
            t->at = g_steal_pointer(&at);
            g_array_append_val(e->loaded, number);
        }
    }
    vit_fiber_mutex_unlock(&v->loading);
    return result;
}

typedef struct {
    uint64_t first, count; /* tables that lie one after the other, in both copies */
    uint32_t *entries; /* owned */
} Run;

static void clear_run(gpointer data)
{
    g_free(((Run *)data)->entries);
}

static bool follows(const VmdkExtent *e, uint64_t index)
{
    uint32_t step = (uint32_t)(e->per_table * 4 / VMDK_SECTOR);

    return e->per_table * 4 % VMDK_SECTOR == 0 &&
           e->directory[index] == e->directory[index - 1] + step &&
           (!e->spare_directory ||
            e->spare_directory[index] == e->spare_directory[index - 1] + step);
}

/* Copies of the changed tables as they are now: later entries lead to grains that are not stable
 * yet. */
static int take_dirty(VmdkExtent *e, GArray *runs)
{
    enum { MOST = 256 };

    for (uint64_t i = 0; i < e->tables; i++) {
        if (!e->table[i].dirty) continue;
        Run run = { .first = i, .count = 1 };
        while (i + run.count < e->tables && run.count < MOST && e->table[i + run.count].dirty &&
               follows(e, i + run.count))
            run.count++;
        run.entries = g_try_new(uint32_t, run.count * e->per_table);
        if (!run.entries) return -ENOMEM;
        for (uint64_t t = 0; t < run.count; t++) {
            for (uint64_t k = 0; k < e->per_table; k++) {
                uint64_t at = e->table[i + t].at[k];
                uint64_t sector = at < VMDK_FIRST_OFFSET ? at : at / VMDK_SECTOR;
                run.entries[t * e->per_table + k] = GUINT32_TO_LE((uint32_t)sector);
            }
            e->table[i + t].dirty = false;
        }
        g_array_append_val(runs, run);
        i += run.count - 1;
    }
    e->any_dirty = false;
    return 0;
}

static int store(VmdkExtent *e, const GArray *runs)
{
    VitBlockNode *file = e->edge->node;
    int result = vit_co_flush(file); /* the grains, before what leads to them */

    for (guint i = 0; i < runs->len && result == 0; i++) {
        const Run *run = &g_array_index(runs, Run, i);
        uint64_t bytes = run->count * e->per_table * 4;
        if (e->spare_directory)
            result = vit_co_write(file, (uint64_t)e->spare_directory[run->first] * VMDK_SECTOR,
                                  run->entries, bytes, 0);
        if (result == 0)
            result = vit_co_write(file, (uint64_t)e->directory[run->first] * VMDK_SECTOR,
                                  run->entries, bytes, 0);
    }
    return result;
}

int vmdk_co_flush_tables(Vmdk *v, VmdkExtent *e)
{
    int result = 0;

    if (!e->any_dirty && !v->flushing.owner) return 0;
    vit_fiber_mutex_lock(&v->flushing);
    if (e->any_dirty) {
        g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(Run));
        g_array_set_clear_func(runs, clear_run);
        result = take_dirty(e, runs);
        if (result == 0) result = store(e, runs);
        for (guint i = 0; i < runs->len && result < 0; i++) {
            const Run *run = &g_array_index(runs, Run, i);
            for (uint64_t t = 0; t < run->count; t++) e->table[run->first + t].dirty = true;
            e->any_dirty = true;
        }
    }
    vit_fiber_mutex_unlock(&v->flushing);
    return result;
}
