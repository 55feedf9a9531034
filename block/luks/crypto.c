/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/crypto.c - see crypto.h: opening, creating and amending a header
 *
 * A slot comes into force when the header is written, after its key material is safe; it goes out
 * of force the other way round. */
#include "block/luks/luks-private.h"

#include <errno.h>
#include <gcrypt.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { DEFAULT_ITER_TIME = 2000 };

/* ---- options --------------------------------------------------------------------------------- */

static bool refuse_name(VitBlockArgs *args, const char *key, const char *value,
                        const char *const *names, GError **error)
{
    g_autofree char *list = g_strjoinv(", ", (char **)names);

    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("Parameter '%s' does not accept value '%s'; it may be %s"), key, value,
                          list);
}

bool vit_luks_options_take(VitLuksOptions *options, VitBlockArgs *args, GError **error)
{
    const char *cipher = vit_block_args_str(args, "cipher-alg") ?: "aes-256";
    const char *mode = vit_block_args_str(args, "cipher-mode") ?: "xts";
    const char *iv = vit_block_args_str(args, "ivgen-alg") ?: "plain64";
    const char *iv_hash = vit_block_args_str(args, "ivgen-hash-alg");
    const char *hash = vit_block_args_str(args, "hash-alg") ?: "sha256";

    *options = (VitLuksOptions){ .iter_time = DEFAULT_ITER_TIME };
    VitCryptSpec *spec = &options->spec;
    if (!vit_crypt_find_cipher(cipher, spec))
        return refuse_name(args, "cipher-alg", cipher, vit_crypt_cipher_names, error);
    if (!vit_crypt_find_mode(mode, spec))
        return refuse_name(args, "cipher-mode", mode, vit_crypt_mode_names, error);
    if (!vit_crypt_find_iv(iv, spec))
        return refuse_name(args, "ivgen-alg", iv, vit_crypt_iv_names, error);
    if (!(options->hash = vit_crypt_find_hash(hash)))
        return refuse_name(args, "hash-alg", hash, vit_crypt_hash_names, error);
    if (spec->iv == VIT_IV_ESSIV && !iv_hash) iv_hash = "sha256";
    if (iv_hash && !(spec->iv_hash = vit_crypt_find_hash(iv_hash)))
        return refuse_name(args, "ivgen-hash-alg", iv_hash, vit_crypt_hash_names, error);
    if (!vit_block_args_uint(args, "iter-time", 3600000, &options->iter_time, error)) return false;
    options->key_secret = g_strdup(vit_block_args_str(args, "key-secret"));
    return true;
}

void vit_luks_options_clear(VitLuksOptions *options)
{
    g_clear_pointer(&options->key_secret, g_free);
}

static uint64_t slot_room(const VitCryptSpec *spec)
{
    uint64_t bytes = (uint64_t)vit_crypt_spec_key_bytes(spec) * LUKS_STRIPES;

    return (bytes + LUKS_ALIGN - 1) / LUKS_ALIGN * LUKS_ALIGN;
}

uint64_t vit_luks_header_size(const VitLuksOptions *options)
{
    return LUKS_ALIGN + LUKS_SLOTS * slot_room(&options->spec);
}

/* ---- creating -------------------------------------------------------------------------------- */

static bool write_header(const VitLuks *luks, VitBlockNode *node, GError **error)
{
    uint8_t raw[LUKS_HEADER_BYTES];

    luks_encode(luks, raw);
    int code = vit_co_write(node, luks->offset, raw, sizeof raw, 0);
    if (code == 0) code = vit_co_flush(node);
    return code == 0 ||
           vit_block_fail_errno(error, code, _("“%s”: could not write the LUKS header"),
                                node->filename);
}

static bool copy_name(char *to, size_t size, const char *from, GError **error)
{
    return g_strlcpy(to, from, size) < size ||
           vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s” is too long for a LUKS header"),
                          from);
}

