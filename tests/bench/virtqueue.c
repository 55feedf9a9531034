/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/bench/virtqueue.c - random 4 KiB requests through the queues of a virtio disk, sent as a
 * driver does: prints requests a second, and on stderr what a request costs the processors beside
 * the drivers, which poll
 *
 * virtqueue FORMAT FILE read|write SECONDS [direct] [scsi] [queues=N] [threads=N] [OPTION=VALUE...]
 * scsi: a disk of a virtio SCSI adapter; queues: so many, with a driver each; threads: so many
 * iothreads, which the queues are mapped to in turn; options go to the device (not with threads=).
 */
#include "tests/bench/random.h"
#include "tests/hw/virtio/guest-driver.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    MAX_QUEUES = 16,
    DEPTH = 64,
    BYTES = 4096,
    T_IN = 0,
    T_OUT = 1,
    SCSI_HEADER = 51,
    SCSI_RESPONSE = 108
};

typedef struct {
    uint32_t type, ioprio;
    uint64_t sector;
} Header;

typedef struct { /* one queue with its driver */
    Guest *g;
    GuestQueue q;
    uint64_t headers, data, status;
    uint64_t blocks, seed;
    double seconds;
    uint64_t done;
    int64_t cpu; /* nanoseconds that the driver has used */
    uint32_t type;
    bool scsi, warm; /* what fails while it gets warm (a unit's attention) is done again */
    uint16_t told; /* avail_index at the last look at what the device asks for */
} Bench;

static unsigned header_size(const Bench *b)
{
    return b->scsi ? SCSI_HEADER : sizeof(Header);
}

static unsigned status_size(const Bench *b)
{
    return b->scsi ? SCSI_RESPONSE : 1;
}

/* Every slot has three descriptors of its own, which never change. */
static void lay_out(Bench *b)
{
    enum { NEXT = 1, WRITE = 2 };
    bool in = b->type == T_IN;

    b->headers = guest_alloc(b->g, DEPTH * header_size(b));
    b->data = guest_alloc(b->g, (DEPTH + 1) * BYTES);
    b->data = (b->data + BYTES - 1) & ~(uint64_t)(BYTES - 1);
    b->status = guest_alloc(b->g, DEPTH * status_size(b));
    memset(guest_ptr(b->g, b->data), 0x5a, DEPTH * BYTES);
    for (unsigned i = 0; i < DEPTH; i++) {
        uint16_t d = (uint16_t)(3 * i);
        bool early = b->scsi && in; /* a SCSI response comes before the data */
        put_desc(b->g, b->q.desc, d, b->headers + i * header_size(b), header_size(b), NEXT,
                 (uint16_t)(d + (early ? 2 : 1)));
        put_desc(b->g, b->q.desc, d + 1u, b->data + (uint64_t)i * BYTES, BYTES,
                 (uint16_t)((early ? 0 : NEXT) | (in ? WRITE : 0)), (uint16_t)(d + 2));
        put_desc(b->g, b->q.desc, d + 2u, b->status + i * status_size(b), status_size(b),
                 (uint16_t)(WRITE | (early ? NEXT : 0)), (uint16_t)(d + 1));
    }
}

static void send(Bench *b, unsigned slot)
{
    uint8_t *at = (uint8_t *)guest_ptr(b->g, b->headers) + slot * header_size(b);
    uint64_t block = bench_random(&b->seed) % b->blocks;

    if (b->scsi) {
        uint64_t sector = GUINT64_TO_BE(block * (BYTES / 512));
        uint32_t count = GUINT32_TO_BE(BYTES / 512);
        memset(at, 0, SCSI_HEADER);
        at[0] = 1; /* target 0, unit 0 */
        at[19] = b->type == T_IN ? 0x88 : 0x8a; /* READ (16), WRITE (16) */
        memcpy(at + 21, &sector, 8);
        memcpy(at + 29, &count, 4);
    } else {
        memcpy(at, &(Header){ b->type, 0, block * (BYTES / 512) }, sizeof(Header));
    }
    guest_offer(&b->q, (uint16_t)(3 * slot));
}

static bool went_well(Bench *b, unsigned slot)
{
    const uint8_t *at = (uint8_t *)guest_ptr(b->g, b->status) + slot * status_size(b);

    return b->scsi ? at[10] == 0 && at[11] == 0 : *at == 0;
}

/* Kicks when the device asked to hear of one of the entries since the last time (2.7.10). */
static void kick(Bench *b)
{
    uint16_t *used = guest_ptr(b->g, b->q.used);

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint16_t event = __atomic_load_n(&used[2 + 4 * b->q.size], __ATOMIC_ACQUIRE),
             now = b->q.avail_index;
    if ((uint16_t)(now - event - 1) < (uint16_t)(now - b->told)) guest_kick(&b->q);
    b->told = now;
}

static int64_t cpu_time(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *run(void *opaque)
{
    Bench *b = opaque;
    int64_t end = g_get_monotonic_time() + (int64_t)(b->seconds * 1e6);
    uint16_t *used = guest_ptr(b->g, b->q.used), *avail = guest_ptr(b->g, b->q.avail);
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
            if (!went_well(b, slot) && !b->warm) g_error("a request failed");
            done++;
            if (over) in_flight--;
            else send(b, slot);
        }
        avail[2 + b->q.size] = (uint16_t)(b->q.seen - 1); /* used_event: no interrupts, it polls */
        kick(b);
    }
    b->done = done;
    b->cpu = cpu_time(CLOCK_THREAD_CPUTIME_ID);
    return NULL;
}

