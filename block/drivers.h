/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/drivers.h - the descriptors of the drivers that are in the program; drivers.c lists
 * them, and those in modules */
#pragma once
#include "block/driver.h"

extern const VitBlockDriver vit_block_file_driver, vit_block_host_device_driver;
extern const VitBlockDriver vit_block_nbd_driver;
extern const VitBlockDriver vit_block_null_aio_driver, vit_block_null_co_driver;
extern const VitBlockDriver vit_block_qcow2_driver;
extern const VitBlockDriver vit_block_qed_driver;
extern const VitBlockDriver vit_block_raw_driver, vit_block_root_driver, vit_block_bridge_driver;
extern const VitBlockDriver vit_block_blkdebug_driver, vit_block_blkverify_driver;
extern const VitBlockDriver vit_block_compress_driver, vit_block_copy_on_read_driver;
extern const VitBlockDriver vit_block_throttle_driver;
extern const VitBlockDriver vit_block_bochs_driver, vit_block_cloop_driver;
extern const VitBlockDriver vit_block_dmg_driver, vit_block_luks_driver;
extern const VitBlockDriver vit_block_vdi_driver;
extern const VitBlockDriver vit_block_vpc_driver;
extern const VitBlockDriver vit_block_vmdk_driver;
extern const VitBlockDriver vit_block_vhdx_driver;
extern const VitBlockDriver vit_block_parallels_driver;
