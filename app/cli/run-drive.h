/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/run-drive.h - a -drive value of vitrine-run as a drive's configuration */
#pragma once
#include "engine/machine/config.h"

[[nodiscard]] VitDriveConfig *run_drive_parse(const char *text, GError **error);
