/* dev.d/enter.c - run a command inside the cached Debian root, with the host's files beside it.
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * usage: enter ROOT PATH... -- COMMAND [ARGUMENT...]
 *
 * A tmpfs becomes the new "/". From ROOT come usr, etc, var, boot (and the links bin, lib, ...);
 * from the host come dev, proc, sys, run, tmp, var/tmp and every other top-level directory (home,
 * root, srv, ...), so that sources, display sockets, /dev/kvm, GPU, sound and D-Bus are where they
 * were. PATHs that lie inside a directory that ROOT provides (a clone in /usr/src) are bound too.
 * pivot_root instead of chroot, so that user namespaces (bubblewrap) still nest. Nothing is left
 * behind: the mounts belong to a namespace that dies with the command. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const from_root[] = { "usr", "etc", "var", "boot" };
/* top-level names of an operating system that are never passed through */
static const char *const hidden[] = { "bin",   "sbin",   "lib",        "lib32", "lib64",
                                      "libx32", "boot",   "lost+found", "usr",   "etc",
                                      "var",   "initrd.img", "vmlinuz" };

[[noreturn]] static void die(const char *what, const char *name)
{
    fprintf(stderr, "dev: cannot enter the environment: %s %s: %s\n", what, name, strerror(errno));
    exit(125);
}

static bool listed(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0) return true;
    return false;
}
#define LISTED(name, list) listed(name, list, sizeof(list) / sizeof(list)[0])

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) die("write", path);
    close(fd);
}

static void make_namespace(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char map[64];

    if (unshare(CLONE_NEWNS) == 0) return;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        die("a mount namespace", "(root or unprivileged user namespaces are needed)");
    }
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    write_file("/proc/self/gid_map", map);
}

static char *join(const char *a, const char *b)
{
    char *s;
    if (asprintf(&s, "%s/%s", a, b) < 0) die("memory for", b);
    return s;
}

static void make_path(const char *path)
{
    char part[PATH_MAX];
    snprintf(part, sizeof(part), "%s", path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        mkdir(part, 0755);
        *p = '/';
    }
    mkdir(part, 0755);
}

static void bind_tree(const char *from, const char *to)
{
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) != 0) die("mount", from);
}

static void make_read_only(const char *path)
{
    struct statvfs fs;
    unsigned long keep = 0;
    if (statvfs(path, &fs) == 0) {
        if (fs.f_flag & ST_NOSUID) keep |= MS_NOSUID;
        if (fs.f_flag & ST_NODEV) keep |= MS_NODEV;
        if (fs.f_flag & ST_NOEXEC) keep |= MS_NOEXEC;
        if (fs.f_flag & ST_NOATIME) keep |= MS_NOATIME;
        if (fs.f_flag & ST_RELATIME) keep |= MS_RELATIME;
    }
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | keep, NULL) != 0)
        die("remount", path);
}

/* Shows one entry of the host's "/" in the new root. */
static void pass_through(const char *new_root, const char *name)
{
    char *from = join("", name), *to = join(new_root, name), target[PATH_MAX];
    struct stat st;
    ssize_t n;

    if (lstat(from, &st) == 0 && S_ISLNK(st.st_mode)) {
        if ((n = readlink(from, target, sizeof(target) - 1)) > 0) {
            target[n] = '\0';
            if (symlink(target, to) != 0) die("link", to);
        }
    } else if (S_ISDIR(st.st_mode)) {
        mkdir(to, 0755);
        bind_tree(from, to);
    }
    free(from);
    free(to);
}

static void fill(const char *root, const char *new_root)
{
    DIR *dir = opendir(root);
    struct dirent *e;
    char target[PATH_MAX];

    if (!dir) die("open", root);
    while ((e = readdir(dir))) {                /* bin -> usr/bin and so on */
        char *link = join(root, e->d_name), *to = join(new_root, e->d_name);
        ssize_t n = LISTED(e->d_name, hidden) ? readlink(link, target, sizeof(target) - 1) : -1;
        if (n > 0) {
            target[n] = '\0';
            if (symlink(target, to) != 0) die("link", to);
        }
        free(link);
        free(to);
    }
    closedir(dir);

    for (size_t i = 0; i < sizeof(from_root) / sizeof(from_root[0]); i++) {
        char *from = join(root, from_root[i]), *to = join(new_root, from_root[i]);
        mkdir(to, 0755);
        bind_tree(from, to);
        free(from);
        free(to);
    }

    dir = opendir("/");
    if (!dir) die("open", "/");
    while ((e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (!LISTED(e->d_name, hidden)) pass_through(new_root, e->d_name);
    }
    closedir(dir);
}

/* A clone, home or working directory under a directory that ROOT provides. */
static void pass_path(const char *new_root, const char *path)
{
    for (size_t i = 0; i < sizeof(from_root) / sizeof(from_root[0]); i++) {
        size_t n = strlen(from_root[i]);
        if (strncmp(path + 1, from_root[i], n) != 0 || path[n + 1] != '/') continue;
        char *to = join(new_root, path + 1);
        make_path(to);
        bind_tree(path, to);
        free(to);
    }
}

static void bind_file(const char *new_root, const char *path)
{
    char *to = join(new_root, path + 1);
    if (access(path, R_OK) == 0 && access(to, F_OK) == 0) mount(path, to, NULL, MS_BIND, NULL);
    free(to);
}

int main(int argc, char **argv)
{
    char cwd[PATH_MAX];
    int command = 2;

    while (command < argc && strcmp(argv[command], "--") != 0) command++;
    if (command + 1 >= argc) {
        fprintf(stderr, "usage: enter ROOT PATH... -- COMMAND [ARGUMENT...]\n");
        return 125;
    }
    if (!getcwd(cwd, sizeof(cwd))) die("read", "the present folder");

    make_namespace();
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) die("change", "mount propagation");

    char *new_root = join(argv[1], "mnt");
    if (mount("vitrine", new_root, "tmpfs", MS_NOSUID, "mode=755,size=1m") != 0)
        die("mount", new_root);
    /* unbindable, so that the recursive binds below do not copy it into itself */
    if (mount(NULL, new_root, NULL, MS_UNBINDABLE, NULL) != 0)
        die("protect", new_root);
    fill(argv[1], new_root);
    for (int i = 2; i < command; i++) pass_path(new_root, argv[i]);
    pass_path(new_root, cwd);

    bind_file(new_root, "/etc/resolv.conf");
    bind_file(new_root, "/etc/hosts");
    if (geteuid() != 0) {
        bind_file(new_root, "/etc/passwd");
        bind_file(new_root, "/etc/group");
    }
    char *var_tmp = join(new_root, "var/tmp");
    bind_tree("/var/tmp", var_tmp);
    for (const char **p = (const char *[]){ "usr", "etc", "boot", NULL }; *p; p++)
        make_read_only(join(new_root, *p));

    if (chdir(new_root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0) die("pivot to", new_root);
    if (umount2(".", MNT_DETACH) != 0) die("detach", "the host's root");
    if (chdir(cwd) != 0) die("change to", cwd);
    make_read_only("/");

    execvp(argv[command + 1], argv + command + 1);
    fprintf(stderr, "dev: %s: %s\n", argv[command + 1], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}
