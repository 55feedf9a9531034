/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/display/test-edid.c - checksums, preferred timings, and edid-decode's word */
#include "display/edid.h"

#include <glib/gstdio.h>
#include <string.h>

static void check_sum(const uint8_t *block)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < 128; i++)
        sum = (uint8_t) (sum + block[i]);
    g_assert_cmpuint(sum, ==, 0);
}

static void test_sizes(void)
{
    static const int sizes[][2] = { { 640, 480 },   { 1024, 768 },  { 1280, 800 },  { 1367, 771 },
                                    { 1920, 1080 }, { 3840, 2160 }, { 4095, 1000 }, { 5120, 2880 },
                                    { 7680, 4320 }, { 1, 1 },       { -5, 1000000 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint8_t e[VIT_EDID_MAX];
        VitEdidInfo info = { .width = sizes[i][0], .height = sizes[i][1] };
        size_t n = vit_edid_make(&info, e);
        unsigned w = (unsigned) CLAMP(info.width, 64, VIT_EDID_MAX_SIDE),
                 h = (unsigned) CLAMP(info.height, 64, VIT_EDID_MAX_SIDE);
        check_sum(e);
        g_assert_cmpuint(n, ==, e[126] ? 256 : 128);
        unsigned dtd_w = e[56] | (e[58] & 0xf0u) << 4, dtd_h = e[59] | (e[61] & 0xf0u) << 4;
        unsigned h_total = dtd_w + (e[57] | (e[58] & 0xfu) << 8),
                 v_total = dtd_h + (e[60] | (e[61] & 0xfu) << 8);
        double hz = (e[54] | e[55] << 8) * 10000.0 / h_total / v_total;
        g_assert_cmpfloat(hz, >, 58.5);
        g_assert_cmpfloat(hz, <, 60.5);
        if (n == 128) {
            g_assert_cmpuint(dtd_w, ==, w);
            g_assert_cmpuint(dtd_h, ==, h);
        } else {
            check_sum(e + 128);
            g_assert_cmpuint(e[128 + 8 + 4] | e[128 + 8 + 5] << 8, ==, w - 1);
            g_assert_cmpuint(e[128 + 8 + 12] | e[128 + 8 + 13] << 8, ==, h - 1);
        }
    }
}

static void test_decoder(void)
{
    g_autofree char *program = g_find_program_in_path("edid-decode");
    if (!program) {
        g_test_skip("edid-decode is not installed");
        return;
    }
    static const int sizes[][2] = { { 1280, 800 }, { 1366, 768 }, { 3840, 2160 }, { 7680, 4320 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint8_t e[VIT_EDID_MAX];
        size_t n = vit_edid_make(&(VitEdidInfo) { .width = sizes[i][0], .height = sizes[i][1] }, e);
        g_autofree char *path = NULL, *out = NULL,
                        *mode = g_strdup_printf("%dx%d", sizes[i][0], sizes[i][1]);
        GError *error = NULL;
        int fd = g_file_open_tmp("edid-XXXXXX", &path, &error);
        g_assert_no_error(error);
        g_assert_cmpint(fd, >=, 0);
        g_close(fd, NULL);
        g_assert_true(g_file_set_contents(path, (char *) e, (gssize) n, NULL));
        char *argv[] = { program, "--check", path, NULL };
        g_assert_true(g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &out, NULL, NULL, NULL));
        (void) g_remove(path);
        g_test_message("%s", out);
        g_assert_nonnull(strstr(out, mode));
        /* The DisplayID block holds the one timing that does not fit elsewhere, no more. */
        g_assert_true(n > 128 || strstr(out, "EDID conformity: PASS"));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/edid/sizes", test_sizes);
    g_test_add_func("/edid/decoder", test_decoder);
    return g_test_run();
}
