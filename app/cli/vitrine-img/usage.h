/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/usage.h - what "vitrine-img COMMAND --help" says */
#pragma once

extern const char img_usage_amend[], img_usage_bench[], img_usage_bitmap[], img_usage_check[],
    img_usage_commit[], img_usage_compare[], img_usage_convert[], img_usage_create[],
    img_usage_dd[], img_usage_info[], img_usage_map[], img_usage_measure[], img_usage_rebase[],
    img_usage_resize[], img_usage_snapshot[];
