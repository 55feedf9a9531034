/* engine/core/device-state.c - reset, save and load by the register and state rows
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A section: "VDEV", bytes that follow, their CRC-32; then id, class and version; then one record a
 * row: name, kind, bytes, content.  All little-endian.  The rows are known to the reader: a record
 * that is missing, misplaced or of another size is refused.  A load fills a copy of st, which is
 * committed after everything has been accepted. */
#include "engine/core/crc32.h"
#include "engine/core/device-private.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum {
    SECTION_MAGIC = 0x56454456,     /* "VDEV" */
    KIND_REG = 0x40,                /* register storage; VitFieldKind otherwise */
    KIND_IRQS = 0x41,               /* output levels */
    VARBYTES_LIMIT = 64 << 20,      /* where a row gives none */
};

/* ---- Reset ----------------------------------------------------------------------------------- */

static void reset_fields(VitDevice *d, const VitField *fields, size_t base)
{
    for (const VitField *f = fields; f && f->kind != VIT_FIELD_END; f++) {
        uint8_t *at = (uint8_t *) d + base + f->offset;
        switch (f->kind) {
        case VIT_FIELD_UINT:
            for (uint32_t i = 0; i < f->count; i++)
                vit_uint_put(at + (size_t) i * f->width, f->width, f->reset);
            break;
        case VIT_FIELD_BOOL:
        case VIT_FIELD_BYTES:
            memset(at, (int) f->reset, f->count);
            break;
        case VIT_FIELD_FIFO8:
            vit_fifo8_reset((VitFifo8 *) (void *) at);
            break;
        case VIT_FIELD_TIMER:
            if (*(VitTimer **) (void *) at)
                vit_timer_cancel(*(VitTimer **) (void *) at);
            break;
        case VIT_FIELD_STRUCTS:
            for (uint32_t i = 0; i < f->count; i++)
                reset_fields(d, f->fields, base + f->offset + (size_t) i * f->stride);
            break;
        case VIT_FIELD_VARBYTES:
            g_clear_pointer((uint8_t **) (void *) at, g_free);
            *(size_t *) (void *) ((uint8_t *) d + base + f->len_offset) = 0;
            break;
        case VIT_FIELD_END:
            break;
        }
    }
}

void vit_device_reset_state(VitDevice *d)
{
    const VitDeviceClass *klass = d->klass;
    vit_device_quiesce(d, true);
    d->priv->quiet = true;
    for (size_t r = 0; r < klass->n_regs; r++) {
        const VitReg *reg = &klass->regs[r];
        for (unsigned i = 0; reg->at && i < vit_reg_count(reg); i++)
            vit_uint_put((uint8_t *) d + vit_reg_storage(klass, reg, i), vit_reg_size(klass, reg),
                         reg->reset);
    }
    reset_fields(d, klass->hidden, 0);
    if (klass->reset)
        klass->reset(d);
    for (unsigned n = 0; n < klass->n_irqs; n++)
        d->irqs[n].level = false;
    d->priv->quiet = false;
    vit_device_quiesce(d, false);
}

static void free_fields(VitDevice *d, const VitField *fields, size_t base)
{
    for (const VitField *f = fields; f && f->kind != VIT_FIELD_END; f++) {
        if (f->kind == VIT_FIELD_VARBYTES)
            g_clear_pointer((uint8_t **) (void *) ((uint8_t *) d + base + f->offset), g_free);
        for (uint32_t i = 0; f->kind == VIT_FIELD_STRUCTS && i < f->count; i++)
            free_fields(d, f->fields, base + f->offset + (size_t) i * f->stride);
    }
}

