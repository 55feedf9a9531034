/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/args.c - see args.h */
#include "block/args.h"

#include "block/node-private.h"
#include "engine/core/options.h"
#include "engine/core/suggest.h"

#include <glib/gi18n-lib.h>
#include <stdarg.h>
#include <string.h>

struct VitBlockArgs {
    char *context;        /* owned; NULL and "": see vit_block_args_new() */
    char *path;         /* owned: what stands before a key in messages, "cache." */
    const char *driver;         /* borrowed, static: whose options they are, or NULL */
    bool is_protocol, strict;
    JsonObject *object;         /* a reference */
    GHashTable *taken;          /* of owned key */
    GPtrArray *known;          /* of owned char*: keys that were asked for */
    GHashTable *children;       /* of owned key -> VitBlockNode* (a reference): opened before */
};

enum { MAX_DEPTH = 64, MAX_LIST = 1024 };

/* ---- making the tree ------------------------------------------------------------------------- */

static bool put(JsonObject *into, const char *key, JsonNode *value, int depth, GError **error);

static bool put_all(JsonObject *into, JsonObject *from, int depth, GError **error)
{
    g_autoptr(GList) keys = json_object_get_members(from);

    for (GList *k = keys; k; k = k->next) {
        if (!put(into, k->data, json_object_get_member(from, k->data), depth, error)) return false;
    }
    return true;
}

/* "a=1,a.b=2" */
static bool mixed(const char *key, GError **error)
{
    if (strcmp(key, "file") == 0 || strcmp(key, "backing") == 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Cannot reference an existing block device with additional options "
                                "or a new filename"));
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("Parameters '%s.*' used inconsistently"), key);
}

/* Puts value under a key that may have dots; value is borrowed. */
static bool put(JsonObject *into, const char *key, JsonNode *value, int depth, GError **error)
{
    const char *dot = strchr(key, '.');
    g_autofree char *first = dot ? g_strndup(key, (size_t)(dot - key)) : g_strdup(key);
    JsonNode *there = json_object_get_member(into, first);

    if (depth > MAX_DEPTH)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Options are nested too deep"));
    if (dot || JSON_NODE_HOLDS_OBJECT(value)) {
        if (there && !JSON_NODE_HOLDS_OBJECT(there)) return mixed(first, error);
        if (!there) json_object_set_object_member(into, first, json_object_new());
        JsonObject *group = json_object_get_object_member(into, first);
        if (dot) return put(group, dot + 1, value, depth + 1, error);
        return put_all(group, json_node_get_object(value), depth + 1, error);
    }
    if (there && JSON_NODE_HOLDS_OBJECT(there)) return mixed(first, error);
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
    args->path = g_strdup("");
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

    if (object && !put_all(args->object, object, 0, error)) {
        if (context && *context) g_prefix_error(error, "%s: ", context);
        vit_block_args_free(args);
        return NULL;
    }
    make_lists(args->object);
    return args;
}

VitBlockArgs *vit_block_args_parse(const char *context, const char *text, const char *implied,
                                   GError **error)
{
    g_autoptr(VitOptions)
        options = vit_options_parse(context && *context ? context : text, text, implied, error);
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
    g_free(args->path);
    json_object_unref(args->object);
    g_hash_table_unref(args->taken);
    g_ptr_array_unref(args->known);
    g_hash_table_unref(args->children);
    g_free(args);
}

void vit_block_args_set_strict(VitBlockArgs *args)
{
    args->strict = true;
}

void vit_block_args_set_driver(VitBlockArgs *args, const char *name, bool is_protocol)
{
    args->driver = name;
    args->is_protocol = is_protocol;
    if (!vit_block_args_named(args)) return;
    g_free(args->path);
    args->path = g_strdup("");
}

bool vit_block_args_named(const VitBlockArgs *args)
{
    return args->context && !*args->context;
}

static bool fail(const VitBlockArgs *args, GError **error, const char *text)
{
    const char *context = args->context ?: "";

    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "%s%s%s", context, *context ? ": " : "",
                          text);
}

bool vit_block_args_fail(const VitBlockArgs *args, GError **error, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    return fail(args, error, text);
}

