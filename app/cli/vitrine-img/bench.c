/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/bench.c - vitrine-img bench: how long so many requests take */
#include "app/cli/vitrine-img/img.h"

#include "app/cli/modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_PATTERN = IMG_OPT_OWN, OPT_FLUSH_INTERVAL, OPT_NO_DRAIN };
enum { MAX_DEPTH = 1 << 16 };

typedef struct {
    Img *img;
    VitBlockNode *node;
    uint64_t count, depth, offset, size, step, pattern, flush_interval; /* offset, size: bytes */
    bool write, no_drain, fua;
    /* while it runs */
    uint8_t *buf;
    uint64_t started, ended, at;
    unsigned fibers;
    bool flushing;
    VitFiberCond cond;
    int result;
} Bench;

static void flush(Bench *b)
{
    b->flushing = !b->no_drain;
    int code = vit_co_flush(b->node);
    if (code < 0 && b->result == 0) b->result = code;
    b->flushing = false;
    vit_fiber_cond_wake_all(&b->cond);
}

static void one_after_the_other(void *opaque)
{
    Bench *b = opaque;
    uint64_t end = vit_block_info(b->node).size;

    while (b->started < b->count && b->result == 0) {
        while (b->flushing) vit_fiber_cond_wait(&b->cond, NULL);
        if (b->started >= b->count) break;
        uint64_t at = b->at;
        b->started++;
        b->at += b->step;
        if (end <= b->size) b->at = 0;
        else if (b->at > end - b->size) b->at %= end - b->size;
        int code = b->write ? vit_co_write(b->node, at, b->buf, b->size, b->fua ? VIT_BLOCK_FUA : 0)
                            : vit_co_read(b->node, at, b->buf, b->size);
        if (code < 0 && b->result == 0) b->result = code;
        b->ended++;
        if (b->flush_interval && b->ended % b->flush_interval == 0) flush(b);
    }
    b->fibers--;
    vit_fiber_cond_wake_all(&b->cond);
}

static void run(void *opaque)
{
    Bench *b = opaque;

    b->cond.thread = b->img->thread;
    b->fibers = (unsigned)MIN(b->depth, b->count);
    b->at = b->offset;
    for (unsigned left = b->fibers; left > 0; left--)
        vit_fiber_start(b->img->thread, one_after_the_other, b);
    while (b->fibers > 0) vit_fiber_cond_wait(&b->cond, NULL);
}

static int bench(Img *img, Bench *b)
{
    uint64_t end = vit_block_info(b->node).size;

    if (b->size > end || b->offset > end - b->size)
        return img_fail(img, 1, "The requests lie past the end of the image");
    if (posix_memalign((void **)&b->buf, 4096, b->size) != 0)
        return img_fail(img, 1, "No memory for a buffer of %" G_GUINT64_FORMAT " bytes", b->size);
    memset(b->buf, (int)b->pattern, b->size);
    printf("Sending %" G_GUINT64_FORMAT " %s requests, %" G_GUINT64_FORMAT " bytes each, "
           "%" G_GUINT64_FORMAT " in parallel (starting at offset %" G_GUINT64_FORMAT
           ", step size %" G_GUINT64_FORMAT ")\n",
           b->count, b->write ? "write" : "read", b->size, b->depth, b->offset, b->step);
    if (b->flush_interval)
        printf("Sending flush every %" G_GUINT64_FORMAT " %srequests\n", b->flush_interval,
               b->no_drain ? "" : "drained ");
    fflush(stdout);
    int64_t began = g_get_monotonic_time();
    img_run(img, run, b);
    int64_t took = g_get_monotonic_time() - began;
    free(b->buf);
    if (b->result < 0) return img_fail(img, 1, "Failed request: %s", g_strerror(-b->result));
    printf("Run completed in %3.3f seconds.\n", (double)took / G_USEC_PER_SEC);
    return 0;
}

