/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/args.h - named options of a node, an image to be created, an export: a tree of JSON values
 *
 * Keys may be written flat ("file.filename", "server.0.host") or nested; both are the same tree.
 * Values may be JSON values or, from a command line, strings that say them.  A reader takes what it
 * knows; vit_block_args_finish() then refuses the rest by name, with the nearest known one. */
#pragma once
#include "engine/core/module.h"

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdint.h>

typedef struct VitBlockArgs VitBlockArgs;

/* object: borrowed, copied; NULL is empty.  context: how messages begin, e.g. "-blockdev"; NULL:
 * the arguments of a command of the control protocol; "": an image that a tool was given by name,
 * which it has said already. */
[[nodiscard]] VIT_FOR_MODULES VitBlockArgs *vit_block_args_new(const char *context,
                                                               JsonObject *object, GError **error);
/* From "a=b,c.d=e,flag": implied names the key of a first part without "=" (NULL: none). */
[[nodiscard]] VitBlockArgs *vit_block_args_parse(const char *context, const char *text,
                                                 const char *implied, GError **error);
VIT_FOR_MODULES void vit_block_args_free(VitBlockArgs *args);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitBlockArgs, vit_block_args_free)
JsonObject *vit_block_args_object(const VitBlockArgs *args); /* borrowed: what was given, nested */
/* Failing, with what messages begin with; both return false.  The second says that key is missing,
 * in the words given for an image that is named to a tool. */
bool vit_block_args_fail(const VitBlockArgs *args, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
bool vit_block_args_fail_missing(const VitBlockArgs *args, const char *key, GError **error,
                                 const char *format, ...) G_GNUC_PRINTF(4, 5);
/* "Parameter ... does not accept value ...": names (ended by NULL) is what would be. */
bool vit_block_args_fail_value(const VitBlockArgs *args, const char *key, const char *value,
                               const char *const *names, GError **error);
bool vit_block_args_named(const VitBlockArgs *args); /* an image named to a tool */
/* Only values of JSON's own types are taken: no "on" for true, no "1" for 1. */
void vit_block_args_set_strict(VitBlockArgs *args);
/* From here on the options are a node's own, of this driver: messages name it. */
void vit_block_args_set_driver(VitBlockArgs *args, const char *name, bool is_protocol);
VIT_FOR_MODULES bool vit_block_args_has(const VitBlockArgs *args, const char *key);
/* Adds or replaces (also with key "a.b"); the text is parsed when it is read. */
void vit_block_args_set(VitBlockArgs *args, const char *key, const char *value);
void vit_block_args_set_default(VitBlockArgs *args, const char *key, const char *value);

/* Taking.  Not given: NULL, or true with *value left alone.  Strings belong to args. */
VIT_FOR_MODULES const char *vit_block_args_str(VitBlockArgs *args, const char *key);
[[nodiscard]] VIT_FOR_MODULES bool vit_block_args_bool(VitBlockArgs *args, const char *key,
                                                       bool *value, GError **error);
[[nodiscard]] VIT_FOR_MODULES bool vit_block_args_uint(VitBlockArgs *args, const char *key,
                                                       uint64_t max, uint64_t *value,
                                                       GError **error);
[[nodiscard]] VIT_FOR_MODULES bool vit_block_args_size(VitBlockArgs *args, const char *key,
                                                       uint64_t *value, GError **error);
/* names: NULL-ended; *value: index. */
[[nodiscard]] VIT_FOR_MODULES bool vit_block_args_enum(VitBlockArgs *args, const char *key,
                                                       const char *const *names, int *value,
                                                       GError **error);
/* The object under key as args of their own (owned by the caller), NULL when there is none; a
 * string there (a node's name) is left for vit_block_args_str(). */
VIT_FOR_MODULES VitBlockArgs *vit_block_args_sub(VitBlockArgs *args, const char *key);
VIT_FOR_MODULES JsonNode *vit_block_args_node(
    VitBlockArgs *args, const char *key); /* any value; borrowed, NULL: not given */
[[nodiscard]] VIT_FOR_MODULES bool vit_block_args_finish(const VitBlockArgs *args, GError **error);

/* Letters, digits, "-._", and a letter first: what nodes, exports, jobs, objects may be called. */
bool vit_block_id_is_valid(const char *id);
