/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/crypto.h - a LUKS1 header in a node: for encrypted disks of their own and inside of
 * qcow2
 *
 * LUKS On-Disk Format Specification, version 1.2.3.  All co_ functions run on a fiber of the node's
 * thread; passphrases are stretched on worker threads. */
#pragma once
#include "block/args.h"
#include "block/driver.h"
#include "block/luks/cryptor.h"
#include "block/objects.h"

typedef struct VitLuks VitLuks;

/* What to create; names of options in the comments. */
typedef struct VitLuksOptions {
    char *key_secret; /* owned; key-secret */
    VitCryptSpec spec; /* cipher-alg, cipher-mode, ivgen-alg, ivgen-hash-alg */
    int hash; /* hash-alg; enum gcry_md_algos */
    uint64_t iter_time; /* iter-time, milliseconds */
} VitLuksOptions;

/* Takes the options above out of args; the defaults are those of QEMU. */
[[nodiscard]] bool vit_luks_options_take(VitLuksOptions *options, VitBlockArgs *args,
                                         GError **error);
void vit_luks_options_clear(VitLuksOptions *options);
/* Bytes from the header's beginning to where the data may begin. */
uint64_t vit_luks_header_size(const VitLuksOptions *options);

/* Writes a header at `offset` of node with one key slot for the secret; the room must be there or
 * grow. detached: the data lies elsewhere, from its file's beginning.  Returns it unlocked. */
[[nodiscard]] VitLuks *vit_co_luks_create(VitBlockNode *node, uint64_t offset, bool detached,
                                          const VitLuksOptions *options, VitBlockObjects *objects,
                                          GError **error);
/* Reads the header at offset, of which with its key slots at most `room` bytes are there.
 * key_secret NULL: facts only, no vit_luks_cryptor(). */
[[nodiscard]] VitLuks *vit_co_luks_open(VitBlockNode *node, uint64_t offset, uint64_t room,
                                        VitBlockObjects *objects, const char *key_secret,
                                        GError **error);
void vit_luks_free(VitLuks *luks); /* NULL is fine */
VitCryptor *vit_luks_cryptor(VitLuks *luks); /* borrowed; NULL: locked */
uint64_t vit_luks_payload_offset(const VitLuks *luks); /* bytes from the header; 0: detached */
/* "ivgen-alg", "slots" ... as in the format-specific part of "info".  format: NULL or a member
 * more. */
JsonObject *vit_luks_describe(const VitLuks *luks, bool detached, const char *format);
/* state, keyslot, new-secret, old-secret, iter-time.  old_key_secret: what the image was opened
 * with. */
[[nodiscard]] bool vit_co_luks_amend(VitLuks *luks, VitBlockNode *node, VitBlockArgs *args,
                                     VitBlockObjects *objects, bool force, GError **error);
