/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/suggest.c - optimal string alignment distance (insert, delete, replace, swap),
 * without regard to case and with "-" equal to "_" */
#include "engine/core/suggest.h"

#include <glib/gi18n-lib.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_WORD = 64 };

static char fold(char c)
{
    return c == '_' ? '-' : g_ascii_tolower(c);
}

static unsigned distance(const char *a, size_t la, const char *b, size_t lb)
{
    unsigned rows[3][MAX_WORD + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= lb; j++)
        last[j] = (unsigned) j;
    for (size_t i = 1; i <= la; i++) {
        now[0] = (unsigned) i;
        for (size_t j = 1; j <= lb; j++) {
            char ca = fold(a[i - 1]), cb = fold(b[j - 1]);
            unsigned best = last[j - 1] + (ca != cb);
            best = MIN(best, last[j] + 1);
            best = MIN(best, now[j - 1] + 1);
            if (i > 1 && j > 1 && ca == fold(b[j - 2]) && fold(a[i - 2]) == cb)
                best = MIN(best, before[j - 2] + 1);
            now[j] = best;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[lb];
}

const char *vit_suggest(const char *word, const char *const *known)
{
    size_t length = strlen(word);
    const char *best = NULL;
    unsigned best_distance = (unsigned) MAX(2, length / 2) + 1;

    if (length == 0 || length > MAX_WORD)
        return NULL;
    for (; *known; known++) {
        size_t known_length = strlen(*known);
        if (known_length > MAX_WORD)
            continue;
        unsigned d = distance(word, length, *known, known_length);
        /* Sharing nothing but length is no likeness. */
        if (d < best_distance && d < MAX(length, known_length)) {
            best = *known;
            best_distance = d;
        }
    }
    return best;
}

char *vit_suggest_phrase(const char *word, const char *const *known)
{
    const char *near = vit_suggest(word, known);
    return near ? g_strdup_printf(_("; did you mean “%s”?"), near) : g_strdup("");
}
