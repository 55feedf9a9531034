/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/create.h - making an image, for "create", "convert" and "dd" */
#pragma once
#include "app/cli/vitrine-img/img.h"

/* The driver of -f or -O that can create, or NULL: said why, with `prefix` ("disk.img: " or ""). */
const VitBlockDriver *img_create_driver(Img *img, const char *prefix, const char *format);
/* Options of -o texts (NULL-ended, NULL: none), in one set; NULL: said why. */
VitBlockArgs *img_create_options(Img *img, const char *prefix, const VitBlockDriver *driver,
                                 char **texts);
/* Whether the texts are lists at all; says which is not. */
bool img_check_options(const Img *img, char **texts);
/* "-o help": true when one of the texts asks for it; prints, or says why not.  filename, or NULL:
 * whose protocol's options are listed, too. */
bool img_create_help(Img *img, const char *format, const char *filename, char **texts, int *status);
/* What is wrong with an image's size; returns 1. */
int img_fail_create_size(const Img *img, const char *text);
/* Takes size, backing_file and backing_fmt out of args into the others, where these are not set. */
[[nodiscard]] bool img_create_take(Img *img, const char *prefix, VitBlockArgs *args, uint64_t *size,
                                   const char **backing, const char **format);
/* The same for what an existing image can change. */
bool img_amend_help(const Img *img, const VitBlockDriver *driver, char **texts, int *status);
VitBlockArgs *img_amend_options(Img *img, const VitBlockDriver *driver, char **texts);
/* Makes the image that create describes (taking its options), with progress and signals. */
[[nodiscard]] bool img_create_image(Img *img, VitBlockCreate *create, GError **error);
