/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/overlay.h - the tools' option -s: writes go to a temporary file, not to the image */
#pragma once
#include "block/graph.h"

/* An empty overlay above `below` (which the caller keeps its reference of), in a file that nobody
 * else sees and that is gone with the node.  A reference; NULL: error. */
[[nodiscard]] VitBlockNode *cli_open_overlay(VitBlockGraph *graph, VitBlockNode *below,
                                             GError **error);
