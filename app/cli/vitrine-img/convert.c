/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/convert.c - vitrine-img convert: a copy in another format */
#include "app/cli/vitrine-img/create.h"

#include "app/cli/snapshot.h"
#include "block/bitmap.h"
#include "block/jobs/jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    OPT_TARGET_IMAGE_OPTS = IMG_OPT_OWN,
    OPT_TARGET_IS_ZERO,
    OPT_BITMAPS,
    OPT_SKIP_BROKEN,
    OPT_SALVAGE
};
enum { DEFAULT_SPARSE = 4096, MAX_SPARSE = 16 << 20, MAX_PARALLEL = 16 };

typedef struct {
    const char *format; /* of the target */
    const char *backing, *backing_format;
    const char *cache, *source_cache, *snapshot;
    bool compressed, no_create, target_image_opts, target_is_zero, bitmaps, skip_broken, salvage;
    bool copy_range, sparse_given, format_given, unordered;
    uint64_t sparse, rate, parallel;
    char **texts; /* of -o */
} Given;

typedef struct {
    Img *img;
    const Given *given;
    GPtrArray *sources; /* of VitBlockNode*: references */
    VitBlockNode *target; /* a reference */
    GPtrArray *made; /* of char*, owned: the files of a target that was made here */
    uint64_t total; /* bytes of all sources */
    uint32_t write_flags;
    bool has_backing;
    uint64_t backing_size;
    int status; /* of what ran on a fiber */
} Convert;

/* ---- sources --------------------------------------------------------------------------------- */

static void load_snapshot(void *opaque)
{
    Convert *c = opaque;
    g_autoptr(GError) error = NULL;

    if (!cli_co_load_snapshot(c->sources->pdata[0], c->given->snapshot, &error))
        c->status = img_fail(c->img, 1, "%s", vit_block_error_text(error));
}

static int open_sources(Convert *c, char **names, int count)
{
    unsigned flags = VIT_OPEN_READ_ONLY;
    Img *img = c->img;
    bool fua;

    img->alone = true;
    if (!img_cache_flags(c->given->source_cache, &flags, &fua))
        return img_fail(img, 1, "Invalid source cache option: %s", c->given->source_cache);
    for (int i = 0; i < count; i++) {
        VitBlockNode *node = img_open(img, names[i], img->format, img->image_opts, flags);
        if (!node) return 1;
        g_ptr_array_add(c->sources, node);
    }
    if (c->given->snapshot) {
        if (count > 1) return img_fail(img, 1, "No support for concatenating multiple snapshot");
        img_run(img, load_snapshot, c);
        if (c->status) return c->status;
    }
    for (guint i = 0; i < c->sources->len; i++)
        c->total += vit_block_info(c->sources->pdata[i]).size;
    return 0;
}

/* ---- the target ------------------------------------------------------------------------------ */

static int look_at_backing(Convert *c, const char *target, const char *backing, const char *format)
{
    g_autofree char *full = vit_block_filename_join(target, backing);

    if (!format) return img_fail(c->img, 1, "Use of backing file requires explicit backing format");
    VitBlockNode *node = img_open(c->img, full, format, false,
                                  VIT_OPEN_READ_ONLY | VIT_OPEN_NO_IO | VIT_OPEN_NO_BACKING);
    if (!node) return 1;
    c->has_backing = true;
    c->backing_size = vit_block_info(node).size;
    vit_block_node_unref(node);
    return 0;
}

