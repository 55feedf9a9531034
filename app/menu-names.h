/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/menu-names.h - gives the items of menus their names for screen readers */
#pragma once

/** For every menu of the process that opens from now on; call once, after GTK has started. */
void vitrine_menu_names_install(void);