static int parse(Img *img, Bench *b, int letter, const char *text)
{
    static const struct {
        int letter;
        const char *name;
        size_t where;
        uint64_t min, max;
    } numbers[] = {
        { 'c', "request count", offsetof(Bench, count), 0, INT32_MAX },
        { 'd', "queue depth", offsetof(Bench, depth), 1, MAX_DEPTH },
        { 'o', "offset", offsetof(Bench, offset), 0, INT64_MAX },
        { 's', "buffer size", offsetof(Bench, size), 1, INT32_MAX },
        { 'S', "step size", offsetof(Bench, step), 0, INT32_MAX },
        { OPT_PATTERN, "pattern byte", offsetof(Bench, pattern), 0, 255 },
        { OPT_FLUSH_INTERVAL, "flush interval", offsetof(Bench, flush_interval), 0, INT32_MAX },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (numbers[i].letter != letter) continue;
        uint64_t *number = (uint64_t *)((char *)b + numbers[i].where);
        if (!vit_parse_size_strict(text, number))
            return img_fail(img, 1, "Invalid %s specified: '%s'.", numbers[i].name, text);
        if (*number < numbers[i].min || *number > numbers[i].max)
            return img_fail(img, 1,
                            "Invalid %s specified. Must be between %" G_GUINT64_FORMAT
                            " and %" G_GUINT64_FORMAT ".",
                            numbers[i].name, numbers[i].min, numbers[i].max);
    }
    return 0;
}

int img_bench(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_QUIET,
        IMG_FORMAT,
        IMG_IMAGE_OPTS,
        { "cache", required_argument, NULL, 't' },
        { "count", required_argument, NULL, 'c' },
        { "depth", required_argument, NULL, 'd' },
        { "offset", required_argument, NULL, 'o' },
        { "buffer-size", required_argument, NULL, 's' },
        { "step-size", required_argument, NULL, 'S' },
        { "write", no_argument, NULL, 'w' },
        { "pattern", required_argument, NULL, OPT_PATTERN },
        { "flush-interval", required_argument, NULL, OPT_FLUSH_INTERVAL },
        { "no-drain", no_argument, NULL, OPT_NO_DRAIN },
        { "aio", required_argument, NULL, 'i' },
        { "native", no_argument, NULL, 'n' },
        IMG_FORCE_SHARE,
        IMG_OBJECT,
        { NULL },
    };
    Bench b = { .img = img, .count = 75000, .depth = 64, .size = 4096 };
    const char *cache = NULL;
    unsigned flags = 0;
    bool native = false; /* asked for: the engine is the file node's own choice */
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hqf:t:c:d:o:s:S:wi:nU", options, &status)) !=
           -1) {
        switch (c) {
        case '?': return status;
        case 't': cache = optarg; break;
        case 'w': b.write = true; break;
        case 'n': native = true; break;
        case OPT_NO_DRAIN: b.no_drain = true; break;
        case 'i':
            if (!cli_aio_mode(optarg)) return img_fail(img, 1, "Invalid aio option: %s", optarg);
            native = strcmp(optarg, "native") == 0;
            break;
        default:
            if (parse(img, &b, c, optarg) != 0) return 1;
        }
    }
    if (optind != argc - 1) return img_fail_usage(img, 1, "Expecting one image file name");
    if (!b.write && b.flush_interval)
        return img_fail(img, 1, "--flush-interval is only available in write tests");
    if (b.flush_interval && b.flush_interval < b.depth)
        return img_fail(img, 1, "Flush interval can't be smaller than depth");
    if (!img_cache_flags(cache, &flags, &b.fua)) return img_fail(img, 1, "Invalid cache mode");
    if (!b.write) flags |= VIT_OPEN_READ_ONLY;
    if (b.step == 0) b.step = b.size;
    if (native && !(flags & VIT_OPEN_DIRECT) && !img->image_opts)
        return img_fail(img, 1,
                        "Could not open '%s': aio=native was specified, but it requires "
                        "cache.direct=on, which was not specified.",
                        argv[optind]);
    b.node = img_open(img, argv[optind], img->format, img->image_opts, flags);
    if (!b.node) return 1;
    status = bench(img, &b);
    vit_block_node_unref(b.node);
    return status;
}
