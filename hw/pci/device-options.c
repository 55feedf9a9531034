/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/device-options.c - a "-device" value, in either of its notations, as options */
#include "hw/pci/pci-devices.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>

static VitOptionType type_of(JsonNode *node)
{
    if (!JSON_NODE_HOLDS_VALUE(node)) return VIT_OPTION_LIST;
    switch (json_node_get_value_type(node)) {
    case G_TYPE_STRING: return VIT_OPTION_STRING;
    case G_TYPE_BOOLEAN: return VIT_OPTION_BOOLEAN;
    default: return VIT_OPTION_NUMBER;
    }
}

static bool add(VitOptions *options, const char *key, JsonNode *node, GError **error)
{
    VitOptionType type = type_of(node);

    if (JSON_NODE_HOLDS_NULL(node)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device: Parameter '%s' has no value; leave it out"), key);
        return false;
    }
    if (type == VIT_OPTION_STRING) {
        vit_options_add(options, key, type, json_node_get_string(node));
    } else if (type == VIT_OPTION_BOOLEAN) {
        vit_options_add(options, key, type, json_node_get_boolean(node) ? "on" : "off");
    } else {
        g_autofree char *text = json_to_string(node, FALSE);
        vit_options_add(options, key, type, text);
    }
    return true;
}

static VitOptions *parse_json(const char *text, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(JsonNode) root = json_from_string(text, &why);

    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device: JSON parse error%s%s"), why ? ", " : "", why ? why->message : "");
        return NULL;
    }
    g_autoptr(VitOptions) options = vit_options_new("-device");
    JsonObjectIter iter;
    const char *key;
    JsonNode *value;
    json_object_iter_init_ordered(&iter, json_node_get_object(root));
    while (json_object_iter_next_ordered(&iter, &key, &value))
        if (!add(options, key, value, error)) return NULL;
    if (!vit_options_expect(options, "driver", VIT_OPTION_STRING, error)) return NULL;
    if (vit_options_get(options, "driver")) return g_steal_pointer(&options);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                _("-device: Parameter 'driver' is missing"));
    return NULL;
}

VitOptions *vit_device_options_parse(const char *text, GError **error)
{
    return *text == '{' ? parse_json(text, error)
                        : vit_options_parse("-device", text, "driver", error);
}
