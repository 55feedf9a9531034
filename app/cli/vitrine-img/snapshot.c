/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/snapshot.c - vitrine-img snapshot: internal snapshots of an image */
#include "app/cli/vitrine-img/info.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct {
    Img *img;
    VitBlockNode *node;
    int action; /* 'c', 'a', 'd' */
    const char *name;
    int status;
} Snapshot;

static int failed(Snapshot *s, const char *verb, const char *why)
{
    return img_fail(s->img, 1, "Could not %s snapshot '%s': %s", verb, s->name, why);
}

/* Of an ID or a name, an ID first; of a name alone, by_id tells. */
static bool exists(VitBlockNode *node, const char *name, bool by_id)
{
    g_autoptr(GPtrArray)
        list = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_snapshot_free);

    if (!node->driver->co_snapshot_list || !node->driver->co_snapshot_list(node, list, NULL))
        return false;
    for (guint i = 0; i < list->len; i++) {
        VitBlockSnapshot *one = list->pdata[i];
        if ((by_id && strcmp(one->id, name) == 0) || strcmp(one->name, name) == 0) return true;
    }
    return false;
}

static void create(Snapshot *s)
{
    const VitBlockDriver *d = s->node->driver;
    g_autoptr(VitBlockSnapshot) snapshot = vit_block_snapshot_new();
    g_autoptr(GError) error = NULL;
    struct timespec now;

    if (!d->co_snapshot_create) {
        s->status = failed(s, "create", "Operation not supported");
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    snapshot->id = g_strdup("");
    snapshot->name = g_strdup(s->name);
    snapshot->date_sec = (uint32_t)now.tv_sec;
    snapshot->date_nsec = (uint32_t)now.tv_nsec;
    snapshot->icount = 0;
    snapshot->disk_size = s->node->size;
    if (!d->co_snapshot_create(s->node, snapshot, &error))
        s->status = failed(s, "create", vit_block_error_text(error));
}

static void run(void *opaque)
{
    Snapshot *s = opaque;
    const VitBlockDriver *d = s->node->driver;
    g_autoptr(GError) error = NULL;

    if (s->action == 'c') {
        create(s);
    } else if (s->action == 'a') {
        if (!d->co_snapshot_goto)
            s->status = failed(s, "apply", "Block driver does not support snapshots");
        else if (!exists(s->node, s->name, true))
            s->status = failed(s, "apply", "Failed to load snapshot: No such file or directory");
        else if (!d->co_snapshot_goto(s->node, s->name, &error))
            s->status = failed(s, "apply", vit_block_error_text(error));
    } else {
        if (!d->co_snapshot_delete || !exists(s->node, s->name, false))
            s->status = failed(s, "delete", "snapshot not found");
        else if (!d->co_snapshot_delete(s->node, s->name, &error))
            s->status = failed(s, "delete", vit_block_error_text(error));
    }
}

static void list(Img *img, VitBlockNode *node)
{
    g_autoptr(JsonObject) info = img_collect_info(img, node);

    if (json_object_has_member(info, "snapshots"))
        img_print_snapshots(json_object_get_array_member(info, "snapshots"));
}

int img_snapshot(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_QUIET,
        IMG_FORMAT,
        IMG_IMAGE_OPTS,
        IMG_FORCE_SHARE,
        IMG_OBJECT,
        { "list", no_argument, NULL, 'l' },
        { "create", required_argument, NULL, 'c' },
        { "apply", required_argument, NULL, 'a' },
        { "delete", required_argument, NULL, 'd' },
        { NULL },
    };
    Snapshot s = { .img = img };
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hqf:Ula:c:d:", options, &status)) != -1) {
        if (c == '?') return status;
        if (s.action) return img_fail_usage(img, 1, "Cannot mix '-l', '-a', '-c', '-d'");
        s.action = c;
        s.name = optarg;
    }
    if (optind != argc - 1) return img_fail_usage(img, 1, "Expecting one image file name");
    bool only_list = s.action == 0 || s.action == 'l';
    s.node = img_open(img, argv[optind], img->format, img->image_opts,
                      only_list ? VIT_OPEN_READ_ONLY : 0);
    if (!s.node) return 1;
    if (only_list) list(img, s.node);
    else img_run(img, run, &s);
    vit_block_node_unref(s.node);
    return s.status;
}
