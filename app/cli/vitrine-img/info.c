/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/info.c - vitrine-img info: what an image is, and what it stands on */
#include "app/cli/vitrine-img/info.h"

#include "app/cli/values.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ---- collecting, on a fiber ------------------------------------------------------------------ */

static bool is_local(VitBlockNode *node)
{
    const char *const *names = node->driver->protocols;

    return names && (g_strv_contains(names, "file") || g_strv_contains(names, "host_device"));
}

/* QEMU's protocols tell it of files alone; raw and luks tell what they stand on. */
static bool tells_dirty(VitBlockNode *node)
{
    bool passes = strcmp(node->driver->name, "raw") == 0 || strcmp(node->driver->name, "luks") == 0;

    if (passes && node->file) return tells_dirty(node->file->node);
    if (strcmp(node->driver->name, "parallels") == 0) return false;
    return node->driver->kind != VIT_BLOCK_PROTOCOL || is_local(node);
}

/* Bytes that the host's files take; -1: not known. */
static int64_t actual_size(VitBlockNode *node)
{
    int64_t sum = 0;

    if (g_str_has_prefix(node->driver->name, "null-")) return 0;
    if (node->driver->kind == VIT_BLOCK_PROTOCOL) {
        struct stat st;
        return is_local(node) && stat(node->filename, &st) == 0 ? (int64_t)st.st_blocks * 512 : -1;
    }
    for (guint i = 0; i < node->edges->len; i++) {
        VitBlockEdge *edge = node->edges->pdata[i];
        if (edge->role == VIT_EDGE_BACKING) continue;
        int64_t one = actual_size(edge->node);
        if (one < 0) return -1;
        sum += one;
    }
    return sum;
}

static JsonArray *snapshot_list(GPtrArray *list)
{
    JsonArray *array = json_array_new();

    for (guint i = 0; i < list->len; i++) {
        VitBlockSnapshot *s = list->pdata[i];
        JsonObject *o = json_object_new();
        if (s->icount >= 0) json_object_set_int_member(o, "icount", s->icount);
        json_object_set_int_member(o, "vm-clock-nsec", (int64_t)(s->vm_clock_nsec % 1000000000));
        json_object_set_string_member(o, "name", s->name);
        json_object_set_int_member(o, "date-sec", s->date_sec);
        json_object_set_int_member(o, "date-nsec", s->date_nsec);
        json_object_set_int_member(o, "vm-clock-sec", (int64_t)(s->vm_clock_nsec / 1000000000));
        json_object_set_string_member(o, "id", s->id);
        json_object_set_int_member(o, "vm-state-size", (int64_t)s->vm_state_size);
        json_array_add_object_element(array, o);
    }
    return array;
}

/* The format's own facts in the order in which qemu-img says them. */
static void sort_specific(JsonObject *specific)
{
    static const char *const order[] = { "compat",     "compression-type", "lazy-refcounts",
                                         "bitmaps",    "refcount-bits",    "encrypt",
                                         "data-file",  "data-file-raw",    "corrupt",
                                         "extended-l2" };
    JsonNode *node = json_object_get_member(specific, "data");

    if (!node || !JSON_NODE_HOLDS_OBJECT(node)) return;
    JsonObject *data = json_node_get_object(node), *sorted = json_object_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        if (json_object_has_member(data, order[i]))
            json_object_set_member(sorted, order[i], json_object_dup_member(data, order[i]));
    g_autoptr(GList) keys = json_object_get_members(data);
    for (GList *k = keys; k; k = k->next)
        if (!json_object_has_member(sorted, k->data))
            json_object_set_member(sorted, k->data, json_object_dup_member(data, k->data));
    json_object_set_object_member(specific, "data", sorted);
}

