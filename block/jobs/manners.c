/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/manners.c - see manners.h */
#include "block/jobs/manners.h"

#include <glib.h>

enum {
    UNKNOWN = 8, /* rests so many times as long as it works, until it knows what that costs */
    MOST = 40,
    SAMPLE_US = 20 * 1000, /* what must have been seen of working and resting to know */
    MEMORY_US = 500 * 1000, /* what is older counts half */
};

static const double bearable = 0.04; /* share of its requests that the guest may lose */
static const double least = 0.25;

void vit_manners_note(VitManners *m, bool worked, uint64_t requests, int64_t took)
{
    (worked ? &m->worked : &m->rested)->requests += (double)requests;
    (worked ? &m->worked : &m->rested)->time += (double)took;
    if (m->worked.time + m->rested.time < MEMORY_US) return;
    m->worked.requests /= 2;
    m->worked.time /= 2;
    m->rested.requests /= 2;
    m->rested.time /= 2;
}

double vit_manners_courtesy(const VitManners *m)
{
    if (m->worked.time < SAMPLE_US || m->rested.time < SAMPLE_US || m->rested.requests == 0)
        return UNKNOWN;
    double share = m->worked.requests / m->worked.time * m->rested.time / m->rested.requests;
    return CLAMP((1 - share) / bearable - 1, least, MOST);
}

double vit_manners_pace(const VitManners *m)
{
    return m->rested.time < SAMPLE_US ? 0 : m->rested.requests / m->rested.time * G_USEC_PER_SEC;
}
