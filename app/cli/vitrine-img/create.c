/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/create.c - vitrine-img create: a new image */
#include "app/cli/vitrine-img/create.h"

#include "block/jobs/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- options of formats ---------------------------------------------------------------------- */

static const VitBlockDriver *load(const Img *img, const char *prefix, const VitBlockDriver *driver)
{
    g_autoptr(GError) error = NULL;
    const VitBlockDriver *whole = vit_block_driver_load(driver, &error);

    if (!whole) img_fail(img, 1, "%s%s", prefix, vit_block_error_text(error));
    return whole;
}

const VitBlockDriver *img_create_driver(Img *img, const char *prefix, const char *format)
{
    const VitBlockDriver *driver = vit_block_driver_find(format);

    if (!driver) {
        img_fail(img, 1, "%sUnknown file format '%s'", prefix, format);
        return NULL;
    }
    if (!(driver = load(img, prefix, driver))) return NULL;
    if (!driver->co_create) {
        img_fail(img, 1, "%sFormat driver '%s' does not support image creation", prefix, format);
        return NULL;
    }
    return driver;
}

static const VitBlockOption common_options[] = {
    { "size", VIT_OPT_SIZE, "Virtual disk size", NULL, false },
    { .name = NULL },
};
static const VitBlockOption backing_options[] = {
    { "backing_file", VIT_OPT_STRING, "File name of a base image", NULL, false },
    { "backing_fmt", VIT_OPT_STRING, "Image format of the base image", NULL, false },
    { .name = NULL },
};

/* All options of a format: its own, the common ones that it does not list, the host file's. */
/* protocol: NULL: not its. */
static GPtrArray *options_of(const VitBlockDriver *driver, const VitBlockDriver *file)
{
    const VitBlockOption *lists[] = { driver->create_options, common_options,
                                      driver->supports_backing ? backing_options : NULL,
                                      file ? file->create_options : NULL };
    GPtrArray *all = g_ptr_array_new();

    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
        for (const VitBlockOption *o = lists[i]; o && o->name; o++) {
            bool known = false;
            for (guint k = 0; k < all->len && !known; k++)
                known = strcmp(((const VitBlockOption *)all->pdata[k])->name, o->name) == 0;
            if (!known) g_ptr_array_add(all, (void *)o);
        }
    }
    return all;
}

