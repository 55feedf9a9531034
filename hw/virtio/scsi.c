/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/scsi.c - virtio SCSI host adapter (Virtual I/O Device 1.2, section 5.6)
 *
 * Commands run on the adapter's iothread, where it brings the disks' nodes.  Task management
 * waits for the commands of its unit instead of ending them early.  Not modelled: T10 protection
 * information, asynchronous notification events, multiple channels. */
#include "hw/scsi/scsi.h"
#include "hw/virtio/queue-map.h"
#include "hw/virtio/virtio-devices.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum {
    CONTROL = 0,
    EVENT = 1,
    REQUESTS = 2,
    MAX_TARGETS = 256,
    MAX_LUNS = 16384,
    CONFIG_SIZE = 36,
    HEADER = 8 + 8 + 3,
    RESPONSE = 12,
    SENSE_SIZE = 96,
    REPORT_LUNS = 0xa0,
    MAX_REPORT = 4096
};
enum { S_OK = 0, S_BAD_TARGET = 3, S_FAILURE = 9, S_INCORRECT_LUN = 12 };
enum { T_TMF = 0, T_AN_QUERY = 1, T_AN_SUBSCRIBE = 2 };
enum {
    TMF_ABORT_TASK,
    TMF_ABORT_TASK_SET,
    TMF_CLEAR_ACA,
    TMF_CLEAR_TASK_SET,
    TMF_NEXUS_RESET,
    TMF_UNIT_RESET,
    TMF_QUERY_TASK,
    TMF_QUERY_TASK_SET
};
enum { TMF_COMPLETE = 0, TMF_REJECTED = 11 };
enum { F_HOTPLUG = 1, F_CHANGE = 2 };
enum { EVENT_SIZE = 16, EVENT_TRANSPORT_RESET = 1, EVENT_PARAM_CHANGE = 3 };
enum { RESET_RESCAN = 1, RESET_REMOVED = 2 };

typedef struct {
    VitVirtio virtio;              /* first member */
    GPtrArray *disks;               /* of VitScsiDisk*, borrowed */
    GPtrArray *plugged;  /* owned, of VitBlockNode*: those that a batch has used */
    bool batch;          /* between its begin and end; like plugged, of the adapter's thread */
    GQueue waiting;             /* of Wait*: task management that waits for commands */
    uint32_t num_queues, queue_entries;
    VitBlockObjects *objects;   /* borrowed */
    VitBlockPlace place; /* of iothread, or of the first command queue's */
    VitVirtioMap map;    /* of mapping: the command queues */
    char *iothread;
    char *mapping; /* iothread-vq-mapping as JSON, or NULL */
    struct {
        VitVirtioState virtio;
        uint32_t sense_size, cdb_size;    /* as the driver set them */
    } st;
} Scsi;

typedef struct {
    VitScsiCommand command;       /* first member */
    Scsi *scsi;
    VitVirtqElement *element;
} Request;

typedef struct {
    VitVirtqElement *element;
    VitScsiDisk *disk;          /* borrowed */
    bool hurries;               /* its node, which may have limits */
} Wait;

/* ---- units ----------------------------------------------------------------------------------- */