/* Makes the new image; its secrets are added to extra. */
static int make_target(Convert *c, const VitBlockDriver *driver, const char *name,
                       JsonObject *extra)
{
    const Given *g = c->given;
    const char *backing = g->backing, *backing_format = g->backing_format;
    g_autoptr(VitBlockArgs) args = img_create_options(c->img, "", driver, g->texts);
    g_autoptr(GError) error = NULL;
    uint64_t ignored = 0;

    if (!args || !img_create_take(c->img, "", args, &ignored, &backing, &backing_format)) return 1;
    if (backing && !*backing) backing = NULL;
    if (backing && c->sources->len > 1)
        return img_fail(c->img, 1,
                        "Having a backing file for the target makes no sense when concatenating "
                        "multiple input images");
    if (backing_format && !vit_block_driver_find(backing_format))
        return img_fail(c->img, 1,
                        "%s: error while converting %s: Parameter 'backing-fmt' does not accept "
                        "value '%s'",
                        name, driver->name, backing_format);
    if (backing_format && !backing)
        return img_fail(c->img, 1,
                        "%s: error while converting %s: Backing format cannot be used without "
                        "backing file",
                        name, driver->name);
    if (backing && !driver->supports_backing)
        return img_fail(c->img, 1, "Backing file not supported for file format '%s'", driver->name);
    if (backing) {
        int status = look_at_backing(c, name, backing, backing_format);
        if (status) return status;
    }
    if (g->bitmaps && !driver->co_bitmap_can_store)
        return img_fail(c->img, 1, "Format driver '%s' does not support bitmaps", driver->name);
    if (g->compressed && vit_block_args_has(args, "encrypt"))
        return img_fail(c->img, 1, "Compression and encryption not supported at the same time");
    img_add_key_secrets(extra, args);
    VitBlockCreate how = { .driver = driver,
                           .filename = name,
                           .size = c->total,
                           .backing_file = backing,
                           .backing_format = backing_format,
                           .options = g_steal_pointer(&args),
                           .made = c->made };
    bool progress = c->img->progress;
    c->img->progress = false; /* it is that of the copying */
    bool good = img_create_image(c->img, &how, &error);
    c->img->progress = progress;
    if (!good)
        return img_fail(c->img, 1, "%s: error while converting %s: %s", name, driver->name,
                        vit_block_error_text(error));
    return 0;
}

static int open_target(Convert *c, const char *name)
{
    const Given *g = c->given;
    Img *img = c->img;
    unsigned flags = g->sparse ? VIT_OPEN_DISCARD : 0;
    g_autoptr(JsonObject) extra = json_object_new();
    bool fua;

    if (!img_cache_flags(g->cache ?: "unsafe", &flags, &fua))
        return img_fail(img, 1, "Invalid cache option: %s", g->cache);
    c->write_flags = fua ? VIT_BLOCK_FUA : 0;
    const VitBlockDriver *driver = g->no_create ? NULL : img_create_driver(img, "", g->format);
    if (!g->no_create) {
        if (!driver) return 1;
        int status = make_target(c, driver, name, extra);
        if (status) return status;
    }
    c->target = g->target_image_opts ? img_open(img, name, NULL, true, flags)
                                     : img_open_target(img, name, g->format, extra, flags);
    if (c->target && g->no_create && g->backing) { /* it has one, which need not be looked at */
        const VitBlockEdge *below = c->target->backing;
        c->has_backing = true;
        c->backing_size = below ? below->node->size : UINT64_MAX;
    }
    return c->target ? 0 : 1;
}

/* ---- bitmaps --------------------------------------------------------------------------------- */

static bool is_copied(VitBlockBitmap *bitmap)
{
    return vit_block_bitmap_name(bitmap) && vit_block_bitmap_persistent(bitmap);
}

/* What would keep them from being copied, before anything is; the newest is looked at first. */
static void check_bitmaps(void *opaque)
{
    Convert *c = opaque;
    const VitBlockNode *source = c->sources->pdata[0];
    const VitBlockDriver *d = c->target->driver;
    g_autoptr(GError) error = NULL;

    for (guint i = source->bitmaps ? source->bitmaps->len : 0; i-- > 0 && c->status == 0;) {
        VitBlockBitmap *bitmap = source->bitmaps->pdata[i];
        const char *name = vit_block_bitmap_name(bitmap);
        if (!is_copied(bitmap)) continue;
        if (!d->co_bitmap_can_store ||
            (!c->given->no_create &&
             !d->co_bitmap_can_store(c->target, name, vit_block_bitmap_granularity(bitmap),
                                     &error)))
            c->status = img_fail(c->img, 1, "Format driver '%s' does not support bitmaps", d->name);
        else if (vit_block_bitmap_inconsistent(bitmap) && !c->given->skip_broken)
            c->status = img_fail(c->img, 1,
                                 "Cannot copy inconsistent bitmap '%s'\n"
                                 "Try --skip-broken-bitmaps, or use '%s bitmap --remove' to delete "
                                 "it",
                                 name, c->img->program);
    }
}

