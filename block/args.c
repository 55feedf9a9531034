/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/args.c - see args.h */
#include "block/args.h"

#include "block/node-private.h"
#include "engine/core/options.h"
#include "engine/core/suggest.h"

#include <glib/gi18n-lib.h>
#include <string.h>

struct VitBlockArgs {
    char *context;        /* owned */
    JsonObject *object;         /* a reference */
    GHashTable *taken;          /* of owned key */
    GPtrArray *known;          /* of owned char*: keys that were asked for */
    GHashTable *children;       /* of owned key -> VitBlockNode* (a reference): opened before */
};

enum { MAX_DEPTH = 64, MAX_LIST = 1024 };

/* ---- making the tree ------------------------------------------------------------------------- */

static bool put(JsonObject *into, const char *context, const char *key, JsonNode *value, int depth,
                GError **error);

static bool put_all(JsonObject *into, const char *context, JsonObject *from, int depth,
                    GError **error)
{
    g_autoptr(GList) keys = json_object_get_members(from);

    for (GList *k = keys; k; k = k->next) {
        if (!put(into, context, k->data, json_object_get_member(from, k->data), depth, error))
            return false;
    }
    return true;
}

/* Puts value under a key that may have dots; value is borrowed. */
static bool put(JsonObject *into, const char *context, const char *key, JsonNode *value, int depth,
                GError **error)
{
    const char *dot = strchr(key, '.');
    g_autofree char *first = dot ? g_strndup(key, (size_t)(dot - key)) : g_strdup(key);
    JsonNode *there = json_object_get_member(into, first);

    if (depth > MAX_DEPTH)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("%s: options are nested too deep"),
                              context);
    if (dot || JSON_NODE_HOLDS_OBJECT(value)) {
        if (there && !JSON_NODE_HOLDS_OBJECT(there))
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("%s: “%s” is given both as a value and as a group of options"),
                                  context, first);
        if (!there) json_object_set_object_member(into, first, json_object_new());
        JsonObject *group = json_object_get_object_member(into, first);
        if (dot) return put(group, context, dot + 1, value, depth + 1, error);
        return put_all(group, context, json_node_get_object(value), depth + 1, error);
    }
    if (there && JSON_NODE_HOLDS_OBJECT(there))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("%s: “%s” is given both as a value and as a group of options"),
                              context, first);
    json_object_set_member(into, first, json_node_copy(value));
    return true;
}

/* {"0": a, "1": b} is a list. */
static void make_lists(JsonObject *object)
{
    g_autoptr(GList) keys = json_object_get_members(object);

    for (GList *k = keys; k; k = k->next) {
        JsonNode *node = json_object_get_member(object, k->data);
        if (!JSON_NODE_HOLDS_OBJECT(node)) continue;
        JsonObject *group = json_node_get_object(node);
        make_lists(group);
        unsigned count = json_object_get_size(group), found = 0;
        for (; found < count && count <= MAX_LIST; found++) {
            char number[16];
            g_snprintf(number, sizeof number, "%u", found);
            if (!json_object_has_member(group, number)) break;
        }
        if (count == 0 || found < count) continue;
        JsonArray *list = json_array_sized_new(count);
        for (unsigned i = 0; i < count; i++) {
            char number[16];
            g_snprintf(number, sizeof number, "%u", i);
            json_array_add_element(list, json_object_dup_member(group, number));
        }
        json_object_set_array_member(object, k->data, list);
    }
}

static VitBlockArgs *wrap(const char *context, JsonObject *object /* takes the reference */)
{
    VitBlockArgs *args = g_new0(VitBlockArgs, 1);

    args->context = g_strdup(context);
    args->object = object;
    args->taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    args->known = g_ptr_array_new_with_free_func(g_free);
    args->children = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                           (GDestroyNotify)vit_block_node_unref);
    return args;
}

VitBlockArgs *vit_block_args_new(const char *context, JsonObject *object, GError **error)
{
    VitBlockArgs *args = wrap(context, json_object_new());

    if (object && !put_all(args->object, context, object, 0, error)) {
        vit_block_args_free(args);
        return NULL;
    }
    make_lists(args->object);
    return args;
}

