/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/suggest.h - "did you mean": the known word nearest to a mistyped one */
#pragma once
#include <glib.h>

/* The entry of `known` (ended by NULL) nearest to word, or NULL when none is near enough.
 * Borrowed. */
const char *vit_suggest(const char *word, const char *const *known);
/* "; did you mean “x”?" or "" for the end of an error message.  Caller frees. */
char *vit_suggest_phrase(const char *word, const char *const *known);
