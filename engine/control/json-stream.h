/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/json-stream.h - JSON texts (RFC 8259) one after the other out of a byte stream
 *
 * Size and nesting are bounded.  After a text that cannot be skipped as a whole, input up to the
 * end of the line is dropped; a byte FFh, which no JSON has, drops what was begun. */
#pragma once
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { JSON_STREAM_MAX_SIZE = 4 << 20, JSON_STREAM_MAX_DEPTH = 64 };

typedef struct {
    GByteArray *text;           /* of the value begun; owned */
    unsigned    depth;
    bool        in_string, escaped, skipping;
} JsonStream;

typedef enum { JSON_STREAM_MORE, JSON_STREAM_VALUE, JSON_STREAM_ERROR } JsonStreamResult;

void json_stream_init(JsonStream *stream);
void json_stream_reset(JsonStream *stream);
void json_stream_finish(JsonStream *stream);
/* Reads up to the end of one value or error and sets *used.  VALUE: *value is the caller's. */
[[nodiscard]] JsonStreamResult json_stream_feed(JsonStream *stream, const uint8_t *data,
                                                size_t size, size_t *used, JsonNode **value,
                                                GError **error);

/* The value as a line, with a blank after each ':' and ',' as QEMU writes it: scripts look for such
 * text.  The caller's. */
char *json_stream_line(JsonNode *value);
