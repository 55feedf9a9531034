/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/values.c - see values.h */
#include "app/cli/values.h"

#include <stdio.h>

static void print_node(JsonNode *node, int indent);

static void print_string(const char *text)
{
    putchar('"');
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char_validated(p, -1);
        if (c == (gunichar)-1 || c == (gunichar)-2) {
            printf("\\uFFFD");
            continue;
        }
        switch (c) {
        case '"': fputs("\\\"", stdout); break;
        case '\\': fputs("\\\\", stdout); break;
        case '\b': fputs("\\b", stdout); break;
        case '\f': fputs("\\f", stdout); break;
        case '\n': fputs("\\n", stdout); break;
        case '\r': fputs("\\r", stdout); break;
        case '\t': fputs("\\t", stdout); break;
        default:
            if (c >= 0x10000)
                printf("\\u%04X\\u%04X", 0xd800 + ((c - 0x10000) >> 10),
                       0xdc00 + ((c - 0x10000) & 0x3ff));
            else if (c < 0x20 || c > 0x7e) printf("\\u%04X", c);
            else putchar((int)c);
        }
    }
    putchar('"');
}

static void new_line(int indent)
{
    printf("\n%*s", indent, "");
}

static void print_value(JsonNode *node)
{
    GType type = json_node_get_value_type(node);

    if (JSON_NODE_HOLDS_NULL(node)) fputs("null", stdout);
    else if (type == G_TYPE_BOOLEAN) fputs(json_node_get_boolean(node) ? "true" : "false", stdout);
    else if (type == G_TYPE_STRING) print_string(json_node_get_string(node));
    else if (type == G_TYPE_DOUBLE) printf("%.17g", json_node_get_double(node));
    else printf("%" G_GINT64_FORMAT, json_node_get_int(node));
}

static void print_node(JsonNode *node, int indent)
{
    const char *separator = "";

    if (JSON_NODE_HOLDS_OBJECT(node)) {
        JsonObject *object = json_node_get_object(node);
        g_autoptr(GList) keys = json_object_get_members(object);
        putchar('{');
        for (GList *k = keys; k; k = k->next) {
            fputs(separator, stdout);
            new_line(indent + 4);
            print_string(k->data);
            fputs(": ", stdout);
            print_node(json_object_get_member(object, k->data), indent + 4);
            separator = ",";
        }
        new_line(indent);
        putchar('}');
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);
        putchar('[');
        for (guint i = 0; i < json_array_get_length(array); i++) {
            fputs(separator, stdout);
            new_line(indent + 4);
            print_node(json_array_get_element(array, i), indent + 4);
            separator = ",";
        }
        new_line(indent);
        putchar(']');
    } else {
        print_value(node);
    }
}

void cli_print_json(JsonNode *node)
{
    print_node(node, 0);
    putchar('\n');
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_named(const char *name, JsonNode *node, int indent)
{
    printf("%*s%s:", indent, "", name);
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        putchar('\n');
        cli_print_values(json_node_get_object(node), indent + 4);
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);
        putchar('\n');
        for (guint i = 0; i < json_array_get_length(array); i++) {
            char number[16];
            g_snprintf(number, sizeof number, "[%u]", i);
            print_named(number, json_array_get_element(array, i), indent + 4);
        }
    } else if (json_node_get_value_type(node) == G_TYPE_STRING) {
        printf(" %s\n", json_node_get_string(node));
    } else {
        putchar(' ');
        print_value(node);
        putchar('\n');
    }
}

void cli_print_values(JsonObject *object, int indent)
{
    g_autoptr(GList) keys = json_object_get_members(object);

    for (GList *k = keys; k; k = k->next) {
        g_autofree char *name = g_strdelimit(g_strdup(k->data), "-", ' ');
        print_named(name, json_object_get_member(object, k->data), indent);
    }
}
