/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-io/transfer.c - the commands that move bytes: read, write, their vectored and
 * asynchronous forms, discard */
#include "app/cli/vitrine-io/io.h"

#include "block/driver.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_BYTES = 2147483136, FILL = 0xcd };

typedef struct {
    IoTool *tool;
    VitBlockOp op;
    bool vmstate, compressed, fua, quiet, parsable, verbose, zero, unmap, no_fallback, invalid;
    int pattern;        /* -1: none */
    const char *source;         /* file with the bytes to write */
    int64_t pattern_from, pattern_bytes;    /* -1: not given */
    uint64_t offset, bytes;
    uint8_t *buf;            /* owned */
    struct iovec iov[64];
    int niov;
    int result;
    int64_t micros;
    const char *verb, *failed;  /* "wrote", "write failed" */
} Transfer;

/* ---- work, on a fiber ------------------------------------------------------------------------ */

static int vmstate(Transfer *t)
{
    VitBlockNode *node = t->tool->node;

    while (node && !node->driver->co_save_vmstate && node->file) node = node->file->node;
    if (!node || !node->driver->co_save_vmstate) return -ENOTSUP;
    return t->op == VIT_BLOCK_READ
               ? node->driver->co_load_vmstate(node, t->offset, t->buf, t->bytes)
               : node->driver->co_save_vmstate(node, t->offset, t->buf, t->bytes);
}