VitBlockArgs *vit_block_args_parse(const char *context, const char *text, const char *implied,
                                   GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse(context, text, implied, error);
    g_autoptr(JsonObject) object = json_object_new();

    if (!options) return NULL;
    for (unsigned i = 0; i < vit_options_count(options); i++)
        json_object_set_string_member(object, vit_options_key(options, i),
                                      vit_options_value(options, i));
    return vit_block_args_new(context, object, error);
}

void vit_block_args_free(VitBlockArgs *args)
{
    if (!args) return;
    g_free(args->context);
    json_object_unref(args->object);
    g_hash_table_unref(args->taken);
    g_ptr_array_unref(args->known);
    g_hash_table_unref(args->children);
    g_free(args);
}

const char *vit_block_args_context(const VitBlockArgs *args)
{
    return args->context;
}

JsonObject *vit_block_args_object(const VitBlockArgs *args)
{
    return args->object;
}

bool vit_block_args_has(const VitBlockArgs *args, const char *key)
{
    return json_object_has_member(args->object, key) || g_hash_table_contains(args->children, key);
}

void vit_block_args_set(VitBlockArgs *args, const char *key, const char *value)
{
    JsonObject *at = args->object;
    const char *dot;

    while ((dot = strchr(key, '.'))) {
        g_autofree char *first = g_strndup(key, (size_t)(dot - key));
        JsonNode *there = json_object_get_member(at, first);
        if (!there || !JSON_NODE_HOLDS_OBJECT(there))
            json_object_set_object_member(at, first, json_object_new());
        at = json_object_get_object_member(at, first);
        key = dot + 1;
    }
    json_object_set_string_member(at, key, value);
}

void vit_block_args_set_default(VitBlockArgs *args, const char *key, const char *value)
{
    JsonObject *at = args->object;
    g_auto(GStrv) parts = g_strsplit(key, ".", -1);
    unsigned last = g_strv_length(parts) - 1;

    for (unsigned i = 0; i < last && at; i++) {
        JsonNode *there = json_object_get_member(at, parts[i]);
        at = there && JSON_NODE_HOLDS_OBJECT(there) ? json_node_get_object(there) : NULL;
    }
    if (!at || !json_object_has_member(at, parts[last])) vit_block_args_set(args, key, value);
}

void vit_block_args_set_child(VitBlockArgs *args, const char *key, VitBlockNode *node)
{
    g_hash_table_insert(args->children, g_strdup(key), node);
}

VitBlockNode *vit_block_args_take_child(VitBlockArgs *args, const char *key)
{
    VitBlockNode *node = g_hash_table_lookup(args->children, key);

    if (node) vit_block_node_ref(node);
    return node;
}

/* ---- taking ---------------------------------------------------------------------------------- */

static JsonNode *take(VitBlockArgs *args, const char *key)
{
    if (!g_ptr_array_find_with_equal_func(args->known, key, g_str_equal, NULL))
        g_ptr_array_add(args->known, g_strdup(key));
    JsonNode *node = json_object_get_member(args->object, key);
    if (node) g_hash_table_add(args->taken, g_strdup(key));
    return node;
}

JsonNode *vit_block_args_node(VitBlockArgs *args, const char *key)
{
    return take(args, key);
}

static bool is_string(JsonNode *node)
{
    return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING;
}

/* Numbers are turned into strings in the tree, so that what is returned has an owner. */
const char *vit_block_args_str(VitBlockArgs *args, const char *key)
{
    JsonNode *node = json_object_get_member(args->object, key);

    if (node && !JSON_NODE_HOLDS_VALUE(node)) {
        if (!g_ptr_array_find_with_equal_func(args->known, key, g_str_equal, NULL))
            g_ptr_array_add(args->known, g_strdup(key));
        return NULL;
    }
    node = take(args, key);
    if (!node) return NULL;
    if (!is_string(node)) {
        GType type = json_node_get_value_type(node);
        g_autofree char *text = type == G_TYPE_BOOLEAN
                                    ? g_strdup(json_node_get_boolean(node) ? "on" : "off")
                                : type == G_TYPE_INT64
                                    ? g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node))
                                    : g_strdup_printf("%g", json_node_get_double(node));
        json_object_set_string_member(args->object, key, text);
        node = json_object_get_member(args->object, key);
    }
    return json_node_get_string(node);
}

