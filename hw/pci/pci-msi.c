/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci-msi.c - message signalled interrupts of a function: MSI and MSI-X
 *
 * PCI Local Bus 3.0 section 6.8.  vit_pci_notify() runs on any thread: MSI state is guarded by the
 * function's leaf lock, never by the machine lock, and messages leave outside of it. */
#include "hw/pci/pci-private.h"

typedef struct { uint64_t address; uint32_t data; } Message;

enum { MSI_ADDRESS = 4, MSI_DATA = 12, MSI_MASK = 16, MSI_PENDING = 20, MSI_CAP_SIZE = 24 };

static unsigned msi_control(const VitPciFunction *fn)
{
    return pci_get16(fn->st.config + fn->msi_cap + 2);
}

static unsigned msix_control(const VitPciFunction *fn)
{
    return pci_get16(fn->st.config + fn->msix_cap + 2);
}

bool vit_pci_msi_enabled(const VitPciFunction *fn)
{
    return fn->msi_cap &&
           (__atomic_load_n(&fn->st.config[fn->msi_cap + 2], __ATOMIC_RELAXED) & PCI_MSI_ENABLE);
}

bool vit_pci_msix_enabled(const VitPciFunction *fn)
{
    return fn->msix_cap && (__atomic_load_n(&fn->st.config[fn->msix_cap + 3], __ATOMIC_RELAXED) &
                            (PCI_MSIX_ENABLE >> 8));
}

/* ---- Taking a message out, msi_lock held ----------------------------------------------------- */

static bool msi_take(VitPciFunction *fn, unsigned vector, Message *message)
{
    uint8_t *cap = fn->st.config + fn->msi_cap;
    unsigned granted = 1u << MIN((msi_control(fn) & PCI_MSI_MULTIPLE) >> 4, 5);

    granted = MIN(granted, fn->msi_vectors);
    vector &= granted - 1;
    if (pci_get32(cap + MSI_MASK) & 1u << vector) {
        pci_put32(cap + MSI_PENDING, pci_get32(cap + MSI_PENDING) | 1u << vector);
        return false;
    }
    message->address = pci_get32(cap + MSI_ADDRESS) | (uint64_t) pci_get32(cap + MSI_ADDRESS + 4)
                                                          << 32;
    message->data = (pci_get16(cap + MSI_DATA) & ~(granted - 1)) | vector;
    return true;
}

static bool msix_take(VitPciFunction *fn, unsigned vector, Message *message)
{
    const uint8_t *entry = fn->st.msix_table + 16 * vector;

    if (vector >= fn->msix_vectors)
        return false;
    if ((entry[12] & 1) || (msix_control(fn) & PCI_MSIX_MASK_ALL)) {
        fn->st.msix_pending[vector / 64] |= 1ull << (vector % 64);
        return false;
    }
    message->address = pci_get32(entry) | (uint64_t) pci_get32(entry + 4) << 32;
    message->data = pci_get32(entry + 8);
    return true;
}

void vit_pci_notify(VitPciFunction *fn, unsigned vector)
{
    Message message;
    bool send = false;

    if (!vit_pci_bus_master(fn))
        return;
    pthread_mutex_lock(&fn->msi_lock);
    if (vit_pci_msix_enabled(fn))
        send = msix_take(fn, vector, &message);
    else if (vit_pci_msi_enabled(fn))
        send = msi_take(fn, vector, &message);
    pthread_mutex_unlock(&fn->msi_lock);
    if (send)
        pci_bus_send_msi(fn->bus, message.address, message.data);
}

/* Sends what became unmasked while pending. */
static void flush_pending(VitPciFunction *fn)
{
    if (!fn->bus)
        return;
    for (unsigned i = 0; vit_pci_msix_enabled(fn) && i < fn->msix_vectors; i++) {
        Message message;
        uint64_t bit = 1ull << (i % 64);
        pthread_mutex_lock(&fn->msi_lock);
        uint64_t *word = &fn->st.msix_pending[i / 64];
        bool send = *word & bit;
        *word &= ~bit;
        send = send && msix_take(fn, i, &message);
        pthread_mutex_unlock(&fn->msi_lock);
        if (send)
            pci_bus_send_msi(fn->bus, message.address, message.data);
    }
    for (unsigned i = 0;
         vit_pci_msi_enabled(fn) && !vit_pci_msix_enabled(fn) && i < fn->msi_vectors; i++) {
        Message message;
        pthread_mutex_lock(&fn->msi_lock);
        uint8_t *pending = fn->st.config + fn->msi_cap + MSI_PENDING;
        bool send = pci_get32(pending) & 1u << i;
        pci_put32(pending, pci_get32(pending) & ~(1u << i));
        send = send && msi_take(fn, i, &message);
        pthread_mutex_unlock(&fn->msi_lock);
        if (send)
            pci_bus_send_msi(fn->bus, message.address, message.data);
    }
}

void pci_msi_config_written(VitPciFunction *fn)
{
    flush_pending(fn);
}

/* ---- MSI-X table and pending bits in a BAR --------------------------------------------------- */