/* 5.6.6.1: byte 0 is 1, byte 1 the target, then a single-level LUN. */
static VitScsiDisk *find_disk(Scsi *s, const uint8_t *lun, bool *target_exists)
{
    unsigned number = (lun[2] & 0x3fu) << 8 | lun[3];

    *target_exists = false;
    if (lun[0] != 1 || ((lun[2] & 0xc0) != 0x40 && lun[2] != 0)) return NULL;
    for (guint i = 0; i < s->disks->len; i++) {
        VitScsiDisk *d = s->disks->pdata[i];
        if (d->target != lun[1]) continue;
        *target_exists = true;
        if (d->lun == number) return d;
    }
    return NULL;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void respond(Request *r, uint8_t response)
{
    VitScsiCommand *c = &r->command;
    Scsi *s = r->scsi;
    uint8_t head[RESPONSE] = { 0 };
    VitVirtqElement *e = r->element;
    uint32_t sense = response == S_OK ? (uint32_t)MIN(c->sense_size, s->st.sense_size) : 0;
    uint64_t wanted = c->out_size + c->in_size;
    uint32_t sense_le = GUINT32_TO_LE(sense);
    uint32_t residual_le = GUINT32_TO_LE((uint32_t)(wanted - MIN(c->moved, wanted)));

    memcpy(head, &sense_le, 4);
    memcpy(head + 4, &residual_le, 4);
    head[10] = c->status;
    head[11] = response;
    (void)vit_iov_write(e->map + e->n_map_out, e->n_map - e->n_map_out, 0, head, sizeof head);
    (void)vit_iov_write(e->map + e->n_map_out, e->n_map - e->n_map_out, RESPONSE, c->sense, sense);
    uint64_t moved_in = c->in_size > 0 ? c->moved : 0;
    vit_virtq_complete(e, RESPONSE + s->st.sense_size + moved_in);
    g_free(r);
}

static void answer_waiting(Scsi *s)
{
    for (guint left = g_queue_get_length(&s->waiting); left > 0; left--) {
        Wait *w = g_queue_pop_head(&s->waiting);
        if (w->disk->in_flight > 0) {
            g_queue_push_tail(&s->waiting, w);
            continue;
        }
        uint8_t done = TMF_COMPLETE;
        if (w->hurries) vit_block_hurry_up(w->disk->node, false);
        vit_virtq_complete(w->element,
                           vit_iov_write(w->element->in, w->element->n_in, 0, &done, 1));
        g_free(w);
    }
}

static void command_done(VitScsiCommand *c)
{
    Request *r = (Request *)c;
    Scsi *s = r->scsi;

    respond(r, S_OK);
    if (!g_queue_is_empty(&s->waiting)) answer_waiting(s);
}

/* REPORT LUNS is the target's, whichever unit is asked (SPC-4 6.33). */
static void report_luns(Request *r, unsigned target)
{
    VitScsiCommand *c = &r->command;
    uint8_t data[MAX_REPORT] = { 0 };
    size_t n = 8;

    for (guint i = 0; i < r->scsi->disks->len && n + 8 <= sizeof data; i++) {
        const VitScsiDisk *d = r->scsi->disks->pdata[i];
        if (d->target != target) continue;
        data[n] = d->lun < 256 ? 0 : (uint8_t)(0x40 | d->lun >> 8);
        data[n + 1] = (uint8_t)d->lun;
        n += 8;
    }
    vit_scsi_put32(data, (uint32_t)n - 8);
    vit_scsi_reply(c, data, n, vit_scsi_get32(c->cdb + 6));
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void plug(Scsi *s, VitBlockNode *node)
{
    if (!s->batch || !node || g_ptr_array_find(s->plugged, node, NULL)) return;
    vit_block_plug(node);
    g_ptr_array_add(s->plugged, node);
}

static void request_element(Scsi *s, VitVirtqElement *e)
{
    uint8_t head[HEADER + VIT_SCSI_CDB] = { 0 };
    size_t header = HEADER + s->st.cdb_size, response = RESPONSE + s->st.sense_size;

    if (e->out_size < header || e->in_size < response) {
        vit_virtio_broken(&s->virtio, "a SCSI request without header or response");
        vit_virtq_push(e, 0);
        return;
    }
    (void)vit_iov_read(e->out, e->n_out, 0, head, MIN(header, sizeof head));
    vit_iov_drop_front(&e->out, &e->n_out, header);
    vit_iov_drop_front(&e->in, &e->n_in, response);

    Request *r = g_new0(Request, 1);
    VitScsiCommand *c = &r->command;
    bool target;
    r->scsi = s;
    r->element = e;
    c->out = e->out;
    c->n_out = e->n_out;
    c->out_size = e->out_size - header;
    c->in = e->in;
    c->n_in = e->n_in;
    c->in_size = e->in_size - response;
    c->done = command_done;
    memcpy(c->cdb, head + HEADER, MIN(s->st.cdb_size, VIT_SCSI_CDB));
    c->disk = find_disk(s, head, &target);
    if (c->cdb[0] == REPORT_LUNS && (target || head[0] == 0xc1)) {
        report_luns(r, head[1]);
    } else if (c->disk) {
        plug(s, c->disk->node);
        vit_scsi_submit(c);
    } else {
        respond(r, target ? S_INCORRECT_LUN : S_BAD_TARGET);
    }
}

static void control_element(Scsi *s, VitVirtqElement *e)
{
    uint8_t data[24] = { 0 }, answer[5] = { 0 };
    size_t n = vit_iov_read(e->out, e->n_out, 0, data, sizeof data), answer_size = 1;
    uint32_t type = (uint32_t)data[0] | (uint32_t)data[1] << 8, subtype = data[4];
    bool target;

    if (n < 4 || e->in_size < 1) {
        vit_virtio_broken(&s->virtio, "a SCSI control request without header or response");
        vit_virtq_push(e, 0);
        return;
    }
    if (type == T_TMF && n == sizeof data) {
        VitScsiDisk *disk = find_disk(s, data + 8, &target);
        if (!disk && subtype != TMF_NEXUS_RESET) {
            answer[0] = target ? S_INCORRECT_LUN : S_BAD_TARGET;
        } else if (subtype > TMF_QUERY_TASK_SET) {
            answer[0] = TMF_REJECTED;
        } else if (disk && subtype != TMF_CLEAR_ACA && subtype != TMF_QUERY_TASK &&
                   subtype != TMF_QUERY_TASK_SET) {
            Wait *w = g_new(Wait, 1);
            *w = (Wait){ e, disk, disk->node && disk->in_flight > 0 };
            if (w->hurries) vit_block_hurry_up(disk->node, true);
            if (subtype == TMF_UNIT_RESET || subtype == TMF_NEXUS_RESET)
                vit_scsi_disk_reset_unit(disk);
            g_queue_push_tail(&s->waiting, w);
            answer_waiting(s);
            return;
        }
    } else if (type == T_AN_QUERY || type == T_AN_SUBSCRIBE) {
        answer_size = sizeof answer; /* no events are offered */
    } else {
        answer[0] = S_FAILURE;
    }
    vit_virtq_complete(e, vit_iov_write(e->in, e->n_in, 0, answer, answer_size));
}

static void scsi_element(VitVirtio *v, unsigned queue, VitVirtqElement *e)
{
    if (queue == CONTROL) control_element((Scsi *)v, e);
    else request_element((Scsi *)v, e);
}

/* Buffers for events stay with the ring. */
static bool scsi_takes(VitVirtio *v, unsigned queue)
{
    return queue != EVENT;
}

/* ---- configuration --------------------------------------------------------------------------- */

static void put32(uint8_t *p, uint32_t v)
{
    v = GUINT32_TO_LE(v);
    memcpy(p, &v, 4);
}

static void scsi_read_config(VitVirtio *v, uint8_t *c)
{
    Scsi *s = (Scsi *)v;

    put32(c + 0, s->num_queues);
    put32(c + 4, MIN(s->queue_entries, VIT_VIRTIO_CHAIN) - 2); /* seg_max */
    put32(c + 8, 0xffff); /* max_sectors */
    put32(c + 12, 128); /* cmd_per_lun */
    put32(c + 16, 16); /* event_info_size */
    put32(c + 20, s->st.sense_size);
    put32(c + 24, s->st.cdb_size);
    c[28] = c[29] = 0; /* max_channel */
    c[30] = MAX_TARGETS - 1;
    c[31] = 0;
    put32(c + 32, MAX_LUNS - 1);
}

static void scsi_write_config(VitVirtio *v, unsigned offset, unsigned size, uint32_t value)
{
    Scsi *s = (Scsi *)v;

    if (size != 4 || vit_virtio_driver_ok(v)) return;
    if (offset == 20 && value >= VIT_SCSI_SENSE && value <= SENSE_SIZE) s->st.sense_size = value;
    else if (offset == 24 && value >= 16 && value <= VIT_SCSI_CDB) s->st.cdb_size = value;
}

static void scsi_virtio_reset(VitVirtio *v)
{
    Scsi *s = (Scsi *)v;

    s->st.sense_size = SENSE_SIZE;
    s->st.cdb_size = VIT_SCSI_CDB;
}

static uint64_t scsi_features(VitVirtio *v)
{
    return 1ull << F_CHANGE | 1ull << F_HOTPLUG;
}

static void scsi_hurry(VitVirtio *v, bool on)
{
    const Scsi *s = (Scsi *)v;

    for (guint i = 0; s->disks && i < s->disks->len; i++) {
        VitScsiDisk *d = s->disks->pdata[i];
        if (d->node) vit_block_hurry_up(d->node, on);
    }
}

/* The requests of one look at a queue reach the host with one system call for each disk. */
static void scsi_batch(VitVirtio *v, bool begin)
{
    Scsi *s = (Scsi *)v;

    s->batch = begin;
    for (guint i = 0; i < s->plugged->len; i++) vit_block_unplug(s->plugged->pdata[i]);
    g_ptr_array_set_size(s->plugged, 0);
}

static const VitVirtioClass scsi_virtio = {
    .id = 8,
    .pci_class = 0x0100,
    .features = scsi_features,
    .takes = scsi_takes,
    .element = scsi_element,
    .batch = scsi_batch,
    .read_config = scsi_read_config,
    .write_config = scsi_write_config,
    .reset = scsi_virtio_reset,
    .hurry = scsi_hurry,
};

/* ---- the device ------------------------------------------------------------------------------ */

/* 5.6.6.3, with the unit as in REPORT LUNS.  A driver that has left no buffer is not told. */
static void send_event(Scsi *s, uint8_t kind, const VitScsiDisk *d, uint16_t reason)
{
    uint8_t event[EVENT_SIZE] = { [0] = kind,
                                  [4] = 1,
                                  [5] = (uint8_t)d->target,
                                  [6] = d->lun < 256 ? 0 : (uint8_t)(0x40 | d->lun >> 8),
                                  [7] = (uint8_t)d->lun,
                                  [12] = (uint8_t)reason,
                                  [13] = (uint8_t)(reason >> 8) };
    uint64_t feature = 1ull << (kind == EVENT_PARAM_CHANGE ? F_CHANGE : F_HOTPLUG);

    if (!vit_virtio_has(&s->virtio, feature) || !vit_virtio_enter(&s->virtio)) return;
    VitVirtqElement *e = vit_virtq_pop(&s->virtio, EVENT);
    if (e) vit_virtq_complete(e, vit_iov_write(e->in, e->n_in, 0, event, sizeof event));
    vit_virtio_leave(&s->virtio);
}

static void detach(VitDevice *adapter, VitDevice *disk)
{
    VitScsiDisk *d = (VitScsiDisk *)disk;

    vit_virtio_quiesce(adapter, true);
    g_ptr_array_remove(((Scsi *)adapter)->disks, disk);
    d->adapter = NULL;
    vit_virtio_quiesce(adapter, false);
    send_event((Scsi *)adapter, EVENT_TRANSPORT_RESET, d, RESET_REMOVED);
}

static void resized(VitDevice *adapter, VitDevice *disk)
{
    send_event((Scsi *)adapter, EVENT_PARAM_CHANGE, (VitScsiDisk *)disk,
               VIT_SCSI_ASC_CAPACITY | VIT_SCSI_ASCQ_CAPACITY << 8);
}

static const VitScsiAdapter adapter_class = { .quiesce = vit_virtio_quiesce,
                                              .detach = detach,
                                              .resized = resized };

static bool scsi_init(VitDevice *device, GError **error)
{
    Scsi *s = (Scsi *)device;

    if (!s->num_queues) s->num_queues = 1; /* without a board that has processors */
    if (s->num_queues > VIT_VIRTIO_QUEUES - REQUESTS) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: num_queues must be from 1 to %d"), device->id,
                    VIT_VIRTIO_QUEUES - REQUESTS);
        return false;
    }
    if (s->queue_entries < 4 || s->queue_entries > VIT_VIRTIO_QUEUE_SIZE ||
        (s->queue_entries & (s->queue_entries - 1))) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: virtqueue_size must be a power of two from 4 to %d"), device->id,
                    VIT_VIRTIO_QUEUE_SIZE);
        return false;
    }
    if (!vit_virtio_map_take(&s->map, s->objects, s->mapping, s->iothread, s->num_queues, error) ||
        !vit_block_place_take(&s->place, s->objects, vit_virtio_map_home(&s->map) ?: s->iothread,
                              error))
        return false;
    if (s->place.object) s->virtio.thread = vit_block_object_io_thread(s->place.object);
    s->disks = g_ptr_array_new();
    s->plugged = g_ptr_array_new();
    g_queue_init(&s->waiting);
    s->virtio.n_queues = REQUESTS + s->num_queues;
    for (unsigned i = 0; i < s->virtio.n_queues; i++)
        s->virtio.queue_size[i] = (uint16_t)s->queue_entries;
    s->virtio.config_size = CONFIG_SIZE;
    vit_virtio_init(&s->virtio, &scsi_virtio, &s->st.virtio);
    vit_virtio_map_apply(&s->map, &s->virtio, REQUESTS);
    scsi_virtio_reset(&s->virtio);
    return true;
}

