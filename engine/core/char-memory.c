/* engine/core/char-memory.c - a host end in memory: what was written last, and input to come
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/char-private.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { INPUT_LIMIT = 1 << 20 };

typedef struct {
    VitChar     chr;        /* first member */
    int         event;      /* owned: there is input to deliver */
    VitIoWatch *watch;      /* owned */
    uint8_t    *ring;       /* owned */
    size_t      size, head, used;
    GByteArray *input;      /* owned */
    void      (*written)(void *opaque);
    void       *written_opaque;
} Memory;

static void kick(Memory *m)
{
    uint64_t one = 1;
    if (write(m->event, &one, sizeof(one)) < 0)
        g_warning("%s: cannot wake the machine's thread", m->chr.id);
}

static void deliver(void *opaque, GIOCondition ready)
{
    Memory *m = opaque;
    uint64_t count;
    if (read(m->event, &count, sizeof(count)) < 0)
        return;
    size_t room = vit_char_room(&m->chr), n = MIN(room, m->input->len);
    if (!n)
        return;
    g_autofree uint8_t *data = g_memdup2(m->input->data, n);
    g_byte_array_remove_range(m->input, 0, (guint) n);
    vit_char_deliver(&m->chr, data, n);
    if (m->input->len && vit_char_room(&m->chr))
        kick(m);
}

static size_t memory_write(VitChar *chr, const uint8_t *data, size_t size)
{
    Memory *m = (Memory *) chr;
    for (size_t i = 0; i < size; i++) {
        m->ring[(m->head + m->used) % m->size] = data[i];
        if (m->used < m->size)
            m->used++;
        else
            m->head = (m->head + 1) % m->size;
    }
    if (m->written)
        m->written(m->written_opaque);
    return size;
}

static void memory_accept_input(VitChar *chr)
{
    Memory *m = (Memory *) chr;
    if (m->input->len)
        kick(m);
}

static void memory_finish(VitChar *chr)
{
    Memory *m = (Memory *) chr;
    vit_io_watch_free(m->watch);
    close(m->event);
    g_byte_array_unref(m->input);
    g_free(m->ring);
}

static const VitCharBack memory_back = {
    .name = "memory", .write = memory_write, .accept_input = memory_accept_input,
    .finish = memory_finish,
};

VitChar *vit_char_new_memory(VitSystem *sys, const char *id, size_t size)
{
    Memory *m = g_new0(Memory, 1);
    m->size = MAX(size, 1);
    m->ring = g_malloc(m->size);
    m->input = g_byte_array_new();
    m->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->event < 0)
        g_error("eventfd: %s", g_strerror(errno));
    m->chr.connected = true;
    vit_char_init(&m->chr, sys, id, &memory_back);
    m->watch = vit_io_watch_new_locked(sys->thread, &sys->lock, m->event, G_IO_IN, deliver, m);
    return &m->chr;
}

char *vit_char_memory_take(VitChar *chr, size_t *size)
{
    Memory *m = (Memory *) chr;
    vit_system_lock(chr->sys);
    char *text = g_malloc(m->used + 1);
    for (size_t i = 0; i < m->used; i++)
        text[i] = (char) m->ring[(m->head + i) % m->size];
    text[m->used] = '\0';
    if (size)
        *size = m->used;
    m->head = m->used = 0;
    vit_system_unlock(chr->sys);
    return text;
}

void vit_char_memory_feed(VitChar *chr, const void *data, size_t size)
{
    Memory *m = (Memory *) chr;
    vit_system_lock(chr->sys);
    size = MIN(size, INPUT_LIMIT - m->input->len);
    g_byte_array_append(m->input, data, (guint) size);
    memory_accept_input(chr);
    vit_system_unlock(chr->sys);
}

void vit_char_memory_watch(VitChar *chr, void (*written)(void *opaque), void *opaque)
{
    Memory *m = (Memory *) chr;
    vit_system_lock(chr->sys);
    m->written = written;
    m->written_opaque = opaque;
    vit_system_unlock(chr->sys);
}
