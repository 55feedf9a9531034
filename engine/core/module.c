/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/module.c - see module.h; dlopen(3) */
#include "engine/core/module.h"

#include <dlfcn.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK(vit - module - error - quark, vit_module_error)

/* Where `name` is, or where it would be if it were installed; the caller frees. */
static char *find(const char *name)
{
    g_autofree char *file = g_strconcat(name, ".so", NULL);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);

    if (!self) return g_build_filename(VIT_MODULE_DIR, file, NULL);
    g_autofree char *folder = g_path_get_dirname(self);
    g_autofree char *beside = g_build_filename(folder, "vitrine-modules", file, NULL);
    if (access(beside, F_OK) == 0) return g_steal_pointer(&beside);
    g_autofree char *installed = g_build_filename(folder, VIT_MODULE_DIR_FROM_BIN, file, NULL);
    return g_canonicalize_filename(installed, NULL);
}

const void *vit_module_load(const char *name, const char *symbol, GError **error)
{
    g_autofree char *path = find(name);
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const void *object = module ? dlsym(module, symbol) : NULL;

    if (object) return object;
    const char *why = dlerror(); /* before anything else may call the linker */
    g_autofree char *text = g_strdup(why ?: symbol);
    if (access(path, F_OK) != 0) {
        g_set_error(error, VIT_MODULE_ERROR, VIT_MODULE_ERROR_MISSING,
                    _("“%s”, which is not installed"), path);
        return NULL;
    }
    /* The linker begins with the file's name when it is the file itself that it complains of. */
    size_t n = strlen(path);
    bool names_it = strncmp(text, path, n) == 0 && g_str_has_prefix(text + n, ": ");
    g_set_error(error, VIT_MODULE_ERROR, VIT_MODULE_ERROR_BROKEN,
                _("“%s”, which does not load: %s"), path, names_it ? text + n + 2 : text);
    return NULL;
}
