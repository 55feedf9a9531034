/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-nbd/list.c - what another server offers, in the words of "qemu-nbd --list" */
#include "app/cli/vitrine-nbd/list.h"

#include "block/graph.h"
#include "block/nbd/client.h"
#include "block/nbd/protocol.h"
#include "block/objects/tls.h"

#include <errno.h>
#include <stdio.h>

typedef struct {
    const NbdOptions *options;
    VitIoThread *thread;
    VitBlockObjects *objects;
    GPtrArray *peers; /* of VitNbdPeer*; NULL: error is set */
    GError *error;
} List;

static void list_fiber(void *opaque)
{
    List *l = opaque;
    const NbdOptions *o = l->options;
    VitNbdAddress address = { .host = o->bind ?: "0.0.0.0", .port = o->port, .path = o->socket };
    VitNbdClientOptions client = { .address = &address,
                                   .tls_hostname = o->tls_hostname,
                                   .thread = l->thread };
    bool fixed, no_zeroes;

    if (address.path) address.host = NULL;
    if (o->tls_creds &&
        !(client.tls = vit_block_tls_use(l->objects, o->tls_creds, false, &l->error)))
        return;
    VitNbdChannel *c = vit_co_nbd_client_connect(&client, &fixed, &no_zeroes, &l->error);
    if (c) {
        l->peers = vit_co_nbd_client_list(c, &l->error);
        vit_nbd_channel_shutdown(c);
        vit_nbd_channel_free(c);
    }
    vit_block_object_release(client.tls);
}

static void print_flags(uint16_t flags)
{
    static const char *const names[] = {
        NULL,    "readonly", "flush", "fua",       "rotational",          "trim", "zeroes", "df",
        "multi", "resize",   "cache", "fast-zero", "block-status-payload"
    };

    printf("  flags: 0x%x (", flags);
    for (unsigned i = 1; i < G_N_ELEMENTS(names); i++)
        if (flags & 1u << i) printf(" %s", names[i]);
    printf(" )\n");
}

static void print_peer(const VitNbdPeer *p)
{
    printf(" export: '%s'\n", p->name);
    if (p->description && *p->description) printf("  description: %s\n", p->description);
    if (p->flags & VIT_NBD_HAS_FLAGS) {
        printf("  size:  %" G_GUINT64_FORMAT "\n", p->size);
        print_flags(p->flags);
    }
    if (p->min_block) {
        printf("  min block: %u\n", p->min_block);
        printf("  opt block: %u\n", p->preferred_block);
        printf("  max block: %u\n", p->max_payload);
    }
    printf("  transaction size: %s\n", p->extended ? "64-bit" : "32-bit");
    if (p->contexts && p->contexts->len > 0) {
        printf("  available meta contexts: %u\n", p->contexts->len);
        for (guint i = 0; i < p->contexts->len; i++)
            printf("   %s\n", (const char *)p->contexts->pdata[i]);
    }
}

int nbd_list(const NbdOptions *o)
{
    List l = { .options = o,
               .thread = vit_io_thread_new("nbd"),
               .objects = vit_block_objects_new() };
    bool good = true;

    for (guint i = 0; i < o->objects->len && good; i++)
        good = vit_block_objects_add_text(l.objects, o->objects->pdata[i], &l.error);
    if (good) vit_fiber_run_sync(l.thread, list_fiber, &l);
    if (l.peers) {
        printf("exports available: %u\n", l.peers->len);
        for (guint i = 0; i < l.peers->len; i++) print_peer(l.peers->pdata[i]);
        g_ptr_array_unref(l.peers);
    } else {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, vit_block_error_text(l.error));
        g_clear_error(&l.error);
        good = false;
    }
    vit_block_objects_free(l.objects);
    vit_io_thread_free(l.thread);
    return good ? 0 : 1;
}