static void scsi_finish(VitDevice *device)
{
    Scsi *s = (Scsi *)device;

    vit_virtio_finish(device);
    for (guint i = 0; s->disks && i < s->disks->len; i++)
        ((VitScsiDisk *)s->disks->pdata[i])->adapter = NULL;
    g_clear_pointer(&s->disks, g_ptr_array_unref);
    g_clear_pointer(&s->plugged, g_ptr_array_unref);
    vit_block_place_leave(&s->place, NULL);
    vit_virtio_map_leave(&s->map);
}

static bool scsi_validate(VitDevice *device, const void *st, GError **error)
{
    typeof(((Scsi *)NULL)->st) const *state = st;

    if (state->sense_size >= VIT_SCSI_SENSE && state->sense_size <= SENSE_SIZE &&
        state->cdb_size >= 16 && state->cdb_size <= VIT_SCSI_CDB)
        return vit_virtio_validate(device, st, error);
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                _("%s: the saved state has sizes that this device does not offer"), device->id);
    return false;
}

static const VitField scsi_hidden[] = {
    VIT_VIRTIO_ROWS(Scsi),
    VIT_UINT(Scsi, st.sense_size),
    VIT_UINT(Scsi, st.cdb_size),
    { VIT_END },
};

static const VitProp scsi_props[] = {
    VIT_PROP("iothread", VIT_PROP_STR, Scsi, iothread, NULL, "where the disks' work is done"),
    VIT_PROP("iothread-vq-mapping", VIT_PROP_LIST, Scsi, mapping, NULL,
             "which iothreads work on which queues: [{\"iothread\": ID, \"vqs\": [N, ...]}, ...]"),
    VIT_PROP("num_queues", VIT_PROP_U32, Scsi, num_queues, "0",
             "request queues, 0 = one for each processor"),
    VIT_PROP("virtqueue_size", VIT_PROP_U32, Scsi, queue_entries, "256", "entries of a queue"),
    { 0 },
};

