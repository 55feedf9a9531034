/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/header.c - the LUKS1 header's bytes: decoding with all checks, and encoding
 *
 * LUKS On-Disk Format Specification 1.2.3, section 2.1 (figure 1 and 2); numbers are big endian. */
#include "block/luks/luks-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum {
    AT_VERSION = 6,
    AT_CIPHER = 8,
    AT_MODE = 40,
    AT_HASH = 72,
    AT_PAYLOAD = 104,
    AT_KEY_BYTES = 108,
    AT_DIGEST = 112,
    AT_DIGEST_SALT = 132,
    AT_DIGEST_ITERATIONS = 164,
    AT_UUID = 168,
    AT_SLOTS = 208,
    SLOT_BYTES = 48,
    MAX_STRIPES = 64000,
};
#define SLOT_ACTIVE   0x00ac71f3u
#define SLOT_INACTIVE 0x0000deadu

static const uint8_t magic[6] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t value)
{
    value = GUINT32_TO_BE(value);
    memcpy(p, &value, sizeof value);
}

uint64_t luks_material_bytes(const VitLuks *luks, unsigned stripes)
{
    uint64_t bytes = (uint64_t)luks->key_bytes * stripes;

    return (bytes + VIT_CRYPT_SECTOR - 1) & ~UINT64_C(511);
}

static bool text(char *to, const uint8_t *from, size_t size, const char *field, const char *name,
                 GError **error)
{
    if (!memchr(from, 0, size))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: the LUKS header's %s is not terminated"), name, field);
    memcpy(to, from, size);
    for (const char *p = to; *p; p++) {
        if (!g_ascii_isprint(*p))
            return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                                  _("“%s”: the LUKS header's %s is not text"), name, field);
    }
    return true;
}

static bool decode_slot(VitLuks *luks, unsigned n, const uint8_t *raw, uint64_t room,
                        const char *name, GError **error)
{
    LuksSlot *s = &luks->slots[n];
    uint32_t state = get32(raw);

    s->active = state == SLOT_ACTIVE;
    s->iterations = get32(raw + 4);
    memcpy(s->salt, raw + 8, LUKS_SALT);
    s->offset = get32(raw + 40);
    s->stripes = get32(raw + 44);
    if (state != SLOT_ACTIVE && state != SLOT_INACTIVE)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Keyslot %u state (active/disable) is corrupted: 0x%x"), name,
                              n, state);
    if (s->active && (s->iterations == 0 || s->iterations > LUKS_MAX_ITERATIONS))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Keyslot %u has %u iterations, not 1 to %d"), name, n,
                              s->iterations, LUKS_MAX_ITERATIONS);
    if (s->stripes == 0 || s->stripes > MAX_STRIPES)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Keyslot %u is corrupted (stripes %u, not 1 to %d)"), name, n,
                              s->stripes, MAX_STRIPES);
    uint64_t start = s->offset * UINT64_C(512), size = luks_material_bytes(luks, s->stripes);
    uint64_t end = luks->payload ? MIN(room, luks->payload * UINT64_C(512)) : room;
    if (start < LUKS_HEADER_BYTES || start > end || size > end - start)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Keyslot %u at offset 0x%" PRIx64
                                " lies outside of the header's 0x%" PRIx64 " bytes"),
                              name, n, start, end);
    for (unsigned i = 0; i < n; i++) {
        uint64_t other = luks->slots[i].offset * UINT64_C(512);
        if (start < other + luks_material_bytes(luks, luks->slots[i].stripes) &&
            other < start + size)
            return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                                  _("“%s”: Keyslots %u and %u are overlapping in the header"), name,
                                  i, n);
    }
    return true;
}

