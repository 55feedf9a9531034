/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/keys.c - from passphrase to master key and back
 *
 * LUKS On-Disk Format Specification 1.2.3, sections 2.2 (PBKDF2), 2.4 (anti-forensic splitting) and
 * 3 (the algorithms).  What takes long runs on worker threads. */
#include "block/luks/luks-private.h"

#include "engine/core/fiber.h"

#include <errno.h>
#include <gcrypt.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/random.h>

enum { MAX_DIGEST = 64, SHRED_PASSES = 8, FIRST_GUESS = 1 << 13, MEASURE_USEC = 40000 };

bool luks_random(void *buf, size_t bytes, GError **error)
{
    uint8_t *p = buf;

    while (bytes > 0) {
        ssize_t got = getrandom(p, bytes, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return vit_block_fail_errno(error, -errno, _("Could not get random bytes"));
        p += got;
        bytes -= (size_t)got;
    }
    return true;
}

/* ---- PBKDF2 ---------------------------------------------------------------------------------- */

typedef struct {
    int hash;
    const void *passphrase;
    size_t passphrase_size;
    const uint8_t *salt;
    unsigned long iterations;
    uint8_t *key;
    size_t key_bytes;
    gcry_error_t code;
} Stretch;

static void stretch_run(void *opaque)
{
    Stretch *s = opaque;

    s->code = gcry_kdf_derive(s->passphrase_size ? s->passphrase : "", s->passphrase_size,
                              GCRY_KDF_PBKDF2, s->hash, s->salt, LUKS_SALT, s->iterations,
                              s->key_bytes, s->key);
}

static bool stretch(VitIoThread *thread, Stretch *s, GError **error)
{
    vit_fiber_offload(thread, stretch_run, s);
    return !s->code || vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                                      _("Could not derive a key from the passphrase: %s"),
                                      gcry_strerror(s->code));
}

static bool stretch_passphrase(VitIoThread *thread, const VitLuks *luks, const LuksSlot *slot,
                               GBytes *passphrase, uint8_t *key, GError **error)
{
    gsize size;
    const void *data = g_bytes_get_data(passphrase, &size);
    Stretch s = { luks->hash, data, size, slot->salt, slot->iterations, key, luks->key_bytes, 0 };

    return stretch(thread, &s, error);
}

bool luks_digest(VitIoThread *thread, const VitLuks *luks, const uint8_t *key,
                 uint8_t digest[static LUKS_DIGEST], GError **error)
{
    Stretch s = {
        luks->hash,  key, luks->key_bytes, luks->digest_salt, luks->digest_iterations, digest,
        LUKS_DIGEST, 0
    };

    return stretch(thread, &s, error);
}

typedef struct {
    int hash;
    unsigned key_bytes;
    uint64_t milliseconds;
    uint32_t iterations;
} Calibrate;

static void calibrate_run(void *opaque)
{
    Calibrate *c = opaque;
    uint8_t key[VIT_CRYPT_MAX_KEY], salt[LUKS_SALT] = { 1 };
    Stretch s = { c->hash, "password", 8, salt, FIRST_GUESS, key, c->key_bytes, 0 };
    int64_t took = 0;

    for (; s.iterations < LUKS_MAX_ITERATIONS / 2; s.iterations *= 2) {
        int64_t start = g_get_monotonic_time();
        stretch_run(&s);
        took = MAX(g_get_monotonic_time() - start, 1);
        if (took >= MEASURE_USEC || s.code) break;
    }
    double wanted = (double)s.iterations / (double)MAX(took, 1) * (double)c->milliseconds * 1000.0;
    c->iterations = (uint32_t)CLAMP(wanted, LUKS_MIN_ITERATIONS, LUKS_MAX_ITERATIONS);
}

uint32_t luks_calibrate(VitIoThread *thread, int hash, unsigned key_bytes, uint64_t milliseconds)
{
    Calibrate c = { hash, key_bytes, milliseconds, 0 };

    vit_fiber_offload(thread, calibrate_run, &c);
    return c.iterations;
}

/* ---- anti-forensic splitting ----------------------------------------------------------------- */

/* Hashes each digest-sized part of the block together with its number. */
static void diffuse(int hash, uint8_t *block, size_t size)
{
    size_t length = gcry_md_get_algo_dlen(hash);
    uint8_t in[4 + MAX_DIGEST], out[MAX_DIGEST];

    for (size_t at = 0, n = 0; at < size; at += length, n++) {
        size_t part = MIN(length, size - at);
        uint32_t number = GUINT32_TO_BE((uint32_t)n);
        memcpy(in, &number, sizeof number);
        memcpy(in + sizeof number, block + at, part);
        gcry_md_hash_buffer(hash, out, in, sizeof number + part);
        memcpy(block + at, out, part);
    }
    explicit_bzero(in, sizeof in);
    explicit_bzero(out, sizeof out);
}

static void xor_into(uint8_t *to, const uint8_t *from, size_t size)
{
    for (size_t i = 0; i < size; i++) to[i] ^= from[i];
}

/* The mixed sum of all stripes but the last. */
static void mix(const VitLuks *luks, const uint8_t *material, unsigned stripes, uint8_t *sum)
{
    memset(sum, 0, luks->key_bytes);
    for (unsigned i = 0; i + 1 < stripes; i++) {
        xor_into(sum, material + (size_t)i * luks->key_bytes, luks->key_bytes);
        diffuse(luks->hash, sum, luks->key_bytes);
    }
}