static JsonObject *collect(VitBlockNode *node, unsigned depth)
{
    JsonObject *o = json_object_new();
    JsonArray *children = json_array_new();
    VitBlockInfo info = vit_block_info(node);
    const VitBlockDriver *d = node->driver;
    bool has_backing = node->backing_file && *node->backing_file;

    for (guint i = node->edges->len; i-- > 0 && depth < 8;) { /* the newest child first */
        VitBlockEdge *edge = node->edges->pdata[i];
        if (edge->role == VIT_EDGE_BACKING) continue;
        JsonObject *child = json_object_new();
        json_object_set_string_member(child, "name", edge->name);
        json_object_set_object_member(child, "info", collect(edge->node, depth + 1));
        json_array_add_object_element(children, child);
    }
    json_object_set_array_member(o, "children", children);
    if (d->co_snapshot_list) {
        g_autoptr(GPtrArray)
            list = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_snapshot_free);
        if (d->co_snapshot_list(node, list, NULL) && list->len > 0)
            json_object_set_array_member(o, "snapshots", snapshot_list(list));
    }
    if (has_backing && node->backing_format)
        json_object_set_string_member(o, "backing-filename-format", node->backing_format);
    json_object_set_int_member(o, "virtual-size", (int64_t)((info.size + 511) & ~UINT64_C(511)));
    json_object_set_string_member(o, "filename", node->filename);
    if (info.cluster_size && d->kind == VIT_BLOCK_FORMAT)
        json_object_set_int_member(o, "cluster-size", info.cluster_size);
    json_object_set_string_member(o, "format", d->name);
    int64_t actual = actual_size(node);
    if (actual >= 0) json_object_set_int_member(o, "actual-size", actual);
    JsonObject *specific = d->co_specific ? d->co_specific(node, NULL) : NULL;
    if (!specific && is_local(node)) {
        specific = json_object_new();
        json_object_set_string_member(specific, "type", d->name);
        json_object_set_object_member(specific, "data", json_object_new());
    }
    if (specific) {
        sort_specific(specific);
        json_object_set_object_member(o, "format-specific", specific);
    }
    if (has_backing) {
        g_autofree char *full = vit_block_filename_join(node->filename, node->backing_file);
        json_object_set_string_member(o, "full-backing-filename", full);
        json_object_set_string_member(o, "backing-filename", node->backing_file);
    }
    if (info.encrypted) json_object_set_boolean_member(o, "encrypted", true);
    if (tells_dirty(node)) json_object_set_boolean_member(o, "dirty-flag", info.dirty);
    return o;
}

typedef struct {
    VitBlockNode *node;
    JsonObject *info;
} Collect;

static void collect_fiber(void *opaque)
{
    Collect *c = opaque;

    c->info = collect(c->node, 0);
}

JsonObject *img_collect_info(Img *img, VitBlockNode *node)
{
    Collect c = { .node = node };

    img_run(img, collect_fiber, &c);
    return c.info;
}

/* ---- for people ------------------------------------------------------------------------------ */

static const char *text_of(JsonObject *o, const char *key)
{
    return json_object_get_string_member_with_default(o, key, NULL);
}

void img_print_snapshots(JsonArray *list)
{
    printf("Snapshot list:\n%-7s %-16s %8s %19s %15s %10s\n", "ID", "TAG", "VM_SIZE", "DATE",
           "VM_CLOCK", "ICOUNT");
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonObject *s = json_array_get_object_element(list, i);
        time_t when = json_object_get_int_member(s, "date-sec");
        int64_t clock = json_object_get_int_member(s, "vm-clock-sec");
        g_autofree char *size = img_size_text(
            (uint64_t)json_object_get_int_member(s, "vm-state-size"));
        char date[64] = "", ticks[64], count[32] = "--";
        struct tm tm;
        if (localtime_r(&when, &tm)) strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
        g_snprintf(ticks, sizeof ticks, "%04d:%02d:%02d.%03d", (int)(clock / 3600),
                   (int)(clock / 60 % 60), (int)(clock % 60),
                   (int)(json_object_get_int_member(s, "vm-clock-nsec") / 1000000));
        if (json_object_has_member(s, "icount"))
            g_snprintf(count, sizeof count, "%" G_GINT64_FORMAT,
                       json_object_get_int_member(s, "icount"));
        printf("%-7s %-16s %8s %19s %15s %10s\n", text_of(s, "id"), text_of(s, "name"), size, date,
               ticks, count);
    }
}

