/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/crypto.c - encrypted images: a LUKS1 header inside of the file, and the old
 * AES-128-CBC, read-only
 *
 * "Qcow2 Image File Format", "Full disk encryption header pointer" and "Data encryption".  LUKS
 * numbers sectors by where they lie in the file, the old way by where they are on the disk.  Tables
 * and compressed clusters are never encrypted; encrypted images take no compressed writes. */
#include "block/luks/crypto.h"
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <gcrypt.h>
#include <glib/gi18n-lib.h>
#include <string.h>

typedef struct {
    VitLuks *luks; /* owned; NULL: the old way */
    VitCryptor *aes; /* owned; NULL: LUKS, or locked */
} Crypto;

static int crypt_pieces(VitQcow2 *q, bool encrypt, uint64_t host, uint64_t guest, uint8_t *buf,
                        uint64_t bytes)
{
    Crypto *c = q->crypto;
    VitCryptor *cryptor = c->luks ? vit_luks_cryptor(c->luks) : c->aes;
    uint64_t position = c->luks ? host : guest;
    struct iovec iov = { buf, bytes };

    if (!cryptor) return -EIO; /* opened for its facts alone */
    if ((position | bytes) % VIT_CRYPT_SECTOR) return -EINVAL;
    return encrypt
               ? vit_co_cryptor_encrypt(cryptor, q->parent.thread, position, &iov, 1, 0, buf, bytes)
               : vit_co_cryptor_decrypt(cryptor, q->parent.thread, position, &iov, 1, 0, bytes);
}

static int co_encrypt(VitQcow2 *q, uint64_t host, uint64_t guest, uint8_t *buf, uint64_t bytes)
{
    return crypt_pieces(q, true, host, guest, buf, bytes);
}

static int co_decrypt(VitQcow2 *q, uint64_t host, uint64_t guest, uint8_t *buf, uint64_t bytes)
{
    return crypt_pieces(q, false, host, guest, buf, bytes);
}

static const VitQcow2Cipher cipher = { co_encrypt, co_decrypt };

/* The password's first 16 bytes are the key. */
static bool open_aes(VitQcow2 *q, Crypto *c, const char *secret, GError **error)
{
    VitCryptSpec spec = { .mode = GCRY_CIPHER_MODE_CBC, .iv = VIT_IV_PLAIN64 };
    uint8_t key[16] = { 0 };
    gsize size;

    if (!secret) return true;
    g_autoptr(GBytes)
        bytes = vit_block_secret_lookup(vit_block_graph_objects(q->parent.graph), secret, error);
    if (!bytes) return false;
    const void *data = g_bytes_get_data(bytes, &size);
    memcpy(key, data, MIN(size, sizeof key));
    c->aes = vit_crypt_find_cipher("aes-128", &spec) ? vit_cryptor_new(&spec, key, error) : NULL;
    explicit_bzero(key, sizeof key);
    return c->aes != NULL;
}

static bool take_secret(VitQcow2 *q, VitBlockArgs *args, const char **secret, GError **error)
{
    static const char *const formats[] = { "aes", "luks", NULL };
    int wanted = q->crypt_method == VIT_QCOW2_CRYPT_LUKS, format = wanted;
    const char *name = q->parent.file->node->filename;

    *secret = NULL;
    if (args) {
        *secret = vit_block_args_str(args, "key-secret");
        if (!vit_block_args_enum(args, "format", formats, &format, error) ||
            !vit_block_args_finish(args, error))
            return false;
    }
    if (format != wanted)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: Header reported '%s' encryption format but options specify "
                                "'%s'"),
                              name, formats[wanted], formats[format]);
    if (q->parent.how.no_io) *secret = NULL;
    else if (!*secret)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: Parameter 'encrypt.key-secret' is required for cipher"),
                              name);
    return true;
}

bool vit_qcow2_crypto_open(VitQcow2 *q, VitBlockArgs *args, GError **error)
{
    VitBlockNode *node = &q->parent;
    g_autoptr(VitBlockArgs) sub = vit_block_args_sub(args, "encrypt");
    const char *secret = NULL;

    if (q->crypt_method == VIT_QCOW2_CRYPT_NONE)
        return !sub ||
               vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: No encryption in image header, but options specified "
                                "format"),
                              node->file->node->filename);
    if (!take_secret(q, sub, &secret, error)) return false;
    Crypto *c = q->crypto = g_new0(Crypto, 1);
    q->cipher = &cipher;
    node->alignment = VIT_CRYPT_SECTOR;
    if (q->crypt_method == VIT_QCOW2_CRYPT_LUKS) {
        c->luks = vit_co_luks_open(node->file->node, q->crypto_header.offset,
                                   q->crypto_header.length, vit_block_graph_objects(node->graph),
                                   secret, error);
        return c->luks != NULL;
    }
    if (!node->how.read_only && !node->how.no_io)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_UNSUPPORTED,
            _("“%s”: images encrypted the old way (AES-CBC) are only read; open it "
              "with read-only=on and convert it to encrypt.format=luks"),
            node->file->node->filename);
    return open_aes(q, c, secret, error);
}

