/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/probe.c - knows disk image formats by their magic numbers
 *
 * Only to refuse them: an image shown raw by mistake is overwritten by the guest. */
#include "block/node-private.h"

#include <string.h>

static const struct {
    const char *format;
    size_t      offset;     /* from the start, or into the last 512 bytes */
    bool        tail;
    const char *magic;
} magics[] = {
    { "qcow2", 0, false, "QFI\xfb" },
    { "QED", 0, false, "QED" },
    { "VMDK", 0, false, "KDMV" },
    { "VMDK", 0, false, "COWD" },
    { "VMDK", 0, false, "# Disk DescriptorFile" },
    { "VDI", 64, false, "\x7f\x10\xda\xbe" },
    { "VHDX", 0, false, "vhdxfile" },
    { "VHD", 0, false, "conectix" },
    { "VHD", 0, true, "conectix" },
    { "Parallels", 0, false, "WithoutFreeSpace" },
    { "Parallels", 0, false, "WithouFreSpacExt" },
    { "LUKS-encrypted", 0, false, "LUKS\xba\xbe" },
    { "DMG", 0, true, "koly" },
};

const char *vit_block_probe(const uint8_t *head, size_t head_size, const uint8_t *tail)
{
    for (size_t i = 0; i < G_N_ELEMENTS(magics); i++) {
        size_t length = strlen(magics[i].magic);
        const uint8_t *where = magics[i].tail ? tail : head;
        if (!where || (!magics[i].tail && magics[i].offset + length > head_size))
            continue;
        if (memcmp(where + magics[i].offset, magics[i].magic, length) == 0)
            return magics[i].format;
    }
    return NULL;
}
