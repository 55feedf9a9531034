/* tests/device/setup-pc.c - what the devices of the PC boards need around them for the common tests
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/device/setups.h"

const DeviceTestSetup device_test_rtc = {
    .keeps_over_reset = true,       /* the time and CMOS RAM stand on a battery */
};
