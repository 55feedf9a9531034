/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/new-machine-dialog.c - one form: file, name, memory, disk */
#include "app/new-machine-dialog.h"

#include "app/alert.h"
#include "app/application.h"

#include <glib/gi18n.h>
#include <glib/gstdio.h>

struct _VitrineNewMachineDialog {
    AdwDialog       parent;
    VitrineLibrary *library;
    GFile          *file;           /* the image; NULL = none yet */
    char           *format;         /* of the image; NULL until it has been found out */
    GCancellable   *inspecting;     /* that; NULL when done */
    GtkWidget      *create;
    AdwActionRow   *file_row;
    AdwEntryRow    *name_row;
    AdwSpinRow     *memory_row, *cpus_row, *disk_row;
    AdwSwitchRow   *disk_switch;
    GtkWidget      *disk_group;
};
G_DEFINE_FINAL_TYPE(VitrineNewMachineDialog, vitrine_new_machine_dialog, ADW_TYPE_DIALOG)

static guint created_signal;

static gboolean is_cd(GFile *file)
{
    g_autofree char *name = g_file_get_basename(file), *lower = g_ascii_strdown(name, -1);

    return g_str_has_suffix(lower, ".iso");
}

static void update(VitrineNewMachineDialog *dialog)
{
    const char *name = gtk_editable_get_text(GTK_EDITABLE(dialog->name_row));

    gtk_widget_set_sensitive(dialog->create, dialog->format && *name);
    gtk_widget_set_visible(dialog->disk_group, !dialog->file || is_cd(dialog->file));
}

static void on_changed(VitrineNewMachineDialog *dialog)
{
    update(dialog);
}

static void say_file(VitrineNewMachineDialog *dialog, const VitImageInfo *info)
{
    g_autofree char *path = g_file_get_path(dialog->file);
    g_autofree char *base = g_file_get_basename(dialog->file);
    g_autofree char *size = info ? g_format_size_full(info->size, G_FORMAT_SIZE_IEC_UNITS) : NULL;
    g_autofree char *markup =
        info && !is_cd(dialog->file)
            ? g_markup_printf_escaped("%s\n%s, %s", path ?: base, info->format, size)
            : g_markup_escape_text(path ?: base, -1);

    adw_action_row_set_subtitle(dialog->file_row, markup);
}

static void inspected(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(VitrineNewMachineDialog) dialog = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(VitImageInfo) info = vit_image_inspect_finish(result, &error);

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;                     /* the dialog is closed, or another file was chosen */
    g_clear_object(&dialog->inspecting);
    if (!info) {
        vitrine_alert(GTK_WIDGET(dialog), _("The Image Cannot Be Used"), error->message);
        return;
    }
    if (info->encrypted) {
        vitrine_alert(GTK_WIDGET(dialog), _("The Image Is Encrypted"),
                     _("Its passphrase cannot be asked for yet. Make a copy that is not encrypted "
                       "with “vitrine-img convert”."));
        return;
    }
    dialog->format = g_strdup(info->format);
    say_file(dialog, info);
    update(dialog);
}

static void forget_file(VitrineNewMachineDialog *dialog)
{
    if (dialog->inspecting)
        g_cancellable_cancel(dialog->inspecting);
    g_clear_object(&dialog->inspecting);
    g_clear_object(&dialog->file);
    g_clear_pointer(&dialog->format, g_free);
}

static void set_file(VitrineNewMachineDialog *dialog, GFile *file)
{
    g_autofree char *path = g_file_get_path(file), *base = g_file_get_basename(file);
    char *dot = strrchr(base, '.');

    forget_file(dialog);
    dialog->file = g_object_ref(file);
    say_file(dialog, NULL);
    dialog->inspecting = g_cancellable_new();
    if (path) {
        vit_image_inspect_async(path, dialog->inspecting, inspected, g_object_ref(dialog));
    } else {
        g_task_report_new_error(NULL, inspected, g_object_ref(dialog), set_file, G_IO_ERROR,
                                G_IO_ERROR_NOT_SUPPORTED,
                                _("Only files on this computer can be used; copy the image first"));
    }
    if (dot)
        *dot = '\0';
    if (!*gtk_editable_get_text(GTK_EDITABLE(dialog->name_row)))
        gtk_editable_set_text(GTK_EDITABLE(dialog->name_row), base);
    update(dialog);
}

static void chosen(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(VitrineNewMachineDialog) dialog = data;
    g_autoptr(GFile) file = gtk_file_dialog_open_finish(GTK_FILE_DIALOG(source), result, NULL);

    if (file)
        set_file(dialog, file);
}

static void on_choose(VitrineNewMachineDialog *dialog)
{
    static const char *const suffixes[] = { "iso", "img", "raw", "qcow2", "qcow", "qed", "vmdk",
                                            "vdi", "vhd", "vhdx", "hdd", "dmg", NULL };
    g_autoptr(GtkFileDialog) chooser = gtk_file_dialog_new();
    g_autoptr(GListStore) filters = g_list_store_new(GTK_TYPE_FILE_FILTER);
    g_autoptr(GtkFileFilter) images = gtk_file_filter_new();

    gtk_file_dialog_set_title(chooser, _("Choose an Image"));
    gtk_file_filter_set_name(images, _("Installer and disk images"));
    for (const char *const *s = suffixes; *s; s++)
        gtk_file_filter_add_suffix(images, *s);
    g_list_store_append(filters, images);
    gtk_file_dialog_set_filters(chooser, G_LIST_MODEL(filters));
    gtk_file_dialog_open(chooser, GTK_WINDOW(gtk_widget_get_root(GTK_WIDGET(dialog))), NULL, chosen,
                         g_object_ref(dialog));
}

