/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ata-drive.c - the drives as devices: options, state, IDENTIFY (ACS-3, 7.12 and
 * 7.13) */
#include "hw/storage/ata.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* ---- IDENTIFY DEVICE, IDENTIFY PACKET DEVICE ------------------------------------------------- */

static void word(uint8_t *words, unsigned n, unsigned value)
{
    words[2 * n] = (uint8_t) value;
    words[2 * n + 1] = (uint8_t) (value >> 8);
}

/* ATA strings: padded with spaces, the bytes of each word swapped. */
static void string(uint8_t *words, unsigned first, unsigned count, const char *text)
{
    size_t length = strlen(text);

    for (unsigned i = 0; i < count * 2; i++)
        words[(first * 2 + i) ^ 1] = i < length ? (uint8_t) text[i] : ' ';
}

static void common_words(const VitAtaDrive *d, uint8_t *w)
{
    string(w, 10, 10, d->serial);
    string(w, 23, 4, d->version);
    string(w, 27, 20, d->model);
    word(w, 48, 0x0000);
    word(w, 53, 0x0007);            /* words 54 to 58, 64 to 70 and 88 are valid */
    word(w, 63, 0x0007 | (d->st.mode >> 3 == 4 ? 0x100u << (d->st.mode & 7) : 0));
    word(w, 64, 0x0003);
    for (unsigned i = 65; i <= 68; i++)
        word(w, i, 120);            /* nanoseconds a cycle */
    for (unsigned i = 0; i < 4 && d->wwn; i++)
        word(w, 108 + i, (unsigned) (d->wwn >> (48 - 16 * i) & 0xffff));
    word(w, 80, 0x01f0);            /* ATA-4 to ATA8-ACS */
    word(w, 88, 0x007f | (d->st.mode >> 3 == 8 ? 0x100u << (d->st.mode & 7) : 0));
    word(w, 93, d->sata ? 0 : 0x6001);      /* 80-conductor cable seen, device 0 */
    word(w, 76, d->sata ? 0x0006 : 0);      /* generations 1 and 2 */
    word(w, 222, d->sata ? 0x1020 : 0);     /* transport: Serial ATA */
}

bool vit_ata_can_trim(const VitAtaDrive *d)
{
    return d->drive.discard_granularity != 0 && vit_block_info(d->node).can_discard;
}

static void disk_words(const VitAtaDrive *d, uint8_t *w)
{
    uint64_t sectors = vit_ata_sectors(d), lba28 = MIN(sectors, 0x0fffffff);
    unsigned chs = (unsigned) MIN((uint64_t) d->cylinders * d->heads * d->per_track, 0xffffffu);

    word(w, 0, 0x0040);             /* fixed */
    word(w, 1, d->cylinders);
    word(w, 3, d->heads);
    word(w, 6, d->per_track);
    word(w, 47, 0x8000 | 16);       /* READ MULTIPLE blocks */
    word(w, 49, 0x0f00);            /* IORDY, LBA, DMA */
    word(w, 50, 0x4000);
    word(w, 54, d->cylinders);
    word(w, 55, d->st.heads);
    word(w, 56, d->st.per_track);
    word(w, 57, chs & 0xffff);
    word(w, 58, chs >> 16);
    word(w, 59, d->st.multiple ? 0x100u | d->st.multiple : 0);
    word(w, 60, lba28 & 0xffff);
    word(w, 61, (unsigned) (lba28 >> 16));
    bool trim = vit_ata_can_trim(d);
    word(w, 69, trim ? 0x4020 : 0); /* trimmed sectors read as zero, and always so */
    if (d->sata) {
        word(w, 75, 31);            /* queue depth 32 */
        word(w, 76, 0x0106);        /* NCQ too */
    }
    word(w, 82, 0x4021 | 0x0040);   /* NOP, write cache, look-ahead, SMART */
    word(w, 83, 0x7400);            /* FLUSH CACHE and EXT, 48-bit addresses */
    word(w, 84, 0x4060 | (d->wwn ? 0x100 : 0) | 0x0020);   /* FUA, general logging */
    word(w, 85,
         0x4000u | (d->st.smart ? 1 : 0) | (d->st.write_cache ? 0x20 : 0) |
             (d->st.look_ahead ? 0x40 : 0));
    word(w, 86, 0x3400);
    word(w, 87, 0x4060 | (d->wwn ? 0x100 : 0));
    for (unsigned i = 0; i < 4; i++)
        word(w, 100 + i, (unsigned) (sectors >> (16 * i) & 0xffff));
    word(w, 105, 8);                /* blocks of one TRIM */
    /* how many logical sectors are a physical one, as a power of two */
    word(w, 106, 0x6000 | (g_bit_storage(d->drive.physical_block / 512) - 1));
    word(w, 169, trim);
    word(w, 217, d->rotation_rate);
}