static bool bad(VitBlockArgs *args, const char *key, const char *wanted, GError **error)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("%s: “%s” must be %s"), args->context,
                          key, wanted);
}

bool vit_block_args_bool(VitBlockArgs *args, const char *key, bool *value, GError **error)
{
    JsonNode *node = take(args, key);

    if (!node) return true;
    if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN) {
        *value = json_node_get_boolean(node);
        return true;
    }
    return (is_string(node) && vit_parse_bool(json_node_get_string(node), value)) ||
           bad(args, key, "on or off", error);
}

static bool take_number(VitBlockArgs *args, const char *key, uint64_t max, bool size,
                        uint64_t *value, GError **error)
{
    JsonNode *node = take(args, key);
    uint64_t n = 0;
    bool good = false;

    if (!node) return true;
    if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_INT64) {
        n = (uint64_t)json_node_get_int(node);
        good = json_node_get_int(node) >= 0;
    } else if (is_string(node)) {
        const char *text = json_node_get_string(node);
        good = size ? vit_parse_size(text, &n) : vit_parse_uint(text, max, &n);
    }
    if (!good || n > max) {
        g_autofree char *wanted =
            max == UINT64_MAX ? g_strdup(size ? "a size such as 64K or 10G" : "a whole number")
                              : g_strdup_printf("a whole number from 0 to %" G_GUINT64_FORMAT, max);
        return bad(args, key, wanted, error);
    }
    *value = n;
    return true;
}

bool vit_block_args_uint(VitBlockArgs *args, const char *key, uint64_t max, uint64_t *value,
                         GError **error)
{
    return take_number(args, key, max, false, value, error);
}

bool vit_block_args_size(VitBlockArgs *args, const char *key, uint64_t *value, GError **error)
{
    return take_number(args, key, UINT64_MAX, true, value, error);
}

bool vit_block_args_enum(VitBlockArgs *args, const char *key, const char *const *names, int *value,
                         GError **error)
{
    JsonNode *node = take(args, key);

    if (!node) return true;
    for (int i = 0; is_string(node) && names[i]; i++) {
        if (strcmp(json_node_get_string(node), names[i]) == 0) {
            *value = i;
            return true;
        }
    }
    g_autofree char *list = g_strjoinv(", ", (char **)names);
    g_autofree char *wanted = g_strdup_printf("one of %s", list);
    return bad(args, key, wanted, error);
}

VitBlockArgs *vit_block_args_sub(VitBlockArgs *args, const char *key)
{
    JsonNode *node = json_object_get_member(args->object, key);

    if (!node || !JSON_NODE_HOLDS_OBJECT(node)) return NULL;
    take(args, key);
    g_autofree char *context = g_strdup_printf("%s: %s", args->context, key);
    return wrap(context, json_object_ref(json_node_get_object(node)));
}

bool vit_block_args_finish(const VitBlockArgs *args, GError **error)
{
    g_autoptr(GList) keys = json_object_get_members(args->object);

    for (GList *k = keys; k; k = k->next) {
        if (g_hash_table_contains(args->taken, k->data)) continue;
        g_autoptr(GPtrArray) known = g_ptr_array_new();
        for (guint i = 0; i < args->known->len; i++) g_ptr_array_add(known, args->known->pdata[i]);
        g_ptr_array_add(known, NULL);
        g_autofree char *phrase = vit_suggest_phrase(k->data, (const char *const *)known->pdata);
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("%s: there is no option “%s” here%s"), args->context,
                              (char *)k->data, phrase);
    }
    return true;
}
