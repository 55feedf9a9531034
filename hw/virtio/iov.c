/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/iov.c - copies into, out of and cuts of buffer lists */
#include "hw/virtio/virtio.h"

#include <string.h>

static size_t iov_copy(const struct iovec *iov, unsigned n, size_t offset, uint8_t *buf,
                       size_t size, bool write)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < size; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        size_t part = MIN(size - done, iov[i].iov_len - offset);
        uint8_t *at = (uint8_t *) iov[i].iov_base + offset;
        if (write)
            memcpy(at, buf + done, part);
        else
            memcpy(buf + done, at, part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t vit_iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t size)
{
    return iov_copy(iov, n, offset, buf, size, false);
}

size_t vit_iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf,
                     size_t size)
{
    return iov_copy(iov, n, offset, (uint8_t *) buf, size, true);
}

void vit_iov_drop_front(struct iovec **iov, unsigned *n, size_t size)
{
    while (*n && size >= (*iov)->iov_len) {
        size -= (*iov)->iov_len;
        (*iov)++;
        (*n)--;
    }
    if (*n) {
        (*iov)->iov_base = (uint8_t *) (*iov)->iov_base + size;
        (*iov)->iov_len -= size;
    }
}

void vit_iov_drop_back(struct iovec *iov, unsigned *n, size_t size)
{
    while (*n && size >= iov[*n - 1].iov_len)
        size -= iov[--*n].iov_len;
    if (*n)
        iov[*n - 1].iov_len -= size;
}
