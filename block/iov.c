/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/iov.c - copying to and from scattered memory, and looking for zeroes in it */
#include "block/driver.h"

#include <string.h>

typedef enum { FROM, TO, ZERO } Direction;

static void move(const struct iovec *iov, int niov, uint64_t skip, uint8_t *buf, uint64_t bytes,
                 Direction how)
{
    for (int i = 0; i < niov && bytes > 0; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t n = MIN(iov[i].iov_len - skip, bytes);
        uint8_t *memory = (uint8_t *)iov[i].iov_base + skip;
        if (how == FROM) memcpy(memory, buf, n);
        else if (how == TO) memcpy(buf, memory, n);
        else memset(memory, 0, n);
        if (buf) buf += n;
        bytes -= n;
        skip = 0;
    }
}

void vit_iov_from(const struct iovec *iov, int niov, uint64_t skip, const void *buf, uint64_t bytes)
{
    move(iov, niov, skip, (uint8_t *)buf, bytes, FROM);
}

void vit_iov_to(const struct iovec *iov, int niov, uint64_t skip, void *buf, uint64_t bytes)
{
    move(iov, niov, skip, buf, bytes, TO);
}

void vit_iov_zero(const struct iovec *iov, int niov, uint64_t skip, uint64_t bytes)
{
    move(iov, niov, skip, NULL, bytes, ZERO);
}

int vit_iov_slice(const struct iovec *iov, int niov, uint64_t skip, uint64_t bytes,
                  struct iovec *out)
{
    int count = 0;

    for (int i = 0; i < niov && bytes > 0; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t n = MIN(iov[i].iov_len - skip, bytes);
        out[count++] = (struct iovec){ (uint8_t *)iov[i].iov_base + skip, n };
        bytes -= n;
        skip = 0;
    }
    return count;
}

bool vit_block_is_zero(const void *buf, size_t bytes)
{
    const uint8_t *p = buf;
    size_t head = MIN(bytes, 64);

    /* A buffer is zero when its beginning is and it equals itself shifted by that much: memcmp(3)
     * of the C library uses the host's widest registers. */
    for (size_t i = 0; i < head; i++) {
        if (p[i]) return false;
    }
    return bytes <= 64 || memcmp(p, p + 64, bytes - 64) == 0;
}

bool vit_block_iov_is_zero(const struct iovec *iov, int niov)
{
    for (int i = 0; i < niov; i++) {
        if (!vit_block_is_zero(iov[i].iov_base, iov[i].iov_len)) return false;
    }
    return true;
}
