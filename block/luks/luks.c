/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/luks.c - disks encrypted as LUKS1 does, with the header in front of the data or in a
 * file of its own
 *
 * Sectors are numbered from the beginning of the data.  Reads are deciphered where they arrive,
 * writes by way of a buffer. */
#include "block/drivers.h"
#include "block/luks/crypto.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { WRITE_PIECE = 2 << 20 };

typedef struct {
    VitBlockNode parent;
    VitLuks *luks; /* owned */
    VitBlockEdge *header; /* borrowed: of edges; NULL: in front of the data */
    uint64_t payload; /* of the data in the file, bytes */
} Luks;

static int luks_probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    static const uint8_t magic[] = { 'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 1 };

    return size >= sizeof magic && memcmp(head, magic, sizeof magic) == 0 ? 100 : 0;
}

static VitBlockNode *header_node(const Luks *l)
{
    return l->header ? l->header->node : l->parent.file->node;
}

static void luks_close(VitBlockNode *node)
{
    g_clear_pointer(&((Luks *)node)->luks, vit_luks_free);
}

/* Where the data begin, and how many there are. */
static bool place_payload(Luks *l, GError **error)
{
    VitBlockNode *node = &l->parent, *header = header_node(l);
    uint64_t size = node->file->node->size;

    l->payload = l->header ? 0 : vit_luks_payload_offset(l->luks);
    if (!l->header && l->payload == 0)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: LUKS payload is overlapping with the header; a detached header "
              "is given as header=, its data as file="),
            header->filename);
    if (size < l->payload)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: the LUKS payload begins at 0x%" PRIx64 ", past the file's end"),
            header->filename, l->payload);
    node->size = (size - l->payload) & ~UINT64_C(511);
    node->alignment = VIT_CRYPT_SECTOR;
    return true;
}

static bool luks_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Luks *l = (Luks *)node;
    const char *secret = vit_block_args_str(args, "key-secret");

    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error)) return false;
    if (vit_block_args_has(args, "header") &&
        !(l->header = vit_co_open_child(node, args, "header", VIT_EDGE_DATA, error)))
        return false;
    if (!secret && !node->how.no_io)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: Parameter 'key-secret' is required for cipher"),
                              node->file->node->filename);
    VitBlockNode *header = header_node(l);
    l->luks = vit_co_luks_open(header, 0, header->size,
                               vit_block_graph_objects(node->graph ?: header->graph),
                               node->how.no_io ? NULL : secret, error);
    if (!l->luks) return false;
    if (place_payload(l, error)) return true;
    luks_close(node);
    return false;
}

static int luks_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov)
{
    Luks *l = (Luks *)node;
    VitCryptor *cryptor = vit_luks_cryptor(l->luks);

    if (!cryptor) return -EIO;
    int result = vit_co_readv(node->file->node, offset + l->payload, bytes, iov, niov);
    return result ?: vit_co_cryptor_decrypt(cryptor, node->thread, offset, iov, niov, 0, bytes);
}

static int luks_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov, uint32_t flags)
{
    Luks *l = (Luks *)node;
    VitCryptor *cryptor = vit_luks_cryptor(l->luks);
    size_t piece = MIN(bytes, WRITE_PIECE);

    if (flags & VIT_BLOCK_COMPRESSED) return -ENOTSUP;
    uint8_t *buf = cryptor ? aligned_alloc(4096, (piece + 4095) & ~(size_t)4095) : NULL;
    int result = buf ? 0 : cryptor ? -ENOMEM : -EIO;

    for (uint64_t done = 0; done < bytes && result == 0; done += piece) {
        uint64_t n = MIN(piece, bytes - done);
        result = vit_co_cryptor_encrypt(cryptor, node->thread, offset + done, iov, niov, done, buf,
                                        n);
        if (result == 0)
            result = vit_co_write(node->file->node, offset + l->payload + done, buf, n, flags);
    }
    free(buf);
    return result;
}

static bool luks_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                          GError **error)
{
    Luks *l = (Luks *)node;

    if (size > INT64_MAX - l->payload)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The requested file size is too large"));
    if (!vit_co_truncate(node->file->node, size + l->payload, exact, prealloc, error)) return false;
    node->size = size;
    return true;
}

static void luks_info(VitBlockNode *node, VitBlockInfo *info)
{
    info->encrypted = true;
}

static JsonObject *luks_specific(VitBlockNode *node, GError **error)
{
    Luks *l = (Luks *)node;
    JsonObject *specific = json_object_new();

    json_object_set_string_member(specific, "type", "luks");
    json_object_set_object_member(specific, "data",
                                  vit_luks_describe(l->luks, l->header != NULL, NULL));
    return specific;
}

/* ---- images ---------------------------------------------------------------------------------- */

