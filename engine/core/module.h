/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/module.h - parts of the program that are loaded when they are first used
 *
 * A module is a shared object in LIBDIR/vitrine, or beside a program of the build tree, that holds
 * what needs a library which few users need.  It calls the program's functions that are declared
 * VIT_FOR_MODULES (and named in meson.build), and it is never unloaded: the dynamic linker keeps
 * count, so nothing here has to.  See docs/decisions/0009. */
#pragma once
#include <glib.h>

#define VIT_FOR_MODULES [[gnu::visibility("default")]]

#define VIT_MODULE_ERROR vit_module_error_quark()
GQuark vit_module_error_quark(void);
typedef enum { VIT_MODULE_ERROR_MISSING, VIT_MODULE_ERROR_BROKEN } VitModuleError;

/* The object called `symbol` of module `name` ("block-rbd"), or an error whose message begins with
 * the file.  Any thread but no fiber: libraries' constructors want a whole stack, and it may take
 * tens of milliseconds. */
[[nodiscard]] const void *vit_module_load(const char *name, const char *symbol, GError **error);
