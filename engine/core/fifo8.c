/* engine/core/fifo8.c - a byte queue of fixed capacity.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/fifo8.h"

#include <string.h>

static_assert((VIT_FIFO8_CAPACITY & (VIT_FIFO8_CAPACITY - 1)) == 0);

enum { MASK = VIT_FIFO8_CAPACITY - 1 };

void vit_fifo8_init(VitFifo8 *fifo, uint32_t capacity)
{
    memset(fifo, 0, sizeof(*fifo));
    fifo->capacity = capacity < VIT_FIFO8_CAPACITY ? capacity : VIT_FIFO8_CAPACITY;
}

void vit_fifo8_reset(VitFifo8 *fifo)
{
    vit_fifo8_init(fifo, fifo->capacity);
}

bool vit_fifo8_push(VitFifo8 *fifo, uint8_t byte)
{
    if (vit_fifo8_is_full(fifo)) return false;
    fifo->data[(fifo->head + fifo->used) & MASK] = byte;
    fifo->used++;
    return true;
}

int vit_fifo8_pop(VitFifo8 *fifo)
{
    int byte = vit_fifo8_peek(fifo);
    if (byte >= 0) {
        fifo->head = (fifo->head + 1) & MASK;
        fifo->used--;
    }
    return byte;
}

int vit_fifo8_peek(const VitFifo8 *fifo)
{
    return fifo->used > 0 ? fifo->data[fifo->head & MASK] : -1;
}

uint32_t vit_fifo8_used(const VitFifo8 *fifo)
{
    return fifo->used;
}

uint32_t vit_fifo8_free(const VitFifo8 *fifo)
{
    return fifo->used < fifo->capacity ? fifo->capacity - fifo->used : 0;
}

bool vit_fifo8_is_full(const VitFifo8 *fifo)
{
    return fifo->used >= fifo->capacity;
}

bool vit_fifo8_is_valid(const VitFifo8 *fifo)
{
    return fifo->capacity <= VIT_FIFO8_CAPACITY && fifo->head <= MASK &&
           fifo->used <= fifo->capacity;
}
