/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/objects/object.h - what a type of user-created object gives to block/objects.c */
#pragma once
#include "block/objects.h"

typedef struct {
    const char *type;
    size_t instance_size; /* of a struct that begins with VitBlockObject */
    bool (*create)(VitBlockObject *object, VitBlockArgs *args, GError **error);
    void (*destroy)(
        VitBlockObject *object); /* of a zeroed or half-made one as well; NULL: nothing */
} VitBlockObjectClass;

struct VitBlockObject {
    const VitBlockObjectClass *klass;
    char *id; /* owned */
    int references; /* of the table and of users; atomic */
    bool internal; /* nobody's but its users': goes with the last of them */
    VitBlockObjects *table; /* borrowed; NULL: no longer in one; for create() */
};

extern const VitBlockObjectClass vit_block_secret_class, vit_block_secret_keyring_class;
extern const VitBlockObjectClass vit_block_tls_anon_class, vit_block_tls_psk_class;
extern const VitBlockObjectClass vit_block_tls_x509_class;
extern const VitBlockObjectClass vit_block_throttle_group_class, vit_block_iothread_class;
