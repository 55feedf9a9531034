/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtio-pci.c - virtio over PCI (Virtual I/O Device 1.2, section 4.1)
 *
 * One BAR of 16 KiB: common configuration, ISR, device configuration, notifications (4 bytes a
 * queue), and one BAR with the MSI-X tables.  Not modelled: the legacy interface, shared memory
 * capabilities, notification data. */
#include "hw/virtio/virtio-pci.h"

#include "hw/deferred.h"

#include <glib/gi18n-lib.h>
#include <stdatomic.h>
#include <string.h>

enum {
    COMMON = 0x0000,
    ISR = 0x1000,
    DEVICE = 0x2000,
    NOTIFY = 0x3000,
    PAGE = 0x1000,
    BAR_SIZE = 0x4000,
    NOTIFY_MULTIPLIER = 4,
    NO_VECTOR = 0xffff,
    ISR_QUEUE = 1,
    ISR_CONFIG = 2,
    CAP_VENDOR = 0x09,
    CAP_COMMON = 1,
    CAP_NOTIFY = 2,
    CAP_ISR = 3,
    CAP_DEVICE = 4,
    CAP_PCI = 5,
    COMMON_SIZE = 0x38,
};

typedef struct {
    VitDevice       parent;         /* first member */
    VitVirtio      *virtio;         /* borrowed; NULL in tests of the bare device */
    VitPciFunction *fn;             /* borrowed */
    VitRegion      *bar;            /* owned container */
    VitRegion      *notify;         /* owned */
    VitRegion      *windows[3];     /* owned by parent */
    unsigned        bar_index, vectors;
    unsigned        access_cap;     /* offset of the PCI configuration access capability */
    atomic_uint     pending_isr;    /* set on iothreads, on the way into st.isr */
    VitDeferred    *raise;          /* owned: takes pending_isr under the machine lock */
    struct {
        uint32_t device_feature_select, driver_feature_select;
        uint16_t queue_select;
        uint16_t config_vector;
        uint16_t queue_vectors[VIT_VIRTIO_QUEUES];  /* read by iothreads: relaxed atomic */
        uint8_t  isr;
    } st;
} Transport;

/* ---- Interrupts ------------------------------------------------------------------------------ */

static void transport_update(VitDevice *d)
{
    Transport *t = (Transport *) d;
    if (t->fn)
        vit_pci_set_intx(t->fn, t->st.isr && !vit_pci_msix_enabled(t->fn));
}

static void raise_isr(void *opaque)
{
    Transport *t = opaque;
    t->st.isr |= (uint8_t) atomic_exchange(&t->pending_isr, 0);
    transport_update(&t->parent);
}

static void notify_queue(void *opaque, unsigned queue)
{
    Transport *t = opaque;

    if (vit_pci_msix_enabled(t->fn)) {
        unsigned vector = __atomic_load_n(&t->st.queue_vectors[queue], __ATOMIC_RELAXED);
        if (vector != NO_VECTOR)
            vit_pci_notify(t->fn, vector);
        return;
    }
    atomic_fetch_or(&t->pending_isr, ISR_QUEUE);
    vit_deferred_schedule(t->raise);
}

static void notify_config(void *opaque)
{
    Transport *t = opaque;

    t->st.isr |= ISR_CONFIG;
    if (vit_pci_msix_enabled(t->fn) && t->st.config_vector != NO_VECTOR)
        vit_pci_notify(t->fn, t->st.config_vector);
    transport_update(&t->parent);
}

static bool dma_enabled(void *opaque)
{
    return vit_pci_bus_master(((Transport *) opaque)->fn);
}

static const VitVirtioTransport transport_ops = {
    .notify_queue = notify_queue, .notify_config = notify_config, .dma_enabled = dma_enabled,
};

/* ---- Common configuration -------------------------------------------------------------------- */

static VitVirtio *core(VitDevice *d) { return ((Transport *) d)->virtio; }
static unsigned selected(VitDevice *d) { return ((Transport *) d)->st.queue_select; }
static bool selected_exists(VitDevice *d) { return core(d) && selected(d) < core(d)->n_queues; }

static uint64_t read_device_feature(VitDevice *d, uint32_t offset)
{
    uint32_t select = ((Transport *) d)->st.device_feature_select;
    return core(d) && select < 2 ? (uint32_t) (vit_virtio_features(core(d)) >> 32 * select) : 0;
}

