/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci-function.c - config space of one PCI function, its BARs, capabilities and INTx
 *
 * PCI Local Bus 3.0 chapter 6; PCI Express 4.0 chapter 7.5 (capability version 2, no training).
 * Not modelled: parity and system errors, power management, VPD, latency timers. */
#include "hw/pci/pci-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* ---- BARs ------------------------------------------------------------------------------------ */

static unsigned bar_offset(const VitPciFunction *fn, unsigned bar)
{
    if (bar == PCI_ROM_INDEX)
        return fn->bridge ? PCI_BRIDGE_ROM : PCI_ROM;
    return PCI_BAR0 + 4 * bar;
}

static uint64_t bar_address(const VitPciFunction *fn, unsigned bar)
{
    const PciBar *b = &fn->bars[bar];
    const uint8_t *config = fn->st.config + bar_offset(fn, bar);
    unsigned command = pci_get16(fn->st.config + PCI_COMMAND);
    VitRegion *space = b->io ? fn->bus->io : fn->bus->memory;
    uint64_t address = pci_get32(config);

    if (!(command & (b->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return PCI_UNMAPPED;
    if (bar == PCI_ROM_INDEX && !(address & 1))
        return PCI_UNMAPPED;
    if (b->is64)
        address |= (uint64_t) pci_get32(config + 4) << 32;
    address &= ~(b->size - 1);
    /* Zero is what an unprogrammed BAR holds, the top what a BAR being sized holds. */
    if (!address || !space || address + b->size < address ||
        address + b->size > vit_region_size(space))
        return PCI_UNMAPPED;
    if (!b->is64 && !b->io && address + b->size > 0xffffffffu)
        return PCI_UNMAPPED;
    return address;
}

static void bar_map(VitPciFunction *fn, unsigned bar, uint64_t address)
{
    PciBar *b = &fn->bars[bar];
    VitRegion *space = b->io ? fn->bus->io : fn->bus->memory;

    if (b->mapped == address)
        return;
    if (b->mapped != PCI_UNMAPPED)
        vit_region_remove(space, b->region);
    b->mapped = address;
    if (address != PCI_UNMAPPED) {
        /* A guest may let BARs overlap; each has a priority of its own, so that one wins. */
        int priority = -4096 + (int) (fn->devfn * (VIT_PCI_BARS + 1) + bar);
        vit_region_add(space, address, b->region, priority);
    }
}

static void bars_update(VitPciFunction *fn)
{
    if (!fn->bus)
        return;
    for (unsigned i = 0; i <= PCI_ROM_INDEX; i++)
        if (fn->bars[i].region)
            bar_map(fn, i, bar_address(fn, i));
}

void vit_pci_set_bar(VitPciFunction *fn, unsigned bar, VitRegion *region, bool io, bool is64,
                     bool prefetch)
{
    PciBar *b = &fn->bars[bar];
    uint64_t size = vit_region_size(region);
    unsigned offset = bar_offset(fn, bar);

    g_assert(bar < (fn->bridge ? 2 : VIT_PCI_BARS) && !b->region && (size & (size - 1)) == 0);
    *b =
        (PciBar) { .region = region, .size = size, .io = io, .is64 = is64, .mapped = PCI_UNMAPPED };
    uint64_t mask = ~(size - 1);
    vit_pci_config_define(fn, offset, 4, io ? 1 : (is64 ? 4u : 0u) | (prefetch ? 8u : 0u),
                          (uint32_t) mask, 0);
    if (is64)
        vit_pci_config_define(fn, offset + 4, 4, 0, (uint32_t) (mask >> 32), 0);
}

void vit_pci_set_rom(VitPciFunction *fn, VitRam *rom, uint64_t size)
{
    uint64_t window = MAX(2048, g_bit_storage(size - 1) < 64 ? 1ull << g_bit_storage(size - 1) : 0);
    PciBar *b = &fn->bars[PCI_ROM_INDEX];

    g_assert(!b->region && size > 0 && window <= rom->size);
    fn->rom_region = vit_region_new_rom(rom->name, rom, 0, window);
    *b = (PciBar) { .region = fn->rom_region, .size = window, .mapped = PCI_UNMAPPED };
    vit_pci_config_define(fn, bar_offset(fn, PCI_ROM_INDEX), 4, 0, (uint32_t) ~(window - 1) | 1, 0);
}

/* ---- Interrupt pin --------------------------------------------------------------------------- */

static void intx_update(VitPciFunction *fn)
{
    unsigned command = pci_get16(fn->st.config + PCI_COMMAND);
    bool level = (fn->st.config[PCI_STATUS] & PCI_STATUS_INTERRUPT) &&
                 !(command & PCI_COMMAND_INTX_OFF);
    unsigned pin = fn->initial[PCI_INTERRUPT_PIN];

    if (fn->bus && pin && (level != fn->driven || fn->announce))
        pci_bus_set_line(fn->bus, fn->devfn, pin, fn->driven, level);
    fn->driven = level;
    fn->announce = false;
}

void vit_pci_set_intx_pin(VitPciFunction *fn, unsigned pin)
{
    vit_pci_config_define(fn, PCI_INTERRUPT_PIN, 1, pin, 0, 0);
    vit_pci_config_define(fn, PCI_INTERRUPT_LINE, 1, 0, 0xff, 0);
}

void vit_pci_set_intx(VitPciFunction *fn, bool level)
{
    uint8_t *status = &fn->st.config[PCI_STATUS];
    *status = level ? *status | PCI_STATUS_INTERRUPT : *status & (uint8_t) ~PCI_STATUS_INTERRUPT;
    intx_update(fn);
}

static void intx_from_core(void *opaque, unsigned n, bool level)
{
    (void) n;
    vit_pci_set_intx(opaque, level);
}

void vit_pci_connect_intx(VitPciFunction *fn, VitDevice *core, unsigned n)
{
    vit_irq_connect(core, n, intx_from_core, fn, 0);
}

/* ---- Config space ---------------------------------------------------------------------------- */

static void seal(VitPciFunction *fn)
{
    if (fn->sealed)
        return;
    fn->sealed = true;
    memcpy(fn->st.config, fn->initial, sizeof fn->st.config);
}

uint8_t *vit_pci_config(VitPciFunction *fn)
{
    return fn->sealed ? fn->st.config : fn->initial;
}

void vit_pci_config_define(VitPciFunction *fn, unsigned offset, unsigned size, uint32_t value,
                           uint32_t writable, uint32_t w1c)
{
    g_assert(offset + size <= fn->config_size && size <= 4);
    for (unsigned i = 0; i < size; i++) {
        vit_pci_config(fn)[offset + i] = fn->initial[offset + i] = (uint8_t) (value >> 8 * i);
        fn->writable[offset + i] = (uint8_t) (writable >> 8 * i);
        fn->w1c[offset + i] = (uint8_t) (w1c >> 8 * i);
    }
}

void vit_pci_set_config_hook(VitPciFunction *fn,
                             void (*wrote)(void *opaque, unsigned offset, unsigned size),
                             void *opaque)
{
    fn->wrote = wrote;
    fn->wrote_opaque = opaque;
}

void vit_pci_set_config_read_hook(VitPciFunction *fn,
                                  void (*reading)(void *opaque, unsigned offset, unsigned size),
                                  void *opaque)
{
    fn->reading = reading;
    fn->reading_opaque = opaque;
}

void vit_pci_set_finish_hook(VitPciFunction *fn, void (*finish)(void *opaque), void *opaque)
{
    fn->finish = finish;
    fn->finish_opaque = opaque;
}

static bool slot_has_more(const VitPciFunction *fn)
{
    if (!fn->bus || (fn->devfn & 7))
        return false;
    for (unsigned i = 1; i < 8; i++)
        if (fn->bus->functions[fn->devfn + i])
            return true;
    return false;
}

uint32_t pci_function_read(VitPciFunction *fn, unsigned offset, unsigned size)
{
    uint32_t value = 0;

    seal(fn);
    if (fn->reading)
        fn->reading(fn->reading_opaque, offset, size);
    pthread_mutex_lock(&fn->msi_lock);    /* the pending bits of MSI live in config space */
    for (unsigned i = 0; i < size; i++) {
        uint32_t byte = 0xff;
        if (offset + i < fn->config_size)
            byte = fn->st.config[offset + i];
        if (offset + i == PCI_HEADER_TYPE && slot_has_more(fn))
            byte |= PCI_HEADER_MULTI;
        value |= byte << 8 * i;
    }
    pthread_mutex_unlock(&fn->msi_lock);
    return value;
}

static bool touches(unsigned offset, unsigned size, unsigned start, unsigned length)
{
    return offset < start + length && start < offset + size;
}

void pci_function_write(VitPciFunction *fn, unsigned offset, uint32_t value, unsigned size)
{
    seal(fn);
    pthread_mutex_lock(&fn->msi_lock);
    for (unsigned i = 0; i < size && offset + i < fn->config_size; i++) {
        uint8_t *byte = &fn->st.config[offset + i];
        uint8_t data = (uint8_t) (value >> 8 * i), mask = fn->writable[offset + i];
        uint8_t now = (uint8_t) ((*byte & ~mask) | (data & mask));
        __atomic_store_n(byte, now & (uint8_t) ~(data & fn->w1c[offset + i]), __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&fn->msi_lock);
    pci_msi_config_written(fn);
    if (touches(offset, size, PCI_COMMAND, 2)) {
        bars_update(fn);
        intx_update(fn);
    } else if (touches(offset, size, PCI_BAR0, fn->bridge ? 8 : 24) ||
               touches(offset, size, bar_offset(fn, PCI_ROM_INDEX), 4)) {
        bars_update(fn);
    }
    if (fn->wrote)
        fn->wrote(fn->wrote_opaque, offset, size);
}

bool vit_pci_bus_master(const VitPciFunction *fn)
{
    return __atomic_load_n(&fn->st.config[PCI_COMMAND], __ATOMIC_RELAXED) & PCI_COMMAND_MASTER;
}

VitAddressSpace *vit_pci_dma(VitPciFunction *fn)
{
    return fn->parent.sys->memory;
}

/* ---- Capabilities ---------------------------------------------------------------------------- */

unsigned vit_pci_add_capability_at(VitPciFunction *fn, unsigned offset, uint8_t id,
                                   const uint8_t *data, const uint8_t *writable, unsigned size)
{
    uint8_t *config = vit_pci_config(fn);

    g_assert(offset >= 0x40 && offset + 2 + size <= 256);
    for (unsigned i = 0; i < size + 2; i++) {
        g_assert(!fn->used[offset + i]);
        fn->used[offset + i] = 1;
    }
    vit_pci_config_define(fn, offset, 2, id, 0, 0);
    for (unsigned i = 0; i < size; i++)
        vit_pci_config_define(fn, offset + 2 + i, 1, data ? data[i] : 0, writable ? writable[i] : 0,
                              0);
    unsigned link = fn->last_cap ? fn->last_cap + 1 : PCI_CAP_POINTER;
    vit_pci_config_define(fn, link, 1, offset, 0, 0);
    vit_pci_config_define(fn, PCI_STATUS, 1, config[PCI_STATUS] | PCI_STATUS_CAP_LIST, 0, 0);
    fn->last_cap = offset;
    return offset;
}

unsigned vit_pci_add_capability(VitPciFunction *fn, uint8_t id, const uint8_t *data,
                                const uint8_t *writable, unsigned size)
{
    unsigned offset = 0x40, i = 0;
    while (i < size + 2) {      /* first gap, 4-byte aligned, that takes it */
        if (fn->used[offset + i]) {
            offset = (offset + i + 4) & ~3u;
            i = 0;
        } else {
            i++;
        }
        g_assert(offset + size + 2 <= 256);
    }
    return vit_pci_add_capability_at(fn, offset, id, data, writable, size);
}

static void add_express(VitPciFunction *fn)
{
    enum { ENDPOINT = 0, ROOT_PORT = 4, INTEGRATED = 9 };
    unsigned type = fn->bridge ? ROOT_PORT : fn->bus->bridge ? ENDPOINT : INTEGRATED;
    unsigned cap = vit_pci_add_capability(fn, PCI_CAP_EXPRESS, NULL, NULL, 58);

    vit_pci_config_define(fn, cap + 2, 2, 2 | type << 4 | (type == ROOT_PORT ? 0x100 : 0), 0, 0);
    vit_pci_config_define(fn, cap + 4, 4, 0x8000, 0, 0);            /* role-based error reporting */
    vit_pci_config_define(fn, cap + 8, 2, 0x0810, 0xfeff, 0);       /* device control */
    vit_pci_config_define(fn, cap + 10, 2, 0, 0, 0x000f);           /* device status */
    if (type != INTEGRATED) {
        vit_pci_config_define(fn, cap + 12, 4, 0x11, 0, 0);         /* link: x1, 2.5 GT/s */
        vit_pci_config_define(fn, cap + 16, 2, 0, 0x0fdb, 0);
        vit_pci_config_define(fn, cap + 18, 2, 0x11 | (type == ROOT_PORT ? 0x2000 : 0), 0, 0);
    }
    if (type == ROOT_PORT) {
        vit_pci_config_define(fn, cap + 20, 4, 0, 0, 0);            /* no hot-plug slot */
        vit_pci_config_define(fn, cap + 26, 2, 0x0040, 0, 0);       /* slot status: present */
        vit_pci_config_define(fn, cap + 28, 2, 0, 0x001f, 0);       /* root control */
    }
}

/* ---- The device ------------------------------------------------------------------------------ */

static bool function_init(VitDevice *d, GError **error)
{
    VitPciFunction *fn = (VitPciFunction *) d;
    (void) error;

    pthread_mutex_init(&fn->msi_lock, NULL);
    fn->config_size = fn->bus && fn->bus->host.express ? PCI_CONFIG_SIZE : 256;
    for (unsigned i = 0; i <= PCI_ROM_INDEX; i++)
        fn->bars[i].mapped = PCI_UNMAPPED;
    memset(fn->used, 1, 0x40);
    vit_pci_config_define(fn, PCI_COMMAND, 2, 0,
                          PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                              PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_OFF,
                          0);
    vit_pci_config_define(fn, PCI_STATUS, 2, 0, 0, PCI_STATUS_ERRORS);
    vit_pci_config_define(fn, PCI_CACHE_LINE, 1, 0, 0xff, 0);
    return true;
}

static void function_finish(VitDevice *d)
{
    VitPciFunction *fn = (VitPciFunction *) d;

    for (unsigned i = 0; fn->bus && i <= PCI_ROM_INDEX; i++)
        if (fn->bars[i].region)
            bar_map(fn, i, PCI_UNMAPPED);
    if (fn->bus && fn->driven)
        pci_bus_set_line(fn->bus, fn->devfn, fn->initial[PCI_INTERRUPT_PIN], true, false);
    if (fn->bus && fn->bus->functions[fn->devfn] == fn)
        fn->bus->functions[fn->devfn] = NULL;
    pci_msi_finish(fn);
    if (fn->finish)     /* may free the regions of the BARs */
        fn->finish(fn->finish_opaque);
    if (fn->rom_region)
        vit_region_free(fn->rom_region);
    pthread_mutex_destroy(&fn->msi_lock);
}

static void derived_state_changed(VitPciFunction *fn)
{
    bars_update(fn);
    fn->announce = true;
    if (fn->wrote)
        fn->wrote(fn->wrote_opaque, 0, fn->config_size);
}

static void function_reset(VitDevice *d)
{
    VitPciFunction *fn = (VitPciFunction *) d;

    fn->sealed = true;
    memcpy(fn->st.config, fn->initial, sizeof fn->st.config);
    for (unsigned i = 0; i < VIT_PCI_MSIX_MAX; i++)
        fn->st.msix_table[16 * i + 12] = 1;     /* masked */
    derived_state_changed(fn);
}

static void function_loaded(VitDevice *d)
{
    VitPciFunction *fn = (VitPciFunction *) d;
    fn->sealed = true;
    derived_state_changed(fn);
}

static void function_update(VitDevice *d)
{
    intx_update((VitPciFunction *) d);
}

static bool function_validate(VitDevice *d, const void *st, GError **error)
{
    VitPciFunction *fn = (VitPciFunction *) d;
    const uint8_t *config = st;     /* first in st */

    if (memcmp(config, fn->initial, 4) == 0 &&
        config[PCI_HEADER_TYPE] == fn->initial[PCI_HEADER_TYPE])
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                _("%s: the saved state is of another PCI device"), d->id);
    return false;
}

static bool config_raw_read(VitDevice *d, uint32_t offset, unsigned size, uint64_t *value)
{
    *value = pci_function_read((VitPciFunction *) d, offset, size);
    return true;
}

static bool config_raw_write(VitDevice *d, uint32_t offset, unsigned size, uint64_t value)
{
    pci_function_write((VitPciFunction *) d, offset, (uint32_t) value, size);
    return true;
}

static const VitField function_hidden[] = {
    VIT_BYTES(VitPciFunction, st.config),
    VIT_BYTES(VitPciFunction, st.msix_table),
    VIT_UINTS(VitPciFunction, st.msix_pending),
    { VIT_END },
};

const VitDeviceClass vit_pci_function_class = {
    .name = "pci-function", .description = "Config space of a PCI function", .version = 1,
    VIT_STATE(VitPciFunction, st), .mmio_size = PCI_CONFIG_SIZE, .reg_size = 4,
    .hidden = function_hidden, .raw_read = config_raw_read, .raw_write = config_raw_write,
    .init = function_init, .finish = function_finish, .reset = function_reset,
    .update = function_update, .loaded = function_loaded, .validate = function_validate,
};

VitPciFunction *vit_pci_function_new(VitPciBus *bus, int devfn, const VitPciIds *ids,
                                     const char *id, GError **error)
{
    if (devfn < 0) {
        for (devfn = 0; devfn < 256 && bus->functions[devfn]; devfn += 8)
            ;
        if (devfn >= 256) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                        _("no free PCI slot for %s; put it behind a bridge"),
                        id ? id : "the device");
            return NULL;
        }
    } else if (devfn > 255 || bus->functions[devfn]) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    devfn > 255 ? _("PCI address %02x.%x does not exist")
                                : _("PCI slot %02x.%x is taken"),
                    (unsigned) devfn >> 3, (unsigned) devfn & 7);
        return NULL;
    }

    VitPciFunction *fn = (VitPciFunction *) vit_device_new(bus->host.sys, &vit_pci_function_class,
                                                           id);
    fn->bus = bus;
    fn->devfn = (unsigned) devfn;
    fn->bridge = ids->base_class == 6 && ids->subclass == 4;
    if (!vit_device_init(&fn->parent, error))
        return NULL;
    fn->sealed = false;     /* whatever initialising did: the build begins now */
    bus->functions[devfn] = fn;
    vit_pci_config_define(fn, PCI_VENDOR_ID, 4, ids->vendor | (uint32_t) ids->device << 16, 0, 0);
    vit_pci_config_define(fn, PCI_REVISION, 4,
                          ids->revision | (uint32_t) ids->prog_if << 8 |
                              (uint32_t) ids->subclass << 16 | (uint32_t) ids->base_class << 24,
                          0, 0);
    vit_pci_config_define(fn, PCI_HEADER_TYPE, 1, fn->bridge ? PCI_HEADER_BRIDGE : 0, 0, 0);
    if (!fn->bridge)
        vit_pci_config_define(fn, PCI_SUBSYS_VENDOR, 4,
                              ids->subsys_vendor | (uint32_t) ids->subsys << 16, 0, 0);
    if (ids->express && bus->host.express)
        add_express(fn);
    return fn;
}

void vit_pci_function_free(VitPciFunction *fn)
{
    if (fn)
        vit_device_free(&fn->parent);
}

VitDevice *vit_pci_function_device(VitPciFunction *fn) { return &fn->parent; }
unsigned vit_pci_devfn(const VitPciFunction *fn) { return fn->devfn; }
VitPciBus *vit_pci_function_bus(VitPciFunction *fn) { return fn->bus; }