static GPtrArray *amendable(const VitBlockDriver *driver)
{
    g_autoptr(GPtrArray) all = options_of(driver, NULL);
    GPtrArray *some = g_ptr_array_new();

    for (guint i = 0; i < all->len; i++)
        if (((const VitBlockOption *)all->pdata[i])->amendable)
            g_ptr_array_add(some, all->pdata[i]);
    for (const VitBlockOption *o = driver->amend_options; o && o->name; o++)
        g_ptr_array_add(some, (void *)o);
    return some;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    const VitBlockOption *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static void print_list(GPtrArray *options)
{
    static const char *const types[] = { "str", "bool (on/off)", "size", "num" };

    g_ptr_array_sort(options, by_name);
    for (guint i = 0; i < options->len; i++) {
        const VitBlockOption *o = options->pdata[i];
        g_autofree char *name = g_strdup_printf("%s=<%s>", o->name, types[o->type]);
        printf("  %-22s - %s\n", name, o->help ?: "");
    }
}

static void print_options(const VitBlockDriver *driver, const VitBlockDriver *protocol)
{
    g_autoptr(GPtrArray) all = options_of(driver, protocol);

    if (protocol) printf("Supported options:\n");
    else printf("Supported %s options:\n", driver->name);
    print_list(all);
    if (!protocol)
        printf("\nThe protocol level may support further options.\n"
               "Specify the target filename to include those options.\n");
}

bool img_check_options(const Img *img, char **texts)
{
    for (char **t = texts; t && *t; t++) {
        size_t length = strlen(*t), commas = 0;
        while (commas < length && (*t)[length - 1 - commas] == ',') commas++;
        if (length > 0 && **t != ',' && commas % 2 == 0) continue;
        img_fail(img, 1, "Invalid option list: %s", *t);
        return false;
    }
    return true;
}

static bool wants_help(char **texts)
{
    for (char **t = texts; t && *t; t++) {
        g_auto(GStrv) parts = g_strsplit(*t, ",", -1);
        if (g_strv_contains((const char *const *)parts, "help") ||
            g_strv_contains((const char *const *)parts, "?"))
            return true;
    }
    return false;
}

bool img_create_help(Img *img, const char *format, const char *filename, char **texts, int *status)
{
    if (!wants_help(texts)) return false;
    const VitBlockDriver *driver = img_create_driver(img, "", format);
    const VitBlockDriver *protocol = NULL;
    g_autofree char *name = filename ? vit_block_filename_protocol(filename) : NULL;
    *status = 1;
    if (!driver) return true;
    if (filename) protocol = name ? vit_block_protocol_driver(name) : vit_block_driver_find("file");
    if (filename && !protocol) {
        img_fail(img, 1, "Unknown protocol '%s'", name);
        return true;
    }
    if (protocol && !(protocol = load(img, "", protocol))) return true;
    *status = 0;
    print_options(driver, protocol);
    return true;
}

static const VitBlockOption *find_option(GPtrArray *options, const char *name)
{
    for (guint i = 0; i < options->len; i++) {
        const VitBlockOption *o = options->pdata[i];
        if (strcmp(o->name, name) == 0) return o;
    }
    return NULL;
}

static bool is_good_value(const VitBlockOption *o, const char *value, GError **error)
{
    bool flag;
    uint64_t number;

    if (o->type == VIT_OPT_BOOL && !vit_parse_bool(value, &flag))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              "Parameter '%s' expects 'on' or 'off'", o->name);
    errno = 0;
    if (o->type == VIT_OPT_SIZE && !vit_parse_size_strict(value, &number) && errno == ERANGE)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              "Value '%s' is out of range for parameter '%s'", value, o->name);
    if (o->type == VIT_OPT_SIZE && !vit_parse_size_strict(value, &number))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              "Parameter '%s' expects a non-negative number below 2^64\n"
                              "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, "
                              "tera-, peta-\nand exabytes, respectively.",
                              o->name);
    if (o->type == VIT_OPT_UINT && !vit_parse_uint(value, UINT64_MAX, &number))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "Parameter '%s' expects a number",
                              o->name);
    return true;
}

/* elsewhere: the driver that may know other options, at other times; NULL: none. */
static VitBlockArgs *parse_options(Img *img, const char *prefix, GPtrArray *all, char **texts,
                                   const VitBlockDriver *elsewhere)
{
    g_autofree char *text = texts ? g_strjoinv(",", texts) : g_strdup("");
    g_autoptr(GError) error = NULL;
    g_autoptr(VitOptions) options = vit_options_parse("-o", text, NULL, &error);
    VitBlockArgs *args = vit_block_args_new(NULL, NULL, NULL);

    for (unsigned i = 0; options && i < vit_options_count(options) && !error; i++) {
        const char *key = vit_options_key(options, i), *value = vit_options_value(options, i);
        const VitBlockOption *found = find_option(all, key);
        if (!found) {
            g_autoptr(GPtrArray) others = elsewhere ? options_of(elsewhere, NULL) : NULL;
            bool known = others && find_option(others, key);
            vit_block_fail(&error, VIT_BLOCK_ERROR_INVALID, "Invalid parameter '%s'%s", key,
                           known ? "\nThis option is only supported for image creation" : "");
        } else if (is_good_value(found, value, &error)) {
            vit_block_args_set(args, key, value);
        }
    }
    if (!error) return args;
    img_fail(img, 1, "%s%s", prefix, vit_block_error_text(error));
    vit_block_args_free(args);
    return NULL;
}

VitBlockArgs *img_create_options(Img *img, const char *prefix, const VitBlockDriver *driver,
                                 char **texts)
{
    g_autoptr(GPtrArray) all = options_of(driver, vit_block_driver_find("file"));

    return parse_options(img, prefix, all, texts, NULL);
}

