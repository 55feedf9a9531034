/* SPDX-License-Identifier: GPL-3.0-or-later */
/* net/netdev-private.h - what netdev.c needs of each kind of netdev */
#pragma once
#include "engine/core/options.h"
#include "net/netdev.h"

typedef struct {
    VitNetdevDriver driver;
    /* Takes its options, refuses the rest, starts.  Called by any thread; on failure leaves
     * nothing. */
    bool (*open)(VitNetdev *netdev, VitOptions *options, GError **error);
} VitNetdevType;

extern const VitNetdevType vit_netdev_user;