/* All drivers at once; requests of all. */
static uint64_t run_all(Bench *all, unsigned n, double seconds, bool warm)
{
    GThread *threads[MAX_QUEUES];
    uint64_t done = 0;

    for (unsigned i = 0; i < n; i++) {
        all[i].seconds = seconds;
        all[i].warm = warm;
        threads[i] = g_thread_new("driver", run, &all[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        g_thread_join(threads[i]);
        done += all[i].done;
    }
    return done;
}

/* "-device" with its queues mapped to so many iothreads, which are made. */
static char *mapped(VitBlockObjects *objects, const char *driver, unsigned queues, unsigned threads)
{
    bool scsi = strcmp(driver, "virtio-scsi-pci") == 0;
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_append_printf(text, "{\"driver\": \"%s\", %s\"%s\": %u, \"iothread-vq-mapping\": [",
                           driver, scsi ? "" : "\"drive\": \"d0\", ",
                           scsi ? "num_queues" : "num-queues", queues);
    for (unsigned i = 0; i < threads; i++) {
        g_autofree char *object = g_strdup_printf("iothread,id=t%u", i);
        if (!vit_block_objects_add_text(objects, object, NULL)) g_error("%s", object);
        g_string_append_printf(text, "%s{\"iothread\": \"t%u\"}", i ? ", " : "", i);
    }
    g_string_append(text, "]}");
    return g_string_free(g_steal_pointer(&text), FALSE);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    TestMachine m;
    Guest g;
    Bench all[MAX_QUEUES] = { 0 };
    VitBlockOptions how = { .lock = true };
    unsigned queues = 1, threads = 0;
    bool scsi = false;
    g_autoptr(GString) options = g_string_new(NULL);

    for (int i = 5; i < argc; i++) {
        if (strcmp(argv[i], "direct") == 0) how.direct = true;
        else if (strcmp(argv[i], "scsi") == 0) scsi = true;
        else if (sscanf(argv[i], "queues=%u", &queues) != 1 &&
                 sscanf(argv[i], "threads=%u", &threads) != 1)
            g_string_append_printf(options, ",%s", argv[i]);
    }
    if (argc < 5 || queues == 0 || queues > MAX_QUEUES) {
        fprintf(stderr, "usage: virtqueue FORMAT FILE read|write SECONDS [direct] [scsi] "
                        "[queues=N] [threads=N] [OPTION=VALUE...]\n");
        return 2;
    }
    test_machine_init(&m, true);
    VitIoThread *thread = vit_io_thread_new("disk");
    VitBlockNode *node = vit_block_open(argv[1], argv[2], &how, thread, &error);
    if (!node) g_error("%s", error->message);
    VitDeviceContext ctx = { .sys = m.sys, .pci = m.bus, .objects = vit_block_objects_new() };
    ctx.iothread = thread;
    ctx.drives = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(ctx.drives, "d0", node);
    const char *driver = scsi ? "virtio-scsi-pci" : "virtio-blk-pci";
    g_autofree char *device = threads ? mapped(ctx.objects, driver, queues, threads)
                                      : g_strdup_printf("%s,%s=%u%s%s", driver,
                                                        scsi ? "num_queues" : "num-queues", queues,
                                                        scsi ? "" : ",drive=d0", options->str);
    if (!vit_pci_device_create(&ctx, device, &error) ||
        (scsi && !vit_pci_device_create(&ctx, "scsi-hd,drive=d0", &error)))
        g_error("%s", error->message);
    vit_system_reset(m.sys);
    guest_probe(&g, &m, 0, true);
    (void)guest_negotiate(&g, scsi ? 1ull << 29 : 1ull << 29 | 1 << 9 | 1 << 11 | 1 << 12);
    for (unsigned i = 0; i < queues; i++) {
        Bench *b = &all[i];
        *b = (Bench){ .g = &g, .seed = 0x9e3779b97f4a7c15ull + i, .scsi = scsi };
        b->type = strcmp(argv[3], "write") == 0 ? T_OUT : T_IN;
        b->blocks = vit_block_info(node).size / BYTES;
        guest_queue(&g, &b->q, scsi ? 2 + i : i, 256);
        lay_out(b);
    }
    guest_driver_ok(&g);
    (void)run_all(all, queues, 0.3, true);
    int64_t start = g_get_monotonic_time(), cpu = cpu_time(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t done = run_all(all, queues, g_ascii_strtod(argv[4], NULL), false);
    printf("%.0f\n", (double)done * 1e6 / (double)(g_get_monotonic_time() - start));
    cpu = cpu_time(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    for (unsigned i = 0; i < queues; i++) cpu -= all[i].cpu;
    fprintf(stderr, "%.2f us of CPU a request\n", (double)cpu / 1e3 / (double)done);
    test_machine_clear(&m);
    vit_block_node_close(node);
    vit_block_objects_free(ctx.objects);
    vit_io_thread_free(thread);
    g_hash_table_unref(ctx.drives);
    return 0;
}
