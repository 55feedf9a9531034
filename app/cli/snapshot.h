/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/snapshot.h - the tools' option -l: an image as one of its internal snapshots has it */
#pragma once
#include "block/driver.h"

/* text: an ID or a name, or "snapshot.id=ID,snapshot.name=NAME" of one that has both (or either).
 * On a fiber.  The error says that loading has failed. */
[[nodiscard]] bool cli_co_load_snapshot(VitBlockNode *node, const char *text, GError **error);
