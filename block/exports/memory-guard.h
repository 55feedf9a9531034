/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/memory-guard.h - what a program does about memory that another process shares and
 * may take away
 *
 * Such memory is a file; when the other process makes it shorter, touching what is gone raises
 * SIGBUS.  How signals are answered is the whole program's affair: the program gives these. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    /* From now on: when one of these bytes (whole pages) is touched and is gone, zeroes that nobody
     * else sees take the place of all of them, and the eventfd `bell` is rung.  False: there are
     * too many such stretches.  Any thread, like the next. */
    bool (*watch)(void *start, size_t bytes, int bell);
    void (*forget)(void *start); /* before it is unmapped */
} VitMemoryGuard;