void vit_qcow2_crypto_close(VitQcow2 *q)
{
    Crypto *c = q->crypto;

    q->cipher = NULL;
    q->crypto = NULL;
    if (!c) return;
    vit_luks_free(c->luks);
    vit_cryptor_free(c->aes);
    g_free(c);
}

JsonObject *vit_qcow2_crypto_describe(const VitQcow2 *q)
{
    const Crypto *c = q->crypto;

    if (c && c->luks) return vit_luks_describe(c->luks, false, "luks");
    JsonObject *facts = json_object_new();
    json_object_set_string_member(facts, "format", "aes");
    return facts;
}

/* ---- creating and changing ------------------------------------------------------------------- */

bool vit_qcow2_crypto_take(VitLuksOptions *options, VitBlockArgs *args, uint64_t *bytes,
                           GError **error)
{
    static const char *const formats[] = { "aes", "luks", NULL };
    g_autoptr(VitBlockArgs) sub = vit_block_args_sub(args, "encrypt");
    int format = -1;
    bool old = false;

    *bytes = 0;
    *options = (VitLuksOptions){ 0 };
    if (!vit_block_args_bool(args, "encryption", &old, error)) return false;
    if (sub && old)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Options encryption and encrypt.format are mutually exclusive"));
    if (!sub && !old) return true;
    if (sub && !vit_block_args_enum(sub, "format", formats, &format, error)) return false;
    if (format < 0 && !old)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Parameter 'encrypt.format' is missing: use encrypt.format=luks"));
    if (old || format == 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Images are no longer encrypted the old way (AES-CBC); use "
                                "encrypt.format=luks"));
    if (!vit_luks_options_take(options, sub, error) || !vit_block_args_finish(sub, error))
        return false;
    if (!options->key_secret)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Parameter 'encrypt.key-secret' is required for cipher"));
    *bytes = vit_luks_header_size(options);
    return true;
}

bool vit_qcow2_crypto_create(const VitQcow2 *q, VitBlockNode *file, VitBlockGraph *graph,
                             const VitLuksOptions *options, GError **error)
{
    uint64_t room = vit_qcow2_clusters(q, q->crypto_header.length) << q->cluster_bits;
    int result = vit_co_zero(file, q->crypto_header.offset, room, 0);

    if (result < 0)
        return vit_block_fail_errno(
            error, result, _("Could not make room for the LUKS header of “%s”"), file->filename);
    VitLuks *luks = vit_co_luks_create(file, q->crypto_header.offset, false, options,
                                       vit_block_graph_objects(graph), error);
    vit_luks_free(luks);
    return luks != NULL;
}

bool vit_qcow2_crypto_amend(VitQcow2 *q, VitBlockArgs *encrypt, bool force, GError **error)
{
    Crypto *c = q->crypto;
    static const char *const formats[] = { "luks", NULL };
    int format = 0;

    if (!c || !c->luks)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: only LUKS encryption options can be amended for qcow2"),
                              q->parent.filename);
    return vit_block_args_enum(encrypt, "format", formats, &format, error) &&
           vit_co_luks_amend(c->luks, q->parent.file->node, encrypt,
                             vit_block_graph_objects(q->parent.graph), force, error) &&
           vit_block_args_finish(encrypt, error);
}

/* clang-format off: a table */
const VitBlockOption vit_qcow2_amend_options[] = {
    { "encrypt.iter-time", VIT_OPT_UINT, "Time to spend in PBKDF in milliseconds", NULL, true },
    { "encrypt.keyslot", VIT_OPT_UINT, "Select a single keyslot to modify explicitly", NULL, true },
    { "encrypt.new-secret", VIT_OPT_STRING,
      "New secret to set in the matching keyslots. Empty string to erase", NULL, true },
    { "encrypt.old-secret", VIT_OPT_STRING, "Select all keyslots that match this password", NULL,
      true },
    { "encrypt.state", VIT_OPT_STRING, "Select new state of affected keyslots (active/inactive)",
      NULL, true },
    { .name = NULL },
};
/* clang-format on */
