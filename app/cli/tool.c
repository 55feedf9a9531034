/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/tool.c - see tool.h */
#include "app/cli/tool.h"

#include "block/driver.h"

#include <errno.h>
#include <stdio.h>

#define COMPATIBLE_WITH "10.0.0"

void cli_print_version(const char *word)
{
    printf("%s %s" COMPATIBLE_WITH " (Vitrine " VIT_VERSION ")\n", program_invocation_short_name,
           word);
}

void cli_warn_probed(const VitBlockNode *node)
{
    if (!node->probed || node->how.read_only) return;
    fprintf(stderr,
            "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
            "         Automatically detecting the format is dangerous for raw images, write "
            "operations on block 0 will be restricted.\n"
            "         Specify the 'raw' format explicitly to remove the restrictions.\n",
            node->filename);
}