bool vit_block_args_fail_missing(const VitBlockArgs *args, const char *key, GError **error,
                                 const char *format, ...)
{
    va_list list;

    if (!vit_block_args_named(args))
        return vit_block_args_fail(args, error, _("Parameter '%s%s' is missing"), args->path, key);
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    return fail(args, error, text);
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

bool vit_block_args_fail_value(const VitBlockArgs *args, const char *key, const char *value,
                               const char *const *names, GError **error)
{
    g_autofree char *phrase = args->context ? vit_suggest_phrase(value, names) : g_strdup("");

    return vit_block_args_fail(args, error, _("Parameter '%s' does not accept value '%s'%s"), key,
                               value, phrase);
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

static bool bad_type(const VitBlockArgs *args, const char *key, const char *wanted, GError **error)
{
    return vit_block_args_fail(args, error, _("Invalid parameter type for '%s%s', expected: %s"),
                               args->path, key, wanted);
}

bool vit_block_args_bool(VitBlockArgs *args, const char *key, bool *value, GError **error)
{
    JsonNode *node = take(args, key);

    if (!node) return true;
    if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN) {
        *value = json_node_get_boolean(node);
        return true;
    }
    if (args->strict || !is_string(node)) return bad_type(args, key, "boolean", error);
    return vit_parse_bool(json_node_get_string(node), value) ||
           vit_block_args_fail(args, error, _("Parameter '%s%s' expects 'on' or 'off'"), args->path,
                               key);
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
    } else if (args->strict || !is_string(node)) {
        return bad_type(args, key, "integer", error);
    } else {
        const char *text = json_node_get_string(node);
        good = size ? vit_parse_size(text, &n) : vit_parse_uint(text, UINT64_MAX, &n);
    }
    if (good && n <= max) {
        *value = n;
        return true;
    }
    if (good || max != UINT64_MAX)
        return vit_block_args_fail(args, error,
                                   _("Parameter '%s%s' expects a number from 0 to "
                                     "%" G_GUINT64_FORMAT),
                                   args->path, key, max);
    if (!size)
        return vit_block_args_fail(args, error, _("Parameter '%s%s' expects a number"), args->path,
                                   key);
    return vit_block_args_fail(args, error,
                               _("Parameter '%s%s' expects a non-negative number below 2^64\n"
                                 "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, "
                                 "tera-, peta-\nand exabytes, respectively."),
                               args->path, key);
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
    if (!is_string(node)) return bad_type(args, key, "string", error);
    const char *text = json_node_get_string(node);
    for (int i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *value = i;
            return true;
        }
    }
    if (vit_block_args_named(args) && strcmp(key, "discard") == 0)
        return vit_block_args_fail(args, error, _("Invalid discard option"));
    if (vit_block_args_named(args))
        return vit_block_args_fail(args, error, _("invalid parameter value: %s"), text);
    return vit_block_args_fail_value(args, key, text, names, error);
}

VitBlockArgs *vit_block_args_sub(VitBlockArgs *args, const char *key)
{
    JsonNode *node = json_object_get_member(args->object, key);

    if (!node || !JSON_NODE_HOLDS_OBJECT(node)) return NULL;
    take(args, key);
    VitBlockArgs *sub = wrap(args->context, json_object_ref(json_node_get_object(node)));
    g_free(sub->path);
    sub->path = g_strconcat(args->path, key, ".", NULL);
    sub->strict = args->strict;
    return sub;
}

/* What is said of an option that nobody took. */
static bool unknown(const VitBlockArgs *args, const char *key, GError **error)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    if (vit_block_args_named(args) && args->driver)
        return vit_block_args_fail(args, error,
                                   args->is_protocol
                                       ? _("Block protocol '%s' doesn't support the option '%s%s'")
                                       : _("Block format '%s' does not support the option '%s%s'"),
                                   args->driver, args->path, key);
    if (vit_block_args_named(args))
        return vit_block_args_fail(args, error, _("Invalid parameter '%s%s'"), args->path, key);
    if (!args->context)
        return vit_block_args_fail(args, error, _("Parameter '%s%s' is unexpected"), args->path,
                                   key);
    for (guint i = 0; i < args->known->len; i++) g_ptr_array_add(known, args->known->pdata[i]);
    g_ptr_array_add(known, NULL);
    g_autofree char *phrase = vit_suggest_phrase(key, (const char *const *)known->pdata);
    return vit_block_args_fail(args, error, _("there is no option “%s%s” here%s"), args->path, key,
                               phrase);
}

bool vit_block_args_finish(const VitBlockArgs *args, GError **error)
{
    g_autoptr(GList) keys = json_object_get_members(args->object);

    for (GList *k = keys; k; k = k->next) {
        if (!g_hash_table_contains(args->taken, k->data)) return unknown(args, k->data, error);
    }
    return true;
}

bool vit_block_id_is_valid(const char *id)
{
    if (!g_ascii_isalpha(*id)) return false;
    for (const char *p = id; *p; p++)
        if (!g_ascii_isalnum(*p) && !strchr("-._", *p)) return false;
    return true;
}
