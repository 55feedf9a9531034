/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/firmware.h - finding firmware images of the distribution */
#pragma once
#include <glib.h>

/* Reads a firmware file.  A name with a slash is a path; else dirs (may be NULL) and then the
 * built-in list are searched.  On failure names the file, the folders and the package to
 * install. */
[[nodiscard]] GBytes *vit_firmware_load(const char *name, const char *const *dirs, GError **error);