void vit_device_free_state(VitDevice *d)
{
    free_fields(d, d->klass->hidden, 0);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void put_uint(GByteArray *out, uint64_t value, unsigned size)
{
    uint64_t le = GUINT64_TO_LE(value);
    g_byte_array_append(out, (const uint8_t *) &le, size);
}

static void put_name(GByteArray *out, const char *name)
{
    size_t length = MIN(strlen(name), 255);
    put_uint(out, length, 1);
    g_byte_array_append(out, (const uint8_t *) name, (guint) length);
}

static void put_record(GByteArray *out, const char *name, unsigned kind, size_t size)
{
    put_name(out, name);
    put_uint(out, kind, 1);
    put_uint(out, size, 4);
}

static void put_fifo(GByteArray *out, const VitFifo8 *live)
{
    VitFifo8 fifo = *live;
    uint8_t data[VIT_FIFO8_CAPACITY] = { 0 };
    uint32_t used = vit_fifo8_used(&fifo);
    for (uint32_t i = 0; i < used && i < sizeof(data); i++)
        data[i] = (uint8_t) vit_fifo8_pop(&fifo);
    put_uint(out, live->capacity, 4);
    put_uint(out, used, 4);
    g_byte_array_append(out, data, sizeof(data));
}

static void save_fields(VitDevice *d, const VitField *fields, size_t base, GByteArray *out)
{
    for (const VitField *f = fields; f && f->kind != VIT_FIELD_END; f++) {
        uint8_t *at = (uint8_t *) d + base + f->offset;
        switch (f->kind) {
        case VIT_FIELD_UINT:
            put_record(out, f->name, f->kind, (size_t) f->count * f->width);
            for (uint32_t i = 0; i < f->count; i++)
                put_uint(out, vit_uint_get(at + (size_t) i * f->width, f->width), f->width);
            break;
        case VIT_FIELD_BOOL:
        case VIT_FIELD_BYTES:
            put_record(out, f->name, f->kind, f->count);
            g_byte_array_append(out, at, f->count);
            break;
        case VIT_FIELD_FIFO8:
            put_record(out, f->name, f->kind, 8 + VIT_FIFO8_CAPACITY);
            put_fifo(out, (const VitFifo8 *) (const void *) at);
            break;
        case VIT_FIELD_TIMER: {
            VitTimer *timer = *(VitTimer **) (void *) at;
            put_record(out, f->name, f->kind, 8);
            put_uint(out, (uint64_t) (timer ? vit_timer_deadline(timer) : VIT_TIMER_OFF), 8);
            break;
        }
        case VIT_FIELD_STRUCTS:
            put_record(out, f->name, f->kind, f->count);
            for (uint32_t i = 0; i < f->count; i++)
                save_fields(d, f->fields, base + f->offset + (size_t) i * f->stride, out);
            break;
        case VIT_FIELD_VARBYTES: {
            size_t length = *(size_t *) (void *) ((uint8_t *) d + base + f->len_offset);
            put_record(out, f->name, f->kind, length);
            if (length)
                g_byte_array_append(out, *(uint8_t **) (void *) at, (guint) length);
            break;
        }
        case VIT_FIELD_END:
            break;
        }
    }
}

void vit_device_save(VitDevice *d, GByteArray *out)
{
    const VitDeviceClass *klass = d->klass;
    vit_device_lock(d);
    vit_device_quiesce(d, true);
    guint start = out->len;
    put_uint(out, SECTION_MAGIC, 4);
    put_uint(out, 0, 8);    /* size and sum: below */
    put_name(out, d->id);
    put_name(out, klass->name);
    put_uint(out, klass->version, 4);
    for (size_t r = 0; r < klass->n_regs; r++) {
        const VitReg *reg = &klass->regs[r];
        if (!reg->at)
            continue;
        unsigned size = vit_reg_size(klass, reg);
        put_record(out, reg->name, KIND_REG, (size_t) size * vit_reg_count(reg));
        for (unsigned i = 0; i < vit_reg_count(reg); i++)
            put_uint(out, vit_uint_get((uint8_t *) d + vit_reg_storage(klass, reg, i), size), size);
    }
    save_fields(d, klass->hidden, 0, out);
    put_record(out, "irqs", KIND_IRQS, klass->n_irqs);
    for (unsigned n = 0; n < klass->n_irqs; n++)
        put_uint(out, d->irqs[n].level, 1);
    vit_device_quiesce(d, false);
    vit_device_unlock(d);

    uint32_t size = out->len - start - 12;
    uint32_t sum = vit_crc32(0, out->data + start + 12, size);
    uint32_t le_size = GUINT32_TO_LE(size), le_sum = GUINT32_TO_LE(sum);
    memcpy(out->data + start + 4, &le_size, 4);
    memcpy(out->data + start + 8, &le_sum, 4);
}

/* ---- Reading --------------------------------------------------------------------------------- */

typedef struct {
    VitTimer *timer;        /* borrowed */
    int64_t   deadline;
} StagedTimer;

struct VitDeviceStage {
    VitDevice *d;           /* borrowed */
    uint8_t   *st;          /* copy of the state with what has been loaded; owned */
    GArray    *timers;      /* of StagedTimer */
    GArray    *buffers;     /* of size_t: offsets in st of VARBYTES pointers that the copy owns */
    bool      *levels;      /* of the outputs; owned */
};

static bool take(VitReader *r, void *to, size_t size)
{
    if (r->left < size)
        return false;
    if (to)
        memcpy(to, r->data, size);
    r->data += size;
    r->left -= size;
    return true;
}

static bool take_uint(VitReader *r, uint64_t *value, unsigned size)
{
    uint64_t le = 0;
    if (!take(r, &le, size))
        return false;
    *value = GUINT64_FROM_LE(le);
    return true;
}

static char *take_name(VitReader *r)
{
    uint64_t length = 0;
    if (!take_uint(r, &length, 1) || r->left < length)
        return NULL;
    char *name = g_strndup((const char *) r->data, length);
    take(r, NULL, length);
    return name;
}

static bool refuse(GError **error, const VitDevice *d, const char *name, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                _("The saved state of device \"%s\" is damaged: %s %s"), d->id, name, what);
    return false;
}

