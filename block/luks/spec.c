/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/spec.c - names of ciphers, modes, initialisation vectors and hashes; see cryptor.h
 *
 * Names are those of LUKS1 headers (On-Disk Format Specification 1.2.3, appendix) and of options.
 */
#include "block/luks/cryptor-private.h"

#include "block/driver.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* clang-format off: tables */
static const VitCipherFamily aes = {
    "aes",
    "AES",
    16,
    { { 128, GCRY_CIPHER_AES128 }, { 192, GCRY_CIPHER_AES192 }, { 256, GCRY_CIPHER_AES256 } }
};
static const VitCipherFamily cast5 = { "cast5", "CAST5", 8, { { 128, GCRY_CIPHER_CAST5 } } };
static const VitCipherFamily serpent = { "serpent",
                                         "Serpent",
                                         16,
                                         { { 128, GCRY_CIPHER_SERPENT128 },
                                           { 192, GCRY_CIPHER_SERPENT192 },
                                           { 256, GCRY_CIPHER_SERPENT256 } } };
static const VitCipherFamily twofish = {
    "twofish", "Twofish", 16, { { 128, GCRY_CIPHER_TWOFISH128 }, { 256, GCRY_CIPHER_TWOFISH } }
};

static const struct {
    const char *name;
    const VitCipherFamily *family;
    unsigned bits;
} ciphers[] = {
    { "aes-128", &aes, 128 },         { "aes-192", &aes, 192 },
    { "aes-256", &aes, 256 },         { "cast5-128", &cast5, 128 },
    { "serpent-128", &serpent, 128 }, { "serpent-192", &serpent, 192 },
    { "serpent-256", &serpent, 256 }, { "twofish-128", &twofish, 128 },
    { "twofish-256", &twofish, 256 },
};
const char *const vit_crypt_cipher_names[] = {
    "aes-128",     "aes-192",     "aes-256",     "cast5-128",   "serpent-128",
    "serpent-192", "serpent-256", "twofish-128", "twofish-256", NULL,
};

static const struct {
    const char *name;
    int mode;
} modes[] = {
    { "cbc", GCRY_CIPHER_MODE_CBC },
    { "ctr", GCRY_CIPHER_MODE_CTR },
    { "ecb", GCRY_CIPHER_MODE_ECB },
    { "xts", GCRY_CIPHER_MODE_XTS },
};
const char *const vit_crypt_mode_names[] = { "cbc", "ctr", "ecb", "xts", NULL };

static const struct {
    const char *name;
    VitIvKind iv;
} ivs[] = {
    { "essiv", VIT_IV_ESSIV },
    { "plain", VIT_IV_PLAIN },
    { "plain64", VIT_IV_PLAIN64 },
};
const char *const vit_crypt_iv_names[] = { "essiv", "plain", "plain64", NULL };

static const struct {
    const char *name;
    int hash;
} hashes[] = {
    { "md5", GCRY_MD_MD5 },       { "ripemd160", GCRY_MD_RMD160 }, { "sha1", GCRY_MD_SHA1 },
    { "sha224", GCRY_MD_SHA224 }, { "sha256", GCRY_MD_SHA256 },    { "sha384", GCRY_MD_SHA384 },
    { "sha512", GCRY_MD_SHA512 }, { "sm3", GCRY_MD_SM3 },
};
const char *const vit_crypt_hash_names[] = {
    "md5", "ripemd160", "sha1", "sha224", "sha256", "sha384", "sha512", "sm3", NULL,
};
/* clang-format on */

bool vit_crypt_find_cipher(const char *name, VitCryptSpec *spec)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ciphers); i++) {
        if (strcmp(ciphers[i].name, name) != 0) continue;
        spec->family = ciphers[i].family;
        spec->key_bits = ciphers[i].bits;
        return true;
    }
    return false;
}

bool vit_crypt_find_mode(const char *name, VitCryptSpec *spec)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        if (strcmp(modes[i].name, name) != 0) continue;
        spec->mode = modes[i].mode;
        return true;
    }
    return false;
}