static uint64_t read_driver_feature(VitDevice *d, uint32_t offset)
{
    uint32_t select = ((Transport *) d)->st.driver_feature_select;
    return core(d) && select < 2 ? (uint32_t) (vit_virtio_driver_features(core(d)) >> 32 * select)
                                 : 0;
}

static void write_driver_feature(VitDevice *d, uint32_t offset, uint64_t value)
{
    uint32_t select = ((Transport *) d)->st.driver_feature_select;
    if (!core(d) || select > 1)
        return;
    uint64_t features = vit_virtio_driver_features(core(d));
    features = (features & ~(0xffffffffull << 32 * select)) | (value & 0xffffffff) << 32 * select;
    vit_virtio_set_driver_features(core(d), features);
}

static uint16_t checked_vector(Transport *t, uint64_t value)
{
    return value < t->vectors ? (uint16_t) value : NO_VECTOR;
}

static void write_config_vector(VitDevice *d, uint32_t offset, uint64_t value)
{
    Transport *t = (Transport *) d;
    t->st.config_vector = checked_vector(t, value);
}

static uint64_t read_num_queues(VitDevice *d, uint32_t offset)
{
    return core(d) ? core(d)->n_queues : 0;
}
static uint64_t read_status(VitDevice *d, uint32_t offset)
{
    return core(d) ? vit_virtio_status(core(d)) : 0;
}

static void transport_defaults(Transport *t)
{
    for (unsigned i = 0; i < VIT_VIRTIO_QUEUES; i++)
        __atomic_store_n(&t->st.queue_vectors[i], NO_VECTOR, __ATOMIC_RELAXED);
    t->st.config_vector = NO_VECTOR;
    t->st.isr = 0;
    atomic_store(&t->pending_isr, 0);
}

static void write_status(VitDevice *d, uint32_t offset, uint64_t value)
{
    if (!core(d))
        return;
    vit_virtio_set_status(core(d), (uint8_t) value);
    if ((uint8_t) value == 0)
        transport_defaults((Transport *) d);
}

static uint64_t read_generation(VitDevice *d, uint32_t offset)
{
    return core(d) ? vit_virtio_generation(core(d)) : 0;
}

static uint64_t read_queue_vector(VitDevice *d, uint32_t offset)
{
    return selected_exists(d) ? ((Transport *) d)->st.queue_vectors[selected(d)] : NO_VECTOR;
}

static void write_queue_vector(VitDevice *d, uint32_t offset, uint64_t value)
{
    Transport *t = (Transport *) d;
    if (selected_exists(d))
        __atomic_store_n(&t->st.queue_vectors[selected(d)], checked_vector(t, value),
                         __ATOMIC_RELAXED);
}

enum {
    QUEUE_SIZE = 0x18,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30
};

static uint64_t *queue_address(VitVirtqueueState *s, uint32_t offset)
{
    return (offset & ~7u) == QUEUE_DESC     ? &s->desc
           : (offset & ~7u) == QUEUE_DRIVER ? &s->avail
                                            : &s->used;
}

static uint64_t read_queue(VitDevice *d, uint32_t offset)
{
    if (!selected_exists(d))
        return 0;
    VitVirtqueueState s = vit_virtio_queue(core(d), selected(d));
    switch (offset) {
    case QUEUE_SIZE: return s.size;
    case QUEUE_ENABLE: return s.enabled;
    case QUEUE_NOTIFY_OFF: return selected(d);
    default: return (uint32_t) (*queue_address(&s, offset) >> (offset & 4 ? 32 : 0));
    }
}

static void write_queue(VitDevice *d, uint32_t offset, uint64_t value)
{
    if (!selected_exists(d))
        return;
    VitVirtqueueState s = vit_virtio_queue(core(d), selected(d));
    if (offset == QUEUE_ENABLE) {
        if (value == 1)
            vit_virtio_enable_queue(core(d), selected(d));
        return;
    }
    if (offset == QUEUE_SIZE) {
        s.size = (uint16_t) value;
    } else {
        unsigned shift = offset & 4 ? 32 : 0;
        uint64_t *address = queue_address(&s, offset);
        *address = (*address & ~(0xffffffffull << shift)) | (value & 0xffffffff) << shift;
    }
    vit_virtio_set_queue(core(d), selected(d), &s);
}

