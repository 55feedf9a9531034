/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/luks-private.h - the header in memory, shared by the files of this folder */
#pragma once
#include "block/luks/crypto.h"

enum {
    LUKS_HEADER_BYTES = 592,
    LUKS_SLOTS = 8,
    LUKS_STRIPES = 4000,
    LUKS_SALT = 32,
    LUKS_DIGEST = 20,
    LUKS_ALIGN = 4096, /* of key material and payload that we write */
    LUKS_MIN_ITERATIONS = 1000,
    LUKS_MAX_ITERATIONS = 200000000, /* minutes of a fast core: more is an attack */
};

typedef struct {
    bool active;
    uint32_t iterations, offset /* sectors from the header */, stripes;
    uint8_t salt[LUKS_SALT];
} LuksSlot;

struct VitLuks {
    uint64_t offset; /* of the header in its node, bytes */
    VitCryptSpec spec;
    int hash; /* enum gcry_md_algos */
    char cipher_name[32], mode_name[32], hash_name[32], uuid[40]; /* NUL-ended */
    uint32_t payload, key_bytes, digest_iterations; /* payload: sectors from the header */
    uint8_t digest[LUKS_DIGEST], digest_salt[LUKS_SALT];
    LuksSlot slots[LUKS_SLOTS];
    uint8_t key[VIT_CRYPT_MAX_KEY]; /* the master key while unlocked */
    VitCryptor *cryptor; /* owned; NULL: locked */
};

/* header.c */
[[nodiscard]] bool luks_decode(VitLuks *luks, const uint8_t *raw, uint64_t room, const char *name,
                               GError **error);
void luks_encode(const VitLuks *luks, uint8_t raw[static LUKS_HEADER_BYTES]);
uint64_t luks_material_bytes(const VitLuks *luks, unsigned stripes); /* whole sectors */

/* keys.c: on a fiber of thread */
[[nodiscard]] bool luks_random(void *buf, size_t bytes, GError **error);
/* How many iterations take that long. */
[[nodiscard]] uint32_t luks_calibrate(VitIoThread *thread, int hash, unsigned key_bytes,
                                      uint64_t milliseconds);
[[nodiscard]] bool luks_digest(VitIoThread *thread, const VitLuks *luks, const uint8_t *key,
                               uint8_t digest[static LUKS_DIGEST], GError **error);
/* Whether the passphrase opens the slot; then key is the master key.  False without an error: it
 * does not. */
[[nodiscard]] bool luks_try_slot(VitBlockNode *node, const VitLuks *luks, unsigned slot,
                                 GBytes *passphrase, uint8_t *key, GError **error);
/* Makes new salt and key material of luks->key for the slot and writes the material, not the
 * header. */
[[nodiscard]] bool luks_fill_slot(VitBlockNode *node, VitLuks *luks, unsigned slot,
                                  GBytes *passphrase, uint64_t milliseconds, GError **error);
/* Overwrites the material several times. */
[[nodiscard]] bool luks_shred_slot(VitBlockNode *node, const VitLuks *luks, unsigned slot,
                                   GError **error);