static bool copy_bitmap(Convert *c, VitBlockBitmap *from, GError **error)
{
    const char *name = vit_block_bitmap_name(from);
    uint32_t granularity = vit_block_bitmap_granularity(from);

    if (vit_block_bitmap_inconsistent(from)) {
        img_fail(c->img, 0, "warning: Skipping inconsistent bitmap '%s'", name);
        return true;
    }
    g_autoptr(GError) reason = NULL;
    VitBlockBitmap *to = NULL;
    if (c->target->driver->co_bitmap_can_store(c->target, name, granularity, &reason))
        to = vit_block_bitmap_new(c->target, name, granularity, &reason);
    if (!to)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "Failed to create bitmap %s: %s",
                              name, reason->message);
    vit_block_bitmap_set_persistent(to, true);
    vit_block_bitmap_enable(to, vit_block_bitmap_enabled(from));
    return vit_block_bitmap_merge(to, from, error);
}

static void copy_bitmaps(void *opaque)
{
    Convert *c = opaque;
    const VitBlockNode *source = c->sources->pdata[0];
    g_autoptr(GError) error = NULL;

    for (guint i = 0; source->bitmaps && i < source->bitmaps->len && !error; i++) {
        VitBlockBitmap *bitmap = source->bitmaps->pdata[i];
        if (is_copied(bitmap)) (void)copy_bitmap(c, bitmap, &error);
    }
    if (error) c->status = img_fail(c->img, 1, "%s", vit_block_error_text(error));
}

/* ---- the command ----------------------------------------------------------------------------- */

static void warn(void *opaque, const char *text)
{
    Convert *c = opaque;

    if (!c->img->quiet) img_fail(c->img, 0, "%s", text);
}

static int copy(Convert *c)
{
    const Given *g = c->given;
    VitBlockInfo info = vit_block_info(c->target);
    bool made = !g->no_create;
    g_autoptr(GError) error = NULL;
    VitBlockConvert how = {
        .sources = (VitBlockNode *const *)c->sources->pdata,
        .n_sources = c->sources->len,
        .target = c->target,
        .sparse = g->sparse,
        .parallel = (unsigned)g->parallel,
        .write_flags = c->write_flags,
        /* Images of vmdk that cannot store compressed data take it as it is. */
        .compressed = info.must_compress ||
                      (g->compressed &&
                       (info.can_compress || strcmp(c->target->driver->name, "vmdk") != 0)),
        .target_is_zero = !c->has_backing && ((made && info.zero_init) || g->target_is_zero),
        .target_has_backing = c->has_backing,
        .backing_size = c->backing_size,
        .salvage = g->salvage,
        .copy_range = g->copy_range,
        .unordered = g->unordered,
        .made = c->made,
        .message = warn,
        .opaque = c,
    };

    VitBlockJob *job = vit_block_convert_new(c->img->jobs, NULL, IMG_JOB_FLAGS, &how, &error);
    if (job) vit_block_job_set_speed(job, g->rate);
    return img_run_job(c->img, job, error);
}