bool vit_crypt_find_iv(const char *name, VitCryptSpec *spec)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ivs); i++) {
        if (strcmp(ivs[i].name, name) != 0) continue;
        spec->iv = ivs[i].iv;
        return true;
    }
    return false;
}

int vit_crypt_find_hash(const char *name)
{
    gcry_check_version(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(hashes); i++) {
        if (strcmp(hashes[i].name, name) == 0 && gcry_md_test_algo(hashes[i].hash) == 0)
            return hashes[i].hash;
    }
    return 0;
}

const char *vit_crypt_hash_name(int hash)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(hashes); i++) {
        if (hashes[i].hash == hash) return hashes[i].name;
    }
    return "none";
}

const char *vit_crypt_mode_name(int mode)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        if (modes[i].mode == mode) return modes[i].name;
    }
    return "none";
}

const char *vit_crypt_iv_name(VitIvKind iv)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ivs); i++) {
        if (ivs[i].iv == iv) return ivs[i].name;
    }
    return "none";
}

const char *vit_crypt_family_name(const VitCryptSpec *spec)
{
    return spec->family->name;
}

int vit_crypt_family_algorithm(const VitCipherFamily *family, unsigned key_bits)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(family->sizes); i++) {
        if (family->sizes[i].bits == key_bits && key_bits > 0) return family->sizes[i].algorithm;
    }
    return 0;
}

unsigned vit_crypt_spec_key_bytes(const VitCryptSpec *spec)
{
    return spec->key_bits / 8 * (spec->mode == GCRY_CIPHER_MODE_XTS ? 2 : 1);
}

bool vit_crypt_spec_parse(const char *cipher, unsigned key_bytes, const char *mode,
                          VitCryptSpec *spec, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(mode, "-", 2);
    char *hash = parts[0] && parts[1] ? strchr(parts[1], ':') : NULL;

    *spec = (VitCryptSpec){ 0 };
    if (!parts[0] || !vit_crypt_find_mode(parts[0], spec))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, _("Unknown cipher mode “%s”"),
                              mode);
    for (unsigned i = 0; i < G_N_ELEMENTS(ciphers); i++) {
        if (strcmp(ciphers[i].family->name, cipher) == 0) spec->family = ciphers[i].family;
    }
    if (!spec->family)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, _("Unknown cipher “%s”"), cipher);
    spec->key_bits = key_bytes * 8 / (spec->mode == GCRY_CIPHER_MODE_XTS ? 2 : 1);
    if (key_bytes > VIT_CRYPT_MAX_KEY || vit_crypt_spec_key_bytes(spec) != key_bytes ||
        !vit_crypt_family_algorithm(spec->family, spec->key_bits))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("No %s cipher with key size %u available"), spec->family->title,
                              key_bytes);
    if (hash) *hash++ = '\0';
    if (!parts[1]) {
        if (spec->mode == GCRY_CIPHER_MODE_ECB) return true;
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Cipher mode “%s” names no initialisation vector"), mode);
    }
    if (!vit_crypt_find_iv(parts[1], spec))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Unknown initialisation vector “%s”"), parts[1]);
    if (hash && !(spec->iv_hash = vit_crypt_find_hash(hash)))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, _("Unknown hash “%s”"), hash);
    return spec->iv != VIT_IV_ESSIV || hash ||
           vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, _("“%s”: essiv needs a hash"), mode);
}

char *vit_crypt_spec_mode_text(const VitCryptSpec *spec)
{
    const char *mode = vit_crypt_mode_name(spec->mode);

    if (spec->iv_hash)
        return g_strdup_printf("%s-%s:%s", mode, vit_crypt_iv_name(spec->iv),
                               vit_crypt_hash_name(spec->iv_hash));
    return spec->iv == VIT_IV_NONE ? g_strdup(mode)
                                   : g_strdup_printf("%s-%s", mode, vit_crypt_iv_name(spec->iv));
}
