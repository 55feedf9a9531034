/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/misc/fw_cfg.c - firmware configuration device (the public "QEMU Firmware Configuration
 * (fw_cfg) Device" specification: I/O port and DMA interface)
 * Wires: window 12 bytes: 0 selector, 1 data, 4..11 DMA address.
 * Not modelled: writable items.  The items are configuration, not state. */
#include "hw/misc/fw_cfg.h"
#include <string.h>

enum {
    SELECTOR = 0, DATA = 1, DMA_HIGH = 4, DMA_LOW = 8,
    DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16,
    ID_PORTS = 1, ID_DMA = 2, NAME_SIZE = 56, KEY_MASK = 0xbfff,
};
static const uint64_t MOST_PADDING = 64 << 20;  /* zeroes past an item's end in one transfer */

typedef struct {
    char *name;                 /* owned */
    uint16_t key;
} FileName;

typedef struct {
    VitDevice parent;
    GHashTable *items;          /* key -> GBytes*; owned */
    GArray *files;              /* of FileName, owned */
    struct {
        uint64_t dma;           /* address of the next transfer's description */
        uint32_t position;
        uint16_t key;
    } st;
} FwCfg;

static void store_item(FwCfg *f, unsigned key, const void *data, size_t size)
{
    g_hash_table_insert(f->items, GUINT_TO_POINTER(key), g_bytes_new(data, size));
}

void vit_fw_cfg_set(VitDevice *fw_cfg, uint16_t key, const void *data, size_t size)
{
    store_item((FwCfg *) fw_cfg, key, data, size);
}

void vit_fw_cfg_set_u16(VitDevice *fw_cfg, uint16_t key, uint16_t value)
{
    uint16_t le = GUINT16_TO_LE(value);
    vit_fw_cfg_set(fw_cfg, key, &le, sizeof le);
}

void vit_fw_cfg_set_u64(VitDevice *fw_cfg, uint16_t key, uint64_t value)
{
    uint64_t le = GUINT64_TO_LE(value);
    vit_fw_cfg_set(fw_cfg, key, &le, sizeof le);
}

static void build_directory(FwCfg *f)
{
    g_autoptr(GByteArray) dir = g_byte_array_new();
    uint32_t count = GUINT32_TO_BE(f->files->len);
    g_byte_array_append(dir, (const uint8_t *) &count, 4);
    for (unsigned i = 0; i < f->files->len; i++) {
        const FileName *file = &g_array_index(f->files, FileName, i);
        GBytes *bytes = g_hash_table_lookup(f->items, GUINT_TO_POINTER(file->key));
        struct { uint32_t size; uint16_t key, reserved; char name[NAME_SIZE]; } entry = {
            .size = GUINT32_TO_BE((uint32_t) g_bytes_get_size(bytes)),
            .key = GUINT16_TO_BE(file->key),
        };
        g_strlcpy(entry.name, file->name, NAME_SIZE);
        g_byte_array_append(dir, (const uint8_t *) &entry, sizeof entry);
    }
    store_item(f, VIT_FW_CFG_FILE_DIR, dir->data, dir->len);
}

void vit_fw_cfg_set_file(VitDevice *fw_cfg, const char *name, const void *data, size_t size)
{
    FwCfg *f = (FwCfg *) fw_cfg;
    unsigned i = 0;
    while (i < f->files->len && strcmp(g_array_index(f->files, FileName, i).name, name) != 0)
        i++;
    if (i == f->files->len) {
        FileName file = { g_strdup(name), (uint16_t) (VIT_FW_CFG_FILE_FIRST + i) };
        g_array_append_val(f->files, file);
    }
    store_item(f, VIT_FW_CFG_FILE_FIRST + i, data, size);
    build_directory(f);
}

/* The rest of the selected item from the present position on. */
static const uint8_t *rest(const FwCfg *f, size_t *left)
{
    GBytes *bytes = g_hash_table_lookup(f->items, GUINT_TO_POINTER(f->st.key));
    size_t size = 0;
    const uint8_t *data = bytes ? g_bytes_get_data(bytes, &size) : NULL;
    *left = size > f->st.position ? size - f->st.position : 0;
    return *left ? data + f->st.position : NULL;
}

static void advance(FwCfg *f, uint64_t n)
{
    f->st.position = (uint32_t) MIN((uint64_t) UINT32_MAX, f->st.position + n);
}

static void select_item(FwCfg *f, uint16_t key)
{
    f->st.key = key & KEY_MASK;
    f->st.position = 0;
}

static bool transfer(FwCfg *f, uint64_t address, uint32_t length)
{
    size_t left;
    const uint8_t *data = rest(f, &left);
    uint64_t copied = MIN((uint64_t) left, length), padding = length - copied;
    VitAddressSpace *memory = f->parent.sys->memory;
    if (padding > MOST_PADDING)
        return false;
    if (copied && vit_as_write(memory, address, data, copied) != VIT_MEM_OK)
        return false;
    if (padding && vit_as_fill(memory, address + copied, 0, padding) != VIT_MEM_OK)
        return false;
    return true;
}

static void run_dma(FwCfg *f)
{
    struct { uint32_t control, length; uint64_t address; } d;
    uint64_t at = f->st.dma;
    VitAddressSpace *memory = f->parent.sys->memory;
    f->st.dma = 0;
    if (vit_as_read(memory, at, &d, sizeof d) != VIT_MEM_OK)
        return;
    uint32_t control = GUINT32_FROM_BE(d.control), length = GUINT32_FROM_BE(d.length), result = 0;
    if (control & DMA_SELECT)
        select_item(f, (uint16_t) (control >> 16));
    if (control & DMA_READ) {
        if (!transfer(f, GUINT64_FROM_BE(d.address), length))
            result = DMA_ERROR;
        advance(f, length);
    } else if (control & DMA_WRITE) {
        result = DMA_ERROR;
    } else if (control & DMA_SKIP) {
        advance(f, length);
    }
    result = GUINT32_TO_BE(result);
    (void) vit_as_write(memory, at, &result, sizeof result);
}

static bool fw_cfg_read(VitDevice *d, uint32_t offset, unsigned size, uint64_t *value)
{
    static const uint8_t dma_signature[8] = "QEMU CFG";
    FwCfg *f = (FwCfg *) d;
    *value = UINT64_MAX;
    if (offset == DATA && size == 1) {
        size_t left;
        const uint8_t *data = rest(f, &left);
        *value = left ? *data : 0;
        advance(f, left ? 1 : 0);
    } else if (offset >= DMA_HIGH && offset + size <= VIT_FW_CFG_IO_SIZE) {
        *value = 0;
        for (unsigned i = 0; i < size; i++)
            *value |= (uint64_t) dma_signature[offset - DMA_HIGH + i] << 8 * i;
    }
    return true;
}

static bool fw_cfg_write(VitDevice *d, uint32_t offset, unsigned size, uint64_t value)
{
    FwCfg *f = (FwCfg *) d;
    if (offset == SELECTOR && size >= 2) {
        select_item(f, (uint16_t) value);
    } else if (offset == DMA_HIGH && size == 4) {
        f->st.dma = (f->st.dma & UINT32_MAX) |
        (uint64_t) GUINT32_SWAP_LE_BE((uint32_t) value) << 32;
    } else if (offset == DMA_LOW && size == 4) {
        f->st.dma = (f->st.dma & ~(uint64_t) UINT32_MAX) | GUINT32_SWAP_LE_BE((uint32_t) value);
        run_dma(f);
    }
    return true;
}

static void free_name(void *file)
{
    g_free(((FileName *) file)->name);
}

static bool fw_cfg_init(VitDevice *d, GError **error)
{
    FwCfg *f = (FwCfg *) d;
    uint32_t id = GUINT32_TO_LE(ID_PORTS | ID_DMA);
    f->items = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify) g_bytes_unref);
    f->files = g_array_new(FALSE, FALSE, sizeof(FileName));
    g_array_set_clear_func(f->files, free_name);
    store_item(f, VIT_FW_CFG_SIGNATURE, "QEMU", 4);
    store_item(f, VIT_FW_CFG_ID, &id, sizeof id);
    build_directory(f);
    return true;
}

static void fw_cfg_finish(VitDevice *d)
{
    FwCfg *f = (FwCfg *) d;
    g_clear_pointer(&f->items, g_hash_table_unref);
    g_clear_pointer(&f->files, g_array_unref);
}

static const VitField fw_cfg_hidden[] = {
    VIT_UINT(FwCfg, st.dma), VIT_UINT(FwCfg, st.position), VIT_UINT(FwCfg, st.key), { VIT_END },
};

const VitDeviceClass vit_fw_cfg_class = {
    .name = "fw_cfg", .description = "firmware configuration", .version = 1, VIT_STATE(FwCfg, st),
    .mmio_size = VIT_FW_CFG_IO_SIZE, .hidden = fw_cfg_hidden, .raw_read = fw_cfg_read,
    .raw_write = fw_cfg_write, .init = fw_cfg_init, .finish = fw_cfg_finish,
};