const VitDeviceClass vit_virtio_scsi_class = {
    .name = "virtio-scsi",
    .description = "Virtio SCSI host adapter",
    .version = 1,
    VIT_STATE(Scsi, st),
    .hidden = scsi_hidden,
    .props = scsi_props,
    .init = scsi_init,
    .finish = scsi_finish,
    .reset = vit_virtio_reset,
    .loaded = vit_virtio_loaded,
    .validate = scsi_validate,
    .quiesce = vit_virtio_quiesce,
};

static bool scsi_setup(VitDevice *d, VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    Scsi *s = (Scsi *)d;

    if (!s->num_queues) s->num_queues = CLAMP(ctx->n_cpus, 1, VIT_VIRTIO_QUEUES - REQUESTS);
    s->objects = ctx->objects;
    s->virtio.thread = ctx->iothread;
    return true;
}

VitDevice *vit_virtio_scsi_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return vit_virtio_create_pci(ctx, options, &vit_virtio_scsi_class, scsi_setup, 0, error);
}

/* ---- disks on it ----------------------------------------------------------------------------- */

static Scsi *find_adapter(VitDeviceContext *ctx, const char *bus, GError **error)
{
    const char *dot = bus ? strrchr(bus, '.') : NULL;
    g_autofree char *id = dot ? g_strndup(bus, (size_t)(dot - bus)) : NULL;

    for (guint i = 0; i < ctx->sys->devices->len; i++) {
        VitDevice *d = ctx->sys->devices->pdata[i];
        if (d->klass == &vit_virtio_scsi_class &&
            (!bus || strcmp(bus, d->id) == 0 || g_strcmp0(id, d->id) == 0))
            return (Scsi *)d;
    }
    if (bus)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device: there is no SCSI bus “%s”; name the id of a virtio-scsi-pci given "
                      "before this device, with “.0”"),
                    bus);
    else
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device: a SCSI disk needs an adapter; add -device virtio-scsi-pci before "
                      "it"));
    return NULL;
}

