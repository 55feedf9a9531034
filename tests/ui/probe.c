/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/ui/probe.c - the only program of a guest: paints its screen with noise, reports its input
 *
 * It is the init of an initramfs whose /modules/order lists drivers to load.  On the first serial
 * port it says "FRAME width height" when the screen is painted, then "EV type code value" for each
 * event of each input device (linux/input-event-codes.h) and for each LED that changes.  The noise
 * is of all colours and the same each time, so that a pixel out of place or blended differs. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fb.h>
#include <linux/input.h>
#include <linux/kd.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_DEVICES = 16, PATIENCE_MS = 30000, STEP_MS = 20, LEDS_MS = 50 };

static FILE *port;

static void load_modules(void)
{
    FILE *order = fopen("/modules/order", "r");
    char name[128], path[160];

    while (order && fscanf(order, "%127s", name) == 1) {
        snprintf(path, sizeof(path), "/modules/%s", name);
        int fd = open(path, O_RDONLY);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) fprintf(port, "NO-MODULE %s\n", name);
        close(fd);
    }
}

static int open_in_time(const char *path)
{
    int fd = -1;

    for (int ms = 0; fd < 0 && ms < PATIENCE_MS; ms += STEP_MS) {
        fd = open(path, O_RDWR);
        if (fd < 0) usleep(STEP_MS * 1000);
    }
    return fd;
}

/* The console neither draws nor echoes from here on; lock keys go on to switch LEDs. */
static void silence_console(void)
{
    int fd = open("/dev/tty1", O_RDWR);

    if (fd < 0 || ioctl(fd, KDSETMODE, KD_GRAPHICS)) fprintf(port, "NO-CONSOLE\n");
}

static void paint(void)
{
    int fd = open_in_time("/dev/fb0");
    struct fb_var_screeninfo var;
    struct fb_fix_screeninfo fix;
    uint32_t x = 0x2545f491;

    if (fd < 0 || ioctl(fd, FBIOGET_VSCREENINFO, &var) || ioctl(fd, FBIOGET_FSCREENINFO, &fix) ||
        var.bits_per_pixel != 32) {
        fprintf(port, "NO-SCREEN\n");
        return;
    }
    silence_console();
    uint32_t *row = calloc(1, fix.line_length);
    for (uint32_t y = 0; row && y < var.yres; y++) {
        for (uint32_t i = 0; i < fix.line_length / 4; i++) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            row[i] = x & 0xffffff;
        }
        if (write(fd, row, fix.line_length) != (ssize_t)fix.line_length)
            fprintf(port, "NO-ROW %u\n", y);
    }
    free(row);
    var.activate = FB_ACTIVATE_NOW | FB_ACTIVATE_FORCE;     /* shows all of it at once */
    if (ioctl(fd, FBIOPUT_VSCREENINFO, &var)) fprintf(port, "NO-MODE\n");
    fprintf(port, "FRAME %u %u\n", var.xres, var.yres);
}

static int open_devices(struct pollfd *fds)
{
    int n = 0;
    DIR *folder = opendir("/dev/input");
    struct dirent *entry;

    while (folder && (entry = readdir(folder)) && n < MAX_DEVICES) {
        char path[300], name[80] = "";
        if (strncmp(entry->d_name, "event", 5)) continue;
        snprintf(path, sizeof(path), "/dev/input/%s", entry->d_name);
        fds[n] = (struct pollfd){ .fd = open(path, O_RDONLY), .events = POLLIN };
        if (fds[n].fd < 0) continue;
        ioctl(fds[n].fd, EVIOCGNAME(sizeof(name)), name);
        fprintf(port, "DEVICE %s\n", name);
        n++;
    }
    return n;
}

static void report(int fd)
{
    struct input_event event;

    if (read(fd, &event, sizeof(event)) == sizeof(event) && event.type != EV_SYN &&
        event.type != EV_MSC && event.type != EV_LED && !(event.type == EV_KEY && event.value == 2))
        fprintf(port, "EV %u %u %d\n", event.type, event.code, event.value);
}

/* A console's LEDs come without EV_SYN, which holds their events back: they are asked for. */
static void report_leds(const struct pollfd *fds, int n)
{
    static unsigned long lit;
    unsigned long now = 0, bits = 0;

    for (int i = 0; i < n; i++) {
        if (ioctl(fds[i].fd, EVIOCGLED(sizeof(bits)), &bits) > 0) now |= bits;
    }
    for (unsigned led = 0; led <= LED_SCROLLL; led++) {
        if ((now ^ lit) >> led & 1) fprintf(port, "EV %u %u %lu\n", EV_LED, led, now >> led & 1);
    }
    lit = now;
}

int main(void)
{
    struct pollfd fds[MAX_DEVICES];

    mkdir("/dev", 0755);
    mount("dev", "/dev", "devtmpfs", 0, "");
    port = fopen("/dev/ttyS0", "w");
    if (!port) return 1;
    setvbuf(port, NULL, _IOLBF, 0);
    load_modules();
    usleep(200000);                 /* drivers make their device files */
    int n = open_devices(fds);
    paint();
    fprintf(port, "READY\n");
    while (poll(fds, (nfds_t)n, LEDS_MS) >= 0) {
        report_leds(fds, n);
        for (int i = 0; i < n; i++) {
            if (fds[i].revents) report(fds[i].fd);
        }
    }
    return 0;
}