static uint64_t read_isr(VitDevice *d, uint32_t offset)
{
    Transport *t = (Transport *) d;
    uint8_t isr = t->st.isr;
    t->st.isr = 0;
    return isr;
}

static const VitReg transport_regs[] = {
    { 0x00, VIT_ANY_BANK, "device_feature_select", VIT_AT(Transport, st.device_feature_select),
      .rw = 0xffffffff },
    { 0x04, VIT_ANY_BANK, "device_feature", .size = 4, .read = read_device_feature },
    { 0x08, VIT_ANY_BANK, "driver_feature_select", VIT_AT(Transport, st.driver_feature_select),
      .rw = 0xffffffff },
    { 0x0c, VIT_ANY_BANK, "driver_feature", .size = 4, .read = read_driver_feature,
      .write = write_driver_feature },
    { 0x10, VIT_ANY_BANK, "config_msix_vector", VIT_AT(Transport, st.config_vector),
      .write = write_config_vector, .reset = NO_VECTOR },
    { 0x12, VIT_ANY_BANK, "num_queues", .size = 2, .read = read_num_queues },
    { 0x14, VIT_ANY_BANK, "device_status", .size = 1, .read = read_status, .write = write_status },
    { 0x15, VIT_ANY_BANK, "config_generation", .size = 1, .read = read_generation },
    { 0x16, VIT_ANY_BANK, "queue_select", VIT_AT(Transport, st.queue_select), .rw = 0xffff },
    { QUEUE_SIZE, VIT_ANY_BANK, "queue_size", .size = 2, .read = read_queue, .write = write_queue },
    { 0x1a, VIT_ANY_BANK, "queue_msix_vector", .size = 2, .read = read_queue_vector,
      .write = write_queue_vector },
    { QUEUE_ENABLE, VIT_ANY_BANK, "queue_enable", .size = 2, .read = read_queue,
      .write = write_queue },
    { QUEUE_NOTIFY_OFF, VIT_ANY_BANK, "queue_notify_off", .size = 2, .read = read_queue },
    { QUEUE_DESC, VIT_ANY_BANK, "queue_desc", .size = 4, .count = 2, .read = read_queue,
      .write = write_queue },
    { QUEUE_DRIVER, VIT_ANY_BANK, "queue_driver", .size = 4, .count = 2, .read = read_queue,
      .write = write_queue },
    { QUEUE_DEVICE, VIT_ANY_BANK, "queue_device", .size = 4, .count = 2, .read = read_queue,
      .write = write_queue },
    { ISR, VIT_ANY_BANK, "isr", VIT_AT(Transport, st.isr), .read = read_isr },
};

static const VitField transport_hidden[] = { VIT_UINTS(Transport, st.queue_vectors), { VIT_END } };

/* ---- Device configuration: the device's own layout ------------------------------------------- */

static bool device_read(VitDevice *d, uint32_t offset, unsigned size, uint64_t *value)
{
    if (offset < DEVICE)
        return false;
    *value = core(d) ? vit_virtio_read_config(core(d), offset - DEVICE, size) : 0;
    return true;
}

static bool device_write(VitDevice *d, uint32_t offset, unsigned size, uint64_t value)
{
    if (offset < DEVICE)
        return false;
    if (core(d))
        vit_virtio_write_config(core(d), offset - DEVICE, size, (uint32_t) value);
    return true;
}

/* ---- Notifications: without the machine lock, straight to the iothread ----------------------- */

static uint64_t notify_read(void *opaque, uint64_t offset, unsigned size)
{
    (void) opaque, (void) offset, (void) size;
    return 0;
}

static void notify_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Transport *t = opaque;
    (void) value, (void) size;
    vit_virtio_kick(t->virtio, (unsigned) (offset / NOTIFY_MULTIPLIER));
}

static const VitMmioOps notify_ops = {
    .read = notify_read, .write = notify_write, .min_size = 1, .max_size = 4, .unlocked = true,
};

/* ---- PCI configuration access capability (4.1.4.9): the BAR through config space ------------- */

enum { ACCESS_BAR = 4, ACCESS_OFFSET = 8, ACCESS_LENGTH = 12, ACCESS_DATA = 16 };

