/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/library.c - machine descriptions on disk, as a list of machines */
#include "app/library.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

struct _VitrineLibrary {
    GObject    parent;
    char      *folder;          /* owned */
    GListStore *machines;
};

static GType item_type(GListModel *model) { return VIT_TYPE_MACHINE; }

static guint n_items(GListModel *model)
{
    return g_list_model_get_n_items(G_LIST_MODEL(VITRINE_LIBRARY(model)->machines));
}

static gpointer get_item(GListModel *model, guint n)
{
    return g_list_model_get_item(G_LIST_MODEL(VITRINE_LIBRARY(model)->machines), n);
}

static void list_model_init(GListModelInterface *iface)
{
    iface->get_item_type = item_type;
    iface->get_n_items = n_items;
    iface->get_item = get_item;
}

G_DEFINE_FINAL_TYPE_WITH_CODE(VitrineLibrary, vitrine_library, G_TYPE_OBJECT,
                              G_IMPLEMENT_INTERFACE(G_TYPE_LIST_MODEL, list_model_init))

static const char *machine_name(VitMachine *machine)
{
    return vit_machine_get_config(machine)->name ?: _("Machine");
}

static int by_name(gconstpointer a, gconstpointer b, gpointer unused)
{
    return g_utf8_collate(machine_name((VitMachine *) a), machine_name((VitMachine *) b));
}

#define PATH_KEY "vitrine-library-path"     /* on a machine: where its description lies */

static VitMachine *insert(VitrineLibrary *library, const VitMachineConfig *config, const char *path)
{
    g_autoptr(VitMachine) machine = vit_machine_new(config);

    g_object_set_data_full(G_OBJECT(machine), PATH_KEY, g_strdup(path), g_free);
    g_list_store_insert_sorted(library->machines, machine, by_name, NULL);
    return machine;                 /* the store holds it */
}

/* As a person writes it: narrow windows have no room for the home folder's name. */
static char *shown_path(const char *path)
{
    const char *home = g_get_home_dir(), *rest = path + strlen(home);

    return g_str_has_prefix(path, home) && *rest == '/' ? g_strconcat("~", rest, NULL)
                                                        : g_strdup(path);
}

static void read_one(VitrineLibrary *library, const char *path, GStrvBuilder *problems)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    gsize length;

    if (g_file_get_contents(path, &text, &length, &error)) {
        g_autoptr(VitMachineConfig) config =
            vit_machine_config_from_json(text, (gssize) length, &error);
        if (config) {
            insert(library, config, path);
            return;
        }
    }
    g_autofree char *shown = shown_path(path);
    g_autofree char *message = g_strdup_printf("%s: %s", shown, error->message);
    g_strv_builder_add(problems, message);
}

GStrv vitrine_library_load(VitrineLibrary *library)
{
    g_autofree char *folder = g_build_filename(library->folder, "machines", NULL);
    g_autoptr(GStrvBuilder) problems = g_strv_builder_new();
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    g_list_store_remove_all(library->machines);
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_str_has_suffix(name, ".json"))
            read_one(library, path, problems);
    }
    return g_strv_builder_end(problems);
}

/* format takes a path and what errno says. */
static void set_error(GError **error, const char *format, const char *path)
{
    int code = errno;
    g_autofree char *message = g_strdup_printf(format, path, g_strerror(code));

    g_set_error_literal(error, G_FILE_ERROR, (gint) g_file_error_from_errno(code), message);
}

/* A file name of letters that every file system takes. */
static char *file_name(const char *name)
{
    g_autofree char *ascii = g_str_to_ascii(name, "C");

    g_strcanon(ascii, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "-_.", '-');
    return g_strdup(*ascii && *ascii != '.' ? ascii : "machine");
}

static char *new_path(VitrineLibrary *library, const char *sub, const char *name,
                      const char *ending, GError **error)
{
    g_autofree char *folder = g_build_filename(library->folder, sub, NULL), *stem = file_name(name);

    if (g_mkdir_with_parents(folder, 0700)) {
        set_error(error, _("Cannot make the folder %s: %s"), folder);
        return NULL;
    }
    for (unsigned n = 1;; n++) {
        g_autofree char *base = n == 1 ? g_strconcat(stem, ending, NULL)
                                       : g_strdup_printf("%s-%u%s", stem, n, ending);
        g_autofree char *path = g_build_filename(folder, base, NULL);
        if (!g_file_test(path, G_FILE_TEST_EXISTS))
            return g_steal_pointer(&path);
    }
}

static gboolean save(const char *path, const VitMachineConfig *config, GError **error)
{
    const GFileSetContentsFlags flags =
        G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE;
    g_autofree char *text = vit_machine_config_to_json(config);

    return g_file_set_contents_full(path, text, -1, flags, 0600, error);
}

VitMachine *vitrine_library_add(VitrineLibrary *library, const VitMachineConfig *config,
                                GError **error)
{
    const char *name = config->name ?: "machine";
    g_autofree char *path = new_path(library, "machines", name, ".json", error);

    return path && save(path, config, error) ? insert(library, config, path) : NULL;
}

gboolean vitrine_library_update(VitrineLibrary *library, VitMachine *machine,
                                const VitMachineConfig *config, GError **error)
{
    if (!save(g_object_get_data(G_OBJECT(machine), PATH_KEY), config, error))
        return FALSE;
    vit_machine_set_config(machine, config);
    g_list_store_sort(library->machines, by_name, NULL);
    return TRUE;
}

VitMachine *vitrine_library_add_unsaved(VitrineLibrary *library, const VitMachineConfig *config)
{
    return insert(library, config, NULL);
}

VitMachine *vitrine_library_find(VitrineLibrary *library, const char *name)
{
    for (guint i = 0; i < n_items(G_LIST_MODEL(library)); i++) {
        g_autoptr(VitMachine) machine = get_item(G_LIST_MODEL(library), i);
        if (!g_strcmp0(machine_name(machine), name))
            return machine;
    }
    return NULL;
}

char *vitrine_library_disk_path(VitrineLibrary *library, const char *name, GError **error)
{
    return new_path(library, "disks", name, ".img", error);
}

gboolean vitrine_library_create_disk(const char *path, guint64 bytes, GError **error)
{
    int fd = g_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0 && ftruncate(fd, (off_t) bytes) == 0 && fsync(fd) == 0) {
        close(fd);
        return TRUE;
    }
    set_error(error, _("Cannot create the disk %s: %s"), path);
    if (fd >= 0) {
        close(fd);
        g_unlink(path);
    }
    return FALSE;
}

static void forward(GListModel *store, guint position, guint removed, guint added,
                    VitrineLibrary *library)
{
    g_list_model_items_changed(G_LIST_MODEL(library), position, removed, added);
}

static void finalize(GObject *object)
{
    VitrineLibrary *library = VITRINE_LIBRARY(object);

    g_object_unref(library->machines);
    g_free(library->folder);
    G_OBJECT_CLASS(vitrine_library_parent_class)->finalize(object);
}

static void vitrine_library_class_init(VitrineLibraryClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = finalize;
}

static void vitrine_library_init(VitrineLibrary *library)
{
    library->machines = g_list_store_new(VIT_TYPE_MACHINE);
    g_signal_connect(library->machines, "items-changed", G_CALLBACK(forward), library);
}

VitrineLibrary *vitrine_library_new(const char *folder)
{
    VitrineLibrary *library = g_object_new(VITRINE_TYPE_LIBRARY, NULL);

    library->folder = folder ? g_strdup(folder)
                             : g_build_filename(g_get_user_data_dir(), "vitrine", NULL);
    return library;
}
