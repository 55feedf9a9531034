/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ata-run.c - moves the data of one command between drive and controller, piece by
 * piece */
#include "hw/storage/ata.h"

#include <errno.h>
#include <string.h>

static void pump(VitAtaRun *run);

static void run_free(VitAtaRun *run)
{
    g_free(run->small);
    g_free(run->data);
    g_free(run);
}

void vit_ata_run_cancel(VitAtaRun *run)
{
    if (!run)
        return;
    if (run->transfer)
        vit_transfer_cancel(run->transfer);
    run_free(run);
}

void vit_ata_run_end(VitAtaRun *run)
{
    run->port->done(run->opaque, run);
    run_free(run);
}

void vit_ata_fail(VitAtaRun *run, uint8_t error)
{
    run->failed = true;
    run->tf.status = VIT_ATA_READY | VIT_ATA_ERR;
    run->tf.error = error;
}

void vit_ata_reply(VitAtaRun *run, const void *data, uint32_t size, bool dma)
{
    run->dir = VIT_ATA_IN;
    run->dma = dma;
    run->bytes = run->piece = size;
    run->small = g_memdup2(data, size);
}

void vit_ata_media(VitAtaRun *run, VitAtaDir dir, uint64_t offset, uint64_t bytes, bool dma)
{
    run->dir = dir;
    run->dma = dma;
    run->media = true;
    run->offset = offset;
    run->bytes = bytes;
    run->piece = VIT_ATA_PIECE;
}

/* ---- the host's side ------------------------------------------------------------------------- */

static void media_failed(VitAtaRun *run, int result)
{
    if (run->packet) {
        vit_atapi_media_error(run, result);
        return;
    }
    /* Reads give the sector that could not be read; a full host disk is a device fault. */
    if (run->dir == VIT_ATA_OUT && (result == -ENOSPC || result == -EDQUOT || result == -EFBIG)) {
        vit_ata_fail(run, VIT_ATA_ABRT);
        run->tf.status |= VIT_ATA_DF;
    } else {
        vit_ata_fail(run, run->dir == VIT_ATA_IN ? VIT_ATA_UNC : VIT_ATA_ABRT);
    }
    run->tf.lba = (run->offset + run->position) / 512;
}

static void flushed(void *opaque, VitTransfer *transfer, int result)
{
    VitAtaRun *run = opaque;
    run->transfer = NULL;
    if (result < 0)
        media_failed(run, result);
    vit_ata_run_end(run);
}

void vit_ata_flush(VitAtaRun *run)
{
    if (!run->drive->queue) {
        vit_ata_run_end(run);
        return;
    }
    run->transfer = vit_transfer_start(run->drive->queue, VIT_BLOCK_FLUSH, 0, 0, 0, NULL, flushed,
                                       run);
}

static void finish(VitAtaRun *run)
{
    if (run->finish && !run->failed)
        run->finish(run);       /* ends the run in its own time */
    else
        vit_ata_run_end(run);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static uint32_t next_size(const VitAtaRun *run)
{
    return (uint32_t) MIN(run->bytes - run->position, run->piece);
}

static void stop(VitAtaRun *run)
{
    if (run->packet)
        vit_atapi_media_error(run, -EOVERFLOW);
    else
        vit_ata_fail(run, VIT_ATA_ABRT);
    vit_ata_run_end(run);
}

/* The guest's side of a piece to the guest is over. */
static void taken(VitAtaRun *run)
{
    run->position += run->data_size;
    g_clear_pointer(&run->data, g_free);
    pump(run);
}

static void offer(VitAtaRun *run)
{
    switch (run->port->put(run->opaque, run, run->data, run->data_size)) {
    case VIT_ATA_GO:
        taken(run);
        break;
    case VIT_ATA_STOP:
        stop(run);
        break;
    default:
        break;
    }
}

static void read_done(void *opaque, VitTransfer *transfer, int result)
{
    VitAtaRun *run = opaque;
    run->transfer = NULL;
    if (result < 0) {
        media_failed(run, result);
        vit_ata_run_end(run);
        return;
    }
    run->data = vit_transfer_steal_buffer(transfer);
    offer(run);
}

static void write_done(void *opaque, VitTransfer *transfer, int result)
{
    VitAtaRun *run = opaque;
    run->transfer = NULL;
    if (result < 0) {
        media_failed(run, result);
        vit_ata_run_end(run);
        return;
    }
    run->position += run->data_size;
    pump(run);
}

static void given(VitAtaRun *run)
{
    if (!run->media) {
        memcpy(run->small + run->position, run->data, run->data_size);
        taken(run);
        return;
    }
    uint8_t *buffer = g_steal_pointer(&run->data);
    run->transfer = vit_transfer_start(run->drive->queue, VIT_BLOCK_WRITE, run->flags,
                                       run->offset + run->position, run->data_size, buffer,
                                       write_done, run);
}

static void pump(VitAtaRun *run)
{
    if (run->position >= run->bytes || run->failed) {
        finish(run);
        return;
    }
    run->data_size = next_size(run);
    if (run->dir == VIT_ATA_IN && run->media) {
        run->transfer = vit_transfer_start(run->drive->queue, VIT_BLOCK_READ, 0,
                                           run->offset + run->position, run->data_size,
                                           g_malloc(run->data_size), read_done, run);
    } else if (run->dir == VIT_ATA_IN) {
        run->data = g_memdup2(run->small + run->position, run->data_size);
        offer(run);
    } else {
        run->data = g_malloc0(run->data_size);
        switch (run->port->get(run->opaque, run, run->data, run->data_size)) {
        case VIT_ATA_GO:
            given(run);
            break;
        case VIT_ATA_STOP:
            stop(run);
            break;
        default:
            break;
        }
    }
}

void vit_ata_run_start(VitAtaRun *run)
{
    if (run->failed) {
        vit_ata_run_end(run);
        return;
    }
    pump(run);
}

void vit_ata_run_resume(VitAtaRun *run)
{
    if (run->dir == VIT_ATA_IN)
        taken(run);
    else
        given(run);
}

void vit_ata_run_restore(VitAtaRun *run, uint64_t position, uint32_t waiting_size)
{
    if (run->failed || position > run->bytes || waiting_size > run->bytes - position ||
        (waiting_size == 0 && position == run->bytes && run->bytes)) {
        vit_ata_run_start(run);
        return;
    }
    run->position = position;
    if (waiting_size == 0) {
        pump(run);
        return;
    }
    run->data_size = waiting_size;
    run->data = g_malloc0(waiting_size);
}
