/* engine/core/fifo8.h - a byte queue of fixed capacity, for UART and keyboard style FIFOs.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { VIT_FIFO8_CAPACITY = 64 };

/* Holds no pointers, so that it can be saved as it is. Every function copes with any content:
 * a loaded state may be corrupt. */
typedef struct {
    uint32_t capacity;                  /* bytes, at most VIT_FIFO8_CAPACITY */
    uint32_t head;                      /* index of the oldest byte */
    uint32_t used;                      /* bytes held */
    uint8_t  data[VIT_FIFO8_CAPACITY];
} VitFifo8;

/* Empties the queue and sets its capacity (clamped to VIT_FIFO8_CAPACITY). */
void vit_fifo8_init(VitFifo8 *fifo, uint32_t capacity);

/* Empties the queue. */
void vit_fifo8_reset(VitFifo8 *fifo);

/* Appends a byte; false, and nothing changes, when the queue is full. */
bool vit_fifo8_push(VitFifo8 *fifo, uint8_t byte);

/* Removes and returns the oldest byte, or -1 when the queue is empty. */
int vit_fifo8_pop(VitFifo8 *fifo);

/* Returns the oldest byte and leaves it, or -1 when the queue is empty. */
[[nodiscard]] int vit_fifo8_peek(const VitFifo8 *fifo);

[[nodiscard]] uint32_t vit_fifo8_used(const VitFifo8 *fifo);
[[nodiscard]] uint32_t vit_fifo8_free(const VitFifo8 *fifo);
[[nodiscard]] bool vit_fifo8_is_full(const VitFifo8 *fifo);

/* Whether the numbers fit together; a state with an invalid queue is refused at load. */
[[nodiscard]] bool vit_fifo8_is_valid(const VitFifo8 *fifo);
