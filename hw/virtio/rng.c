/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/rng.c - virtio entropy device (Virtual I/O Device 1.2, section 5.4)
 *
 * Fed from the host kernel's generator; max-bytes each period bounds how fast. */
#include "hw/virtio/virtio-devices.h"

#include <glib/gi18n-lib.h>
#include <sys/random.h>

enum { CHUNK = 4096 };

typedef struct {
    VitVirtio virtio;       /* first member */
    VitTimer *timer;        /* owned: refills the quota */
    uint64_t  max_bytes;
    uint32_t  period_ms;
    struct {
        VitVirtioState virtio;
        uint64_t       quota;       /* bytes left in this period; machine lock */
    } st;
} Rng;

static bool rng_takes(VitVirtio *v, unsigned queue) { return ((Rng *) v)->st.quota > 0; }

static void rng_element(VitVirtio *v, unsigned queue, VitVirtqElement *e)
{
    Rng *r = (Rng *) v;
    uint8_t bytes[CHUNK];
    size_t want = MIN(MIN(e->in_size, sizeof bytes), r->st.quota);
    ssize_t got = getrandom(bytes, want, GRND_NONBLOCK);    /* the host's pool is long seeded */

    if (!vit_timer_armed(r->timer))
        vit_timer_set(r->timer,
                      vit_clock_now(v->parent.sys->clock) + r->period_ms * (int64_t) VIT_NS_PER_MS);
    size_t n = got > 0 ? (size_t) got : 0;
    r->st.quota -= n;
    vit_virtq_push(e, vit_iov_write(e->in, e->n_in, 0, bytes, n));
}

static void refill(void *opaque)
{
    Rng *r = opaque;
    r->st.quota = r->max_bytes;
    vit_virtio_kick(&r->virtio, 0);
}

static void rng_reset(VitVirtio *v)
{
    Rng *r = (Rng *) v;
    r->st.quota = r->max_bytes;
}

static const VitVirtioClass rng_virtio = {
    .id = 4, .pci_class = 0x00ff, .takes = rng_takes, .element = rng_element, .reset = rng_reset,
};

static bool rng_init(VitDevice *d, GError **error)
{
    Rng *r = (Rng *) d;

    if (!r->max_bytes || !r->period_ms) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: max-bytes and period must be greater than 0"), d->id);
        return false;
    }
    r->timer = vit_timer_new(d->sys->clock, refill, r);
    r->virtio.n_queues = 1;
    r->virtio.queue_size[0] = 64;
    vit_virtio_init(&r->virtio, &rng_virtio, &r->st.virtio);
    return true;
}

static void rng_finish(VitDevice *d)
{
    vit_timer_free(((Rng *) d)->timer);
    vit_virtio_finish(d);
}

static const VitField rng_hidden[] = {
    VIT_VIRTIO_ROWS(Rng), VIT_UINT(Rng, st.quota), VIT_TIMER(Rng, timer), { VIT_END },
};

static const VitProp rng_props[] = {
    VIT_PROP("max-bytes", VIT_PROP_U64, Rng, max_bytes, "1048576", "bytes given out in a period"),
    VIT_PROP("period", VIT_PROP_U32, Rng, period_ms, "100", "milliseconds"),
    { 0 },
};

const VitDeviceClass vit_virtio_rng_class = {
    .name = "virtio-rng",
    .description = "Virtio entropy source",
    .version = 1,
    VIT_STATE(Rng, st),
    .hidden = rng_hidden,
    .props = rng_props,
    .init = rng_init,
    .finish = rng_finish,
    VIT_VIRTIO_HOOKS,
};

static bool rng_setup(VitDevice *d, VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    (void) vit_options_take(options, "rng");    /* there is one source, the host's */
    return true;
}

VitDevice *vit_virtio_rng_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return vit_virtio_create_pci(ctx, options, &vit_virtio_rng_class, rng_setup, 0, error);
}
