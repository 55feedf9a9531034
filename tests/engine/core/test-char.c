/* tests/engine/core/test-char.c - every host end of a byte stream, slow ones and vanishing ones
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/char.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

typedef struct {
    VitSystem  *sys;
    VitChar    *chr;
    size_t      room;           /* what the front takes; the rest is guarded by the machine lock */
    GByteArray *got;
    unsigned    opened, closed, breaks, writable;
    bool        wrong_thread, echo;
} Fixture;

/* The one message that may come, once. */
static const char *expected;

static GLogWriterOutput take_message(GLogLevelFlags level, const GLogField *fields, gsize n,
                                     gpointer data)
{
    for (gsize i = 0; expected && i < n; i++)
        if (strcmp(fields[i].key, "MESSAGE") == 0 && strstr(fields[i].value, expected)) {
            expected = NULL;
            return G_LOG_WRITER_HANDLED;
        }
    return g_log_writer_default(level, fields, n, data);
}

static size_t front_can_receive(void *opaque)
{
    return ((Fixture *) opaque)->room;
}

static void front_receive(void *opaque, const uint8_t *data, size_t size)
{
    Fixture *f = opaque;
    g_assert_cmpuint(size, <=, f->room);
    f->wrong_thread |= !vit_io_thread_is_current(f->sys->thread);
    g_byte_array_append(f->got, data, (guint) size);
    if (f->room < 1000)
        f->room -= size;
    if (f->echo)
        g_assert_cmpuint(vit_char_write(f->chr, data, size), ==, size);
}

static void front_event(void *opaque, VitCharEvent event)
{
    Fixture *f = opaque;
    f->opened += event == VIT_CHAR_OPENED;
    f->closed += event == VIT_CHAR_CLOSED;
    f->breaks += event == VIT_CHAR_BREAK;
}

static void front_writable(void *opaque)
{
    ((Fixture *) opaque)->writable++;
}

static const VitCharFront front = {
    .can_receive = front_can_receive, .receive = front_receive, .event = front_event,
    .writable = front_writable,
};

static void setup(Fixture *f, gconstpointer data)
{
    f->sys = vit_system_new();
    f->got = g_byte_array_new();
    f->room = 1000;
}

static void teardown(Fixture *f, gconstpointer data)
{
    vit_system_free(f->sys);
    g_assert_false(f->wrong_thread);
    g_byte_array_unref(f->got);
}

static void open_char(Fixture *f, const char *spec)
{
    g_autoptr(GError) error = NULL;
    f->chr = vit_char_open(f->sys, "serial0", spec, &error);
    g_assert_no_error(error);
    vit_char_attach(f->chr, &front, f);
}

static bool got(Fixture *f, const char *text)
{
    for (int i = 0; i < 5000; i++) {
        vit_system_lock(f->sys);
        bool same = f->got->len == strlen(text) && memcmp(f->got->data, text, f->got->len) == 0;
        vit_system_unlock(f->sys);
        if (same)
            return true;
        g_usleep(1000);
    }
    return false;
}

static bool becomes(Fixture *f, unsigned *value, unsigned wanted)
{
    for (int i = 0; i < 5000; i++) {
        vit_system_lock(f->sys);
        bool same = *value >= wanted;
        vit_system_unlock(f->sys);
        if (same)
            return true;
        g_usleep(1000);
    }
    return false;
}

static size_t put(Fixture *f, const char *text)
{
    return vit_char_write(f->chr, (const uint8_t *) text, strlen(text));
}