bool luks_decode(VitLuks *luks, const uint8_t *raw, uint64_t room, const char *name, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (memcmp(raw, magic, sizeof magic) != 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: Volume is not in LUKS format"), name);
    unsigned version = (unsigned)raw[AT_VERSION] << 8 | raw[AT_VERSION + 1];
    if (version != 1)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: LUKS version %u is not supported, only 1"), name, version);
    if (!text(luks->cipher_name, raw + AT_CIPHER, 32, "cipher name", name, error) ||
        !text(luks->mode_name, raw + AT_MODE, 32, "cipher mode", name, error) ||
        !text(luks->hash_name, raw + AT_HASH, 32, "hash", name, error) ||
        !text(luks->uuid, raw + AT_UUID, 40, "UUID", name, error))
        return false;
    luks->payload = get32(raw + AT_PAYLOAD);
    luks->key_bytes = get32(raw + AT_KEY_BYTES);
    luks->digest_iterations = get32(raw + AT_DIGEST_ITERATIONS);
    memcpy(luks->digest, raw + AT_DIGEST, LUKS_DIGEST);
    memcpy(luks->digest_salt, raw + AT_DIGEST_SALT, LUKS_SALT);
    if (!vit_crypt_spec_parse(luks->cipher_name, luks->key_bytes, luks->mode_name, &luks->spec,
                              &why))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, "“%s”: %s", name, why->message);
    if (!(luks->hash = vit_crypt_find_hash(luks->hash_name)))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, _("“%s”: Unknown hash “%s”"),
                              name, luks->hash_name);
    if (luks->digest_iterations == 0 || luks->digest_iterations > LUKS_MAX_ITERATIONS)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: the LUKS key digest has %u iterations, not 1 to %d"), name,
                              luks->digest_iterations, LUKS_MAX_ITERATIONS);
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        if (!decode_slot(luks, i, raw + AT_SLOTS + i * SLOT_BYTES, room, name, error)) return false;
    }
    return true;
}

void luks_encode(const VitLuks *luks, uint8_t raw[static LUKS_HEADER_BYTES])
{
    memset(raw, 0, LUKS_HEADER_BYTES);
    memcpy(raw, magic, sizeof magic);
    raw[AT_VERSION + 1] = 1;
    memcpy(raw + AT_CIPHER, luks->cipher_name, 32);
    memcpy(raw + AT_MODE, luks->mode_name, 32);
    memcpy(raw + AT_HASH, luks->hash_name, 32);
    put32(raw + AT_PAYLOAD, luks->payload);
    put32(raw + AT_KEY_BYTES, luks->key_bytes);
    memcpy(raw + AT_DIGEST, luks->digest, LUKS_DIGEST);
    memcpy(raw + AT_DIGEST_SALT, luks->digest_salt, LUKS_SALT);
    put32(raw + AT_DIGEST_ITERATIONS, luks->digest_iterations);
    memcpy(raw + AT_UUID, luks->uuid, 40);
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        const LuksSlot *s = &luks->slots[i];
        uint8_t *at = raw + AT_SLOTS + i * SLOT_BYTES;
        put32(at, s->active ? SLOT_ACTIVE : SLOT_INACTIVE);
        put32(at + 4, s->iterations);
        memcpy(at + 8, s->salt, LUKS_SALT);
        put32(at + 40, s->offset);
        put32(at + 44, s->stripes);
    }
}

JsonObject *vit_luks_describe(const VitLuks *luks, bool detached, const char *format)
{
    JsonObject *data = json_object_new();
    JsonArray *slots = json_array_new();
    g_autofree char *cipher = g_strdup_printf("%s-%u", luks->cipher_name, luks->spec.key_bits);

    if (luks->spec.iv != VIT_IV_NONE)
        json_object_set_string_member(data, "ivgen-alg", vit_crypt_iv_name(luks->spec.iv));
    json_object_set_boolean_member(data, "detached-header", detached);
    json_object_set_string_member(data, "hash-alg", luks->hash_name);
    json_object_set_string_member(data, "cipher-alg", cipher);
    json_object_set_string_member(data, "uuid", luks->uuid);
    if (luks->spec.iv == VIT_IV_ESSIV)
        json_object_set_string_member(data, "ivgen-hash-alg",
                                      vit_crypt_hash_name(luks->spec.iv_hash));
    if (format) json_object_set_string_member(data, "format", format);
    json_object_set_string_member(data, "cipher-mode", vit_crypt_mode_name(luks->spec.mode));
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        const LuksSlot *s = &luks->slots[i];
        JsonObject *slot = json_object_new();
        json_object_set_boolean_member(slot, "active", s->active);
        if (s->active) json_object_set_int_member(slot, "iters", s->iterations);
        json_object_set_int_member(slot, "key-offset", s->offset * INT64_C(512));
        if (s->active) json_object_set_int_member(slot, "stripes", s->stripes);
        json_array_add_object_element(slots, slot);
    }
    json_object_set_array_member(data, "slots", slots);
    json_object_set_int_member(data, "payload-offset", luks->payload * INT64_C(512));
    json_object_set_int_member(data, "master-key-iters", luks->digest_iterations);
    return data;
}
