/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/bench/random.h - places on a disk that no cache foresees; the same in every run */
#pragma once
#include <stdint.h>

/* xorshift64*; *seed is never 0. */
static inline uint64_t bench_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dull;
}
