/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-cache-writer.c - writes through the page cache: all sizes at once, failures, an
 * end within done(), and a write that waits */
#include "block/cache-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WRITES = 300, MOST = 400 << 10, PAGE = 4096 };

typedef struct {
    VitIoThread *thread;
    VitCacheWriter *writer;
    int fd;
    char *path;
    unsigned done; /* atomic */
} Fixture;

typedef struct {
    VitIo io; /* first member */
    Fixture *f;
    struct iovec iov[2];
    bool frees;
} Write;

static void written(VitIo *io)
{
    Write *w = (Write *)io;

    if (w->frees) g_clear_pointer(&w->f->writer, vit_cache_writer_free);
    __atomic_add_fetch(&w->f->done, 1, __ATOMIC_RELEASE);
}

static void aim(Write *w, Fixture *f, void *buf, size_t size, uint64_t offset)
{
    size_t first = size / 3;

    *w = (Write){ .f = f };
    w->iov[0] = (struct iovec){ buf, first };
    w->iov[1] = (struct iovec){ (uint8_t *)buf + first, size - first };
    w->io = (VitIo){ .kind = VIT_IO_WRITE,
                     .iov = &w->iov[first == 0],
                     .niov = first == 0 ? 1 : 2,
                     .offset = offset,
                     .done = written };
}

static void await(Fixture *f, unsigned n)
{
    while (__atomic_load_n(&f->done, __ATOMIC_ACQUIRE) < n) g_usleep(200);
}

static void set_up(Fixture *f, gconstpointer read_only)
{
    f->thread = vit_io_thread_new("block");
    f->fd = g_file_open_tmp("vitrine-writer-XXXXXX", &f->path, NULL);
    g_assert_cmpint(f->fd, >=, 0);
    if (read_only) {
        close(f->fd);
        f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    }
    f->writer = vit_cache_writer_new(f->thread, f->fd);
    f->done = 0;
}

static void free_writer(void *opaque)
{
    vit_cache_writer_free(((Fixture *)opaque)->writer);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    vit_io_thread_call_sync(f->thread, free_writer, f);
    vit_io_thread_free(f->thread);
    close(f->fd);
    g_unlink(f->path);
    g_free(f->path);
}

typedef struct {
    Fixture *f;
    Write *writes;
    unsigned n;
    bool plug;
} Lot;

static void submit(void *opaque)
{
    Lot *lot = opaque;

    if (lot->plug) vit_cache_writer_plug(lot->f->writer, true);
    for (unsigned i = 0; i < lot->n; i++)
        vit_cache_writer_submit(lot->f->writer, &lot->writes[i].io);
    if (lot->plug) vit_cache_writer_plug(lot->f->writer, false);
}

static void test_content(Fixture *f, gconstpointer data)
{
    g_autofree Write *writes = g_new(Write, WRITES);
    g_autofree uint8_t *source = g_malloc(WRITES + MOST), *read_back = g_malloc(MOST);
    size_t sizes[WRITES];
    uint64_t offset = 0;

    for (unsigned i = 0; i < WRITES + MOST; i++) source[i] = (uint8_t)(i * 13 + i / 251);
    for (unsigned i = 0; i < WRITES; i++) {
        sizes[i] = i % 50 == 7 ? MOST - i : 1 + (i * 37) % 9000;
        aim(&writes[i], f, source + i, sizes[i], offset);
        offset += sizes[i];
    }
    for (unsigned i = 0, n; i < WRITES; i += n) {
        n = MIN(1 + i % 70, WRITES - i);
        Lot lot = { f, writes + i, n, i % 3 != 0 };
        vit_io_thread_call_sync(f->thread, submit, &lot);
        if (i % 2) await(f, i + n);
    }
    await(f, WRITES);
    offset = 0;
    for (unsigned i = 0; i < WRITES; i++) {
        g_assert_cmpint(writes[i].io.result, ==, (int64_t)sizes[i]);
        g_assert_cmpint(pread(f->fd, read_back, sizes[i], (off_t)offset), ==, (int64_t)sizes[i]);
        g_assert_cmpmem(read_back, sizes[i], source + i, sizes[i]);
        offset += sizes[i];
    }
}

