/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/error.c - how drivers tell what is wrong */
#include "block/driver.h"
#include "block/graph.h"

#include <stdarg.h>
#include <string.h>

/* clang-format off: not a subtraction */
G_DEFINE_QUARK(vit-block-error-quark, vit_block_error)
/* clang-format on */

bool vit_block_fail(GError **error, VitBlockErrorCode code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (error && !*error) *error = g_error_new_valist(VIT_BLOCK_ERROR, (int)code, format, args);
    va_end(args);
    return false;
}

bool vit_block_fail_errno(GError **error, int negative_errno, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(-negative_errno), "%s: %s", text,
                g_strerror(-negative_errno));
    return false;
}

static void say(const VitBlockCheck *check, const char *format, va_list args)
{
    if (!check->message) return;
    g_autofree char *text = g_strdup_vprintf(format, args);
    check->message(check->opaque, text);
}

void vit_block_check_say(const VitBlockCheck *check, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(check, format, args);
    va_end(args);
}

void vit_block_check_corrupt(VitBlockCheck *check, const char *format, ...)
{
    va_list args;

    check->corruptions++;
    va_start(args, format);
    say(check, format, args);
    va_end(args);
}

const char *vit_block_error_text(const GError *error)
{
    static const char opening[] = "“", closing[] = "”: ";
    const char *end = g_str_has_prefix(error->message, opening) ? strstr(error->message, closing)
                                                               : NULL;

    return end ? end + strlen(closing) : error->message;
}
