/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/dd.c - vitrine-img dd: a part of an image, in another format */
#include "app/cli/vitrine-img/create.h"

#include <stdio.h>
#include <string.h>

enum { PIECE = 1 << 20 };

typedef struct {
    Img *img;
    VitBlockNode *from, *to;
    uint64_t skip, size; /* bytes */
    GPtrArray *made; /* of char*, owned: the files of the new image */
    int status;
} Copy;

/* A new image reads as zeroes, but for those that lie on a device. */
static int write_zeroes(Copy *c, uint64_t at, uint64_t bytes)
{
    return vit_block_info(c->to).zero_init ? 0 : vit_co_zero(c->to, at, bytes, 0);
}

static void run(void *opaque)
{
    Copy *c = opaque;
    g_autofree uint8_t *buf = g_malloc(PIECE);

    for (uint64_t at = 0; at < c->size;) {
        VitBlockExtent x;
        int code = vit_co_status_above(c->from, NULL, c->skip + at, c->size - at, &x);
        bool zero = code == 0 && x.bytes > 0 && (x.flags & VIT_EXTENT_ZERO);
        uint64_t n = zero ? x.bytes
                          : MIN(code == 0 && x.bytes ? x.bytes : PIECE, MIN(PIECE, c->size - at));
        code = zero ? 0 : vit_co_read(c->from, c->skip + at, buf, n);
        if (code < 0) {
            c->status = img_fail(c->img, 1, "error while reading from input image file: %s",
                                 g_strerror(-code));
            return;
        }
        code = zero || vit_block_is_zero(buf, n) ? write_zeroes(c, at, n)
                                                 : vit_co_write(c->to, at, buf, n, 0);
        if (code < 0) {
            c->status = img_fail(c->img, 1, "error while writing to output image file: %s",
                                 g_strerror(-code));
            return;
        }
        at += n;
    }
    int code = vit_co_flush(c->to);
    if (code < 0)
        c->status = img_fail(c->img, 1, "error while writing to output image file: %s",
                             g_strerror(-code));
}

typedef struct {
    const char *in, *out;
    uint64_t bs, count, skip;
    bool has_count;
} Operands;

static int parse_operand(Img *img, const char *text, Operands *o)
{
    const char *equals = strchr(text, '=');
    g_autofree char *name = equals ? g_strndup(text, (size_t)(equals - text)) : g_strdup(text);
    const char *value = equals ? equals + 1 : "";
    uint64_t *number = strcmp(name, "bs") == 0      ? &o->bs
                       : strcmp(name, "count") == 0 ? &o->count
                       : strcmp(name, "skip") == 0  ? &o->skip
                                                    : NULL;

    if (equals && strcmp(name, "if") == 0) o->in = value;
    else if (equals && strcmp(name, "of") == 0) o->out = value;
    else if (!equals || !number) return img_fail(img, 1, "unrecognized operand %s", name);
    if (number && !vit_parse_size_strict(value, number))
        return img_fail(img, 1, "Invalid %s specified: '%s'.", name, value);
    if (number == &o->bs && (o->bs < 1 || o->bs > INT32_MAX))
        return img_fail(img, 1, "Invalid bs specified. Must be between 1 and %d.", INT32_MAX);
    if (number == &o->count) o->has_count = true;
    return 0;
}

static int dd(Img *img, const Operands *o, const char *format, Copy *c)
{
    g_autoptr(GError) error = NULL;
    uint64_t size, wanted;

    c->from = img_open(img, o->in, img->format, img->image_opts, VIT_OPEN_READ_ONLY);
    if (!c->from) return 1;
    const VitBlockDriver *driver = img_create_driver(img, "", format);
    if (!driver) return 1;
    size = vit_block_info(c->from).size;
    if (o->has_count && !__builtin_mul_overflow(o->bs, o->count, &wanted)) size = MIN(size, wanted);
    if (__builtin_mul_overflow(o->bs, o->skip, &c->skip)) c->skip = UINT64_MAX;
    c->size = c->skip < size ? size - c->skip : 0;
    if (c->skip > size) img_fail(img, 0, "%s: cannot skip to specified offset", o->in);
    VitBlockCreate how = { .driver = driver, .filename = o->out, .size = c->size, .made = c->made };
    if (!img_create_image(img, &how, &error))
        return img_fail(img, 1, "%s: error while creating output image: %s", o->out,
                        vit_block_error_text(error));
    img->force_share = false; /* that is for what is read */
    c->to = img_open(img, o->out, format, false, 0);
    if (!c->to) return 1;
    if (c->size > 0) img_run(img, run, c);
    return c->status;
}

int img_dd(Img *img, int argc, char **argv)
{
    static const struct option options[] = {
        IMG_HELP,        IMG_FORMAT,
        IMG_IMAGE_OPTS,  { "output-format", required_argument, NULL, 'O' },
        IMG_FORCE_SHARE, IMG_OBJECT,
        { NULL },
    };
    Operands o = { .bs = 512 };
    Copy copy = { .img = img };
    const char *format = "raw";
    int c, status = 1;

    while ((c = img_next_option(img, argc, argv, "hf:O:U", options, &status)) != -1) {
        if (c == '?') return status;
        format = optarg;
    }
    for (; optind < argc; optind++)
        if (parse_operand(img, argv[optind], &o) != 0) return 1;
    if (!o.in || !o.out) return img_fail(img, 1, "Must specify both input and output files");
    copy.made = g_ptr_array_new_with_free_func(g_free);
    status = dd(img, &o, format, &copy);
    vit_block_node_unref(copy.from);
    vit_block_node_unref(copy.to);
    if (status) vit_block_remove_made(copy.made); /* half a copy */
    g_ptr_array_unref(copy.made);
    return status;
}
