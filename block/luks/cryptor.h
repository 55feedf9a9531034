/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/cryptor.h - enciphers and deciphers sectors of 512 bytes by their number
 *
 * Large pieces are worked on by all worker threads at once, small ones on the spot.  All functions
 * named co_ run on a fiber of the thread given. */
#pragma once
#include "engine/core/iothread.h"
#include <sys/uio.h>

enum { VIT_CRYPT_SECTOR = 512, VIT_CRYPT_MAX_KEY = 64 };

typedef enum { VIT_IV_NONE, VIT_IV_PLAIN, VIT_IV_PLAIN64, VIT_IV_ESSIV } VitIvKind;

typedef struct {
    const struct VitCipherFamily *family; /* static: "aes", "serpent" ... */
    unsigned key_bits; /* of the cipher itself: xts takes two keys of it */
    int mode; /* enum gcry_cipher_modes */
    VitIvKind iv;
    int iv_hash; /* enum gcry_md_algos, 0: none; for essiv */
} VitCryptSpec;

/* Names of options ("aes-256", "xts", "plain64", "sha256") and what they stand for.  0 or NULL in
 * the spec: not known.  Lists are NULL-ended, for messages. */
extern const char *const vit_crypt_cipher_names[], *const vit_crypt_mode_names[];
extern const char *const vit_crypt_iv_names[], *const vit_crypt_hash_names[];
[[nodiscard]] bool vit_crypt_find_cipher(const char *name, VitCryptSpec *spec);
[[nodiscard]] bool vit_crypt_find_mode(const char *name, VitCryptSpec *spec);
[[nodiscard]] bool vit_crypt_find_iv(const char *name, VitCryptSpec *spec);
int vit_crypt_find_hash(
    const char *name); /* enum gcry_md_algos, 0: not known or not in the library */
const char *vit_crypt_hash_name(int hash);
const char *vit_crypt_mode_name(int mode);
const char *vit_crypt_iv_name(VitIvKind iv);
const char *vit_crypt_family_name(const VitCryptSpec *spec);
/* From the names of a header: "aes", key bytes, "xts-plain64" or "cbc-essiv:sha256". */
[[nodiscard]] bool vit_crypt_spec_parse(const char *cipher, unsigned key_bytes, const char *mode,
                                        VitCryptSpec *spec, GError **error);
char *vit_crypt_spec_mode_text(const VitCryptSpec *spec); /* "cbc-essiv:sha256"; caller frees */
unsigned vit_crypt_spec_key_bytes(const VitCryptSpec *spec);

typedef struct VitCryptor VitCryptor;
/* key: vit_crypt_spec_key_bytes() of it, copied into the ciphers' own state. */
[[nodiscard]] VitCryptor *vit_cryptor_new(const VitCryptSpec *spec, const uint8_t *key,
                                          GError **error);
void vit_cryptor_free(VitCryptor *cryptor); /* NULL is fine */

/* position: of the first byte, says the sectors' numbers; it and bytes are multiples of 512.
 * Results are
 * 0 or -errno.  Decrypts in place bytes [skip, skip + bytes) of an iov. */
int vit_co_cryptor_decrypt(VitCryptor *cryptor, VitIoThread *thread, uint64_t position,
                           const struct iovec *iov, int niov, uint64_t skip, uint64_t bytes);
/* Encrypts bytes [skip, skip + bytes) of an iov, which stays as it is, into out. */
int vit_co_cryptor_encrypt(VitCryptor *cryptor, VitIoThread *thread, uint64_t position,
                           const struct iovec *iov, int niov, uint64_t skip, uint8_t *out,
                           uint64_t bytes);
/* In place, on the calling thread. */
int vit_cryptor_apply(VitCryptor *cryptor, bool encrypt, uint64_t position, uint8_t *data,
                      size_t bytes);
