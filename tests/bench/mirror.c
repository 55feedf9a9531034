/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/bench/mirror.c - random 4 KiB writes at a steady rate through a virtio disk's queue, while
 * the disk is mirrored
 *
 * mirror FILE TARGET RATE BEFORE LIMIT [CALM CALM-RATE MODE]: writes for BEFORE seconds, begins the
 * mirror (MODE: background or write-blocking), and ends two seconds after it has converged, or
 * LIMIT seconds after its beginning; CALM seconds after that the rate changes.  Prints, each tenth
 * of a second, the time and how many writes have ended; and "begin" and "ready" with their times.
 */
#include "block/jobs/live.h"
#include "block/service.h"
#include "tests/bench/random.h"
#include "tests/hw/virtio/guest-driver.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEPTH = 64, BYTES = 4096, T_OUT = 1, REST_US = 50 };

typedef struct {
    Guest g;
    GuestQueue q;
    VitBlockService *service;
    VitBlockNode *root, *target;
    VitBlockJob *job; /* a reference */
    double rate, before, limit, calm, calm_rate; /* writes per second; seconds */
    bool write_blocking;
    uint64_t header[DEPTH], blocks, seed, sent, done;
    int64_t began, ready; /* atomic: monotonic microseconds; 0: not yet */
} Bench;

static void changed(void *opaque, VitBlockJob *job)
{
    Bench *b = opaque;
    VitBlockJobInfo info = vit_block_job_info(job);

    if (info.error && !info.cancelled) g_error("%s", info.error);
    g_free(info.error);
    if (info.status == VIT_JOB_READY && !__atomic_load_n(&b->ready, __ATOMIC_RELAXED))
        __atomic_store_n(&b->ready, g_get_monotonic_time(), __ATOMIC_RELAXED);
}

static void begin(void *opaque)
{
    Bench *b = opaque;
    g_autoptr(GError) error = NULL;
    VitBlockLiveOptions options = { .graph = b->service->graph,
                                    .jobs = b->service->jobs,
                                    .id = "mirror",
                                    .flags = VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS };
    VitBlockMirror mirror = { .sync = VIT_SYNC_FULL,
                              .unmap = true,
                              .write_blocking = b->write_blocking };

    b->job = vit_co_mirror_new(&options, vit_block_root_node(b->root), b->target, &mirror, &error);
    if (!b->job) g_error("%s", error->message);
    vit_block_job_start(b->job);
}

/* Every slot has three descriptors of its own. */
static void lay_out(Bench *b)
{
    uint64_t data = guest_alloc(&b->g, DEPTH * BYTES), status = guest_alloc(&b->g, DEPTH);

    memset(guest_ptr(&b->g, data), 0x5a, DEPTH * BYTES);
    for (unsigned i = 0; i < DEPTH; i++) {
        uint16_t d = (uint16_t)(3 * i);
        b->header[i] = guest_alloc(&b->g, 16);
        put_desc(&b->g, b->q.desc, d, b->header[i], 16, 1, (uint16_t)(d + 1));
        put_desc(&b->g, b->q.desc, d + 1u, data + (uint64_t)i * BYTES, BYTES, 1, (uint16_t)(d + 2));
        put_desc(&b->g, b->q.desc, d + 2u, status + i, 1, 2, 0);
    }
}

static void send(Bench *b, unsigned slot)
{
    struct {
        uint32_t type, ioprio;
        uint64_t sector;
    } h = { T_OUT, 0, bench_random(&b->seed) % b->blocks * (BYTES / 512) };

    memcpy(guest_ptr(&b->g, b->header[slot]), &h, sizeof h);
    guest_offer(&b->q, (uint16_t)(3 * slot));
    b->sent++;
}

/* Since the mirror's beginning. */
static bool has_passed(const Bench *b, int64_t now, double seconds)
{
    return b->began && now - b->began > (int64_t)(seconds * 1e6);
}