static bool fill(VitBlockCreate *create, VitBlockNode *file, const VitLuksOptions *options,
                 bool detached, VitPrealloc prealloc, GError **error)
{
    VitLuks *luks = vit_co_luks_create(file, 0, detached, options,
                                       vit_block_graph_objects(create->graph), error);

    if (!luks) return false;
    uint64_t payload = vit_luks_payload_offset(luks);
    vit_luks_free(luks);
    uint64_t size = detached ? vit_luks_header_size(options) : create->size + payload;
    return vit_co_truncate(file, size, false, detached ? VIT_PREALLOC_OFF : prealloc, error);
}

static bool luks_create(VitBlockCreate *create, GError **error)
{
    static const char *const preallocs[] = { "off", "falloc", "full", NULL };
    static const VitPrealloc kinds[] = { VIT_PREALLOC_OFF, VIT_PREALLOC_FALLOC, VIT_PREALLOC_FULL };
    VitLuksOptions options = { 0 };
    bool detached = false;
    int prealloc = 0;
    VitBlockNode *file = NULL;

    bool good = vit_luks_options_take(&options, create->options, error) &&
                vit_block_args_bool(create->options, "detached-header", &detached, error) &&
                vit_block_args_enum(create->options, "preallocation", preallocs, &prealloc, error);
    if (good && !options.key_secret)
        good = vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Parameter 'key-secret' is required for cipher"));
    if (good && create->size > INT64_MAX - vit_luks_header_size(&options))
        good = vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The requested file size is too large"));
    if (good) {
        file = vit_co_create_begin(create, error);
        good = file && fill(create, file, &options, detached, kinds[prealloc], error);
    }
    vit_block_node_unref(file);
    vit_luks_options_clear(&options);
    return good;
}

static bool luks_amend(VitBlockNode *node, VitBlockArgs *options, bool force,
                       VitBlockProgress progress, void *opaque, GError **error)
{
    Luks *l = (Luks *)node;

    return vit_co_luks_amend(l->luks, header_node(l), options, vit_block_graph_objects(node->graph),
                             force, error);
}

static bool luks_measure(VitBlockArgs *args, VitBlockNode *source, uint64_t size,
                         VitBlockMeasure *result, GError **error)
{
    VitLuksOptions options = { 0 };
    bool detached = false;
    uint64_t data = source ? source->size : size;

    bool good = vit_luks_options_take(&options, args, error) &&
                vit_block_args_bool(args, "detached-header", &detached, error);
    (void)vit_block_args_str(args, "preallocation");
    uint64_t header = good ? vit_luks_header_size(&options) : 0;
    if (good && !options.key_secret)
        good = vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Parameter 'key-secret' is required for cipher"));
    result->required = result->fully_allocated = header + (detached ? 0 : data);
    vit_luks_options_clear(&options);
    return good;
}

/* clang-format off: a table */
static const VitBlockOption luks_create_options[] = {
    { "cipher-alg", VIT_OPT_STRING, "Name of encryption cipher algorithm", NULL, false },
    { "cipher-mode", VIT_OPT_STRING, "Name of encryption cipher mode", NULL, false },
    { "detached-header", VIT_OPT_BOOL, "Create a detached LUKS header", NULL, false },
    { "hash-alg", VIT_OPT_STRING, "Name of encryption hash algorithm", NULL, false },
    { "iter-time", VIT_OPT_UINT, "Time to spend in PBKDF in milliseconds", NULL, false },
    { "ivgen-alg", VIT_OPT_STRING, "Name of IV generator algorithm", NULL, false },
    { "ivgen-hash-alg", VIT_OPT_STRING, "Name of IV generator hash algorithm", NULL, false },
    { "key-secret", VIT_OPT_STRING, "ID of the secret that provides the keyslot passphrase", NULL,
      false },
    { "preallocation", VIT_OPT_STRING, "Preallocation mode (allowed values: off, falloc, full)",
      NULL, false },
    { .name = NULL },
};

static const VitBlockOption luks_amend_options[] = {
    { "iter-time", VIT_OPT_UINT, "Time to spend in PBKDF in milliseconds", NULL, true },
    { "keyslot", VIT_OPT_UINT, "Select a single keyslot to modify explicitly", NULL, true },
    { "new-secret", VIT_OPT_STRING,
      "New secret to set in the matching keyslots. Empty string to erase", NULL, true },
    { "old-secret", VIT_OPT_STRING, "Select all keyslots that match this password", NULL, true },
    { "state", VIT_OPT_STRING, "Select new state of affected keyslots (active/inactive)", NULL,
      true },
    { .name = NULL },
};
/* clang-format on */

const VitBlockDriver vit_block_luks_driver = {
    .name = "luks",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Luks),
    .alignment = VIT_CRYPT_SECTOR,
    .create_options = luks_create_options,
    .fits_devices = true,
    .amend_options = luks_amend_options,
    .probe = luks_probe,
    .co_open = luks_open,
    .co_close = luks_close,
    .co_read = luks_read,
    .co_write = luks_write,
    .co_truncate = luks_truncate,
    .info = luks_info,
    .co_specific = luks_specific,
    .co_create = luks_create,
    .co_amend = luks_amend,
    .co_measure = luks_measure,
};
