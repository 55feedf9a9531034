/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/modes.h - the words that the options of all disk tools have for caching and the like
 *
 * Each returns false for a word that it does not know, and leaves everything as it was. */
#pragma once
#include <stdbool.h>

/* Sets VIT_OPEN_DIRECT and VIT_OPEN_NO_FLUSH as the mode says, and leaves other flags alone.
 * *writethrough: each write is to be durable. */
[[nodiscard]] bool cli_cache_mode(const char *mode, unsigned *flags, bool *writethrough);
[[nodiscard]] bool cli_discard_mode(const char *mode, unsigned *flags); /* VIT_OPEN_DISCARD */
[[nodiscard]] bool cli_aio_mode(const char *mode); /* a value of the file driver's "aio" */
[[nodiscard]] bool cli_detect_zeroes_mode(const char *mode);