static void run(Bench *b)
{
    unsigned idle[DEPTH], n_idle = DEPTH;
    int64_t start = g_get_monotonic_time(), told = start, paced = start;
    uint64_t base = 0;
    uint16_t *used = guest_ptr(&b->g, b->q.used);

    for (unsigned i = 0; i < DEPTH; i++) idle[i] = i;
    for (;;) {
        int64_t now = g_get_monotonic_time();
        int64_t ready = __atomic_load_n(&b->ready, __ATOMIC_RELAXED);
        bool over = has_passed(b, now, b->limit) ||
                    (ready && now - ready > 2 * G_USEC_PER_SEC && has_passed(b, now, b->calm));
        if (over && n_idle == DEPTH) break;
        if (!b->began && now - start >= (int64_t)(b->before * 1e6)) {
            b->began = now;
            vit_block_run(b->root, begin, b);
        }
        uint16_t index = __atomic_load_n(&used[1], __ATOMIC_ACQUIRE);
        for (; b->q.seen != index; b->done++) {
            uint32_t entry[2];
            memcpy(entry, (uint8_t *)used + 4 + 8 * (b->q.seen++ % b->q.size), 8);
            idle[n_idle++] = entry[0] / 3;
        }
        if (b->calm > 0 && has_passed(b, now, b->calm)) {
            b->rate = b->calm_rate;
            b->calm = 0;
            base = b->sent;
            paced = now;
        }
        uint64_t due = base + (uint64_t)((double)(now - paced) / 1e6 * b->rate);
        /* What could not be sent in time is not made up for: a guest would have waited. */
        if (due > b->sent + DEPTH && n_idle == 0) paced += (int64_t)(1e6 / b->rate);
        bool any = false;
        for (; !over && n_idle > 0 && b->sent < due; any = true) send(b, idle[--n_idle]);
        if (any) guest_kick(&b->q);
        else g_usleep(REST_US);
        if (now - told >= G_USEC_PER_SEC / 10) {
            printf("%.6f %" G_GUINT64_FORMAT "\n", (double)now / 1e6, b->done);
            told = now;
        }
    }
    printf("begin %.6f\n", (double)b->began / 1e6);
    if (b->ready) printf("ready %.6f\n", (double)b->ready / 1e6);
}

static VitBlockNode *open_raw(Bench *b, const char *path)
{
    g_autoptr(GError) error = NULL;
    VitBlockNode *node = vit_block_graph_open_image(b->service->graph, path, "raw", NULL,
                                                    VIT_OPEN_DISCARD, &error);

    if (!node) g_error("%s", error->message);
    return node;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    TestMachine m;
    Bench b = { .seed = 0x9e3779b97f4a7c15ull };

    if (argc != 6 && argc != 9) {
        fprintf(stderr, "usage: mirror FILE TARGET RATE BEFORE LIMIT [CALM CALM-RATE MODE]\n");
        return 2;
    }
    b.rate = g_ascii_strtod(argv[3], NULL);
    b.before = g_ascii_strtod(argv[4], NULL);
    b.limit = g_ascii_strtod(argv[5], NULL);
    if (argc == 9) {
        b.calm = g_ascii_strtod(argv[6], NULL);
        b.calm_rate = g_ascii_strtod(argv[7], NULL);
        b.write_blocking = g_str_equal(argv[8], "write-blocking");
    }
    test_machine_init(&m, true);
    VitIoThread *thread = vit_io_thread_new("disk");
    b.service = vit_block_service_new(thread);
    vit_block_jobs_listen(b.service->jobs, changed, &b);
    b.root = vit_block_root_new(open_raw(&b, argv[1]), "d0");
    b.target = open_raw(&b, argv[2]);
    VitDeviceContext ctx = { .sys = m.sys, .pci = m.bus };
    ctx.drives = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(ctx.drives, "d0", b.root);
    if (!vit_pci_device_create(&ctx, "virtio-blk-pci,drive=d0", &error))
        g_error("%s", error->message);
    vit_system_reset(m.sys);
    guest_probe(&b.g, &m, 0, true);
    (void)guest_negotiate(&b.g, 1ull << 29 | 1 << 9 | 1 << 11);
    guest_queue(&b.g, &b.q, 0, 256);
    guest_driver_ok(&b.g);
    b.blocks = vit_block_info(b.root).size / BYTES;
    lay_out(&b);
    run(&b);
    vit_block_service_stop(b.service);
    vit_block_job_unref(b.job);
    test_machine_clear(&m);
    vit_block_node_close(b.root);
    vit_block_node_unref(b.target);
    vit_block_service_free(b.service);
    vit_io_thread_free(thread);
    g_hash_table_unref(ctx.drives);
    return 0;
}
