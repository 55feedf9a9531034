/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/log.h - what each level means: see docs/threat-model.md
 *
 * guest_error: the guest did something its specification forbids (rate-limited, off by default).
 * The log belongs to the machine through its VitSystem; without one, to the process's GLib log. */
#pragma once
#include <glib.h>
#include <stdbool.h>

typedef enum {
    VIT_LOG_GUEST_ERROR = 1 << 0,
    VIT_LOG_UNIMP = 1 << 1,     /* guest used something this device does not model */
    VIT_LOG_INT = 1 << 2,       /* interrupts and exceptions of the CPU */
    VIT_LOG_IN_ASM = 1 << 3,    /* guest instructions as they are translated */
    VIT_LOG_OP = 1 << 4,        /* IR */
    VIT_LOG_OUT_ASM = 1 << 5,   /* host code */
    VIT_LOG_EXEC = 1 << 6,
    VIT_LOG_RESET = 1 << 7,
    VIT_LOG_MMU = 1 << 8,
} VitLogMask;

/* Mask and destination are process-wide, set once by the tool before machines start (-d, -D). */
void vit_log_setup(unsigned mask, const char *path);
void vit_log_set_mask(unsigned mask);       /* any thread (the monitor's "log") */
bool vit_log_enabled(unsigned mask);
void vit_log(unsigned mask, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Comma-separated names as in -d ("guest_errors,int,in_asm"); false names the unknown one. */
[[nodiscard]] bool vit_log_parse(const char *names, unsigned *mask, GError **error);