/* The record of one row; size UINT64_MAX accepts any, which is returned. */
static bool take_record(VitDeviceStage *stage, VitReader *r, const char *name, unsigned kind,
                        uint64_t *size, GError **error)
{
    g_autofree char *found = take_name(r);
    uint64_t found_kind = 0, found_size = 0;
    size_t length = MIN(strlen(name), 255);
    if (!found || !take_uint(r, &found_kind, 1) || !take_uint(r, &found_size, 4))
        return refuse(error, stage->d, name, _("is missing"));
    if (strncmp(found, name, length) != 0 || found[length] || found_kind != kind)
        return refuse(error, stage->d, name, _("is not where it belongs"));
    if (*size != UINT64_MAX && found_size != *size)
        return refuse(error, stage->d, name, _("has a wrong size"));
    if (kind != VIT_FIELD_STRUCTS && found_size > r->left)
        return refuse(error, stage->d, name, _("is cut short"));
    *size = found_size;
    return true;
}

/* Where the copy holds bytes [offset, offset+size) of the instance; NULL outside st. */
static uint8_t *staged(VitDeviceStage *stage, size_t offset, size_t size)
{
    const VitDeviceClass *klass = stage->d->klass;
    if (offset < klass->state_offset || size > klass->state_size
        || offset - klass->state_offset > klass->state_size - size)
        return NULL;
    return stage->st + (offset - klass->state_offset);
}

static bool load_uints(VitDeviceStage *stage, VitReader *r, const VitField *f, size_t offset,
                       GError **error)
{
    uint8_t *at = staged(stage, offset, (size_t) f->count * f->width);
    if (!at)
        return refuse(error, stage->d, f->name, _("lies outside the state"));
    for (uint32_t i = 0; i < f->count; i++) {
        uint64_t value = 0;
        if (!take_uint(r, &value, f->width) || (f->max && value > f->max))
            return refuse(error, stage->d, f->name, _("is too large"));
        vit_uint_put(at + (size_t) i * f->width, f->width, value);
    }
    return true;
}