static void test_failure(Fixture *f, gconstpointer data)
{
    g_autofree uint8_t *source = g_malloc0(MOST);
    Write writes[2];

    aim(&writes[0], f, source, 512, 0);
    aim(&writes[1], f, source, MOST, 512);
    for (unsigned i = 0; i < 2; i++) {
        Lot lot = { f, writes + i, 1, false };
        vit_io_thread_call_sync(f->thread, submit, &lot);
        await(f, i + 1);
        g_assert_cmpint(writes[i].io.result, ==, -EBADF);
    }
}

static void nothing(void *opaque) {}

static void test_freed_by_done(Fixture *f, gconstpointer data)
{
    g_autofree uint8_t *source = g_malloc0(MOST);

    for (unsigned i = 0; i < 2; i++) {
        Write w;
        if (!f->writer) f->writer = vit_cache_writer_new(f->thread, f->fd);
        aim(&w, f, source, i ? MOST : 4096, 0);
        w.frees = true;
        Lot lot = { f, &w, 1, false };
        vit_io_thread_call_sync(f->thread, submit, &lot);
        await(f, i + 1);
        vit_io_thread_call_sync(f->thread, nothing, NULL);
        g_assert_null(f->writer);
    }
}

/* Memory whose pages come only when they are given, so that a write of them waits; -1: no. */
static int slow_memory(void *memory, size_t size)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register range = { .range = { (uintptr_t)memory, size },
                                     .mode = UFFDIO_REGISTER_MODE_MISSING };

    if (fd < 0) return -1;
    if (ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &range) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void give_page(int fd, uint8_t *page, const void *content)
{
    struct uffdio_copy copy = { .dst = (uintptr_t)page, .src = (uintptr_t)content, .len = PAGE };

    g_assert_cmpint(ioctl(fd, UFFDIO_COPY, &copy), ==, 0);
}

/* One write that waits holds the iothread; those that follow do not. */
static void test_waits(Fixture *f, gconstpointer data)
{
    uint8_t *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                           0);
    uint8_t content[PAGE], read_back[2 * PAGE];
    Write writes[2];
    Lot lots[2] = { { f, writes, 1, false }, { f, writes + 1, 1, false } };

    g_assert_true(memory != MAP_FAILED);
    int fd = slow_memory(memory, 2 * PAGE);
    if (fd < 0) {
        g_test_skip("userfaultfd(2) is not to be had");
        munmap(memory, 2 * PAGE);
        return;
    }
    memset(content, 0x77, PAGE);
    for (unsigned i = 0; i < 2; i++) {
        aim(&writes[i], f, memory + i * PAGE, PAGE, i * PAGE);
        writes[i].io.iov = writes[i].iov;
        writes[i].iov[0] = (struct iovec){ memory + i * PAGE, PAGE };
        writes[i].io.niov = 1;
    }
    vit_io_thread_call(f->thread, submit, &lots[0]);
    vit_io_thread_call(f->thread, submit, &lots[1]); /* right after it */
    g_usleep(200000);
    g_assert_cmpuint(__atomic_load_n(&f->done, __ATOMIC_ACQUIRE), ==, 0);
    give_page(fd, memory, content);
    vit_io_thread_call_sync(f->thread, nothing, NULL);
    await(f, 1);
    vit_io_thread_call_sync(f->thread, nothing, NULL);
    g_assert_cmpuint(__atomic_load_n(&f->done, __ATOMIC_ACQUIRE), ==, 1);
    give_page(fd, memory + PAGE, content);
    await(f, 2);
    g_assert_cmpint(pread(f->fd, read_back, sizeof read_back, 0), ==, sizeof read_back);
    for (unsigned i = 0; i < sizeof read_back; i++) g_assert_cmpuint(read_back[i], ==, 0x77);
    close(fd);
    munmap(memory, 2 * PAGE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/cache-writer/content", Fixture, NULL, set_up, test_content, tear_down);
    g_test_add("/cache-writer/failure", Fixture, "", set_up, test_failure, tear_down);
    g_test_add("/cache-writer/freed-by-done", Fixture, NULL, set_up, test_freed_by_done, tear_down);
    g_test_add("/cache-writer/waits", Fixture, NULL, set_up, test_waits, tear_down);
    return g_test_run();
}
