/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/format-test.h - what every image format that can be written must pass
 *
 * Images are made by our driver and, where qemu-img is there, by it; each side reads the other's.
 */
#pragma once
#include "block/driver.h"

typedef struct {
    const char *format;
    const char *options; /* as after -o; NULL: none */
    uint64_t size; /* bytes */
    const char *extension; /* of the file's name; NULL: the format's name */
    bool append_only; /* streamOptimized: whole grains, each once, compressed */
    bool no_foreign; /* qemu-img does not make images with these options */
    bool no_check; /* nor checks them */
    uint64_t grain; /* append_only: bytes of each write */
    bool exact; /* qemu-img compare also wants equal sizes */
} FormatCase;

/* Random requests, many at once, against a copy in memory; status, reopening, copies of the files
 * taken right after a flush and later (as after a crash), check, and qemu-img's opinion. */
void format_test_random(const FormatCase *c);
/* An image of qemu-img's: read, checked, written to by us, and read again by qemu-img. */
void format_test_foreign(const FormatCase *c);
/* Damaged images must be refused or read without harm: random bytes of [from, from + bytes) are
 * changed `rounds` times in an image with some content, and the file is cut short at random. */
void format_test_hostile(const FormatCase *c, uint64_t from, uint64_t bytes, unsigned rounds);

/* Images with one field changed, each of which must be refused in words that say so. */
typedef struct {
    uint64_t offset;
    uint32_t value; /* as it is to be stored */
    const char *says;
} FormatDamage;
/* mend: puts checksums right after each change; NULL: there are none. */
void format_test_refused(const char *format, const FormatDamage *damages, size_t n,
                         void (*mend)(const char *path));

/* For tests of one format: a graph and a folder of their own. */
typedef struct {
    VitIoThread *thread;
    VitBlockGraph *graph;
    char *folder; /* owned */
} FormatFixture;
FormatFixture *format_fixture_new(void);
void format_fixture_free(FormatFixture *f); /* removes the folder */
char *format_path(const FormatFixture *f, const char *name);
[[nodiscard]] bool format_create(FormatFixture *f, const char *path, const char *format,
                                 const char *options, uint64_t size, GError **error);
VitBlockNode *format_open(FormatFixture *f, const char *path, const char *format, unsigned flags,
                          GError **error);
/* Reads all of it; freed by the caller. */
uint8_t *format_read_all(VitBlockNode *node);
/* Runs qemu-img with a NULL-ended list of arguments: its exit status, -1 when there is none. */
int format_qemu_img(char **output, ...) G_GNUC_NULL_TERMINATED;
bool format_has_qemu_img(void);
/* Changes bytes of a file. */
void format_poke(const char *path, uint64_t offset, const void *data, size_t size);
VitBlockCheck format_check(VitBlockNode *node, unsigned fix, int *result);
