/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/bench/virtqueue.c - random 4 KiB requests through a virtio disk's queue, sent as a driver
 * does: prints requests a second
 *
 * virtqueue FORMAT FILE read|write SECONDS [direct] [OPTION=VALUE...]; options go to the device. */
#include "tests/bench/random.h"
#include "tests/hw/virtio/guest-driver.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH = 64, BYTES = 4096, T_IN = 0, T_OUT = 1 };

typedef struct {
    uint32_t type, ioprio;
    uint64_t sector;
} Header;

typedef struct {
    Guest g;
    GuestQueue q;
    uint64_t headers, data, status;
    uint64_t blocks, seed;
    uint32_t type;
    uint16_t told; /* avail_index at the last look at what the device asks for */
} Bench;

/* Every slot has three descriptors of its own, which never change. */
static void lay_out(Bench *b)
{
    b->headers = guest_alloc(&b->g, DEPTH * sizeof(Header));
    b->data = guest_alloc(&b->g, (DEPTH + 1) * BYTES);
    b->data = (b->data + BYTES - 1) & ~(uint64_t)(BYTES - 1);
    b->status = guest_alloc(&b->g, DEPTH);
    memset(guest_ptr(&b->g, b->data), 0x5a, DEPTH * BYTES);
    for (unsigned i = 0; i < DEPTH; i++) {
        uint16_t d = (uint16_t)(3 * i);
        bool in = b->type == T_IN;
        put_desc(&b->g, b->q.desc, d, b->headers + i * sizeof(Header), sizeof(Header), 1,
                 (uint16_t)(d + 1));
        put_desc(&b->g, b->q.desc, d + 1u, b->data + (uint64_t)i * BYTES, BYTES,
                 (uint16_t)(1 | (in ? 2 : 0)), (uint16_t)(d + 2));
        put_desc(&b->g, b->q.desc, d + 2u, b->status + i, 1, 2, 0);
    }
}

static void send(Bench *b, unsigned slot)
{
    Header *h = (Header *)((uint8_t *)guest_ptr(&b->g, b->headers) + slot * sizeof(Header));

    *h = (Header){ b->type, 0, bench_random(&b->seed) % b->blocks * (BYTES / 512) };
    guest_offer(&b->q, (uint16_t)(3 * slot));
}

/* Kicks when the device asked to hear of one of the entries since the last time (2.7.10). */
static void kick(Bench *b)
{
    uint16_t *used = guest_ptr(&b->g, b->q.used);

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint16_t event = __atomic_load_n(&used[2 + 4 * b->q.size], __ATOMIC_ACQUIRE),
             now = b->q.avail_index;
    if ((uint16_t)(now - event - 1) < (uint16_t)(now - b->told)) guest_kick(&b->q);
    b->told = now;
}

static uint64_t run(Bench *b, double seconds)
{
    int64_t end = g_get_monotonic_time() + (int64_t)(seconds * 1e6);
    uint16_t *used = guest_ptr(&b->g, b->q.used), *avail = guest_ptr(&b->g, b->q.avail);
    uint64_t done = 0;
    unsigned in_flight = DEPTH;

    for (unsigned i = 0; i < DEPTH; i++) send(b, i);
    kick(b);
    while (in_flight > 0) {
        bool over = g_get_monotonic_time() >= end;
        uint16_t index = __atomic_load_n(&used[1], __ATOMIC_ACQUIRE);
        if (index == b->q.seen) {
            sched_yield();
            continue;
        }
        while (b->q.seen != index) {
            uint32_t entry[2];
            memcpy(entry, (uint8_t *)used + 4 + 8 * (b->q.seen++ % b->q.size), 8);
            unsigned slot = entry[0] / 3;
            if (*((uint8_t *)guest_ptr(&b->g, b->status) + slot) != 0) g_error("a request failed");
            done++;
            if (over) in_flight--;
            else send(b, slot);
        }
        avail[2 + b->q.size] = (uint16_t)(b->q.seen - 1); /* used_event: no interrupts, it polls */
        kick(b);
    }
    return done;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    TestMachine m;
    Bench b = { .seed = 0x9e3779b97f4a7c15ull };
    VitBlockOptions how = { .lock = true };

    if (argc < 5) {
        fprintf(stderr,
                "usage: virtqueue FORMAT FILE read|write SECONDS [direct] [OPTION=VALUE...]\n");
        return 2;
    }
    g_autoptr(GString) options = g_string_new("virtio-blk-pci,drive=d0");
    for (int i = 5; i < argc; i++) {
        if (strcmp(argv[i], "direct") == 0) how.direct = true;
        else g_string_append_printf(options, ",%s", argv[i]);
    }
    b.type = strcmp(argv[3], "write") == 0 ? T_OUT : T_IN;
    test_machine_init(&m, true);
    VitIoThread *thread = vit_io_thread_new("disk");
    VitBlockNode *node = vit_block_open(argv[1], argv[2], &how, thread, &error);
    if (!node) g_error("%s", error->message);
    VitDeviceContext ctx = { .sys = m.sys, .pci = m.bus };
    ctx.drives = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(ctx.drives, "d0", node);
    if (!vit_pci_device_create(&ctx, options->str, &error)) g_error("%s", error->message);
    vit_system_reset(m.sys);
    guest_probe(&b.g, &m, 0, true);
    (void)guest_negotiate(&b.g, 1ull << 29 | 1 << 9 | 1 << 11);
    guest_queue(&b.g, &b.q, 0, 256);
    guest_driver_ok(&b.g);
    b.blocks = vit_block_info(node).size / BYTES;
    lay_out(&b);
    (void)run(&b, 0.3); /* warm */
    int64_t start = g_get_monotonic_time();
    uint64_t done = run(&b, g_ascii_strtod(argv[4], NULL));
    printf("%.0f\n", (double)done * 1e6 / (double)(g_get_monotonic_time() - start));
    test_machine_clear(&m);
    vit_block_node_close(node);
    vit_io_thread_free(thread);
    g_hash_table_unref(ctx.drives);
    return 0;
}
