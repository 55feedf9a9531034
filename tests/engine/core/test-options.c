/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/core/test-options.c - option strings, sizes and suggestions */
#include "engine/core/options.h"
#include "engine/core/suggest.h"

static void test_parse(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VitOptions) o = vit_options_parse(
        "-netdev", "user,id=n,,0,hostfwd=tcp::1-:2,restrict,hostfwd=udp::3-:4,net=a=b", "type",
        &error);
    g_assert_no_error(error);
    g_assert_cmpuint(vit_options_count(o), ==, 6);
    g_assert_cmpstr(vit_options_take(o, "type"), ==, "user");
    g_assert_cmpstr(vit_options_take(o, "id"), ==, "n,0");
    g_assert_cmpstr(vit_options_take_next(o, "hostfwd"), ==, "tcp::1-:2");
    g_assert_cmpstr(vit_options_take_next(o, "hostfwd"), ==, "udp::3-:4");
    g_assert_null(vit_options_take_next(o, "hostfwd"));
    bool restricted = false;
    g_assert_true(vit_options_take_bool(o, "restrict", &restricted, &error));
    g_assert_true(restricted);
    g_assert_null(vit_options_take(o, "dns"));
    g_assert_false(vit_options_finish(o, &error));      /* net was not taken */
    g_assert_error(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION);
    g_clear_error(&error);
    g_assert_cmpstr(vit_options_take(o, "net"), ==, "a=b");
    g_assert_true(vit_options_finish(o, &error));
}

/* Values with types of their own are taken as such, those of a command line as any. */
static void test_types(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VitOptions) o = vit_options_new("-device");
    bool flag = false;
    uint64_t number = 0;

    vit_options_add(o, "on", VIT_OPTION_BOOLEAN, "on");
    vit_options_add(o, "n", VIT_OPTION_NUMBER, "7");
    vit_options_add(o, "text", VIT_OPTION_STRING, "8");
    g_assert_true(vit_options_take_bool(o, "on", &flag, &error));
    g_assert_true(vit_options_take_uint(o, "n", 9, &number, &error));
    g_assert_true(flag && number == 7);
    g_assert_true(vit_options_expect(o, "absent", VIT_OPTION_LIST, &error));
    g_assert_false(vit_options_take_uint(o, "text", 9, &number, &error));
    g_assert_cmpstr(error->message, ==,
                    "-device: Invalid parameter type for 'text', expected: integer");
    g_clear_error(&error);
    g_assert_false(vit_options_take_bool(o, "n", &flag, &error));
    g_clear_error(&error);
    g_assert_true(vit_options_finish(o, &error));
}

static void test_unknown(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VitOptions) o = vit_options_parse("-drive", "fiel=a.img", NULL, &error);
    static const char *const more[] = { "format", NULL };

    vit_options_take(o, "file");
    vit_options_know(o, more);
    g_assert_false(vit_options_finish(o, &error));
    g_assert_cmpstr(error->message, ==, "-drive: unknown option “fiel”; did you mean “file”?");
}

static void test_bad(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(vit_options_parse("-x", "a,=b", NULL, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);

    g_autoptr(VitOptions) o = vit_options_parse("-x", "n=12a,b=maybe,s=9Q,ok=7,size=2G", NULL,
                                                &error);
    uint64_t n = 5;
    bool b;
    g_assert_false(vit_options_take_uint(o, "n", 100, &n, &error));
    g_clear_error(&error);
    g_assert_false(vit_options_take_bool(o, "b", &b, &error));
    g_clear_error(&error);
    g_assert_false(vit_options_take_size(o, "s", &n, &error));
    g_clear_error(&error);
    g_assert_cmpuint(n, ==, 5);
    g_assert_false(vit_options_take_uint(o, "ok", 6, &n, &error));
    g_clear_error(&error);
    g_assert_true(vit_options_take_uint(o, "ok", 7, &n, &error));
    g_assert_cmpuint(n, ==, 7);
    g_assert_true(vit_options_take_size(o, "size", &n, &error));
    g_assert_cmpuint(n, ==, UINT64_C(2) << 30);
}

static void test_sizes(void)
{
    static const struct { const char *text; bool good; uint64_t value; } rows[] = {
        { "0", true, 0 }, { "512", true, 512 }, { "4k", true, 4096 }, { "1.5G", true, 0x60000000 },
        { "0x1000", true, 4096 }, { "16E", false, 0 }, { "15E", true, UINT64_C(15) << 60 },
        { "", false, 0 }, { "-1", false, 0 }, { "1.", false, 0 },
        { "2GiB", true, UINT64_C(2) << 30 }, { "99999999999999999999", false, 0 },
        { "1 G", false, 0 }, { "99999999999.5E", false, 0 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t value = 0;
        g_assert_cmpint(vit_parse_size(rows[i].text, &value), ==, rows[i].good);
        g_assert_cmpuint(value, ==, rows[i].value);
    }
}

static void test_strict_sizes(void)
{
    static const struct { const char *text; int wrong; uint64_t value; } rows[] = {
        { "0", 0, 0 }, { " +1M", 0, 1 << 20 }, { ".5k", 0, 512 }, { "1.", 0, 1 }, { "1.0b", 0, 1 },
        { "3.2k", 0, 3277 }, { "0x10", 0, 16 }, { "15E", 0, UINT64_C(15) << 60 },
        { "1.5", EINVAL, 0 }, { "1kb", EINVAL, 0 }, { "1KiB", EINVAL, 0 }, { "0x10k", EINVAL, 0 },
        { "-1M", EINVAL, 0 }, { ".", EINVAL, 0 }, { "", EINVAL, 0 }, { "+-1", EINVAL, 0 },
        { "-1", ERANGE, 0 }, { "16E", ERANGE, 0 }, { "18446744073709551616", ERANGE, 0 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t value = 0;
        bool good = vit_parse_size_strict(rows[i].text, &value);
        int wrong = good ? 0 : errno ?: EINVAL;
        g_test_message("%s", rows[i].text);
        g_assert_cmpint(wrong, ==, rows[i].wrong);
        if (good)
            g_assert_cmpuint(value, ==, rows[i].value);
    }
}

static void test_suggest(void)
{
    static const char *const known[] = { "-machine", "-memory", "-kernel", "-cdrom", "-m", NULL };
    g_assert_cmpstr(vit_suggest("-machin", known), ==, "-machine");
    g_assert_cmpstr(vit_suggest("-kerenl", known), ==, "-kernel");
    g_assert_cmpstr(vit_suggest("-CDROM", known), ==, "-cdrom");
    g_assert_null(vit_suggest("zzzzzzz", known));
    g_assert_null(vit_suggest("", known));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/options/parse", test_parse);
    g_test_add_func("/core/options/types", test_types);
    g_test_add_func("/core/options/unknown", test_unknown);
    g_test_add_func("/core/options/bad", test_bad);
    g_test_add_func("/core/options/sizes", test_sizes);
    g_test_add_func("/core/options/strict-sizes", test_strict_sizes);
    g_test_add_func("/core/suggest", test_suggest);
    return g_test_run();
}