bool img_amend_help(const Img *img, const VitBlockDriver *driver, char **texts, int *status)
{
    if (!wants_help(texts)) return false;
    *status = 1;
    if (!driver->co_amend) {
        img_fail(img, 1, "Format driver '%s' does not support option amendment", driver->name);
        return true;
    }
    *status = 0;
    g_autoptr(GPtrArray) all = amendable(driver);
    printf("Amend options for '%s':\n", driver->name);
    print_list(all);
    return true;
}

VitBlockArgs *img_amend_options(Img *img, const VitBlockDriver *driver, char **texts)
{
    g_autoptr(GPtrArray) all = amendable(driver);

    return parse_options(img, "", all, texts, driver);
}

int img_fail_create_size(const Img *img, const char *text)
{
    uint64_t size = 0;

    errno = 0;
    if (!vit_parse_size_strict(text, &size) && errno != ERANGE)
        return img_fail(img, 1, "Invalid image size specified: '%s'.", text);
    return img_fail(img, 1,
                    "Invalid image size specified. Must be between 0 and %" G_GINT64_FORMAT ".",
                    INT64_MAX);
}

bool img_create_take(Img *img, const char *prefix, VitBlockArgs *args, uint64_t *size,
                     const char **backing, const char **format)
{
    g_autoptr(GError) error = NULL;
    uint64_t own = UINT64_MAX;
    const char *file = vit_block_args_str(args, "backing_file"),
               *fmt = vit_block_args_str(args, "backing_fmt");

    if (!vit_block_args_size(args, "size", &own, &error)) {
        img_fail(img, 1, "%s%s", prefix, vit_block_error_text(error));
        return false;
    }
    if (*size == UINT64_MAX) *size = own;
    if (!*backing) *backing = file;
    if (!*format) *format = fmt;
    return true;
}

/* ---- "Formatting ..." ------------------------------------------------------------------------ */

static const char *value_of(JsonObject *given, const char *key)
{
    g_auto(GStrv) parts = g_strsplit(key, ".", 2);
    JsonNode *node = json_object_get_member(given, parts[0]);

    if (node && parts[1])
        node = JSON_NODE_HOLDS_OBJECT(node)
                   ? json_object_get_member(json_node_get_object(node), parts[1])
                   : NULL;
    return node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
}

static void print_value(const VitBlockOption *o, const char *value)
{
    bool flag;
    uint64_t number;

    if (o->type == VIT_OPT_BOOL && vit_parse_bool(value, &flag)) value = flag ? "on" : "off";
    if (o->type == VIT_OPT_SIZE && vit_parse_size_strict(value, &number))
        printf(" %s=%" G_GUINT64_FORMAT, o->name, number);
    else printf(" %s=%s", o->name, value);
}

/* What was given, or the driver's own default; what the host file could have only when given. */
static void print_option(const VitBlockDriver *driver, const VitBlockOption *o, VitBlockArgs *args)
{
    const char *value = value_of(vit_block_args_object(args), o->name);

    if (!value && strcmp(o->name, "preallocation") != 0) {
        for (const VitBlockOption *own = driver->create_options; own && own->name; own++)
            if (own == o) value = o->def;
    }
    if (value) print_value(o, value);
}

static void print_text(const char *before, const char *text)
{
    if (text) printf("%s%s", before, text);
}

