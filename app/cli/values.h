/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/values.h - JSON and lists of values, laid out as by the tools of QEMU */
#pragma once
#include <json-glib/json-glib.h>

void cli_print_json(JsonNode *node);
/* For people: "key: value" lines of an object, indented. */
void cli_print_values(JsonObject *object, int indent);
