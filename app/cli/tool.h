/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/tool.h - what the disk tools say in the same words */
#pragma once
#include "block/node.h"

/* "NAME version 10.0.0 (Vitrine 0.1.0)"; `word` is what stands between name and number. The number
 * is the version of QEMU whose options and output the tools have: scripts compare it. */
void cli_print_version(const char *word);
/* Warns of an image opened for writing that was taken for raw unasked. */
void cli_warn_probed(const VitBlockNode *node);
