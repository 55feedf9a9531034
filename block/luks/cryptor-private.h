/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/luks/cryptor-private.h - a family of block ciphers in the library's terms */
#pragma once
#include "block/luks/cryptor.h"
#include <gcrypt.h>

typedef struct VitCipherFamily {
    const char *name, *title;
    unsigned block; /* bytes */
    struct {
        unsigned bits;
        int algorithm; /* enum gcry_cipher_algos */
    } sizes[3];
} VitCipherFamily;

/* 0: has no such key size. */
int vit_crypt_family_algorithm(const VitCipherFamily *family, unsigned key_bits);
