/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/control/test-json-stream.c - JSON texts out of a stream: whole, in pieces, broken,
 * endless */
#include "engine/control/json-stream.h"

#include <string.h>

typedef struct { GString *values; unsigned errors; } Seen;

/* Feeds text in pieces of `step` bytes; values come out as text with a blank after each. */
static Seen feed(JsonStream *s, const char *text, size_t size, size_t step)
{
    Seen seen = { .values = g_string_new(NULL) };

    for (size_t at = 0; at < size;) {
        g_autoptr(JsonNode) value = NULL;
        g_autoptr(GError) error = NULL;
        size_t used = 0, n = MIN(step, size - at);
        JsonStreamResult result = json_stream_feed(s, (const uint8_t *) text + at, n, &used, &value,
                                                   &error);
        g_assert_cmpuint(used, >=, 1);
        g_assert_cmpuint(used, <=, n);
        g_assert_cmpint(result == JSON_STREAM_VALUE, ==, value != NULL);
        g_assert_cmpint(result == JSON_STREAM_ERROR, ==, error != NULL);
        seen.errors += error != NULL;
        if (value) {
            g_autofree char *back = json_to_string(value, FALSE);
            g_string_append_printf(seen.values, "%s ", back);
        }
        at += used;
    }
    return seen;
}

static void expect(const char *text, size_t size, const char *values, unsigned errors)
{
    static const size_t steps[] = { 1, 2, 3, 7, 1 << 20 };

    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        JsonStream s;
        json_stream_init(&s);
        Seen seen = feed(&s, text, size, steps[i]);
        g_assert_cmpstr(seen.values->str, ==, values);
        g_assert_cmpuint(seen.errors, ==, errors);
        g_string_free(seen.values, TRUE);
        json_stream_finish(&s);
    }
}

static void test_line(void)
{
    g_autoptr(JsonNode) value = json_from_string("{\"a:,\":[1,\"\\\",:\\\\\",-2],\"b\":{}}", NULL);
    g_autofree char *line = json_stream_line(value);

    g_assert_cmpstr(line, ==, "{\"a:,\": [1, \"\\\",:\\\\\", -2], \"b\": {}}\r\n");
}

static void test_values(void)
{
    const char text[] = "{\"a\":1}{\"b\":\"}\\\"{\"}\r\n\t [1,[2]]  {}";

    expect(text, strlen(text), "{\"a\":1} {\"b\":\"}\\\"{\"} [1,[2]] {} ", 0);
}

static void test_broken(void)
{
    static const struct { const char *text, *values; unsigned errors; } rows[] = {
        { "{\"a\":}{\"b\":2}", "{\"b\":2} ", 1 },           /* a whole object that is none */
        { "{\"a\":1]{\"b\":2}", "{\"b\":2} ", 1 },
        { "hello {\"a\":1}\n{\"b\":2}", "{\"b\":2} ", 1 },  /* the line is lost */
        { "}}}}\n{\"b\":2}", "{\"b\":2} ", 1 },
        { "1 2 3\n{}", "{} ", 1 },
        { "{\"a\": \xff{\"b\":2}", "{\"b\":2} ", 1 },       /* FFh starts over */
        { "\xff{\"b\":2}", "{\"b\":2} ", 1 },
        { "{\"a\": \x01 1}\n{}", "{} ", 2 },
        { "{'a': 1}{\"a\": \"\xc3\x28\"}{}", "{} ", 2 },    /* no JSON; no UTF-8 */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        expect(rows[i].text, strlen(rows[i].text), rows[i].values, rows[i].errors);
    expect("{\"a\0b\":1}\n{}", 12, "{} ", 2);
}

static void test_deep(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (unsigned i = 0; i < JSON_STREAM_MAX_DEPTH; i++)
        g_string_append_c(text, '[');
    for (unsigned i = 0; i < JSON_STREAM_MAX_DEPTH; i++)
        g_string_append_c(text, ']');
    g_autofree char *fine = g_strconcat(text->str, " ", NULL);
    expect(text->str, text->len, fine, 0);
    g_string_set_size(text, 0);
    for (unsigned i = 0; i < 100000; i++)
        g_string_append_c(text, i % 2 ? '[' : '{');
    g_string_append(text, "\n{}");
    expect(text->str, text->len, "{} ", 1);
}

static void test_long(void)
{
    g_autoptr(GString) text = g_string_new("{\"a\":\"");
    JsonStream s;

    for (unsigned i = 0; i < JSON_STREAM_MAX_SIZE + 1000; i++)
        g_string_append_c(text, 'x');
    g_string_append(text, "\"}\n{}");
    json_stream_init(&s);
    Seen seen = feed(&s, text->str, text->len, 4096);
    g_assert_cmpstr(seen.values->str, ==, "{} ");
    g_assert_cmpuint(seen.errors, ==, 1);
    g_assert_cmpuint(s.text->len, ==, 0);
    g_string_free(seen.values, TRUE);
    json_stream_finish(&s);
}

/* Any bytes: no crash, no growth past the limit, and a clean line is understood afterwards. */
static void test_random(void)
{
    static const char alphabet[] = "{}[]\":,\\ \n01eu\xc3\xff'tfn/*";

    for (unsigned round = 0; round < 300; round++) {
        char noise[2000];
        JsonStream s;
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = g_test_rand_int_range(0, 8)
                           ? alphabet[g_test_rand_int_range(0, sizeof alphabet - 1)]
                           : (char) g_test_rand_int_range(0, 256);
        json_stream_init(&s);
        Seen seen = feed(&s, noise, sizeof noise, (size_t) g_test_rand_int_range(1, 500));
        g_string_free(seen.values, TRUE);
        seen = feed(&s, "\xff\n{\"z\":0}", 9, 9);
        g_assert_cmpstr(seen.values->str, ==, "{\"z\":0} ");
        g_string_free(seen.values, TRUE);
        json_stream_finish(&s);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-stream/values", test_values);
    g_test_add_func("/json-stream/line", test_line);
    g_test_add_func("/json-stream/broken", test_broken);
    g_test_add_func("/json-stream/deep", test_deep);
    g_test_add_func("/json-stream/long", test_long);
    g_test_add_func("/json-stream/random", test_random);
    return g_test_run();
}