static bool access_target(Transport *t, uint32_t *offset, unsigned *length)
{
    const uint8_t *cap = vit_pci_config(t->fn) + t->access_cap;
    uint32_t o, l;

    memcpy(&o, cap + ACCESS_OFFSET, 4);
    memcpy(&l, cap + ACCESS_LENGTH, 4);
    *offset = GUINT32_FROM_LE(o);
    *length = GUINT32_FROM_LE(l);
    return cap[ACCESS_BAR] == t->bar_index && (*length == 1 || *length == 2 || *length == 4) &&
           *offset < BAR_SIZE && *offset % *length == 0;
}

static bool touches_data(const Transport *t, unsigned offset, unsigned size)
{
    unsigned data = t->access_cap + ACCESS_DATA;
    return t->access_cap && size <= 4 && offset < data + 4 && data < offset + size;
}

static void config_reading(void *opaque, unsigned offset, unsigned size)
{
    Transport *t = opaque;
    uint32_t at;
    unsigned length;

    if (!touches_data(t, offset, size) || !access_target(t, &at, &length))
        return;
    uint32_t value = at < NOTIFY ? (uint32_t) vit_device_read(&t->parent, at, length) : 0;
    value = GUINT32_TO_LE(value);
    memcpy(vit_pci_config(t->fn) + t->access_cap + ACCESS_DATA, &value, length);
}

static void config_wrote(void *opaque, unsigned offset, unsigned size)
{
    Transport *t = opaque;
    uint32_t at, value;
    unsigned length;

    /* MSI-X may just have been turned on or off, which moves the ISR between pin and message. */
    transport_update(&t->parent);
    if (!touches_data(t, offset, size) || !access_target(t, &at, &length))
        return;
    memcpy(&value, vit_pci_config(t->fn) + t->access_cap + ACCESS_DATA, 4);
    value = GUINT32_FROM_LE(value);
    if (at < NOTIFY)
        vit_device_write(&t->parent, at, value, length);
    else
        notify_write(t, at - NOTIFY, value, length);
}

/* ---- Building -------------------------------------------------------------------------------- */

static bool transport_init(VitDevice *d, GError **error)
{
    Transport *t = (Transport *) d;
    (void) error;
    t->raise = vit_deferred_new(d->sys, raise_isr, t);
    return true;
}

static void transport_finish(VitDevice *d)
{
    Transport *t = (Transport *) d;

    if (t->virtio)
        vit_virtio_attach(t->virtio, NULL, NULL);
    vit_deferred_free(t->raise);
    if (!t->bar)
        return;
    vit_pci_set_config_hook(t->fn, NULL, NULL);
    vit_pci_set_config_read_hook(t->fn, NULL, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(t->windows); i++)
        vit_region_remove(t->bar, t->windows[i]);
    vit_region_remove(t->bar, t->notify);
    vit_region_free(t->notify);
}

static void transport_reset(VitDevice *d)
{
    transport_defaults((Transport *) d);
}

static void transport_quiesce(VitDevice *d, bool on)
{
    (void) on;
    raise_isr(d);       /* the core was created before us and is quiet by now */
}

static bool transport_validate(VitDevice *d, const void *st, GError **error)
{
    const Transport *t = (const Transport *) d;
    const typeof(t->st) *s = st;
    bool ok = s->config_vector == NO_VECTOR || s->config_vector < t->vectors;

    for (unsigned i = 0; i < VIT_VIRTIO_QUEUES; i++)
        ok = ok && (s->queue_vectors[i] == NO_VECTOR || s->queue_vectors[i] < t->vectors);
    if (!ok)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    _("%s: the saved state has an interrupt vector that "
                      "this device does not have"),
                    d->id);
    return ok;
}

const VitDeviceClass vit_virtio_pci_class = {
    .name = "virtio-pci",
    .description = "Virtio transport over PCI",
    .version = 1,
    VIT_STATE(Transport, st),
    .mmio_size = NOTIFY,
    VIT_REGS(transport_regs),
    .hidden = transport_hidden,
    .raw_read = device_read,
    .raw_write = device_write,
    .init = transport_init,
    .finish = transport_finish,
    .reset = transport_reset,
    .update = transport_update,
    .validate = transport_validate,
    .quiesce = transport_quiesce,
};

