/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-storage-daemon/usage.h - what --help says */
#pragma once

void print_usage(const char *program);