static void expect_read(int fd, const char *text)
{
    char buf[256] = { 0 };
    size_t n = 0, length = strlen(text);
    g_assert_cmpuint(length, <, sizeof(buf));
    while (n < length) {
        ssize_t part = read(fd, buf + n, length - n);
        g_assert_cmpint(part, >, 0);
        n += (size_t) part;
    }
    g_assert_cmpstr(buf, ==, text);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_specs(Fixture *f, gconstpointer data)
{
    static const char *const bad[] = {
        "", "stdoi", "file", "unix", "unix:", "unix:/a,sever", "tcp:1234", "tcp:localhost:",
        "tcp:127.0.0.1:1", "unix:/nowhere/at/all", "unix:/nowhere/at/all,server,nowait",
        "file:/nowhere/at/all", "udp:1:2", "mon:", "mon:mon:stdio",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(vit_char_open(f->sys, "c", bad[i], &error));
        g_assert_nonnull(error);
    }
    g_assert_cmpuint(f->sys->chars->len, ==, 0);
    g_autoptr(GError) error = NULL;
    g_assert_null(vit_char_open(f->sys, "c", "stdoi", &error));
    g_assert_nonnull(strstr(error->message, "stdio"));
    g_clear_error(&error);
    open_char(f, "null");
    g_assert_cmpuint(put(f, "into the void"), ==, 13);
    g_assert_cmpuint(f->opened, ==, 1);
    g_assert_true(vit_char_find(f->sys, "serial0") == f->chr);
    g_assert_null(vit_char_open(f->sys, "serial0", "null", &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS);
}

static void test_memory(Fixture *f, gconstpointer data)
{
    f->chr = vit_char_new_memory(f->sys, "m", 8);
    vit_char_memory_feed(f->chr, "early", 5);
    f->room = 3;
    vit_char_attach(f->chr, &front, f);
    g_assert_true(got(f, "ear"));
    f->room = 1000;
    vit_char_accept_input(f->chr);
    g_assert_true(got(f, "early"));
    put(f, "0123456789");
    g_autofree char *text = vit_char_memory_take(f->chr, NULL);
    g_assert_cmpstr(text, ==, "23456789");
}

static void test_escapes(Fixture *f, gconstpointer data)
{
    Fixture monitor = { .sys = f->sys, .room = 1000, .got = g_byte_array_new() };
    f->chr = vit_char_new_memory(f->sys, "m", 1000);
    f->chr->escapes = true;
    vit_char_attach(f->chr, &front, f);
    vit_char_memory_feed(f->chr, "a\001\001b\001bc\001", 8);
    vit_char_memory_feed(f->chr, "zd", 2);
    g_assert_true(got(f, "a\001bcd"));
    g_assert_cmpuint(f->breaks, ==, 1);
    vit_char_memory_feed(f->chr, "\001ce", 3);      /* no monitor: nothing to turn to */
    g_assert_true(got(f, "a\001bcde"));
    vit_char_attach_monitor(f->chr, &front, &monitor);
    vit_char_memory_feed(f->chr, "\001cinfo\001cf\001h", 11);
    g_assert_true(got(f, "a\001bcdef"));
    g_assert_true(got(&monitor, "info"));
    g_autofree char *help = vit_char_memory_take(f->chr, NULL);
    g_assert_nonnull(strstr(help, "Ctrl-A x"));
    vit_char_free(f->chr);
    g_byte_array_unref(monitor.got);
}

static void test_file(Fixture *f, gconstpointer data)
{
    g_autofree char *dir = g_dir_make_tmp("vitrine-char-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "out", NULL);
    g_autofree char *spec = g_strconcat("file:", path, NULL);
    g_autofree char *text = NULL;
    open_char(f, spec);
    put(f, "one\n");
    put(f, "two\n");
    vit_char_free(f->chr);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "one\ntwo\n");
    unlink(path);
    rmdir(dir);

    open_char(f, "file:/dev/full");
    expected = "cannot write /dev/full";
    g_assert_cmpuint(put(f, "lost"), ==, 4);
    g_assert_null(expected);                        /* said once */
    g_assert_cmpuint(put(f, "lost"), ==, 4);
}

static int connect_unix(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *) &addr, sizeof(addr)), ==, 0);
    return fd;
}

static void test_unix(Fixture *f, gconstpointer data)
{
    g_autofree char *dir = g_dir_make_tmp("vitrine-char-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    g_autofree char *spec = g_strconcat("unix:", path, ",server,nowait", NULL);
    g_autofree char *client_spec = g_strconcat("unix:", path, NULL);
    open_char(f, spec);
    g_assert_cmpuint(f->opened, ==, 0);
    g_assert_cmpuint(put(f, "nobody hears"), ==, 12);

    int fd = connect_unix(path);
    g_assert_true(becomes(f, &f->opened, 1));
    put(f, "hello");
    expect_read(fd, "hello");
    g_assert_cmpint(write(fd, "input", 5), ==, 5);
    g_assert_true(got(f, "input"));
    close(fd);
    g_assert_true(becomes(f, &f->closed, 1));
    fd = connect_unix(path);        /* and the next one */
    g_assert_true(becomes(f, &f->opened, 2));

    /* A client that goes while its input waits: found when the guest writes on. */
    vit_system_lock(f->sys);
    f->room = 0;
    vit_system_unlock(f->sys);
    g_assert_cmpint(write(fd, "x", 1), ==, 1);
    g_usleep(10000);
    close(fd);
    for (int i = 0; i < 100 && f->closed < 2; i++) {
        put(f, "anyone?");
        g_usleep(1000);
    }
    g_assert_true(becomes(f, &f->closed, 2));
    vit_system_lock(f->sys);
    f->room = 1000;
    vit_system_unlock(f->sys);

    /* Our own client end, and a second server on the same path is refused while the first lives. */
    g_autoptr(GError) error = NULL;
    VitChar *client = vit_char_open(f->sys, "client", client_spec, &error);
    g_assert_no_error(error);
    g_assert_true(becomes(f, &f->opened, 3));
    g_byte_array_set_size(f->got, 0);
    vit_char_write(client, (const uint8_t *) "from the client", 15);
    g_assert_true(got(f, "from the client"));
    g_assert_null(vit_char_open(f->sys, "second", spec, &error));
    g_clear_error(&error);
    vit_char_free(client);
    vit_char_free(f->chr);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));

    /* A socket file that a dead program left behind is no obstacle. */
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(dead, (struct sockaddr *) &addr, sizeof(addr)), ==, 0);
    close(dead);
    open_char(f, spec);
    vit_char_free(f->chr);
    rmdir(dir);
}

