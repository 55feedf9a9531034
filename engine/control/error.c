/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/error.c - the error classes that QMP's clients tell apart */
#include "engine/control/control-private.h"

G_DEFINE_QUARK(vit-control-error, control_error)

const char *control_error_class(const GError *error)
{
    static const char *const names[] = {
        [CONTROL_ERROR_GENERIC] = "GenericError",
        [CONTROL_ERROR_COMMAND_NOT_FOUND] = "CommandNotFound",
        [CONTROL_ERROR_DEVICE_NOT_FOUND] = "DeviceNotFound",
        [CONTROL_ERROR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
    };

    return names[error->domain == CONTROL_ERROR ? error->code : CONTROL_ERROR_GENERIC];
}

bool control_fail(GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC, text);
    return false;
}