static bool create(VitLuks *luks, VitBlockNode *node, bool detached, const VitLuksOptions *options,
                   GBytes *passphrase, GError **error)
{
    g_autofree char *mode = vit_crypt_spec_mode_text(&options->spec);
    g_autofree char *uuid = g_uuid_string_random();

    luks->spec = options->spec;
    luks->hash = options->hash;
    luks->key_bytes = vit_crypt_spec_key_bytes(&options->spec);
    luks->payload = detached ? 0 : (uint32_t)(vit_luks_header_size(options) / 512);
    if (!copy_name(luks->cipher_name, 32, vit_crypt_family_name(&luks->spec), error) ||
        !copy_name(luks->mode_name, 32, mode, error) ||
        !copy_name(luks->hash_name, 32, vit_crypt_hash_name(luks->hash), error) ||
        !copy_name(luks->uuid, 40, uuid, error) ||
        !luks_random(luks->key, luks->key_bytes, error) ||
        !luks_random(luks->digest_salt, LUKS_SALT, error) ||
        !(luks->cryptor = vit_cryptor_new(&luks->spec, luks->key, error)))
        return false;
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        luks->slots[i].stripes = LUKS_STRIPES;
        luks->slots[i].offset = (uint32_t)((LUKS_ALIGN + i * slot_room(&luks->spec)) / 512);
    }
    luks->digest_iterations = luks_calibrate(node->thread, luks->hash, LUKS_DIGEST,
                                             options->iter_time / 8);
    if (!luks_digest(node->thread, luks, luks->key, luks->digest, error) ||
        !luks_fill_slot(node, luks, 0, passphrase, options->iter_time, error))
        return false;
    luks->slots[0].active = true;
    return write_header(luks, node, error);
}

VitLuks *vit_co_luks_create(VitBlockNode *node, uint64_t offset, bool detached,
                            const VitLuksOptions *options, VitBlockObjects *objects, GError **error)
{
    if (!options->key_secret) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("Parameter 'key-secret' is required for cipher"));
        return NULL;
    }
    g_autoptr(GBytes) passphrase = vit_block_secret_lookup(objects, options->key_secret, error);
    if (!passphrase) return NULL;
    VitLuks *luks = g_new0(VitLuks, 1);
    luks->offset = offset;
    if (create(luks, node, detached, options, passphrase, error)) return luks;
    vit_luks_free(luks);
    return NULL;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool unlock(VitLuks *luks, VitBlockNode *node, GBytes *passphrase, GError **error)
{
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        g_autoptr(GError) why = NULL;
        if (!luks->slots[i].active) continue;
        if (luks_try_slot(node, luks, i, passphrase, luks->key, &why)) {
            luks->cryptor = vit_cryptor_new(&luks->spec, luks->key, error);
            return luks->cryptor != NULL;
        }
        if (why) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
    }
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("“%s”: Invalid password, cannot unlock any keyslot"), node->filename);
}

VitLuks *vit_co_luks_open(VitBlockNode *node, uint64_t offset, uint64_t room,
                          VitBlockObjects *objects, const char *key_secret, GError **error)
{
    g_autofree uint8_t *raw = g_malloc0(LUKS_HEADER_BYTES);
    g_autoptr(GBytes) passphrase = NULL;

    if (room < LUKS_HEADER_BYTES) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s”: Volume is not in LUKS format"),
                       node->filename);
        return NULL;
    }
    int code = vit_co_read(node, offset, raw, LUKS_HEADER_BYTES);
    if (code < 0) {
        vit_block_fail_errno(error, code, _("“%s”: could not read the LUKS header"),
                             node->filename);
        return NULL;
    }
    VitLuks *luks = g_new0(VitLuks, 1);
    luks->offset = offset;
    bool good = luks_decode(luks, raw, room, node->filename, error);
    if (good && key_secret) {
        passphrase = vit_block_secret_lookup(objects, key_secret, error);
        good = passphrase && unlock(luks, node, passphrase, error);
    }
    if (good) return luks;
    vit_luks_free(luks);
    return NULL;
}

void vit_luks_free(VitLuks *luks)
{
    if (!luks) return;
    vit_cryptor_free(luks->cryptor);
    explicit_bzero(luks->key, sizeof luks->key);
    g_free(luks);
}

VitCryptor *vit_luks_cryptor(VitLuks *luks)
{
    return luks->cryptor;
}

uint64_t vit_luks_payload_offset(const VitLuks *luks)
{
    return luks->payload * UINT64_C(512);
}

/* ---- amending -------------------------------------------------------------------------------- */

static unsigned count_active(const VitLuks *luks)
{
    unsigned count = 0;

    for (unsigned i = 0; i < LUKS_SLOTS; i++) count += luks->slots[i].active;
    return count;
}

static bool activate(VitLuks *luks, VitBlockNode *node, int keyslot, uint64_t iter_time,
                     GBytes *passphrase, bool force, GError **error)
{
    if (keyslot < 0) {
        for (unsigned i = 0; i < LUKS_SLOTS && keyslot < 0; i++) {
            if (!luks->slots[i].active) keyslot = (int)i;
        }
    }
    if (keyslot < 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Can't add a keyslot - all keyslots are in use"));
    if (luks->slots[keyslot].active && !force)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Refusing to overwrite active keyslot %d - please erase it first"),
                              keyslot);
    if (luks->slots[keyslot].active) { /* never active with half of its new material */
        luks->slots[keyslot].active = false;
        if (!write_header(luks, node, error)) return false;
    }
    LuksSlot before = luks->slots[keyslot];
    if (!luks_fill_slot(node, luks, (unsigned)keyslot, passphrase, iter_time, error)) {
        luks->slots[keyslot] = before;
        return false;
    }
    luks->slots[keyslot].active = true;
    return write_header(luks, node, error);
}

