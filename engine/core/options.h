/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/options.h - "name,key=value,flag,key=with,,comma" strings as an ordered list
 *
 * The notation of QEMU's command line: a comma in a value is written twice; a key without a value
 * means "on".  A reader takes the options that it knows, then vit_options_finish() refuses the rest
 * by name with the nearest one that was asked for. */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct VitOptions VitOptions;

/* context: what the messages call the string, e.g. "-netdev".  implied: key of a first part without
 * "=", or NULL when there is none. */
[[nodiscard]] VitOptions *vit_options_parse(const char *context, const char *text,
                                            const char *implied, GError **error);
/* The same from values that have types of their own (JSON): text is how a command line says them.
 * Begun empty. */
typedef enum {
    VIT_OPTION_TEXT, /* of a command line: stands for any type */
    VIT_OPTION_STRING,
    VIT_OPTION_NUMBER,
    VIT_OPTION_BOOLEAN,
    VIT_OPTION_LIST, /* or an object; text is its JSON */
} VitOptionType;
[[nodiscard]] VitOptions *vit_options_new(const char *context);
void vit_options_add(VitOptions *options, const char *key, VitOptionType type, const char *text);
void vit_options_free(VitOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitOptions, vit_options_free)

/* Looking only: the last value given for key, or NULL. */
const char *vit_options_get(const VitOptions *options, const char *key);
unsigned vit_options_count(const VitOptions *options);
const char *vit_options_key(const VitOptions *options, unsigned n);
const char *vit_options_value(const VitOptions *options, unsigned n);

/* Taking: each marks key as known (for suggestions) and what it returns as read.  Values stay
 * owned by `options`.  NULL or false with no error set: the option was not given and *value keeps
 * its default. */
const char *vit_options_take(VitOptions *options, const char *key);
/* False with error set when what was given for key has another type. */
[[nodiscard]] bool vit_options_expect(const VitOptions *options, const char *key,
                                      VitOptionType type, GError **error);
/* For options that may be repeated: the next one not yet taken, in order. */
const char *vit_options_take_next(VitOptions *options, const char *key);
/* These return false with error set when the value does not parse; true otherwise. */
[[nodiscard]] bool vit_options_take_bool(VitOptions *options, const char *key, bool *value,
                                         GError **error);
[[nodiscard]] bool vit_options_take_uint(VitOptions *options, const char *key, uint64_t max,
                                         uint64_t *value, GError **error);
[[nodiscard]] bool vit_options_take_size(VitOptions *options, const char *key, uint64_t *value,
                                         GError **error);
/* More names (a NULL-ended list) that suggestions may offer. */
void vit_options_know(VitOptions *options, const char *const *keys);

/* False, naming the first option that nobody took. */
[[nodiscard]] bool vit_options_finish(const VitOptions *options, GError **error);

/* The value parsers, for other places. "on off yes no true false"; "512M", "1.5G" (powers of
 * 1024). */
[[nodiscard]] bool vit_parse_bool(const char *text, bool *value);
[[nodiscard]] bool vit_parse_uint(const char *text, uint64_t max, uint64_t *value);
[[nodiscard]] bool vit_parse_size(const char *text, uint64_t *value);
/* As the disk tools take them, no other way of writing: one letter of "bkMGTPE" at most, a fraction
 * only before one that has room for it.  errno is ERANGE for what lies outside of 64 bits. */
[[nodiscard]] bool vit_parse_size_strict(const char *text, uint64_t *value);
