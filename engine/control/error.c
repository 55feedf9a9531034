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
