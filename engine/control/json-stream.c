/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/json-stream.c - finds where a JSON text ends, without reading any byte twice */
#include "engine/control/json-stream.h"

#include "engine/control/control-private.h"

#include <string.h>

void json_stream_init(JsonStream *s)
{
    *s = (JsonStream) { .text = g_byte_array_new() };
}

void json_stream_reset(JsonStream *s)
{
    g_byte_array_set_size(s->text, 0);
    s->depth = 0;
    s->in_string = s->escaped = s->skipping = false;
}

void json_stream_finish(JsonStream *s)
{
    g_byte_array_unref(s->text);
}

static JsonStreamResult fail(JsonStream *s, bool skip, const char *what, GError **error)
{
    json_stream_reset(s);
    s->skipping = skip;
    g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC, "JSON parse error: %s", what);
    return JSON_STREAM_ERROR;
}

static JsonStreamResult parse(JsonStream *s, JsonNode **value, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) bad = NULL;
    const char *text = (const char *) s->text->data;

    if (!g_utf8_validate_len(text, s->text->len, NULL))
        return fail(s, false, "invalid UTF-8", error);
    json_parser_set_strict(parser, TRUE);
    if (!json_parser_load_from_data(parser, text, s->text->len, &bad))
        return fail(s, false, bad->message, error);
    *value = json_parser_steal_root(parser);
    json_stream_reset(s);
    return *value ? JSON_STREAM_VALUE : fail(s, false, "no value", error);
}

/* Follows one byte of a value; true when it was the last. */
static bool follow(JsonStream *s, uint8_t byte)
{
    if (s->in_string) {
        if (s->escaped)
            s->escaped = false;
        else if (byte == '\\')
            s->escaped = true;
        else if (byte == '"')
            s->in_string = false;
    } else if (byte == '"') {
        s->in_string = true;
    } else if (byte == '{' || byte == '[') {
        s->depth++;
    } else if (byte == '}' || byte == ']') {
        s->depth--;
    }
    return s->depth == 0;
}

JsonStreamResult json_stream_feed(JsonStream *s, const uint8_t *data, size_t size, size_t *used,
                                  JsonNode **value, GError **error)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = data[i];
        bool space = byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';

        *used = i + 1;
        if (s->skipping) {
            s->skipping = byte != '\n' && byte != 0xff;
            continue;
        }
        if (!s->depth) {
            if (space)
                continue;
            if (byte != '{' && byte != '[')
                return fail(s, byte != 0xff, "a value must be an object", error);
        } else if (byte == 0xff || (byte < 0x20 && !space)) {
            return fail(s, false, "a byte that JSON does not have", error);
        }
        if (s->text->len == JSON_STREAM_MAX_SIZE)
            return fail(s, true, "the value is too long", error);
        g_byte_array_append(s->text, &byte, 1);
        if (follow(s, byte))
            return parse(s, value, error);
        if (s->depth > JSON_STREAM_MAX_DEPTH)
            return fail(s, true, "nested too deeply", error);
    }
    *used = size;
    return JSON_STREAM_MORE;
}

char *json_stream_line(JsonNode *value)
{
    g_autofree char *text = json_to_string(value, FALSE);
    GString *line = g_string_sized_new(strlen(text) * 5 / 4);
    bool in_string = false;

    for (const char *c = text; *c; c++) {
        g_string_append_c(line, *c);
        if (in_string && *c == '\\')
            g_string_append_c(line, *++c);
        else if (*c == '"')
            in_string = !in_string;
        else if (!in_string && (*c == ':' || *c == ','))
            g_string_append_c(line, ' ');
    }
    g_string_append(line, "\r\n");
    return g_string_free(line, FALSE);
}
