/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/create.c - making an image as a job: what takes long (preallocation) shows how far it
 * is and can be paused and cancelled; what was made of an image that fails is removed */
#include "block/job-private.h"
#include "block/jobs/jobs.h"

typedef struct {
    VitBlockJob parent;
    VitBlockCreate create; /* owned, but graph and thread */
} Create;

static bool run(VitBlockJob *job, GError **error)
{
    Create *c = (Create *)job;

    if (!vit_co_create(&c->create, error)) return false;
    VitBlockJobInfo info = vit_block_job_info(job);
    g_free(info.error);
    if (info.total > 0) return true;
    vit_block_job_set_total(job, 1);
    vit_block_job_skip(job, 1);
    return true;
}

static void take_back(VitBlockJob *job)
{
    vit_block_remove_made(((Create *)job)->create.made);
}

static void clean(VitBlockJob *job)
{
    VitBlockCreate *c = &((Create *)job)->create;

    vit_block_node_unref(c->file);
    vit_block_args_free(c->options);
    g_ptr_array_unref(c->made);
    g_free((char *)c->filename);
    g_free((char *)c->backing_file);
    g_free((char *)c->backing_format);
    *c = (VitBlockCreate){ 0 };
}

static const VitBlockJobClass create_class = {
    .type = "create",
    .instance_size = sizeof(Create),
    .co_run = run,
    .co_abort = take_back,
    .co_clean = clean,
};

VitBlockJob *vit_block_create_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                  const VitBlockCreate *create, GError **error)
{
    Create *c = (Create *)vit_block_job_new(jobs, &create_class, id, flags, error);

    if (!c) {
        vit_block_args_free(create->options);
        return NULL;
    }
    c->create = *create;
    c->create.file = create->file ? vit_block_node_ref(create->file) : NULL;
    c->create.made = create->made ? g_ptr_array_ref(create->made)
                                  : g_ptr_array_new_with_free_func(g_free);
    c->create.filename = g_strdup(create->filename);
    c->create.backing_file = g_strdup(create->backing_file);
    c->create.backing_format = g_strdup(create->backing_format);
    return &c->parent;
}