static void print_formatting(Img *img, const char *filename, const VitBlockDriver *driver,
                             VitBlockArgs *args, uint64_t size, const char *backing,
                             const char *backing_format)
{
    /* In the order in which qemu-img says them. */
    static const char *const first[] = { "encryption",
                                         "encrypt.format",
                                         "encrypt.key-secret",
                                         "encrypt.cipher-alg",
                                         "encrypt.cipher-mode",
                                         "encrypt.ivgen-alg",
                                         "encrypt.ivgen-hash-alg",
                                         "encrypt.hash-alg",
                                         "encrypt.iter-time",
                                         "cluster_size",
                                         "extended_l2",
                                         "preallocation",
                                         "compression_type" };
    static const char *const second[] = { "size",           "compat",        "data_file",
                                          "backing_file",   "backing_fmt",   "data_file_raw",
                                          "lazy_refcounts", "refcount_bits", "key-secret",
                                          "cipher-alg",     "cipher-mode",   "ivgen-alg",
                                          "ivgen-hash-alg", "hash-alg",      "iter-time" };
    g_autoptr(GPtrArray) all = options_of(driver, vit_block_driver_find("file"));
    bool qcow2 = strcmp(driver->name, "qcow2") == 0;

    if (img->quiet) return;
    printf("Formatting '%s', fmt=%s", filename, driver->name);
    for (unsigned i = 0; qcow2 && i < G_N_ELEMENTS(first); i++) {
        const VitBlockOption *o = find_option(all, first[i]);
        if (!o) continue;
        print_option(driver, o, args);
        g_ptr_array_remove(all, (void *)o);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(second); i++) {
        const VitBlockOption *o = find_option(all, second[i]);
        if (!o) continue;
        g_ptr_array_remove(all, (void *)o);
        if (strcmp(o->name, "size") == 0) printf(" size=%" G_GUINT64_FORMAT, size);
        else if (strcmp(o->name, "backing_file") == 0) print_text(" backing_file=", backing);
        else if (strcmp(o->name, "backing_fmt") == 0) print_text(" backing_fmt=", backing_format);
        else print_option(driver, o, args);
    }
    for (guint i = 0; i < all->len; i++) print_option(driver, all->pdata[i], args);
    printf("\n");
}

bool img_create_image(Img *img, VitBlockCreate *create, GError **error)
{
    create->graph = img->graph;
    create->thread = img->thread;
    VitBlockJob *job = vit_block_create_new(img->jobs, NULL, IMG_JOB_FLAGS, create, error);
    bool good = job && img_wait_job(img, job, error);
    img_progress_end(img);
    return good;
}

/* ---- the command ----------------------------------------------------------------------------- */

static bool look_at_backing(Img *img, const char *filename, const char *backing,
                            const char *backing_format, bool unsafe, uint64_t *size)
{
    g_autofree char *full = vit_block_filename_join(filename, backing);
    g_autoptr(GError) error = NULL;

    if (unsafe && *size != UINT64_MAX) {
        if (backing_format) return true;
        img_fail(img, 1, "%s: Backing file specified without backing format", filename);
        return false;
    }
    VitBlockNode *node = vit_block_graph_open_image(
        img->graph, full, backing_format, NULL,
        VIT_OPEN_READ_ONLY | VIT_OPEN_NO_IO | VIT_OPEN_NO_BACKING, &error);
    if (!node && unsafe) return true; /* the lack of a size is told later */
    if (!node) {
        img_fail(img, 1, "%s: %s\nCould not open backing image.", filename,
                 vit_block_error_text(error));
        return false;
    }
    if (*size == UINT64_MAX) *size = vit_block_info(node).size;
    bool good = backing_format != NULL;
    if (!good)
        img_fail(img, 1,
                 "%s: Backing file specified without backing format\nDetected format of %s.",
                 filename, vit_block_node_format(node));
    vit_block_node_unref(node);
    return good;
}

/* Whether what `backing` leads to, seen from the image filename, is that image. */
static bool is_same_file(const char *filename, const char *backing)
{
    g_autofree char *full = vit_block_filename_join(filename, backing);
    struct stat one, two;

    return strcmp(filename, full) == 0 ||
           (stat(filename, &one) == 0 && stat(full, &two) == 0 && S_ISREG(one.st_mode) &&
            one.st_dev == two.st_dev && one.st_ino == two.st_ino);
}

typedef struct {
    const char *format, *backing, *backing_format;
    bool unsafe;
    char **texts; /* of -o */
} Given;