/* scsi_id G_MAXUINT64: the next free one. */
static bool place(Scsi *s, VitScsiDisk *disk, uint64_t target, uint64_t lun, GError **error)
{
    for (uint64_t t = target == G_MAXUINT64 ? 0 : target; t < MAX_TARGETS; t++) {
        bool taken = false;
        for (guint i = 0; i < s->disks->len; i++) {
            const VitScsiDisk *d = s->disks->pdata[i];
            taken |= d->target == t && (d->lun == lun || target == G_MAXUINT64);
        }
        if (!taken) {
            disk->target = (uint32_t)t;
            disk->lun = (uint32_t)lun;
            return true;
        }
        if (target != G_MAXUINT64) break;
    }
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                _("-device %s: that scsi-id and lun are taken on its bus"),
                disk->parent.klass->name);
    return false;
}

static VitDevice *create_disk(VitDeviceContext *ctx, VitOptions *options,
                              const VitDeviceClass *klass, GError **error)
{
    const char *id = vit_options_take(options, "id"), *bus = vit_options_take(options, "bus");
    uint64_t target = G_MAXUINT64, lun = 0, channel = 0, bootindex = 0;
    VitBlockNode *node = NULL;

    if (!vit_options_take_uint(options, "scsi-id", MAX_TARGETS - 1, &target, error) ||
        !vit_options_take_uint(options, "lun", MAX_LUNS - 1, &lun, error) ||
        !vit_options_take_uint(options, "channel", 0, &channel, error) ||
        !vit_options_take_uint(options, "bootindex", INT32_MAX, &bootindex, error))
        return NULL;
    if (klass == &vit_scsi_hd_class || vit_options_get(options, "drive")) {
        node = vit_pci_take_backend(options, "drive", ctx->drives, "drive", error);
        if (!node) return NULL;
    }
    if (id && vit_system_find_device(ctx->sys, id)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device: the id “%s” is taken"), id);
        return NULL;
    }
    Scsi *s = find_adapter(ctx, bus, error);
    if (!s) return NULL;
    VitDevice *d = vit_device_new(ctx->sys, klass, id);
    VitScsiDisk *disk = (VitScsiDisk *)d;
    disk->node = node;
    disk->thread = s->virtio.thread;
    if (!vit_pci_take_props(d, options, error) || !vit_options_finish(options, error) ||
        !place(s, disk, target, lun, error)) {
        vit_device_free(d);
        return NULL;
    }
    if (!vit_device_init(d, error)) return NULL;
    vit_virtio_quiesce(&s->virtio.parent, true);
    disk->adapter = &s->virtio.parent;
    disk->adapter_class = &adapter_class;
    g_ptr_array_add(s->disks, disk);
    vit_virtio_quiesce(&s->virtio.parent, false);
    send_event(s, EVENT_TRANSPORT_RESET, disk, RESET_RESCAN);
    return d;
}

VitDevice *vit_scsi_hd_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create_disk(ctx, options, &vit_scsi_hd_class, error);
}

VitDevice *vit_scsi_cd_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create_disk(ctx, options, &vit_scsi_cd_class, error);
}
