/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/common.c - options, messages, opening and progress of all subcommands */
#include "app/cli/vitrine-img/img.h"

#include "app/cli/modes.h"
#include "app/cli/tool.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- messages -------------------------------------------------------------------------------- */

int img_fail(const Img *img, int status, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "%s: ", img->program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

int img_fail_error(const Img *img, int status, GError *error)
{
    img_fail(img, status, "%s", vit_block_error_text(error));
    g_error_free(error);
    return status;
}

int img_fail_usage(const Img *img, int status, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", img->program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry '%s %s --help' for more info\n", img->program, img->command);
    return status;
}

void img_say(const Img *img, const char *format, ...)
{
    va_list args;

    if (img->quiet) return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

/* ---- options --------------------------------------------------------------------------------- */

int img_next_option(Img *img, int argc, char **argv, const char *letters,
                    const struct option *options, int *status)
{
    int c;

    while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        g_autoptr(GError) error = NULL;
        switch (c) {
        case 'q': img->quiet = true; break;
        case 'p': img->progress = true; break;
        case 'f': img->format = optarg; break;
        case 'U': img->force_share = true; break;
        case IMG_OPT_IMAGE_OPTS: img->image_opts = true; break;
        case IMG_OPT_OUTPUT:
            if (strcmp(optarg, "json") != 0 && strcmp(optarg, "human") != 0) {
                *status = img_fail_usage(img, *status,
                                         "--output expects 'human' or 'json' not '%s'", optarg);
                return '?';
            }
            img->json = strcmp(optarg, "json") == 0;
            break;
        case IMG_OPT_OBJECT:
            if (!vit_block_objects_add_text(vit_block_graph_objects(img->graph), optarg, &error)) {
                *status = img_fail_error(img, *status, g_steal_pointer(&error));
                return '?';
            }
            break;
        case '?':
            fprintf(stderr, "Try '%s %s --help' for more info\n", img->program, img->command);
            return c;
        default: return c;
        }
    }
    if (img->image_opts && img->format && !img->late_checks) {
        *status = img_fail(img, *status, "--image-opts and --format are mutually exclusive");
        return '?';
    }
    return -1;
}

bool img_cache_flags(const char *cache, unsigned *flags, bool *fua)
{
    *fua = false;
    return !cache || cli_cache_mode(cache, flags, fua);
}

int img_fail_size(const Img *img, const char *prefix, const char *name, const char *text)
{
    uint64_t ignored;

    errno = 0;
    if (!vit_parse_size_strict(text, &ignored) && errno == ERANGE)
        return img_fail(img, 1, "%sValue '%s' is out of range for parameter '%s'", prefix, text,
                        name);
    return img_fail(img, 1,
                    "%sParameter '%s' expects a non-negative number below 2^64\n"
                    "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, "
                    "peta-\nand exabytes, respectively.",
                    prefix, name);
}

char *img_size_text(uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double value = (double)bytes;
    unsigned unit = 0;

    for (; value >= 1000 && unit + 1 < G_N_ELEMENTS(units); unit++) value /= 1024;
    return g_strdup_printf("%0.3g %s", value, units[unit]);
}

/* ---- opening --------------------------------------------------------------------------------- */

VitBlockNode *img_open(Img *img, const char *name, const char *format, bool image_opts,
                       unsigned flags)
{
    g_autoptr(GError) error = NULL;
    VitBlockNode *node = NULL;

    if (img->force_share) flags |= VIT_OPEN_FORCE_SHARE;
    if ((flags & VIT_OPEN_READ_ONLY) && !img->alone) flags |= VIT_OPEN_SHARE;
    if (image_opts) {
        g_autoptr(VitBlockArgs) args = vit_block_args_parse("", name, "file", &error);
        if (args) node = vit_block_graph_open_with(img->graph, args, flags, &error);
    } else {
        node = vit_block_graph_open_image(img->graph, name, format, NULL, flags, &error);
    }
    if (!node) img_fail(img, 1, "Could not open '%s': %s", name, vit_block_error_text(error));
    else cli_warn_probed(node);
    return node;
}

void img_add_key_secrets(JsonObject *extra, const VitBlockArgs *args)
{
    JsonObject *given = vit_block_args_object(args);
    JsonNode *encrypt = json_object_get_member(given, "encrypt");
    const char *key = "key-secret";

    if (json_object_has_member(given, key))
        json_object_set_member(extra, key, json_object_dup_member(given, key));
    if (!encrypt || !JSON_NODE_HOLDS_OBJECT(encrypt)) return;
    given = json_node_get_object(encrypt);
    if (json_object_has_member(given, key))
        json_object_set_member(extra, "encrypt.key-secret", json_object_dup_member(given, key));
}

VitBlockNode *img_open_target(Img *img, const char *name, const char *format, JsonObject *extra,
                              unsigned flags)
{
    g_autoptr(GError) error = NULL;
    VitBlockNode *node = vit_block_graph_open_image(img->graph, name, format, extra, flags, &error);

    if (!node) img_fail(img, 1, "Could not open '%s': %s", name, vit_block_error_text(error));
    return node;
}

void img_run(Img *img, VitFiberFunc fn, void *opaque)
{
    vit_fiber_run_sync(img->thread, fn, opaque);
}

/* ---- progress -------------------------------------------------------------------------------- */

enum { PROGRESS_STEP_US = 200000 };

void img_progress(Img *img, uint64_t done, uint64_t total, const VitBlockJobInfo *info)
{
    double percent = total ? MIN(100.0, 100.0 * (double)done / (double)total) : 100;
    int64_t now = g_get_monotonic_time();

    if (!img->progress || img->quiet) return;
    bool first = img->shown < 0, last = percent >= 100 && img->shown < 100;
    if (!first && !last && (percent < img->shown + 1 && now < img->shown_at + PROGRESS_STEP_US))
        return;
    if (!first && percent == img->shown) return;
    img->line_open = true;
    img->shown = percent;
    img->shown_at = now;
    printf("    (%3.2f/100%%)", percent);
    if (img->on_terminal && info) {
        g_autofree char *rate = img_size_text(info->bytes_per_second);
        if (info->bytes_per_second > 0) printf("  %s/s", rate);
        if (info->seconds_left >= 0)
            printf(", %" G_GINT64_FORMAT ":%02d left", info->seconds_left / 60,
                   (int)(info->seconds_left % 60));
        printf("\033[K");
    }
    printf("\r");
    fflush(stdout);
}

void img_progress_end(Img *img)
{
    if (!img->progress || img->quiet) return;
    img->line_open = false;
    printf("\n");
    fflush(stdout);
}

void img_progress_begin(Img *img)
{
    if (img->line_open) return;
    img->shown = -1;
    img_progress(img, 0, 100, NULL);
}
