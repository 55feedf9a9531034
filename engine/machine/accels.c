/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/accels.c - the accelerators there are, in order of preference */
#include "engine/jit/jit.h"
#include "engine/kvm/kvm.h"

const VitAccelClass *const vit_accel_classes[] = {
    &vit_accel_jit, &vit_accel_interp,
#if defined(__linux__) && defined(__x86_64__)
    &vit_accel_kvm,
#endif
    NULL
};

const VitAccelClass *vit_accel_find(const char *name)
{
    for (unsigned i = 0; vit_accel_classes[i]; i++) {
        if (g_str_equal(vit_accel_classes[i]->name, name))
            return vit_accel_classes[i];
    }
    return NULL;
}
