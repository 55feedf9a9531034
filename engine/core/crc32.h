/* engine/core/crc32.h - the CRC of ISO 3309, as zip, PNG and GPT use it
 * SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 at the start) over data. */
uint32_t vit_crc32(uint32_t crc, const void *data, size_t size);