static bool load_bytes(VitDeviceStage *stage, VitReader *r, const VitField *f, size_t offset,
                       GError **error)
{
    uint8_t *at = staged(stage, offset, f->count);
    if (!at || !take(r, at, f->count))
        return refuse(error, stage->d, f->name, _("lies outside the state"));
    for (uint32_t i = 0; f->kind == VIT_FIELD_BOOL && i < f->count; i++)
        if (at[i] > 1) {
            at[i] = 0;
            return refuse(error, stage->d, f->name, _("is neither true nor false"));
        }
    return true;
}

static bool load_fifo(VitDeviceStage *stage, VitReader *r, const VitField *f, size_t offset,
                      GError **error)
{
    VitFifo8 *at = (VitFifo8 *) (void *) staged(stage, offset, sizeof(VitFifo8));
    VitFifo8 fifo = { 0 };
    uint64_t capacity = 0, used = 0;
    if (!at || !take_uint(r, &capacity, 4) || !take_uint(r, &used, 4)
        || !take(r, fifo.data, sizeof(fifo.data)))
        return refuse(error, stage->d, f->name, _("lies outside the state"));
    fifo.capacity = (uint32_t) capacity;
    fifo.used = (uint32_t) used;
    if (!vit_fifo8_is_valid(&fifo))
        return refuse(error, stage->d, f->name, _("is no valid queue"));
    *at = fifo;
    return true;
}

static bool load_timer(VitDeviceStage *stage, VitReader *r, const VitField *f, size_t offset,
                       GError **error)
{
    VitTimer *timer = *(VitTimer **) (void *) ((uint8_t *) stage->d + offset);
    uint64_t value = 0;
    if (!take_uint(r, &value, 8) || (int64_t) value < 0)
        return refuse(error, stage->d, f->name, _("is no point in time"));
    StagedTimer entry = { timer, (int64_t) value };
    if (timer)
        g_array_append_val(stage->timers, entry);
    return true;
}

static bool load_varbytes(VitDeviceStage *stage, VitReader *r, const VitField *f, size_t base,
                          size_t size, GError **error)
{
    uint8_t *at = staged(stage, base + f->offset, sizeof(uint8_t *));
    uint8_t *length = staged(stage, base + f->len_offset, sizeof(size_t));
    if (!at || !length)
        return refuse(error, stage->d, f->name, _("lies outside the state"));
    if (size > (f->max ? f->max : VARBYTES_LIMIT))
        return refuse(error, stage->d, f->name, _("is too large"));
    uint8_t *buffer = size ? g_memdup2(r->data, size) : NULL;
    take(r, NULL, size);
    size_t where = (size_t) (at - stage->st);
    memcpy(at, &buffer, sizeof(buffer));
    memcpy(length, &size, sizeof(size));
    g_array_append_val(stage->buffers, where);
    return true;
}

static bool load_fields(VitDeviceStage *stage, VitReader *r, const VitField *fields, size_t base,
                        GError **error)
{
    for (const VitField *f = fields; f && f->kind != VIT_FIELD_END; f++) {
        uint64_t size = f->kind == VIT_FIELD_UINT       ? (uint64_t) f->count * f->width
                        : f->kind == VIT_FIELD_FIFO8    ? 8 + VIT_FIFO8_CAPACITY
                        : f->kind == VIT_FIELD_TIMER    ? 8
                        : f->kind == VIT_FIELD_VARBYTES ? UINT64_MAX
                                                        : f->count;
        if (!take_record(stage, r, f->name, f->kind, &size, error))
            return false;
        size_t offset = base + f->offset;
        bool ok = true;
        switch (f->kind) {
        case VIT_FIELD_UINT: ok = load_uints(stage, r, f, offset, error); break;
        case VIT_FIELD_BOOL:
        case VIT_FIELD_BYTES: ok = load_bytes(stage, r, f, offset, error); break;
        case VIT_FIELD_FIFO8: ok = load_fifo(stage, r, f, offset, error); break;
        case VIT_FIELD_TIMER: ok = load_timer(stage, r, f, offset, error); break;
        case VIT_FIELD_STRUCTS:
            for (uint32_t i = 0; ok && i < f->count; i++)
                ok = load_fields(stage, r, f->fields, offset + (size_t) i * f->stride, error);
            break;
        case VIT_FIELD_VARBYTES:
            ok = load_varbytes(stage, r, f, base, (size_t) size, error);
            break;
        case VIT_FIELD_END: break;
        }
        if (!ok)
            return false;
    }
    return true;
}

