/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/bench/blkio.c - random 4 KiB requests to a vhost-user-blk export, through libblkio: prints
 * requests a second; with a rate, at that rate and, each tenth of a second, the time and how many
 * have ended
 *
 * blkio SOCKET read|write SECONDS [RATE] */
#include "tests/bench/random.h"

#include <blkio.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH = 64, BYTES = 4096, REST_US = 50 };

static void check(int result, const char *what)
{
    if (result >= 0) return;
    fprintf(stderr, "%s: %s: %s\n", what, strerror(-result), blkio_get_error_msg());
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double run(struct blkioq *q, const struct blkio_mem_region *memory, uint64_t blocks,
                  bool write, double seconds)
{
    static struct blkio_completion ended[DEPTH];
    uint64_t seed = 0x9e3779b97f4a7c15ull, done = 0;
    double start = now(), end = start + seconds;
    int in_flight = 0, ready = DEPTH;

    for (int i = 0; i < DEPTH; i++) ended[i].user_data = (void *)(uintptr_t)i;
    while (ready > 0 || in_flight > 0) {
        bool over = now() >= end;
        for (int i = 0; i < ready && !over; i++) {
            uintptr_t slot = (uintptr_t)ended[i].user_data;
            uint8_t *buf = (uint8_t *)memory->addr + slot * BYTES;
            uint64_t offset = bench_random(&seed) % blocks * BYTES;
            if (write) blkioq_write(q, offset, buf, BYTES, (void *)slot, 0);
            else blkioq_read(q, offset, buf, BYTES, (void *)slot, 0);
            in_flight++;
        }
        if (in_flight == 0) break;
        ready = blkioq_do_io(q, ended, 1, DEPTH, NULL);
        check(ready, "do_io");
        for (int i = 0; i < ready; i++) check(ended[i].ret, "request");
        in_flight -= ready;
        done += (uint64_t)ready;
    }
    return (double)done / (now() - start);
}

/* Like run() of mirror.c. */
static void run_steadily(struct blkioq *q, const struct blkio_mem_region *memory, uint64_t blocks,
                         bool write, double seconds, double rate)
{
    static struct blkio_completion ended[DEPTH];
    uint64_t seed = 0x9e3779b97f4a7c15ull, sent = 0, done = 0;
    double start = now(), begin = start, told = start, t;
    uintptr_t idle[DEPTH];
    int n_idle = DEPTH;

    for (int i = 0; i < DEPTH; i++) idle[i] = (uintptr_t)i;
    while ((t = now()) < begin + seconds) {
        uint64_t due = (uint64_t)((t - start) * rate);
        if (due > sent + DEPTH && n_idle == 0) start += 1 / rate;
        bool any = false;
        for (; n_idle > 0 && sent < due; sent++, any = true) {
            uintptr_t slot = idle[--n_idle];
            uint8_t *buf = (uint8_t *)memory->addr + slot * BYTES;
            uint64_t offset = bench_random(&seed) % blocks * BYTES;
            if (write) blkioq_write(q, offset, buf, BYTES, (void *)slot, 0);
            else blkioq_read(q, offset, buf, BYTES, (void *)slot, 0);
        }
        int n = blkioq_do_io(q, ended, 0, DEPTH, NULL);
        check(n, "do_io");
        for (int i = 0; i < n; i++, done++) {
            check(ended[i].ret, "request");
            idle[n_idle++] = (uintptr_t)ended[i].user_data;
        }
        if (!any) usleep(REST_US);
        if (t - told < 0.1) continue;
        printf("%.6f %lu\n", t, (unsigned long)done);
        fflush(stdout);
        told = t;
    }
    while (n_idle < DEPTH) {
        int n = blkioq_do_io(q, ended, 1, DEPTH, NULL);
        check(n, "do_io");
        n_idle += n;
    }
}

int main(int argc, char **argv)
{
    struct blkio *b;
    struct blkio_mem_region memory;
    uint64_t capacity;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: blkio SOCKET read|write SECONDS [RATE]\n");
        return 2;
    }
    bool write = strcmp(argv[2], "write") == 0;
    check(blkio_create("virtio-blk-vhost-user", &b), "create");
    check(blkio_set_str(b, "path", argv[1]), "path");
    check(blkio_connect(b), "connect");
    check(blkio_set_int(b, "num-queues", 1), "num-queues");
    check(blkio_start(b), "start");
    check(blkio_get_uint64(b, "capacity", &capacity), "capacity");
    check(blkio_alloc_mem_region(b, &memory, DEPTH * BYTES), "memory");
    memset(memory.addr, 0x5a, memory.len);
    check(blkio_map_mem_region(b, &memory), "map");
    struct blkioq *q = blkio_get_queue(b, 0);
    if (argc == 5) {
        run_steadily(q, &memory, capacity / BYTES, write, strtod(argv[3], NULL),
                     strtod(argv[4], NULL));
    } else {
        (void)run(q, &memory, capacity / BYTES, write, 0.3); /* warm */
        printf("%.0f\n", run(q, &memory, capacity / BYTES, write, strtod(argv[3], NULL)));
    }
    blkio_destroy(&b);
    return 0;
}
