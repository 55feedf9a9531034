/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/main.c - the desktop application */
#include "app/application.h"

#include <glib/gi18n.h>
#include <locale.h>

/* Without a graphics card GL and Vulkan are emulated: GTK would take seconds to its first frame. */
static void choose_renderer(void)
{
    g_autoptr(GDir) dir = g_dir_open("/dev/dri", 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_prefix(name, "renderD"))
            return;
    }
    if (!g_file_test("/dev/nvidia0", G_FILE_TEST_EXISTS))
        g_setenv("GSK_RENDERER", "cairo", FALSE);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    bindtextdomain(GETTEXT_PACKAGE, g_getenv("VITRINE_LOCALEDIR") ?: LOCALEDIR);
    bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
    textdomain(GETTEXT_PACKAGE);
    choose_renderer();
    g_autoptr(VitrineApplication) app = vitrine_application_new();
    return g_application_run(G_APPLICATION(app), argc, argv);
}
