/* hw/registry.c - the list of device classes: one declaration and one line each, sorted by name
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/registry.h"

#include <string.h>

/* Declarations: extern const VitDeviceClass vit_NAME_class; */

const VitDeviceClass *const vit_device_classes[] = {
    NULL,
};

const VitDeviceClass *vit_device_class_find(const char *name)
{
    for (const VitDeviceClass *const *klass = vit_device_classes; *klass; klass++)
        if (strcmp((*klass)->name, name) == 0)
            return *klass;
    return NULL;
}