static gpointer connect_later(gpointer data)
{
    g_usleep(20000);
    return GINT_TO_POINTER(connect_unix(data));
}

static void test_server_waits(Fixture *f, gconstpointer data)
{
    g_autofree char *dir = g_dir_make_tmp("vitrine-char-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    g_autofree char *spec = g_strconcat("unix:", path, ",server=on", NULL);
    GThread *thread = g_thread_new("client", connect_later, path);
    expected = "waiting for a connection";
    open_char(f, spec);
    g_assert_null(expected);
    g_assert_cmpuint(f->opened, ==, 1);
    int fd = GPOINTER_TO_INT(g_thread_join(thread));
    put(f, "welcome");
    expect_read(fd, "welcome");
    close(fd);
    vit_char_free(f->chr);
    rmdir(dir);
}

static void test_tcp(Fixture *f, gconstpointer data)
{
    open_char(f, "tcp::0,server,nowait");
    g_assert_true(g_str_has_prefix(f->chr->address, "127.0.0.1:"));     /* loopback unless asked */
    g_autofree char *spec = g_strconcat("tcp:", f->chr->address, NULL);
    g_autoptr(GError) error = NULL;
    VitChar *client = vit_char_open(f->sys, "client", spec, &error);
    g_assert_no_error(error);
    g_assert_true(becomes(f, &f->opened, 1));
    vit_char_write(client, (const uint8_t *) "over TCP", 8);
    g_assert_true(got(f, "over TCP"));
    vit_char_free(client);
    g_assert_true(becomes(f, &f->closed, 1));
}

/* A reader that does not read: the writer is never held up, gets short counts and is told of
 * room. */
static void test_slow_end(Fixture *f, gconstpointer data)
{
    g_autofree char *dir = g_dir_make_tmp("vitrine-char-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    g_autofree char *spec = g_strconcat("unix:", path, ",server,nowait", NULL);
    open_char(f, spec);
    int fd = connect_unix(path);
    g_assert_true(becomes(f, &f->opened, 1));
    uint8_t block[4096];
    size_t sent = 0, short_count = 0;
    for (unsigned i = 0; i < 4096 && !short_count; i++) {
        for (size_t k = 0; k < sizeof(block); k++)
            block[k] = (uint8_t) ((sent + k) * 31 >> 3);
        size_t n = vit_char_write(f->chr, block, sizeof(block));
        sent += n;
        short_count = sizeof(block) - n;
    }
    g_assert_cmpuint(short_count, >, 0);
    g_assert_cmpuint(sent, >=, 64 << 10);
    g_assert_cmpuint(f->writable, ==, 0);
    for (size_t seen = 0; seen < sent;) {
        ssize_t n = read(fd, block, MIN(sizeof(block), sent - seen));
        g_assert_cmpint(n, >, 0);
        for (ssize_t k = 0; k < n; k++)
            g_assert_cmpuint(block[k], ==, (uint8_t) ((seen + (size_t) k) * 31 >> 3));
        seen += (size_t) n;
    }
    g_assert_true(becomes(f, &f->writable, 1));
    close(fd);
    vit_char_free(f->chr);
    rmdir(dir);
}

static void test_pty(Fixture *f, gconstpointer data)
{
    open_char(f, "pty");
    uint8_t block[4096];
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 64; i++)        /* nobody reads: the oldest is lost, nothing waits */
        g_assert_cmpuint(vit_char_write(f->chr, block, sizeof(block)), ==, sizeof(block));
    put(f, "THE END");
    int fd = open(f->chr->address, O_RDWR | O_NOCTTY);
    g_assert_cmpint(fd, >=, 0);
    char byte = 'x';
    size_t n = 0;
    while (byte == 'x' && n++ < 64 * sizeof(block))
        g_assert_cmpint(read(fd, &byte, 1), ==, 1);
    g_assert_cmpint(byte, ==, 'T');
    expect_read(fd, "HE END");
    g_assert_cmpint(write(fd, "typed\r", 6), ==, 6);
    g_assert_true(got(f, "typed\r"));
    close(fd);
    put(f, "after");
}

/* ---- The terminal: a child process with a terminal of its own -------------------------------- */

static void request(VitSystem *sys, VitRequest what, int exit_code, const char *reason)
{
    __atomic_store_n((int *) sys->request_opaque, (int) what, __ATOMIC_SEQ_CST);
}

static int terminal_child(const char *slave, const char *spec)
{
    setsid();
    int fd = open(slave, O_RDWR);
    ioctl(fd, TIOCSCTTY, 0);
    dup2(fd, 0);
    dup2(fd, 1);
    struct termios before, during, after;
    tcgetattr(0, &before);
    Fixture f = { .echo = true };
    int requested = 0;
    setup(&f, NULL);
    f.sys->request = request;
    f.sys->request_opaque = &requested;
    f.chr = vit_char_open(f.sys, "serial0", spec, NULL);
    if (!f.chr)
        return 2;
    tcgetattr(0, &during);
    if (vit_char_open(f.sys, "second", "stdio", NULL))
        return 8;
    vit_char_attach(f.chr, &front, &f);
    for (int i = 0; i < 5000 && !__atomic_load_n(&requested, __ATOMIC_SEQ_CST); i++)
        g_usleep(1000);
    teardown(&f, NULL);
    tcgetattr(0, &after);
    if (requested != VIT_REQUEST_EXIT)
        return 3;
    if (during.c_lflag & (ECHO | ICANON))
        return 4;
    if (((during.c_lflag & ISIG) != 0) != (strcmp(spec, "stdio") == 0))
        return 5;
    if (fcntl(0, F_GETFL) & O_NONBLOCK)
        return 6;
    return before.c_lflag == after.c_lflag && before.c_iflag == after.c_iflag ? 0 : 7;
}

static void test_stdio(gconstpointer data)
{
    const char *spec = data;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    g_assert_cmpint(master, >=, 0);
    g_assert_cmpint(grantpt(master), ==, 0);
    g_assert_cmpint(unlockpt(master), ==, 0);
    g_autofree char *slave = g_strdup(ptsname(master));
    int keep = open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios modes;
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0)
        _exit(terminal_child(slave, spec));
    for (int i = 0; i < 5000; i++) {    /* until the child has the terminal */
        tcgetattr(keep, &modes);
        if (!(modes.c_lflag & ICANON))
            break;
        g_usleep(1000);
    }
    g_assert_cmpint(write(master, "hi\r", 3), ==, 3);
    expect_read(master, "hi\r");
    g_assert_cmpint(write(master, "\001x", 2), ==, 2);
    int status = -1;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    close(keep);
    close(master);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_writer_func(take_message, NULL, NULL);
    g_test_add_data_func("/core/char/stdio", "stdio", test_stdio);
    g_test_add_data_func("/core/char/mon-stdio", "mon:stdio", test_stdio);
    g_test_add("/core/char/specs", Fixture, NULL, setup, test_specs, teardown);
    g_test_add("/core/char/memory", Fixture, NULL, setup, test_memory, teardown);
    g_test_add("/core/char/escapes", Fixture, NULL, setup, test_escapes, teardown);
    g_test_add("/core/char/file", Fixture, NULL, setup, test_file, teardown);
    g_test_add("/core/char/unix", Fixture, NULL, setup, test_unix, teardown);
    g_test_add("/core/char/server-waits", Fixture, NULL, setup, test_server_waits, teardown);
    g_test_add("/core/char/tcp", Fixture, NULL, setup, test_tcp, teardown);
    g_test_add("/core/char/slow-end", Fixture, NULL, setup, test_slow_end, teardown);
    g_test_add("/core/char/pty", Fixture, NULL, setup, test_pty, teardown);
    return g_test_run();
}