static bool load_regs(VitDeviceStage *stage, VitReader *r, GError **error)
{
    const VitDeviceClass *klass = stage->d->klass;
    for (size_t n = 0; n < klass->n_regs; n++) {
        const VitReg *reg = &klass->regs[n];
        if (!reg->at)
            continue;
        unsigned width = vit_reg_size(klass, reg);
        uint64_t size = (uint64_t) width * vit_reg_count(reg), value = 0;
        if (!take_record(stage, r, reg->name, KIND_REG, &size, error))
            return false;
        for (unsigned i = 0; i < vit_reg_count(reg); i++) {
            uint8_t *at = staged(stage, vit_reg_storage(klass, reg, i), width);
            if (!at || !take_uint(r, &value, width))
                return refuse(error, stage->d, reg->name, _("lies outside the state"));
            vit_uint_put(at, width, value);
        }
    }
    return true;
}

static bool load_levels(VitDeviceStage *stage, VitReader *r, GError **error)
{
    uint64_t size = stage->d->klass->n_irqs, value = 0;
    if (!take_record(stage, r, "irqs", KIND_IRQS, &size, error))
        return false;
    for (unsigned n = 0; n < stage->d->klass->n_irqs; n++) {
        if (!take_uint(r, &value, 1) || value > 1)
            return refuse(error, stage->d, "irqs", _("are neither high nor low"));
        stage->levels[n] = value;
    }
    return true;
}

/* Pointers of the copy to live buffers become nothing, so that no failure frees them. */
static void disown_buffers(VitDeviceStage *stage, const VitField *fields, size_t base)
{
    for (const VitField *f = fields; f && f->kind != VIT_FIELD_END; f++) {
        if (f->kind == VIT_FIELD_VARBYTES) {
            uint8_t *at = staged(stage, base + f->offset, sizeof(uint8_t *));
            if (at)
                *(uint8_t **) (void *) at = NULL;
        }
        for (uint32_t i = 0; f->kind == VIT_FIELD_STRUCTS && i < f->count; i++)
            disown_buffers(stage, f->fields, base + f->offset + (size_t) i * f->stride);
    }
}

static VitDevice *check_header(VitSystem *sys, VitDevice *d, VitReader *r, GError **error)
{
    g_autofree char *id = take_name(r);
    g_autofree char *name = take_name(r);
    uint64_t version = 0;
    if (!id || !name || !take_uint(r, &version, 4)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    _("The saved state is damaged: a device section has no header"));
        return NULL;
    }
    if (!d)
        d = vit_system_find_device(sys, id);
    if (!d || strcmp(d->id, id) != 0 || strcmp(d->klass->name, name) != 0) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            _("The saved state is of a device \"%s\" (%s), which this machine does not have; "
              "give it the devices that it was saved with"),
            id, name);
        return NULL;
    }
    if (version != d->klass->version) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    _("The saved state of device \"%s\" is of version %u, this program reads %u"),
                    id, (unsigned) version, d->klass->version);
        return NULL;
    }
    return d;
}