static VitDriveConfig *drive(const char *path, const char *format, gboolean cd)
{
    VitDriveConfig *d = vit_drive_config_new(path);

    d->format = g_strdup(format);
    d->cdrom = cd;
    d->interface = cd ? VIT_DRIVE_IDE : VIT_DRIVE_VIRTIO;
    d->discard = !cd;
    return d;
}

static VitMachine *build(VitrineNewMachineDialog *dialog, GError **error)
{
    g_autoptr(VitMachineConfig) config = vit_machine_config_new();
    const char *name = gtk_editable_get_text(GTK_EDITABLE(dialog->name_row));
    g_autofree char *path = g_file_get_path(dialog->file), *disk = NULL;
    gboolean cd = is_cd(dialog->file);

    config->name = g_strdup(name);
    config->ram_size = (guint64) adw_spin_row_get_value(dialog->memory_row) << 20;
    config->n_cpus = (unsigned) adw_spin_row_get_value(dialog->cpus_row);
    config->vga = g_strdup("virtio");
    config->input_defaults = true;
    g_ptr_array_add(config->netdevs, g_strdup("user,id=net0"));
    g_ptr_array_add(config->devices, g_strdup("virtio-net-pci,netdev=net0"));
    g_ptr_array_add(config->devices, g_strdup("virtio-rng-pci"));
    g_ptr_array_add(config->drives, drive(path, dialog->format, cd));
    if (cd && adw_switch_row_get_active(dialog->disk_switch)) {
        disk = vitrine_library_disk_path(dialog->library, name, error);
        if (!disk || !vitrine_library_create_disk(
                         disk, (guint64) adw_spin_row_get_value(dialog->disk_row) << 30, error))
            return NULL;
        g_ptr_array_add(config->drives, drive(disk, "raw", FALSE));
    }
    config->boot_order = g_strdup(cd ? "dc" : "c");
    VitMachine *machine = vitrine_library_add(dialog->library, config, error);
    if (!machine && disk)
        g_unlink(disk);
    return machine;
}

static void on_create(VitrineNewMachineDialog *dialog)
{
    g_autoptr(GError) error = NULL;
    VitMachine *machine = build(dialog, &error);

    if (machine) {
        g_signal_emit(dialog, created_signal, 0, machine);
        adw_dialog_close(ADW_DIALOG(dialog));
        return;
    }
    vitrine_alert(GTK_WIDGET(dialog), _("Machine Not Created"), error->message);
}

static void dispose(GObject *object)
{
    VitrineNewMachineDialog *dialog = VITRINE_NEW_MACHINE_DIALOG(object);

    g_clear_object(&dialog->library);
    forget_file(dialog);
    gtk_widget_dispose_template(GTK_WIDGET(dialog), VITRINE_TYPE_NEW_MACHINE_DIALOG);
    G_OBJECT_CLASS(vitrine_new_machine_dialog_parent_class)->dispose(object);
}

static void vitrine_new_machine_dialog_class_init(VitrineNewMachineDialogClass *klass)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(klass);

    G_OBJECT_CLASS(klass)->dispose = dispose;
    gtk_widget_class_set_template_from_resource(widget, VITRINE_RESOURCES "/new-machine-dialog.ui");
    gtk_widget_class_bind_template_child(widget, VitrineNewMachineDialog, create);
    gtk_widget_class_bind_template_child(widget, VitrineNewMachineDialog, file_row);
    gtk_widget_class_bind_template_child(widget, VitrineNewMachineDialog, name_row);
    gtk_widget_class_bind_template_child(widget, VitrineNewMachineDialog, memory_row);
    gtk_widget_class_bind_template_child(widget, VitrineNewMachineDialog, cpus_row);
    gtk_widget_class_bind_template_child(widget, VitrineNewMachineDialog, disk_row);
    gtk_widget_class_bind_template_child(widget, VitrineNewMachineDialog, disk_switch);
    gtk_widget_class_bind_template_child(widget, VitrineNewMachineDialog, disk_group);
    gtk_widget_class_bind_template_callback(widget, on_choose);
    gtk_widget_class_bind_template_callback(widget, on_create);
    gtk_widget_class_bind_template_callback(widget, on_changed);
    created_signal = g_signal_new("created", VITRINE_TYPE_NEW_MACHINE_DIALOG, G_SIGNAL_RUN_LAST, 0,
                                  NULL, NULL, NULL, G_TYPE_NONE, 1, VIT_TYPE_MACHINE);
}

static void vitrine_new_machine_dialog_init(VitrineNewMachineDialog *dialog)
{
    gtk_widget_init_template(GTK_WIDGET(dialog));
    update(dialog);
}

AdwDialog *vitrine_new_machine_dialog_new(VitrineLibrary *library, GFile *file)
{
    VitrineNewMachineDialog *dialog = g_object_new(VITRINE_TYPE_NEW_MACHINE_DIALOG, NULL);

    dialog->library = g_object_ref(library);
    if (file)
        set_file(dialog, file);
    return ADW_DIALOG(dialog);
}