typedef struct {
    const VitLuks *luks;
    const LuksSlot *slot;
    VitCryptor *cryptor;
    uint8_t *material; /* luks_material_bytes() */
    uint8_t *key;
    bool split;
    int result;
} Material;

static void material_run(void *opaque)
{
    Material *m = opaque;
    size_t key_bytes = m->luks->key_bytes;
    uint8_t *last = m->material + (size_t)(m->slot->stripes - 1) * key_bytes;
    size_t size = luks_material_bytes(m->luks, m->slot->stripes);

    if (m->split) {
        mix(m->luks, m->material, m->slot->stripes, last);
        xor_into(last, m->key, key_bytes);
        m->result = vit_cryptor_apply(m->cryptor, true, 0, m->material, size);
        return;
    }
    m->result = vit_cryptor_apply(m->cryptor, false, 0, m->material, size);
    mix(m->luks, m->material, m->slot->stripes, m->key);
    xor_into(m->key, last, key_bytes);
}

static bool run_material(VitIoThread *thread, Material *m, const uint8_t *stretched, GError **error)
{
    m->cryptor = vit_cryptor_new(&m->luks->spec, stretched, error);
    if (!m->cryptor) return false;
    vit_fiber_offload(thread, material_run, m);
    vit_cryptor_free(m->cryptor);
    return m->result == 0 ||
           vit_block_fail_errno(error, m->result, _("Could not %s the key material"),
                                m->split ? "encrypt" : "decrypt");
}

/* ---- slots ----------------------------------------------------------------------------------- */

static void free_wiped(uint8_t *buf, size_t size)
{
    explicit_bzero(buf, size);
    g_free(buf);
}

static bool slot_key(VitBlockNode *node, const VitLuks *luks, unsigned n, GBytes *passphrase,
                     uint8_t *material, uint8_t *key, GError **error)
{
    const LuksSlot *slot = &luks->slots[n];
    uint8_t stretched[VIT_CRYPT_MAX_KEY], digest[LUKS_DIGEST];
    Material m = { .luks = luks, .slot = slot, .material = material, .key = key };
    int code = vit_co_read(node, luks->offset + slot->offset * UINT64_C(512), material,
                           luks_material_bytes(luks, slot->stripes));

    if (code < 0)
        return vit_block_fail_errno(
            error, code, _("“%s”: could not read the key material of slot %u"), node->filename, n);
    bool good = stretch_passphrase(node->thread, luks, slot, passphrase, stretched, error) &&
                run_material(node->thread, &m, stretched, error) &&
                luks_digest(node->thread, luks, key, digest, error) &&
                memcmp(digest, luks->digest, LUKS_DIGEST) == 0;
    explicit_bzero(stretched, sizeof stretched);
    return good;
}

bool luks_try_slot(VitBlockNode *node, const VitLuks *luks, unsigned slot, GBytes *passphrase,
                   uint8_t *key, GError **error)
{
    size_t size = luks_material_bytes(luks, luks->slots[slot].stripes);
    uint8_t *material = g_malloc(size);
    bool good = slot_key(node, luks, slot, passphrase, material, key, error);

    free_wiped(material, size);
    if (!good) explicit_bzero(key, luks->key_bytes);
    return good;
}

static bool make_material(VitBlockNode *node, VitLuks *luks, LuksSlot *slot, GBytes *passphrase,
                          uint8_t *material, GError **error)
{
    uint8_t stretched[VIT_CRYPT_MAX_KEY];
    Material m = {
        .luks = luks, .slot = slot, .material = material, .key = luks->key, .split = true
    };
    bool good = luks_random(slot->salt, LUKS_SALT, error) &&
                luks_random(material, (size_t)(slot->stripes - 1) * luks->key_bytes, error) &&
                stretch_passphrase(node->thread, luks, slot, passphrase, stretched, error) &&
                run_material(node->thread, &m, stretched, error);

    explicit_bzero(stretched, sizeof stretched);
    return good;
}

bool luks_fill_slot(VitBlockNode *node, VitLuks *luks, unsigned n, GBytes *passphrase,
                    uint64_t milliseconds, GError **error)
{
    LuksSlot *slot = &luks->slots[n];
    size_t size = luks_material_bytes(luks, LUKS_STRIPES);
    uint8_t *material = g_malloc0(size);

    slot->stripes = LUKS_STRIPES;
    slot->iterations = luks_calibrate(node->thread, luks->hash, luks->key_bytes, milliseconds);
    bool good = make_material(node, luks, slot, passphrase, material, error);
    if (good) {
        int code = vit_co_write(node, luks->offset + slot->offset * UINT64_C(512), material, size,
                                0);
        if (code == 0) code = vit_co_flush(node);
        good = code == 0 || vit_block_fail_errno(
                                error, code, _("“%s”: could not write the key material of slot %u"),
                                node->filename, n);
    }
    free_wiped(material, size);
    return good;
}

bool luks_shred_slot(VitBlockNode *node, const VitLuks *luks, unsigned n, GError **error)
{
    const LuksSlot *slot = &luks->slots[n];
    size_t size = luks_material_bytes(luks, slot->stripes);
    g_autofree uint8_t *noise = g_malloc(size);

    for (unsigned pass = 0; pass < SHRED_PASSES; pass++) {
        if (!luks_random(noise, size, error)) return false;
        int code = vit_co_write(node, luks->offset + slot->offset * UINT64_C(512), noise, size, 0);
        if (code == 0) code = vit_co_flush(node);
        if (code < 0)
            return vit_block_fail_errno(error, code, _("“%s”: could not overwrite slot %u"),
                                        node->filename, n);
    }
    return true;
}
