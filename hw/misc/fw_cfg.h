/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/misc/fw_cfg.h - firmware configuration device; all under the machine lock */
#pragma once
#include "engine/core/device.h"

enum {
    VIT_FW_CFG_SIGNATURE = 0x00, VIT_FW_CFG_ID = 0x01, VIT_FW_CFG_UUID = 0x02,
    VIT_FW_CFG_RAM_SIZE = 0x03,
    VIT_FW_CFG_NOGRAPHIC = 0x04, VIT_FW_CFG_NB_CPUS = 0x05, VIT_FW_CFG_BOOT_MENU = 0x0e,
    VIT_FW_CFG_MAX_CPUS = 0x0f, VIT_FW_CFG_FILE_DIR = 0x19, VIT_FW_CFG_FILE_FIRST = 0x20,
    VIT_FW_CFG_IO_BASE = 0x510, VIT_FW_CFG_IO_SIZE = 12,
};

/* Window: 12 bytes, ports 510h..51Bh. */
extern const VitDeviceClass vit_fw_cfg_class;

/* Adds an item, or gives it new content; the bytes are copied. */
void vit_fw_cfg_set(VitDevice *fw_cfg, uint16_t key, const void *data, size_t size);
void vit_fw_cfg_set_u16(VitDevice *fw_cfg, uint16_t key, uint16_t value);
void vit_fw_cfg_set_u64(VitDevice *fw_cfg, uint16_t key, uint64_t value);
/* A named item (at most 55 characters), listed in the directory. */
void vit_fw_cfg_set_file(VitDevice *fw_cfg, const char *name, const void *data, size_t size);
