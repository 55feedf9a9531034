/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/drivers.c - the list of drivers */
#include "block/drivers.h"

#include <string.h>

static const VitBlockDriver *const drivers[] = {
    &vit_block_blkdebug_driver,
    &vit_block_blkverify_driver,
    &vit_block_bochs_driver,
    &vit_block_cloop_driver,
    &vit_block_compress_driver,
    &vit_block_copy_on_read_driver,
    &vit_block_dmg_driver,
    &vit_block_file_driver,
    &vit_block_host_device_driver,
    &vit_block_luks_driver,
    &vit_block_nbd_driver,
    &vit_block_null_aio_driver,
    &vit_block_null_co_driver,
    &vit_block_parallels_driver,
    &vit_block_qcow2_driver,
    &vit_block_qed_driver,
    &vit_block_raw_driver,
    &vit_block_throttle_driver,
    &vit_block_vdi_driver,
    &vit_block_vhdx_driver,
    &vit_block_vmdk_driver,
    &vit_block_vpc_driver,
#ifdef VIT_HAVE_CURL
    &vit_block_ftp_driver,
    &vit_block_ftps_driver,
    &vit_block_http_driver,
    &vit_block_https_driver,
#endif
#ifdef VIT_HAVE_ISCSI
    &vit_block_iscsi_driver,
#endif
#ifdef VIT_HAVE_NFS
    &vit_block_nfs_driver,
#endif
#ifdef VIT_HAVE_RBD
    &vit_block_rbd_driver,
#endif
#ifdef VIT_HAVE_SSH
    &vit_block_ssh_driver,
#endif
    NULL,
};

const VitBlockDriver *const *vit_block_drivers(void)
{
    return drivers;
}

const VitBlockDriver *vit_block_driver_find(const char *name)
{
    for (unsigned i = 0; drivers[i]; i++) {
        if (strcmp(drivers[i]->name, name) == 0) return drivers[i];
    }
    return NULL;
}