static int check_options(Img *img, const Given *g)
{
    if (g->target_image_opts && !g->no_create)
        return img_fail(img, 1, "--target-image-opts requires use of -n flag");
    if (g->skip_broken && !g->bitmaps)
        return img_fail(img, 1, "Use of --skip-broken-bitmaps requires --bitmaps");
    if (g->compressed && g->copy_range)
        return img_fail(img, 1, "Cannot enable copy offloading when -c is used");
    if (g->sparse_given && g->copy_range)
        return img_fail(img, 1, "Cannot enable copy offloading when -S is used");
    if (g->salvage && g->copy_range)
        return img_fail(img, 1, "Cannot use copy offloading in salvaging mode");
    if (g->target_is_zero && !g->no_create)
        return img_fail(img, 1, "--target-is-zero requires use of -n flag");
    if (g->target_is_zero && g->backing)
        return img_fail(img, 1,
                        "Cannot use --target-is-zero when the destination image has a backing "
                        "file");
    if (g->target_image_opts && g->format_given)
        return img_fail(img, 1, "--image-opts and --format are mutually exclusive");
    if (g->no_create && g->texts[0])
        return img_fail(img, 1, "-o has no effect when skipping image creation");
    return 0;
}

/* Known before the target is made, so that nothing is made in vain. */
static bool can_compress(const VitBlockDriver *driver)
{
    static const char *const names[] = { "qcow", "qcow2", "vmdk", NULL };

    return g_strv_contains(names, driver->name);
}

static int convert(Convert *c, char **names, int count, const char *target)
{
    const Given *g = c->given;
    Img *img = c->img;
    const VitBlockDriver *driver = g->target_image_opts ? NULL : vit_block_driver_find(g->format);

    int status = check_options(img, g);
    if (status) return status;
    img_progress_begin(img);
    status = open_sources(c, names, count);
    if (status) return status;
    VitBlockNode *source = c->sources->pdata[0];
    if (g->bitmaps && !source->driver->co_bitmap_can_store)
        return img_fail(img, 1, "Source lacks bitmap support");
    if (!driver && !g->target_image_opts)
        return img_fail(img, 1, "Unknown file format '%s'", g->format);
    if (g->bitmaps && driver && !driver->co_bitmap_can_store)
        return img_fail(img, 1, "Format driver '%s' does not support bitmaps", driver->name);
    if (g->bitmaps && count > 1)
        return img_fail(img, 1, "Copying bitmaps only possible with single source");
    if (g->compressed && driver && !can_compress(driver))
        return img_fail(img, 1, "Compression not supported for this file format");
    status = open_target(c, target);
    if (status == 0 && g->bitmaps) {
        img_run(img, check_bitmaps, c);
        status = c->status;
    }
    if (status == 0) status = copy(c);
    if (status) vit_block_remove_made(c->made); /* what a job that ran has not removed itself */
    if (status == 0 && g->bitmaps) {
        img_run(img, copy_bitmaps, c);
        status = c->status;
    }
    return status;
}

/* Takes a number within bounds; anything else of a number's shape is told to lie outside. */
static int parse_bounded(Img *img, const char *text, const char *what, uint64_t least,
                         uint64_t most, uint64_t *value)
{
    const char *digits = text + (*text == '-');
    bool number = g_ascii_isdigit(*digits) && strspn(digits, "0123456789") == strlen(digits);

    if (digits == text && vit_parse_size_strict(text, value) && *value >= least && *value <= most)
        return 0;
    if (number || (digits == text && vit_parse_size_strict(text, value)))
        return img_fail(img, 1,
                        "Invalid %s specified. Must be between %" PRIu64 " and %" PRIu64 ".", what,
                        least, most);
    return img_fail(img, 1, "Invalid %s specified: '%s'.", what, text);
}

static int parse_numbers(Img *img, Given *g, int letter, const char *text)
{
    if (letter == 'm') {
        /* No suffixes here: "4k" is no number of coroutines. */
        if (*text && !g_ascii_isdigit(text[strlen(text) - 1]))
            return img_fail(img, 1, "Invalid number of coroutines specified: '%s'.", text);
        return parse_bounded(img, text, "number of coroutines", 1, MAX_PARALLEL, &g->parallel);
    }
    if (letter == 'r') return parse_bounded(img, text, "rate limit", 0, INT64_MAX, &g->rate);
    g->sparse_given = true;
    int status = parse_bounded(img, text, "buffer size for sparse output", 0, INT64_MAX,
                               &g->sparse);
    if (status == 0 && (g->sparse % 512 || g->sparse > MAX_SPARSE))
        return img_fail(img, 1,
                        "Invalid buffer size for sparse output specified. Valid sizes are "
                        "multiples of 512 up to %d. Select 0 to disable sparse detection "
                        "(fully allocates output).",
                        MAX_SPARSE);
    return status;
}

