/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/shared-memory.h - programs that live on when another process takes away memory that it
 * shares with them */
#pragma once
#include "block/exports/memory-guard.h"

/* Answers SIGBUS from now on, where it comes from such memory; once, in main(). */
const VitMemoryGuard *cli_guard_shared_memory(void);
