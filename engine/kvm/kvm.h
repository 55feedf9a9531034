/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/kvm/kvm.h - the accelerator that has the host's processor run the guest (x86-64 Linux) */
#pragma once
#include "engine/cpu/accel.h"

extern const VitAccelClass vit_accel_kvm;
