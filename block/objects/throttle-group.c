/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/objects/throttle-group.c - see throttle-group.h */
#include "block/objects/throttle-group.h"

#include "block/driver.h"
#include "block/objects/object.h"
#include "block/throttle/pool.h"

#define MAX_VALUE UINT64_C(1000000000000000)

typedef struct {
    VitBlockObject parent;
    VitThrottlePool *pool; /* owned */
} ThrottleGroup;

const VitThrottleLimits vit_throttle_no_limits = {
    .bucket = { { .burst_length = 1 },
                { .burst_length = 1 },
                { .burst_length = 1 },
                { .burst_length = 1 },
                { .burst_length = 1 },
                { .burst_length = 1 } },
};

static const char *const bucket_names[VIT_THROTTLE_BUCKETS] = {
    "bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write",
};

bool vit_throttle_limits_check(const VitThrottleLimits *limits, GError **error)
{
    const char *why = NULL;

    for (unsigned first = 0; first < VIT_THROTTLE_BUCKETS; first += 3) {
        const typeof(limits->bucket[0]) *b = &limits->bucket[first];
        if ((b[0].average && (b[1].average || b[2].average)) ||
            (b[0].burst && (b[1].burst || b[2].burst)))
            why = "bps/iops/max total values and read/write values cannot be used at the same time";
    }
    for (unsigned i = 0; i < VIT_THROTTLE_BUCKETS && !why; i++) {
        const typeof(limits->bucket[0]) *b = &limits->bucket[i];
        if (b->average > MAX_VALUE || b->burst > MAX_VALUE)
            why = "bps/iops/max values must be within [0, 1000000000000000]";
        else if (b->burst_length == 0) why = "the burst length cannot be 0";
        else if (b->burst_length > 1 && !b->burst) why = "burst length set without burst rate";
        else if (b->burst && b->burst_length > MAX_VALUE / b->burst)
            why = "burst length too high for this burst rate";
        else if (b->burst && !b->average)
            why = "bps_max/iops_max require corresponding bps/iops values";
        else if (b->burst && b->burst < b->average)
            why = "bps_max/iops_max cannot be lower than bps/iops";
    }
    if (!why && limits->iops_size && !limits->bucket[VIT_THROTTLE_IOPS_TOTAL].average &&
        !limits->bucket[VIT_THROTTLE_IOPS_READ].average &&
        !limits->bucket[VIT_THROTTLE_IOPS_WRITE].average)
        why = "iops size requires an iops value to be set";
    return !why || vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "%s", why);
}

bool vit_throttle_limits_any(const VitThrottleLimits *limits)
{
    for (unsigned i = 0; i < VIT_THROTTLE_BUCKETS; i++) {
        if (limits->bucket[i].average) return true;
    }
    return false;
}

static bool take(VitBlockArgs *args, const char *prefix, const char *name, const char *suffix,
                 uint64_t *value, GError **error)
{
    g_autofree char *key = g_strconcat(prefix, name, suffix, NULL);

    return vit_block_args_size(args, key, value, error);
}

bool vit_throttle_limits_take(VitThrottleLimits *limits, VitBlockArgs *args, const char *prefix,
                              GError **error)
{
    VitThrottleLimits l = *limits;

    for (unsigned i = 0; i < VIT_THROTTLE_BUCKETS; i++) {
        if (!take(args, prefix, bucket_names[i], "", &l.bucket[i].average, error) ||
            !take(args, prefix, bucket_names[i], "-max", &l.bucket[i].burst, error) ||
            !take(args, prefix, bucket_names[i], "-max-length", &l.bucket[i].burst_length, error))
            return false;
    }
    if (!take(args, prefix, "iops-size", "", &l.iops_size, error) ||
        !vit_throttle_limits_check(&l, error))
        return false;
    *limits = l;
    return true;
}

JsonObject *vit_throttle_limits_describe(const VitThrottleLimits *limits)
{
    JsonObject *object = json_object_new();

    for (unsigned i = 0; i < VIT_THROTTLE_BUCKETS; i++) {
        g_autofree char *max = g_strconcat(bucket_names[i], "-max", NULL);
        g_autofree char *length = g_strconcat(bucket_names[i], "-max-length", NULL);
        json_object_set_int_member(object, bucket_names[i], (int64_t)limits->bucket[i].average);
        json_object_set_int_member(object, max, (int64_t)limits->bucket[i].burst);
        json_object_set_int_member(object, length, (int64_t)limits->bucket[i].burst_length);
    }
    json_object_set_int_member(object, "iops-size", (int64_t)limits->iops_size);
    return object;
}

static bool group_create(VitBlockObject *object, VitBlockArgs *args, GError **error)
{
    ThrottleGroup *g = (ThrottleGroup *)object;
    g_autoptr(VitBlockArgs) nested = vit_block_args_sub(args, "limits");
    VitThrottleLimits limits = vit_throttle_no_limits;

    if (!vit_throttle_limits_take(&limits, args, "x-", error) ||
        (nested && (!vit_throttle_limits_take(&limits, nested, "", error) ||
                    !vit_block_args_finish(nested, error))))
        return false;
    g->pool = vit_throttle_pool_new();
    vit_throttle_pool_set_limits(g->pool, &limits);
    return true;
}

static void group_destroy(VitBlockObject *object)
{
    vit_throttle_pool_free(((ThrottleGroup *)object)->pool);
}

const VitBlockObjectClass vit_block_throttle_group_class = {
    .type = "throttle-group",
    .instance_size = sizeof(ThrottleGroup),
    .create = group_create,
    .destroy = group_destroy,
};

VitThrottlePool *vit_throttle_group_pool(VitBlockObject *group)
{
    return ((ThrottleGroup *)group)->pool;
}

VitThrottleLimits vit_throttle_group_limits(VitBlockObject *group)
{
    return vit_throttle_pool_limits(vit_throttle_group_pool(group));
}

void vit_throttle_group_set_limits(VitBlockObject *group, const VitThrottleLimits *limits)
{
    vit_throttle_pool_set_limits(vit_throttle_group_pool(group), limits);
}
