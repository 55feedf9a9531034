/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-nbd/list.h - "vitrine-nbd --list" */
#pragma once
#include "app/cli/vitrine-nbd/options.h"

int nbd_list(const NbdOptions *options); /* the exit code; a message has been printed */