static unsigned add_cap(Transport *t, unsigned type, uint32_t offset, uint32_t length,
                        unsigned extra)
{
    uint8_t data[18] = { 0 };
    uint32_t o = GUINT32_TO_LE(offset), l = GUINT32_TO_LE(length);

    data[0] = (uint8_t) (16 + extra);
    data[1] = (uint8_t) type;
    data[2] = (uint8_t) t->bar_index;
    memcpy(data + 6, &o, 4);
    memcpy(data + 10, &l, 4);
    return vit_pci_add_capability(t->fn, CAP_VENDOR, data, NULL, 14 + extra);
}

static void free_bar(void *opaque)
{
    vit_region_free(opaque);
}

VitPciFunction *vit_virtio_pci_new(VitPciBus *bus, VitVirtio *v, const VitVirtioPciOptions *options,
                                   GError **error)
{
    unsigned pci_class = options->pci_class ? options->pci_class : v->virtio_class->pci_class;
    uint16_t device = (uint16_t) (0x1040 + v->virtio_class->id);
    VitPciIds ids = { .vendor = 0x1af4,
                      .device = device,
                      .subsys_vendor = 0x1af4,
                      .subsys = 0x1100,
                      .revision = 1,
                      .base_class = (uint8_t) (pci_class >> 8),
                      .subclass = (uint8_t) pci_class,
                      .express = true };
    g_autofree char *fn_id = g_strconcat(v->parent.id, ".pci", NULL);
    g_autofree char *id = g_strconcat(v->parent.id, ".transport", NULL);

    VitPciFunction *fn = vit_pci_function_new(bus, options->devfn, &ids, fn_id, error);
    if (!fn)
        return NULL;
    Transport *t = (Transport *) vit_device_new(v->parent.sys, &vit_virtio_pci_class, id);
    if (!vit_device_init(&t->parent, error)) {
        vit_pci_function_free(fn);
        return NULL;
    }
    t->virtio = v;
    t->fn = fn;
    t->bar_index = options->bar ? options->bar : 4;
    t->vectors = MIN(options->vectors ? options->vectors : v->n_queues + 1, VIT_PCI_MSIX_MAX);
    transport_defaults(t);

    t->bar = vit_region_new_container("virtio-pci", BAR_SIZE);
    static const uint32_t parts[] = { COMMON, ISR, DEVICE };
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        t->windows[i] = vit_device_window(&t->parent, parts[i], PAGE);
        vit_region_add(t->bar, parts[i], t->windows[i], 0);
    }
    t->notify = vit_region_new_mmio("virtio-notify", &notify_ops, t, PAGE);
    vit_region_add(t->bar, NOTIFY, t->notify, 0);
    vit_pci_set_bar(fn, t->bar_index, t->bar, false, true, true);
    vit_pci_set_finish_hook(fn, free_bar, t->bar);

    unsigned table = 0, pba = 0x800;
    vit_pci_set_intx_pin(fn, 1);
    vit_pci_add_msix(fn, t->vectors, options->msix_bar ? options->msix_bar : 1, table, pba);
    add_cap(t, CAP_COMMON, COMMON, COMMON_SIZE, 0);
    add_cap(t, CAP_ISR, ISR, 1, 0);
    add_cap(t, CAP_DEVICE, DEVICE, PAGE, 0);
    unsigned cap = add_cap(t, CAP_NOTIFY, NOTIFY, v->n_queues * NOTIFY_MULTIPLIER, 4);
    vit_pci_config_define(fn, cap + 16, 4, NOTIFY_MULTIPLIER, 0, 0);
    cap = add_cap(t, CAP_PCI, 0, 0, 4);
    vit_pci_config_define(fn, cap + ACCESS_BAR, 1, 0, 0xff, 0);
    vit_pci_config_define(fn, cap + ACCESS_OFFSET, 4, 0, 0xffffffff, 0);
    vit_pci_config_define(fn, cap + ACCESS_LENGTH, 4, 0, 0xffffffff, 0);
    vit_pci_config_define(fn, cap + ACCESS_DATA, 4, 0, 0xffffffff, 0);
    t->access_cap = cap;
    vit_pci_set_config_hook(fn, config_wrote, t);
    vit_pci_set_config_read_hook(fn, config_reading, t);
    vit_virtio_attach(v, &transport_ops, t);
    return fn;
}