static void cd_words(const VitAtaDrive *d, uint8_t *w)
{
    word(w, 0, 0x85c0);        /* packet device, CD, removable, DRQ within 50 us, 12-byte packets */
    word(w, 49, 0x0f00);
    word(w, 50, 0x4000);
    word(w, 71, 30);
    word(w, 72, 30);
    word(w, 82, 0x4210);            /* NOP, DEVICE RESET, PACKET */
    word(w, 83, 0x4000);
    word(w, 84, 0x4000 | (d->wwn ? 0x100 : 0));
    word(w, 85, 0x4210);
    word(w, 87, 0x4000 | (d->wwn ? 0x100 : 0));
}

void vit_ata_identify(const VitAtaDrive *d, uint8_t words[512])
{
    memset(words, 0, 512);
    common_words(d, words);
    if (d->cd)
        cd_words(d, words);
    else
        disk_words(d, words);
    /* word 255: signature and checksum */
    unsigned sum = 0xa5;
    words[510] = 0xa5;
    for (unsigned i = 0; i < 510; i++)
        sum += words[i];
    words[511] = (uint8_t) -sum;
}

/* ---- device ---------------------------------------------------------------------------------- */

const VitField vit_ata_taskfile_fields[] = {
    VIT_UINT(VitAtaTaskfile, command),
    VIT_UINT(VitAtaTaskfile, device),
    VIT_UINT(VitAtaTaskfile, status),
    VIT_UINT(VitAtaTaskfile, error),
    VIT_UINT(VitAtaTaskfile, feature),
    VIT_UINT(VitAtaTaskfile, count),
    VIT_UINT(VitAtaTaskfile, lba),
    { VIT_END },
};

void vit_ata_set_node(VitAtaDrive *d, VitBlockNode *node)
{
    vit_transfer_queue_free(d->queue);
    d->queue = node ? vit_transfer_queue_new(d->parent.sys, node) : NULL;
    d->node = node;
    __atomic_store_n(&d->sectors, node ? vit_block_info(node).size / 512 : 0, __ATOMIC_RELAXED);
}

/* On the node's thread.  A driver learns of it from its next IDENTIFY; the geometry stays. */
static void resized(void *opaque)
{
    VitAtaDrive *d = opaque;

    __atomic_store_n(&d->sectors, vit_block_info(d->node).size / 512, __ATOMIC_RELAXED);
}

static const VitBlockUser user = { .resized = resized };

/* Gives up the use of another node for it. */
static bool claim(VitAtaDrive *d, VitBlockNode *node, GError **error)
{
    bool read_only = d->cd || vit_block_info(node).read_only;
    VitBlockUse *use = vit_block_use(node, vit_block_device_claim(read_only, d->share_rw),
                                     d->parent.id, &user, d, error);

    if (!use)
        return false;
    vit_block_use_end(d->use);
    d->use = use;
    return true;
}

bool vit_ata_change_disc(VitAtaDrive *d, VitBlockNode *node, bool force)
{
    if ((d->st.locked && !force) || (node && !claim(d, node, NULL)))
        return false;
    if (!node)
        vit_block_use_end(g_steal_pointer(&d->use));
    vit_ata_set_node(d, node);
    d->st.locked = false;
    d->st.tray_open = false;
    d->st.changed = true;
    return true;
}

static bool check_props(const VitAtaDrive *d, GError **error)
{
    uint64_t granularity = d->drive.discard_granularity;
    const char *why = NULL;

    if (d->drive.logical_block != 512)
        why = _("logical_block_size must be 512 for ide");
    else if (granularity != VIT_DRIVE_AUTO && granularity != 512 && granularity != 0)
        why = _("discard_granularity must be 512 for ide");
    else if (d->rotation_rate > UINT16_MAX)
        why = _("Parameter 'rotation_rate' expects uint16_t");
    if (!why)
        return true;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: %s", d->parent.id, why);
    return false;
}