static int create(Img *img, const Given *given, const char *filename, const char *size_text)
{
    g_autofree char *prefix = g_strdup_printf("%s: ", filename);
    const char *backing = given->backing, *backing_format = given->backing_format;
    g_autoptr(GError) error = NULL;
    uint64_t size = UINT64_MAX;

    if (size_text) (void)vit_parse_size_strict(size_text, &size); /* looked at before */
    const VitBlockDriver *driver = img_create_driver(img, prefix, given->format);
    if (!driver) return 1;
    g_autoptr(VitBlockArgs) args = img_create_options(img, prefix, driver, given->texts);
    if (args && size_text && vit_block_args_has(args, "size"))
        return img_fail(img, 1, "%sThe image size must be specified only once", prefix);
    if (!args || !img_create_take(img, prefix, args, &size, &backing, &backing_format)) return 1;
    if (backing && !*backing)
        return img_fail(img, 1, "%sExpected backing file name, got empty string", prefix);
    if (backing && !driver->supports_backing)
        return img_fail(img, 1, "%sBacking file not supported for file format '%s'", prefix,
                        driver->name);
    if (backing && is_same_file(filename, backing))
        return img_fail(img, 1,
                        "%sError: Trying to create an image with the same filename as the "
                        "backing file",
                        prefix);
    if (backing_format && !vit_block_driver_find(backing_format))
        return img_fail(img, 1, "%sUnknown driver '%s'%s", prefix, backing_format,
                        given->unsafe ? "" : "\nCould not open backing image.");
    if (backing && !look_at_backing(img, filename, backing, backing_format, given->unsafe, &size))
        return 1;
    if (size == UINT64_MAX)
        return img_fail(img, 1, "%sImage creation needs a size parameter", prefix);
    if (size > INT64_MAX)
        return img_fail(img, 1, "%sImage size is too large: at most 8 EiB", prefix);
    print_formatting(img, filename, driver, args, size, backing, backing_format);
    if (backing_format && !backing)
        return img_fail(img, 1, "%sBacking format cannot be used without backing file", prefix);
    VitBlockCreate how = { .driver = driver,
                           .filename = filename,
                           .size = size,
                           .backing_file = backing,
                           .backing_format = backing_format,
                           .options = g_steal_pointer(&args) };
    return img_create_image(img, &how, &error)
               ? 0
               : img_fail(img, 1, "%s%s", prefix, vit_block_error_text(error));
}

int img_create(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,
        IMG_QUIET,
        IMG_PROGRESS,
        IMG_FORMAT,
        { "options", required_argument, NULL, 'o' },
        { "backing", required_argument, NULL, 'b' },
        { "backing-format", required_argument, NULL, 'F' },
        { "backing-unsafe", no_argument, NULL, 'u' },
        IMG_OBJECT,
        { NULL },
    };
    g_autoptr(GPtrArray) texts = g_ptr_array_new();
    Given given = { .format = "raw" };
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hqpf:o:b:F:u", options, &status)) != -1) {
        switch (c) {
        case 'o': g_ptr_array_add(texts, optarg); break;
        case 'b': given.backing = optarg; break;
        case 'F': given.backing_format = optarg; break;
        case 'u': given.unsafe = true; break;
        default: return status;
        }
    }
    g_ptr_array_add(texts, NULL);
    given.texts = (char **)texts->pdata;
    if (img->format) given.format = img->format;
    const char *filename = optind < argc ? argv[optind++] : NULL;
    if (!img_check_options(img, given.texts)) return 1;
    if (img_create_help(img, given.format, filename, given.texts, &status)) return status;
    if (!filename) return img_fail_usage(img, 1, "Expecting image file name");
    const char *size = optind < argc ? argv[optind++] : NULL;
    uint64_t value;
    if (size && !(vit_parse_size_strict(size, &value) && value <= INT64_MAX))
        return img_fail_create_size(img, size);
    if (optind < argc) return img_fail_usage(img, 1, "Unexpected argument: %s", argv[optind]);
    return create(img, &given, filename, size);
}
