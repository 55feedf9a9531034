/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/info.h - facts of an image, in the words of QMP's ImageInfo */
#pragma once
#include "app/cli/vitrine-img/img.h"

/* A new object: virtual-size, format, children ... */
JsonObject *img_collect_info(Img *img, VitBlockNode *node);
/* The table of "snapshot -l", of ImageInfo's "snapshots". */
void img_print_snapshots(JsonArray *list);