static bool deactivate(VitLuks *luks, VitBlockNode *node, const bool *chosen, GError **error)
{
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        if (chosen[i]) luks->slots[i].active = false;
    }
    if (!write_header(luks, node, error)) return false;
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        if (chosen[i] && !luks_shred_slot(node, luks, i, error)) return false;
    }
    return true;
}

static bool choose_by_secret(const VitLuks *luks, VitBlockNode *node, GBytes *passphrase,
                             bool *chosen, GError **error)
{
    uint8_t key[VIT_CRYPT_MAX_KEY];
    unsigned count = 0;

    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        g_autoptr(GError) why = NULL;
        if (!luks->slots[i].active) continue;
        chosen[i] = luks_try_slot(node, luks, i, passphrase, key, &why);
        count += chosen[i];
        explicit_bzero(key, sizeof key);
        if (why) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
    }
    return count > 0 ||
           vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("No keyslots match given (old) password for erase operation"));
}

static bool erase(VitLuks *luks, VitBlockNode *node, int keyslot, const char *old_secret,
                  VitBlockObjects *objects, bool force, GError **error)
{
    bool chosen[LUKS_SLOTS] = { false };
    unsigned count = 0;

    if (keyslot < 0 && !old_secret)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("To erase keyslot(s), either explicit keyslot index or the password "
              "currently contained in them must be given"));
    if (old_secret) {
        g_autoptr(GBytes) passphrase = vit_block_secret_lookup(objects, old_secret, error);
        if (!passphrase || !choose_by_secret(luks, node, passphrase, chosen, error)) return false;
        if (keyslot >= 0 && !chosen[keyslot])
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("Given old password doesn't match the keyslot %d"), keyslot);
    }
    if (keyslot >= 0) {
        if (!luks->slots[keyslot].active && !force)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("Given keyslot %d is already erased (inactive)"), keyslot);
        memset(chosen, 0, sizeof chosen);
        chosen[keyslot] = true;
    }
    for (unsigned i = 0; i < LUKS_SLOTS; i++) count += chosen[i] && luks->slots[i].active;
    if (!force && count > 0 && count == count_active(luks)) {
        if (keyslot >= 0)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_INVALID,
                _("Attempt to erase the only active keyslot %d which will erase all "
                  "the data in the image irreversibly - refusing operation"),
                keyslot);
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("All the active keyslots match the (old) password that was given and "
              "erasing them will erase all the data in the image irreversibly - "
              "refusing operation"));
    }
    return deactivate(luks, node, chosen, error);
}

bool vit_co_luks_amend(VitLuks *luks, VitBlockNode *node, VitBlockArgs *args,
                       VitBlockObjects *objects, bool force, GError **error)
{
    static const char *const states[] = { "active", "inactive", NULL };
    const char *new_secret = vit_block_args_str(args, "new-secret");
    const char *old_secret = vit_block_args_str(args, "old-secret");
    bool has_slot = vit_block_args_has(args, "keyslot");
    bool has_time = vit_block_args_has(args, "iter-time");
    uint64_t keyslot = 0, iter_time = DEFAULT_ITER_TIME;
    int state = -1;

    if (!vit_block_args_enum(args, "state", states, &state, error) ||
        !vit_block_args_uint(args, "keyslot", INT_MAX, &keyslot, error) ||
        !vit_block_args_uint(args, "iter-time", 3600000, &iter_time, error))
        return false;
    if (state < 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter 'state' is missing"));
    if (keyslot >= LUKS_SLOTS)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Invalid keyslot %u specified, must be between 0 and %d"),
                              (unsigned)keyslot, LUKS_SLOTS - 1);
    int slot = has_slot ? (int)keyslot : -1;
    if (state == 1) {
        if (new_secret)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("'new-secret' must not be given when erasing keyslots"));
        if (has_time)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("'iter-time' must not be given when erasing keyslots"));
        return erase(luks, node, slot, old_secret, objects, force, error);
    }
    if (!new_secret)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("'new-secret' is required to activate a keyslot"));
    if (old_secret)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("'old-secret' must not be given when activating keyslots"));
    if (!luks->cryptor)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: adding a key needs one that opens the image (key-secret)"),
                              node->filename);
    g_autoptr(GBytes) passphrase = vit_block_secret_lookup(objects, new_secret, error);
    return passphrase && activate(luks, node, slot, iter_time, passphrase, force, error);
}