static void perform(void *opaque)
{
    Transfer *t = opaque;
    VitBlockNode *node = t->tool->node;
    uint32_t fua = t->fua ? VIT_BLOCK_FUA : 0;
    int64_t start = g_get_monotonic_time();
    bool outside = t->offset > node->size || t->bytes > node->size - t->offset;

    /* Files grow when they are written past their end, but not from here. */
    if (!t->vmstate && outside) t->result = -EIO;
    else if (t->vmstate) t->result = vmstate(t);
    else if (t->zero)
        t->result = vit_co_zero(node, t->offset, t->bytes,
                                fua | (t->unmap ? VIT_BLOCK_MAY_UNMAP : 0) |
                                    (t->no_fallback ? VIT_BLOCK_NO_FALLBACK : 0));
    else if (t->op == VIT_BLOCK_READ)
        t->result = vit_co_readv(node, t->offset, t->bytes, t->iov, t->niov);
    else if (t->op == VIT_BLOCK_WRITE)
        t->result = vit_co_writev(node, t->offset, t->bytes, t->iov, t->niov,
                                  fua | (t->compressed ? VIT_BLOCK_COMPRESSED : 0));
    else t->result = vit_co_discard(node, t->offset, t->bytes);
    t->micros = g_get_monotonic_time() - start;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void dump(const Transfer *t)
{
    for (uint64_t at = 0; at < t->bytes; at += 16) {
        unsigned n = (unsigned)MIN(16, t->bytes - at);
        printf("%08" G_GINT64_MODIFIER "x:  ", t->offset + at);
        for (unsigned i = 0; i < n; i++) printf("%02x ", t->buf[at + i]);
        putchar(' ');
        for (unsigned i = 0; i < n; i++)
            putchar(g_ascii_isalnum(t->buf[at + i]) ? t->buf[at + i] : '.');
        putchar('\n');
    }
}

static void report(const Transfer *t)
{
    double seconds = (double)MAX(t->micros, 1) / 1e6;
    g_autofree char *size = io_size((double)t->bytes), *rate = io_size((double)t->bytes / seconds);

    if (t->parsable) {
        printf("%" G_GUINT64_FORMAT ",1,0:%02d:%05.2f,%.3f,%.3f\n", t->bytes, (int)seconds / 60,
               seconds - 60 * ((int)seconds / 60), (double)t->bytes / seconds, 1 / seconds);
        return;
    }
    printf("%s %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT "\n",
           t->verb, t->bytes, t->bytes, t->offset);
    printf("%s, 1 ops; %05.2f sec (%s/sec and %.4f ops/sec)\n", size, seconds, rate, 1 / seconds);
}

static int finish(Transfer *t)
{
    int result = 0;

    if (t->result < 0) {
        printf("%s failed: %s\n", t->failed, g_strerror(-t->result));
        return -1;
    }
    if (t->op == VIT_BLOCK_READ && t->pattern >= 0) {
        uint64_t from = t->pattern_from < 0 ? 0 : (uint64_t)t->pattern_from;
        uint64_t bytes = t->pattern_bytes < 0 ? t->bytes - from : (uint64_t)t->pattern_bytes;
        for (uint64_t i = 0; i < bytes && result == 0; i++)
            result = t->buf[from + i] == t->pattern ? 0 : -1;
        if (result < 0)
            printf("Pattern verification failed at offset %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
                   " bytes\n",
                   t->offset + from, bytes);
    }
    if (t->quiet) return result;
    if (t->verbose && t->op == VIT_BLOCK_READ) dump(t);
    report(t);
    return result;
}

static void discard_transfer(Transfer *t)
{
    free(t->buf);
    g_free(t);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static bool take_pattern(Transfer *t, const char *text)
{
    char *end;
    long value = strtol(text, &end, 0);

    if (end == text || *end || value < 0 || value > 255) {
        printf("%s is not a valid pattern byte\n", text);
        return false;
    }
    t->pattern = (int)value;
    return true;
}

/* The options before the offset; letters: those that the command knows. */
static bool take_options(Transfer *t, int argc, char **argv, const char *letters)
{
    const IoCommand *command = io_find(argv[0]);
    bool from = false;
    int c;

    t->pattern = -1;
    t->pattern_from = t->pattern_bytes = -1;
    while ((c = getopt(argc, argv, letters)) != -1) {
        switch (c) {
        case 'b': t->vmstate = true; break;
        case 'c': t->compressed = true; break;
        case 'C': t->parsable = true; break;
        case 'f': t->fua = true; break;
        case 'i': t->invalid = true; break;
        case 'n': t->no_fallback = true; break;
        case 'p':
        case 'r':
        case 'a': break;
        case 'q': t->quiet = true; break;
        case 'u': t->unmap = true; break;
        case 'v': t->verbose = true; break;
        case 'z': t->zero = true; break;
        case 'l':
            if ((t->pattern_bytes = io_number(optarg)) < 0) return false;
            break;
        case 's':
            if (t->op == VIT_BLOCK_WRITE) t->source = optarg;
            else if ((t->pattern_from = io_number(optarg)) < 0) return false;
            from = true;
            break;
        case 'P':
            if (!take_pattern(t, optarg)) return false;
            break;
        default: io_usage(command); return false;
        }
    }
    if (argc - optind < 2 ||
        (t->op == VIT_BLOCK_READ && (from || t->pattern_bytes >= 0) && t->pattern < 0)) {
        io_usage(command);
        return false;
    }
    if (t->vmstate && t->zero) {
        printf("-b and -z cannot be specified at the same time\n");
        return false;
    }
    if (t->fua && (t->vmstate || t->compressed)) {
        printf("-f and -b or -c cannot be specified at the same time\n");
        return false;
    }
    if (t->unmap && !t->zero) {
        printf("-u requires -z to be specified\n");
        return false;
    }
    if (t->no_fallback && !t->zero) {
        printf("-n requires -z to be specified\n");
        return false;
    }
    if (t->zero + (t->pattern >= 0) + (t->source != NULL) > 1 && t->op == VIT_BLOCK_WRITE) {
        printf("Only one of -z, -P, and -s can be specified at the same time\n");
        return false;
    }
    return true;
}

static bool fill_from_file(Transfer *t)
{
    g_autofree char *content = NULL;
    g_autoptr(GError) error = NULL;
    gsize size;

    if (access(t->source, R_OK) < 0) {
        fprintf(stderr, "%s: %s\n", t->source, g_strerror(errno));
        return false;
    }
    if (!g_file_get_contents(t->source, &content, &size, &error)) {
        fprintf(stderr, "%s: %s\n", t->source, error->message);
        return false;
    }
    if (size == 0) {
        printf("%s is empty\n", t->source);
        return false;
    }
    for (uint64_t at = 0; at < t->bytes; at += size)
        memcpy(t->buf + at, content, MIN(size, t->bytes - at));
    return true;
}

/* Compressed data and the state of a machine are kept in sectors. */
static bool check_sectors(const Transfer *t)
{
    bool sectors = t->compressed || t->vmstate, offset = t->offset % 512;

    if (!sectors || (t->offset | t->bytes) % 512 == 0) return true;
    printf("%" G_GUINT64_FORMAT " is not a sector-aligned value for '%s'\n",
           offset ? t->offset : t->bytes, offset ? "offset" : "count");
    return false;
}

/* Images are not written, and sectors not counted, where nothing may be written at all. */
static bool refuse_read_only(const Transfer *t)
{
    if (t->op == VIT_BLOCK_READ || !t->tool->node->how.read_only) return false;
    fprintf(stderr, "%s: Block node is read-only\n", program_invocation_short_name);
    return true;
}

/* Lengths of zeroes have no bound where no memory is filled with them. */
static bool is_bounded(const Transfer *t, bool vectored)
{
    return t->op != VIT_BLOCK_DISCARD && !(t->zero && (t->no_fallback || vectored));
}

/* Offset and lengths; memory for them. */
static bool take_range(Transfer *t, int argc, char **argv, bool vectored)
{
    int64_t offset = io_number(argv[optind++]);

    if (offset < 0) return false;
    t->offset = (uint64_t)offset;
    if (!vectored && argc - optind != 1) {
        io_usage(io_find(argv[0]));
        return false;
    }
    for (; optind < argc && t->niov < (int)G_N_ELEMENTS(t->iov); optind++) {
        int64_t bytes = io_number(argv[optind]);
        if (bytes < 0) return false;
        if (vectored && !t->zero && t->op != VIT_BLOCK_DISCARD && bytes > MAX_BYTES) {
            printf("Argument '%s' exceeds maximum size %d\n", argv[optind], MAX_BYTES);
            return false;
        }
        if (is_bounded(t, vectored) &&
            (bytes > MAX_BYTES || t->bytes > MAX_BYTES - (uint64_t)bytes)) {
            printf("length cannot exceed %d%s, given %s\n", MAX_BYTES,
                   t->op == VIT_BLOCK_WRITE ? " without -n" : "", argv[optind]);
            return false;
        }
        t->iov[t->niov++].iov_len = (size_t)bytes;
        t->bytes += (uint64_t)bytes;
    }
    if (t->pattern >= 0 && t->op == VIT_BLOCK_READ) {
        uint64_t from = (uint64_t)MAX(t->pattern_from, 0),
                 bytes = (uint64_t)MAX(t->pattern_bytes, 0);
        if (from > t->bytes || bytes > t->bytes - from) {
            printf("pattern verification range exceeds end of read data\n");
            return false;
        }
    }
    if (refuse_read_only(t) || !check_sectors(t)) return false;
    if (t->zero || t->op == VIT_BLOCK_DISCARD) return true;
    if (posix_memalign((void **)&t->buf, 4096, MAX(t->bytes, 1)) != 0) {
        printf("no memory for %" G_GUINT64_FORMAT " bytes\n", t->bytes);
        return false;
    }
    memset(t->buf, t->pattern >= 0 && t->op == VIT_BLOCK_WRITE ? t->pattern : FILL, t->bytes);
    size_t at = 0;
    for (int i = 0; i < t->niov; i++) {
        t->iov[i].iov_base = t->buf + at;
        at += t->iov[i].iov_len;
    }
    return !t->source || fill_from_file(t);
}

/* Zeroes of aio_write are one piece. */
static bool check_pieces(const Transfer *t)
{
    if (!t->zero || t->niov <= 1) return true;
    printf("-z supports only a single length parameter\n");
    return false;
}

static Transfer *prepare(IoTool *tool, VitBlockOp op, int argc, char **argv, const char *letters,
                         bool vectored, const char *verb, const char *failed)
{
    Transfer *t = g_new0(Transfer, 1);

    t->tool = tool;
    t->op = op;
    t->verb = verb;
    t->failed = failed;
    if (take_options(t, argc, argv, letters) && take_range(t, argc, argv, vectored) &&
        check_pieces(t))
        return t;
    discard_transfer(t);
    return NULL;
}

static int run(Transfer *t)
{
    if (!t) return -1;
    vit_fiber_run_sync(t->tool->thread, perform, t);
    int result = finish(t);
    discard_transfer(t);
    return result;
}

static int cmd_read(IoTool *tool, int argc, char **argv)
{
    return run(prepare(tool, VIT_BLOCK_READ, argc, argv, "abCl:pP:qrs:v", false, "read", "read"));
}

static int cmd_readv(IoTool *tool, int argc, char **argv)
{
    return run(prepare(tool, VIT_BLOCK_READ, argc, argv, "CP:qrv", true, "read", "readv"));
}

static int cmd_write(IoTool *tool, int argc, char **argv)
{
    return run(
        prepare(tool, VIT_BLOCK_WRITE, argc, argv, "bcCfnpP:qrs:uz", false, "wrote", "write"));
}

static int cmd_writev(IoTool *tool, int argc, char **argv)
{
    return run(prepare(tool, VIT_BLOCK_WRITE, argc, argv, "CfqrP:", true, "wrote", "writev"));
}

static int cmd_discard(IoTool *tool, int argc, char **argv)
{
    return run(prepare(tool, VIT_BLOCK_DISCARD, argc, argv, "Cq", false, "discard", "discard"));
}

/* ---- asynchronous ---------------------------------------------------------------------------- */

static void perform_later(void *opaque)
{
    Transfer *t = opaque;
    IoTool *tool = t->tool;

    tool->in_flight++;
    perform(t);
    finish(t);
    discard_transfer(t);
    tool->in_flight--;
    vit_fiber_cond_wake_all(&tool->idle);
}

static int start(Transfer *t)
{
    if (!t) return -1;
    vit_fiber_start(t->tool->thread, perform_later, t);
    return 0;
}

static int cmd_aio_read(IoTool *tool, int argc, char **argv)
{
    return start(prepare(tool, VIT_BLOCK_READ, argc, argv, "CP:iqrv", true, "read", "readv"));
}

static int cmd_aio_write(IoTool *tool, int argc, char **argv)
{
    return start(
        prepare(tool, VIT_BLOCK_WRITE, argc, argv, "CfiP:qruz", true, "wrote", "aio_write"));
}

static int cmd_aio_discard(IoTool *tool, int argc, char **argv)
{
    return start(
        prepare(tool, VIT_BLOCK_DISCARD, argc, argv, "Cq", false, "discard", "aio_discard"));
}

static void wait_idle(void *opaque)
{
    IoTool *tool = opaque;

    while (tool->in_flight > 0) vit_fiber_cond_wait(&tool->idle, NULL);
}

static int cmd_aio_flush(IoTool *tool, int argc, char **argv)
{
    vit_fiber_run_sync(tool->thread, wait_idle, tool);
    return 0;
}

const IoCommand io_transfer_commands[] = {
    { "aio_discard", NULL, cmd_aio_discard, 2, -1, true, "[-Cq] off len ",
      "asynchronously discards a number of bytes", NULL },
    { "aio_flush", NULL, cmd_aio_flush, 0, 0, false, "", "completes all outstanding aio requests",
      NULL },
    { "aio_read", NULL, cmd_aio_read, 2, -1, true, "[-Ciqrv] [-P pattern] off len [len..] ",
      "asynchronously reads a number of bytes",
      " Reads without waiting; aio_flush waits for what is under way. The command counts as\n"
      " successful once it is submitted.\n" },
    { "aio_write", NULL, cmd_aio_write, 2, -1, true, "[-Cfiqruz] [-P pattern] off len [len..] ",
      "asynchronously writes a number of bytes",
      " Writes without waiting; aio_flush waits for what is under way. The command counts as\n"
      " successful once it is submitted.\n" },
    { "discard", "d", cmd_discard, 2, -1, true, "[-Cq] off len ",
      "discards a number of bytes at a specified offset",
      " -C, -- report statistics in a machine parsable format\n"
      " -q, -- quiet mode, do not show I/O statistics\n" },
    { "read", "r", cmd_read, 2, -1, true, "[-abCqrv] [-P pattern [-s off] [-l len]] off len ",
      "reads a number of bytes at a specified offset",
      " Example: 'read -v 512 1k' dumps 1 kilobyte read from byte 512\n"
      " -b, -- read from the VM state rather than the virtual disk\n"
      " -C, -- report statistics in a machine parsable format\n"
      " -l, -- length for pattern verification (only with -P)\n"
      " -P, -- use a pattern to verify read data\n"
      " -q, -- quiet mode, do not show I/O statistics\n"
      " -s, -- start offset for pattern verification (only with -P)\n"
      " -v, -- dump buffer to standard output\n" },
    { "readv", "rv", cmd_readv, 2, -1, true, "[-Cqrv] [-P pattern] off len [len..] ",
      "reads a number of bytes at a specified offset", " Each length is a buffer of its own.\n" },
    { "write", "w", cmd_write, 2, -1, true, "[-bcCfnqruz] [-P pattern | -s source_file] off len ",
      "writes a number of bytes at a specified offset",
      " Example: 'write 512 1k' writes 1 kilobyte of 0xcd at byte 512\n"
      " -b, -- write to the VM state rather than the virtual disk\n"
      " -c, -- write compressed data\n"
      " -C, -- report statistics in a machine parsable format\n"
      " -f, -- use Force Unit Access semantics\n"
      " -n, -- with -z, don't allow slow fallback\n"
      " -P, -- use different pattern to fill file\n"
      " -q, -- quiet mode, do not show I/O statistics\n"
      " -s, -- use a pattern file to fill the write buffer\n"
      " -u, -- with -z, allow unmapping\n"
      " -z, -- write zeroes\n" },
    { "writev", "wv", cmd_writev, 2, -1, true, "[-Cfqr] [-P pattern] off len [len..] ",
      "writes a number of bytes at a specified offset", " Each length is a buffer of its own.\n" },
    { .name = NULL },
};