static uint64_t table_read(void *opaque, uint64_t offset, unsigned size)
{
    VitPciFunction *fn = opaque;
    (void) size;
    pthread_mutex_lock(&fn->msi_lock);
    uint32_t value = pci_get32(fn->st.msix_table + (offset & ~3ull));
    pthread_mutex_unlock(&fn->msi_lock);
    return value;
}

static void table_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VitPciFunction *fn = opaque;
    (void) size;
    pthread_mutex_lock(&fn->msi_lock);
    if ((offset & 12) == 12)
        value &= 1;
    else if ((offset & 12) == 0)
        value &= ~3ull;
    pci_put32(fn->st.msix_table + (offset & ~3ull), (uint32_t) value);
    pthread_mutex_unlock(&fn->msi_lock);
    flush_pending(fn);
}

static uint64_t pba_read(void *opaque, uint64_t offset, unsigned size)
{
    VitPciFunction *fn = opaque;
    (void) size;
    pthread_mutex_lock(&fn->msi_lock);
    uint64_t word = fn->st.msix_pending[offset / 8];
    pthread_mutex_unlock(&fn->msi_lock);
    return (uint32_t) (word >> (offset & 4 ? 32 : 0));
}

static void pba_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void) opaque, (void) offset, (void) value, (void) size;    /* read-only to software */
}

static const VitMmioOps table_ops = {
    .read = table_read, .write = table_write, .min_size = 4, .max_size = 4
};
static const VitMmioOps pba_ops = {
    .read = pba_read, .write = pba_write, .min_size = 4, .max_size = 4
};

/* ---- Capabilities ---------------------------------------------------------------------------- */

static void define_msi(VitPciFunction *fn, unsigned cap, unsigned vectors)
{
    g_assert(vectors >= 1 && vectors <= 32 && (vectors & (vectors - 1)) == 0 && !fn->msi_cap);
    unsigned log2 = g_bit_storage(vectors) - 1;
    fn->msi_cap = cap;
    fn->msi_vectors = vectors;
    vit_pci_config_define(fn, cap + 2, 2, PCI_MSI_64 | PCI_MSI_MASKABLE | log2 << 1,
                          PCI_MSI_ENABLE | PCI_MSI_MULTIPLE, 0);
    vit_pci_config_define(fn, cap + MSI_ADDRESS, 4, 0, 0xfffffffcu, 0);
    vit_pci_config_define(fn, cap + MSI_ADDRESS + 4, 4, 0, 0xffffffffu, 0);
    vit_pci_config_define(fn, cap + MSI_DATA, 2, 0, 0xffff, 0);
    vit_pci_config_define(fn, cap + MSI_MASK, 4, 0, (uint32_t) ((1ull << vectors) - 1), 0);
}

void vit_pci_add_msi(VitPciFunction *fn, unsigned vectors)
{
    define_msi(fn, vit_pci_add_capability(fn, PCI_CAP_MSI, NULL, NULL, MSI_CAP_SIZE - 2), vectors);
}

void vit_pci_add_msi_at(VitPciFunction *fn, unsigned offset, unsigned vectors)
{
    define_msi(fn, vit_pci_add_capability_at(fn, offset, PCI_CAP_MSI, NULL, NULL, MSI_CAP_SIZE - 2),
               vectors);
}

void vit_pci_add_msix(VitPciFunction *fn, unsigned vectors, unsigned bar, uint32_t table_offset,
                      uint32_t pba_offset)
{
    g_assert(vectors >= 1 && vectors <= VIT_PCI_MSIX_MAX && !fn->msix_cap &&
             !((table_offset | pba_offset) & 7));
    uint32_t table_size = vectors * 16, pba_size = (vectors + 63) / 64 * 8;

    if (!fn->bars[bar].region) {
        uint32_t end = MAX(MAX(table_offset + table_size, pba_offset + pba_size), 4096);
        fn->msix_container = vit_region_new_container("msix", 1ull << g_bit_storage(end - 1));
        vit_pci_set_bar(fn, bar, fn->msix_container, false, false, false);
    }
    fn->msix_parent = fn->bars[bar].region;
    fn->msix_table = vit_region_new_mmio("msix-table", &table_ops, fn, table_size);
    fn->msix_pba = vit_region_new_mmio("msix-pba", &pba_ops, fn, pba_size);
    vit_region_add(fn->msix_parent, table_offset, fn->msix_table, 1);
    vit_region_add(fn->msix_parent, pba_offset, fn->msix_pba, 1);

    unsigned cap = vit_pci_add_capability(fn, PCI_CAP_MSIX, NULL, NULL, 10);
    vit_pci_config_define(fn, cap + 2, 2, vectors - 1, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL, 0);
    vit_pci_config_define(fn, cap + 4, 4, table_offset | bar, 0, 0);
    vit_pci_config_define(fn, cap + 8, 4, pba_offset | bar, 0, 0);
    fn->msix_vectors = vectors;
    fn->msix_cap = cap;
}

void pci_msi_finish(VitPciFunction *fn)
{
    if (!fn->msix_table)
        return;
    vit_region_remove(fn->msix_parent, fn->msix_table);
    vit_region_remove(fn->msix_parent, fn->msix_pba);
    vit_region_free(fn->msix_table);
    vit_region_free(fn->msix_pba);
    if (fn->msix_container)
        vit_region_free(fn->msix_container);
}
