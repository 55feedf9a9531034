/* engine/core/log.c - the tool's log: mask, destination and a rate limit for what guests can cause
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/log.h"

#include <gio/gio.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { GUEST_LINES_PER_SECOND = 5000 };

/* The one process-wide state of the engine (see log.h); tests/house/check_state.py names it. */
static struct {
    unsigned        mask;       /* atomic */
    pthread_mutex_t mutex;      /* leaf; guards what follows */
    FILE           *file;       /* owned; NULL: standard error */
    int64_t         second;     /* that lines are counted for */
    unsigned        lines;
} process_log = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static const struct {
    const char *name;
    unsigned mask;
} log_names[] = {
    { "guest_errors", VIT_LOG_GUEST_ERROR },
    { "unimp", VIT_LOG_UNIMP },
    { "int", VIT_LOG_INT },
    { "in_asm", VIT_LOG_IN_ASM },
    { "op", VIT_LOG_OP },
    { "out_asm", VIT_LOG_OUT_ASM },
    { "exec", VIT_LOG_EXEC },
    { "cpu_reset", VIT_LOG_RESET },
    { "mmu", VIT_LOG_MMU },
};

void vit_log_setup(unsigned mask, const char *path)
{
    pthread_mutex_lock(&process_log.mutex);
    if (process_log.file)
        fclose(process_log.file);
    process_log.file = path ? fopen(path, "we") : NULL;
    if (path && !process_log.file)
        g_warning("cannot write the log file %s: %s; logging to standard error", path,
                  g_strerror(errno));
    if (process_log.file)
        setvbuf(process_log.file, NULL, _IOLBF, 0);
    pthread_mutex_unlock(&process_log.mutex);
    vit_log_set_mask(mask);
}

void vit_log_set_mask(unsigned mask)
{
    __atomic_store_n(&process_log.mask, mask, __ATOMIC_RELAXED);
}

bool vit_log_enabled(unsigned mask)
{
    return (__atomic_load_n(&process_log.mask, __ATOMIC_RELAXED) & mask) != 0;
}

/* Guarded by process_log.mutex. */
static bool over_limit(unsigned mask)
{
    if (!(mask & (VIT_LOG_GUEST_ERROR | VIT_LOG_UNIMP)))
        return false;
    int64_t second = g_get_monotonic_time() / G_USEC_PER_SEC;
    if (second != process_log.second) {
        if (process_log.lines > GUEST_LINES_PER_SECOND)
            fprintf(process_log.file ? process_log.file : stderr, "(%u lines left out)\n",
                    process_log.lines - GUEST_LINES_PER_SECOND);
        process_log.second = second;
        process_log.lines = 0;
    }
    return ++process_log.lines > GUEST_LINES_PER_SECOND;
}

void vit_log(unsigned mask, const char *format, ...)
{
    if (!vit_log_enabled(mask))
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    pthread_mutex_lock(&process_log.mutex);
    if (!over_limit(mask)) {
        FILE *out = process_log.file ? process_log.file : stderr;
        fputs(text, out);
        if (!g_str_has_suffix(text, "\n"))
            fputc('\n', out);
    }
    pthread_mutex_unlock(&process_log.mutex);
}

bool vit_log_parse(const char *names, unsigned *mask, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(names, ",", -1);
    unsigned result = 0;
    for (char **part = parts; *part; part++) {
        size_t i = 0;
        while (i < G_N_ELEMENTS(log_names) && strcmp(*part, log_names[i].name) != 0)
            i++;
        if (i == G_N_ELEMENTS(log_names)) {
            g_autoptr(GString) known = g_string_new(NULL);
            for (size_t k = 0; k < G_N_ELEMENTS(log_names); k++)
                g_string_append_printf(known, "%s%s", k ? ", " : "", log_names[k].name);
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "There is no log item \"%s\"; known are %s", *part, known->str);
            return false;
        }
        result |= log_names[i].mask;
    }
    *mask = result;
    return true;
}