static bool drive_init(VitDevice *dev, GError **error)
{
    VitAtaDrive *d = (VitAtaDrive *) dev;

    d->cd = dev->klass == &vit_ide_cd_class;
    if (!d->cd && vit_ata_sectors(d) == 0) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: the disk%s%s is smaller than one sector of 512 bytes"), dev->id,
                    d->node ? " " : "", d->node ? vit_block_node_filename(d->node) : "");
        return false;
    }
    if (!d->cd && vit_block_info(d->node).read_only) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: “%s” cannot be written, and ATA disks know no write protection; "
                      "make it writable or attach it as a CD or a virtio disk"),
                    dev->id, vit_block_node_filename(d->node));
        return false;
    }
    if (!vit_drive_props_apply(&d->drive, d->node, dev->id, &d->cache, error) ||
        !check_props(d, error))
        return false;
    if (!d->serial)
        d->serial = g_strdup_printf("VT%05u", g_str_hash(dev->id) % 100000);
    if (!d->model)
        d->model = g_strdup(d->cd ? "VITRINE DVD-ROM" : "VITRINE HARDDISK");
    if (!d->version)
        d->version = g_strdup("1.0");
    /* The translated geometry that BIOSes expect of disks beyond CHS. */
    d->heads = 16;
    d->per_track = 63;
    d->cylinders = (uint16_t) CLAMP(vit_ata_sectors(d) / (16 * 63), 2, 16383);
    return !d->node || claim(d, d->node, error);
}

static void drive_finish(VitDevice *dev)
{
    VitAtaDrive *d = (VitAtaDrive *) dev;

    vit_block_use_end(d->use);
    if (d->detach)
        d->detach(d->controller, d);
    vit_transfer_queue_free(d->queue);
}

static void drive_reset(VitDevice *dev)
{
    VitAtaDrive *d = (VitAtaDrive *) dev;

    d->st.heads = d->heads;
    d->st.per_track = d->per_track;
    d->st.write_cache = d->cache;
}

static const VitField drive_fields[] = {
    VIT_UINT(VitAtaDrive, st.multiple, .max = 16),
    VIT_UINT(VitAtaDrive, st.mode, .reset = 0x45),      /* Ultra DMA 5 */
    VIT_UINT(VitAtaDrive, st.heads, .max = 16),
    VIT_UINT(VitAtaDrive, st.per_track, .max = 255),
    VIT_BOOL(VitAtaDrive, st.write_cache, true),
    VIT_BOOL(VitAtaDrive, st.look_ahead, true),
    VIT_BOOL(VitAtaDrive, st.smart, true),
    VIT_UINT(VitAtaDrive, st.sense, .max = 15),
    VIT_UINT(VitAtaDrive, st.asc),
    VIT_UINT(VitAtaDrive, st.ascq),
    VIT_BOOL(VitAtaDrive, st.locked, false),
    VIT_BOOL(VitAtaDrive, st.tray_open, false),
    VIT_BOOL(VitAtaDrive, st.changed, false),
    VIT_UINT(VitAtaDrive, st.ncq_tag),
    VIT_UINT(VitAtaDrive, st.ncq_status),
    VIT_UINT(VitAtaDrive, st.ncq_error),
    VIT_UINT(VitAtaDrive, st.ncq_lba),
    { VIT_END },
};

#define DRIVE_PROPS                                                                                \
    VIT_PROP("serial", VIT_PROP_STR, VitAtaDrive, serial, NULL,                                    \
             "serial number, at most 20 characters"),                                              \
        VIT_PROP("model", VIT_PROP_STR, VitAtaDrive, model, NULL,                                  \
                 "model name, at most 40 characters"),                                             \
        VIT_PROP("ver", VIT_PROP_STR, VitAtaDrive, version, NULL,                                  \
                 "firmware version, at most 8 characters"),                                        \
        VIT_PROP("wwn", VIT_PROP_U64, VitAtaDrive, wwn, "0", "world wide name, 0 = none"),         \
        VIT_PROP("share-rw", VIT_PROP_BOOL, VitAtaDrive, share_rw, "off",                          \
                 "others may write to the drive too"),                                             \
        VIT_DRIVE_PROPS(VitAtaDrive, drive)

static const VitProp disk_props[] = {
    VIT_PROP("rotation_rate", VIT_PROP_U32, VitAtaDrive, rotation_rate, "0",
             "turns a minute; 1 = does not rotate, 0 = nothing is said"),
    DRIVE_PROPS,
    {},
};
static const VitProp cd_props[] = { DRIVE_PROPS, {} };

#define DRIVE_CLASS                                                                                \
    .version = 1, VIT_STATE(VitAtaDrive, st), .hidden = drive_fields,                              \
    .init = drive_init, .finish = drive_finish, .reset = drive_reset

const VitDeviceClass vit_ide_hd_class = { .name = "ide-hd", .description = "ATA disk",
                                          .props = disk_props, DRIVE_CLASS };
const VitDeviceClass vit_ide_cd_class = { .name = "ide-cd", .description = "ATAPI CD and DVD drive",
                                          .props = cd_props, DRIVE_CLASS };