VitDeviceStage *vit_device_stage_new(VitSystem *sys, VitDevice *d, VitReader *reader,
                                     GError **error)
{
    uint64_t magic = 0, size = 0, sum = 0;
    if (!take_uint(reader, &magic, 4) || magic != SECTION_MAGIC || !take_uint(reader, &size, 4)
        || !take_uint(reader, &sum, 4) || size > reader->left
        || vit_crc32(0, reader->data, size) != sum) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            _("The saved state%s%s is damaged: a device section is cut short or its checksum "
              "is wrong"),
            d ? " of device " : "", d ? d->id : "");
        return NULL;
    }
    VitReader section = { reader->data, size };
    take(reader, NULL, size);
    d = check_header(sys, d, &section, error);
    if (!d)
        return NULL;
    const VitDeviceClass *klass = d->klass;
    VitDeviceStage *stage = g_new0(VitDeviceStage, 1);
    stage->d = d;
    stage->st = g_memdup2((uint8_t *) d + klass->state_offset, MAX(klass->state_size, 1));
    stage->timers = g_array_new(FALSE, FALSE, sizeof(StagedTimer));
    stage->buffers = g_array_new(FALSE, FALSE, sizeof(size_t));
    stage->levels = g_new0(bool, klass->n_irqs + 1);
    disown_buffers(stage, klass->hidden, 0);
    bool ok = load_regs(stage, &section, error)
              && load_fields(stage, &section, klass->hidden, 0, error)
              && load_levels(stage, &section, error);
    if (ok && section.left)
        ok = refuse(error, d, "it", _("has more bytes than it should"));
    if (ok && klass->validate && !klass->validate(d, stage->st, error)) {
        ok = false;
        if (error && !*error)
            refuse(error, d, "its content", _("cannot be"));
    }
    if (!ok)
        g_clear_pointer(&stage, vit_device_stage_free);
    return stage;
}

VitDevice *vit_device_stage_device(const VitDeviceStage *stage)
{
    return stage->d;
}

void vit_device_stage_commit(VitDeviceStage *stage)
{
    VitDevice *d = stage->d;
    vit_device_free_state(d);
    memcpy((uint8_t *) d + d->klass->state_offset, stage->st, d->klass->state_size);
    g_array_set_size(stage->buffers, 0);    /* the instance owns them now */
    for (guint i = 0; i < stage->timers->len; i++) {
        StagedTimer *t = &g_array_index(stage->timers, StagedTimer, i);
        vit_timer_set(t->timer, t->deadline);
    }
    for (unsigned n = 0; n < d->klass->n_irqs; n++)
        d->irqs[n].level = stage->levels[n];
}

void vit_device_stage_free(VitDeviceStage *stage)
{
    if (!stage)
        return;
    for (guint i = 0; i < stage->buffers->len; i++) {
        uint8_t *buffer;
        memcpy(&buffer, stage->st + g_array_index(stage->buffers, size_t, i), sizeof(buffer));
        g_free(buffer);
    }
    g_array_unref(stage->buffers);
    g_array_unref(stage->timers);
    g_free(stage->levels);
    g_free(stage->st);
    g_free(stage);
}

bool vit_device_load(VitDevice *d, const uint8_t *data, size_t size, GError **error)
{
    VitReader reader = { data, size };
    vit_device_lock(d);
    vit_device_quiesce(d, true);
    VitDeviceStage *stage = vit_device_stage_new(d->sys, d, &reader, error);
    if (stage && reader.left) {
        refuse(error, d, "it", _("is followed by more bytes"));
        g_clear_pointer(&stage, vit_device_stage_free);
    }
    bool ok = stage != NULL;
    if (ok) {
        vit_device_stage_commit(stage);
        vit_device_stage_free(stage);
        d->priv->quiet = true;
        if (d->klass->loaded)
            d->klass->loaded(d);
        vit_device_replay(d);
    }
    vit_device_quiesce(d, false);
    vit_device_unlock(d);
    return ok;
}