static void print_info(JsonObject *o, const char *path, int indent)
{
    uint64_t size = (uint64_t)json_object_get_int_member(o, "virtual-size");
    int64_t actual = json_object_get_int_member_with_default(o, "actual-size", -1);
    g_autofree char *size_text = img_size_text(size),
                    *actual_text = actual < 0 ? g_strdup("unavailable")
                                              : img_size_text((uint64_t)actual);
    const char *backing = text_of(o, "backing-filename"),
               *full = text_of(o, "full-backing-filename");
    JsonArray *children = json_object_get_array_member(o, "children");
    bool leaf = *path && json_array_get_length(children) == 0;

#define LINE(...) (printf("%*s", indent, ""), printf(__VA_ARGS__))
    LINE("%s: %s\n", leaf ? "filename" : "image", text_of(o, "filename"));
    LINE("%s: %s\n", leaf ? "protocol type" : "file format", text_of(o, "format"));
    LINE("%s: %s (%" G_GUINT64_FORMAT " bytes)\n", leaf ? "file length" : "virtual size", size_text,
         size);
    LINE("disk size: %s\n", actual_text);
    if (json_object_has_member(o, "encrypted")) LINE("encrypted: yes\n");
    if (json_object_has_member(o, "cluster-size"))
        LINE("cluster_size: %" G_GINT64_FORMAT "\n", json_object_get_int_member(o, "cluster-size"));
    if (json_object_get_boolean_member_with_default(o, "dirty-flag", false))
        LINE("cleanly shut down: no\n");
    if (backing) {
        LINE("backing file: %s", backing);
        if (full && strcmp(full, backing) != 0) printf(" (actual path: %s)", full);
        printf("\n");
        if (text_of(o, "backing-filename-format"))
            LINE("backing file format: %s\n", text_of(o, "backing-filename-format"));
    }
    if (json_object_has_member(o, "snapshots"))
        img_print_snapshots(json_object_get_array_member(o, "snapshots"));
    JsonObject *specific = json_object_has_member(o, "format-specific")
                               ? json_object_get_object_member(o, "format-specific")
                               : NULL;
    JsonNode *data = specific ? json_object_get_member(specific, "data") : NULL;
    if (data && JSON_NODE_HOLDS_OBJECT(data) &&
        json_object_get_size(json_node_get_object(data)) > 0) {
        LINE("Format specific information:\n");
        cli_print_values(json_node_get_object(data), indent + 4);
    }
    for (guint i = 0; i < json_array_get_length(children); i++) {
        JsonObject *child = json_array_get_object_element(children, i);
        g_autofree char *child_path = g_strdup_printf("%s/%s", path, text_of(child, "name"));
        LINE("Child node '%s':\n", child_path);
        print_info(json_object_get_object_member(child, "info"), child_path, indent + 4);
    }
#undef LINE
}

/* ---- the command ----------------------------------------------------------------------------- */

/* The images of the chain, each opened by itself, so that a broken one does not hide those above.
 */
static JsonArray *collect_chain(Img *img, const char *name, bool chain)
{
    g_autoptr(JsonArray) list = json_array_new();
    g_autofree char *at = g_strdup(name), *format = g_strdup(img->format);
    bool image_opts = img->image_opts;
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    while (at) {
        if (!g_hash_table_add(seen, g_strdup(at))) {
            img_fail(img, 1, "Backing file '%s' creates an infinite loop.", at);
            return NULL;
        }
        VitBlockNode *node = img_open(img, at, format, image_opts,
                                      VIT_OPEN_READ_ONLY | VIT_OPEN_NO_BACKING | VIT_OPEN_NO_IO);
        if (!node) return NULL;
        JsonObject *info = img_collect_info(img, node);
        json_array_add_object_element(list, info);
        vit_block_node_unref(node);
        g_free(at);
        g_free(format);
        at = chain ? g_strdup(text_of(info, "full-backing-filename")) : NULL;
        format = g_strdup(text_of(info, "backing-filename-format"));
        image_opts = false;
    }
    return g_steal_pointer(&list);
}

int img_info(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,        IMG_FORMAT, IMG_IMAGE_OPTS, { "backing-chain", no_argument, NULL, 'b' },
        IMG_FORCE_SHARE, IMG_OBJECT, IMG_OUTPUT,     { NULL },
    };
    bool chain = false;
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hf:bU", options, &status)) != -1) {
        if (c == '?') return status;
        chain = true;
    }
    if (optind != argc - 1) return img_fail_usage(img, 1, "Expecting one image file name");
    g_autoptr(JsonArray) list = collect_chain(img, argv[optind], chain);
    if (!list) return 1;
    if (img->json) {
        g_autoptr(JsonNode) node = json_node_alloc();
        if (chain) json_node_init_array(node, list);
        else json_node_init_object(node, json_array_get_object_element(list, 0));
        cli_print_json(node);
        return 0;
    }
    for (guint i = 0; i < json_array_get_length(list); i++) {
        if (i > 0) printf("\n");
        print_info(json_array_get_object_element(list, i), "", 0);
    }
    return 0;
}