static const struct option options[] = {
    IMG_HELP,
    IMG_QUIET,
    IMG_PROGRESS,
    { "source-format", required_argument, NULL, 'f' },
    IMG_IMAGE_OPTS,
    { "source-snapshot", required_argument, NULL, 'l' },
    { "source-cache", required_argument, NULL, 'T' },
    { "target-format", required_argument, NULL, 'O' },
    { "target-image-opts", no_argument, NULL, OPT_TARGET_IMAGE_OPTS },
    { "target-options", required_argument, NULL, 'o' },
    { "compress", no_argument, NULL, 'c' },
    { "target-cache", required_argument, NULL, 't' },
    { "backing", required_argument, NULL, 'B' },
    { "backing-format", required_argument, NULL, 'F' },
    { "no-create", no_argument, NULL, 'n' },
    { "target-is-zero", no_argument, NULL, OPT_TARGET_IS_ZERO },
    { "sparse-size", required_argument, NULL, 'S' },
    { "bitmaps", no_argument, NULL, OPT_BITMAPS },
    { "skip-broken-bitmaps", no_argument, NULL, OPT_SKIP_BROKEN },
    IMG_FORCE_SHARE,
    { "rate", required_argument, NULL, 'r' },
    { "parallel", required_argument, NULL, 'm' },
    { "copy-range-offloading", no_argument, NULL, 'C' },
    { "salvage", no_argument, NULL, OPT_SALVAGE },
    { "oob-writes", no_argument, NULL, 'W' },
    IMG_OBJECT,
    { NULL },
};

int img_convert(Img *img, int argc, char **argv)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new();
    Given given = { .format = "raw", .sparse = DEFAULT_SPARSE };
    Convert c = { .img = img, .given = &given };
    int letter, status = 1;

    while ((letter = img_next_option(img, argc, argv, "hqpf:l:T:O:o:ct:B:F:nS:Ur:m:CW", options,
                                     &status)) != -1) {
        switch (letter) {
        case 'l': given.snapshot = optarg; break;
        case 'O':
            given.format = optarg;
            given.format_given = true;
            break;
        case 'o': g_ptr_array_add(texts, optarg); break;
        case 'c': given.compressed = true; break;
        case 'B': given.backing = optarg; break;
        case 'F': given.backing_format = optarg; break;
        case 't': given.cache = optarg; break;
        case 'T': given.source_cache = optarg; break;
        case 'n': given.no_create = true; break;
        case 'C': given.copy_range = true; break;
        case 'W': given.unordered = true; break;
        case OPT_TARGET_IMAGE_OPTS: given.target_image_opts = true; break;
        case OPT_TARGET_IS_ZERO: given.target_is_zero = true; break;
        case OPT_BITMAPS: given.bitmaps = true; break;
        case OPT_SKIP_BROKEN: given.skip_broken = true; break;
        case OPT_SALVAGE: given.salvage = true; break;
        case 'S':
        case 'm':
        case 'r':
            if (parse_numbers(img, &given, letter, optarg) != 0) return 1;
            break;
        default: return status;
        }
    }
    g_ptr_array_add(texts, NULL);
    given.texts = (char **)texts->pdata;
    if (!img_check_options(img, given.texts)) return 1;
    if (img_create_help(img, given.format, argc - optind >= 2 ? argv[argc - 1] : NULL, given.texts,
                        &status))
        return status;
    if (argc - optind < 2) return img_fail(img, 1, "Must specify image file name");
    c.sources = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_node_unref);
    c.made = g_ptr_array_new_with_free_func(g_free);
    status = convert(&c, argv + optind, argc - optind - 1, argv[argc - 1]);
    vit_block_node_unref(c.target);
    g_ptr_array_unref(c.sources);
    g_ptr_array_unref(c.made);
    return status;
}
