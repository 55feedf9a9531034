/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/modes.c - see modes.h */
#include "app/cli/modes.h"

#include "block/graph.h"

#include <string.h>

bool cli_cache_mode(const char *mode, unsigned *flags, bool *writethrough)
{
    static const struct {
        const char *name;
        unsigned flags;
        bool writethrough;
    } modes[] = {
        { "none", VIT_OPEN_DIRECT, false },      { "off", VIT_OPEN_DIRECT, false },
        { "directsync", VIT_OPEN_DIRECT, true }, { "writeback", 0, false },
        { "unsafe", VIT_OPEN_NO_FLUSH, false },  { "writethrough", 0, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        if (strcmp(mode, modes[i].name) != 0) continue;
        *flags = (*flags & ~(unsigned)(VIT_OPEN_DIRECT | VIT_OPEN_NO_FLUSH)) | modes[i].flags;
        *writethrough = modes[i].writethrough;
        return true;
    }
    return false;
}

bool cli_discard_mode(const char *mode, unsigned *flags)
{
    bool unmap = strcmp(mode, "unmap") == 0 || strcmp(mode, "on") == 0;

    if (!unmap && strcmp(mode, "ignore") != 0 && strcmp(mode, "off") != 0) return false;
    *flags = (*flags & ~(unsigned)VIT_OPEN_DISCARD) | (unmap ? VIT_OPEN_DISCARD : 0u);
    return true;
}

bool cli_aio_mode(const char *mode)
{
    static const char *const modes[] = { "threads", "native", "io_uring", NULL };

    return g_strv_contains(modes, mode);
}

bool cli_detect_zeroes_mode(const char *mode)
{
    static const char *const modes[] = { "off", "on", "unmap", NULL };

    return g_strv_contains(modes, mode);
}
