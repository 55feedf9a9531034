/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/options.c - option strings; see options.h.  Errors are in G_OPTION_ERROR. */
#include "engine/core/options.h"

#include "engine/core/suggest.h"

#include <glib/gi18n-lib.h>
#include <errno.h>
#include <string.h>

typedef struct { char *key, *value; VitOptionType type; bool taken; } Pair;

struct VitOptions {
    char   *context;
    GArray *pairs;          /* of Pair */
    GPtrArray *known;       /* of char*, owned */
};

static void clear_pair(void *data)
{
    Pair *p = data;
    g_free(p->key);
    g_free(p->value);
}

static Pair *pair_at(const VitOptions *o, unsigned n)
{
    return &g_array_index(o->pairs, Pair, n);
}

/* Copies up to a lone comma (or, when key is set, a lone comma or "="), and moves *text behind
 * it. */
static char *scan(const char **text, bool key, char *end)
{
    GString *out = g_string_new(NULL);
    const char *s = *text;

    for (; *s; s++) {
        if (*s == ',' && s[1] == ',' && !key)
            s++;
        else if (*s == ',' || (key && *s == '='))
            break;
        g_string_append_c(out, *s);
    }
    *end = *s;
    *text = *s ? s + 1 : s;
    return g_string_free(out, FALSE);
}

VitOptions *vit_options_new(const char *context)
{
    VitOptions *o = g_new0(VitOptions, 1);
    o->context = g_strdup(context);
    o->pairs = g_array_new(FALSE, TRUE, sizeof(Pair));
    g_array_set_clear_func(o->pairs, clear_pair);
    o->known = g_ptr_array_new_with_free_func(g_free);
    return o;
}

void vit_options_add(VitOptions *o, const char *key, VitOptionType type, const char *text)
{
    Pair p = { .key = g_strdup(key), .value = g_strdup(text), .type = type };
    g_array_append_val(o->pairs, p);
}

VitOptions *vit_options_parse(const char *context, const char *text, const char *implied,
                              GError **error)
{
    VitOptions *o = vit_options_new(context);

    for (bool first = true; *text; first = false) {
        char end;
        const char *start = text;
        Pair p = { .key = scan(&text, true, &end) };
        if (end == '=') {
            p.value = scan(&text, false, &end);
        } else if (first && implied) {
            /* The whole first part is a value: read it again with its doubled commas. */
            text = start;
            g_free(p.key);
            p.value = scan(&text, false, &end);
            p.key = g_strdup(implied);
        } else {
            p.value = g_strdup("on");
        }
        if (!*p.key) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        _("%s: an option without a name before “=%s”"), context, p.value);
            clear_pair(&p);
            vit_options_free(o);
            return NULL;
        }
        g_array_append_val(o->pairs, p);
    }
    return o;
}

void vit_options_free(VitOptions *o)
{
    if (!o)
        return;
    g_array_unref(o->pairs);
    g_ptr_array_unref(o->known);
    g_free(o->context);
    g_free(o);
}

static const Pair *last(const VitOptions *o, const char *key)
{
    for (unsigned i = o->pairs->len; i-- > 0;)
        if (strcmp(pair_at(o, i)->key, key) == 0)
            return pair_at(o, i);
    return NULL;
}

const char *vit_options_get(const VitOptions *o, const char *key)
{
    const Pair *p = last(o, key);
    return p ? p->value : NULL;
}

bool vit_options_expect(const VitOptions *o, const char *key, VitOptionType type, GError **error)
{
    static const char *const names[] = { "text", "string", "integer", "boolean", "array" };
    const Pair *p = last(o, key);

    if (!p || p->type == VIT_OPTION_TEXT || p->type == type)
        return true;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                _("%s: Invalid parameter type for '%s', expected: %s"), o->context, key,
                names[type]);
    return false;
}

unsigned vit_options_count(const VitOptions *o)
{
    return o->pairs->len;
}

const char *vit_options_key(const VitOptions *o, unsigned n)
{
    return pair_at(o, n)->key;
}

const char *vit_options_value(const VitOptions *o, unsigned n)
{
    return pair_at(o, n)->value;
}

static void know(VitOptions *o, const char *key)
{
    for (unsigned i = 0; i < o->known->len; i++)
        if (strcmp(o->known->pdata[i], key) == 0)
            return;
    g_ptr_array_add(o->known, g_strdup(key));
}

void vit_options_know(VitOptions *o, const char *const *keys)
{
    for (; *keys; keys++)
        know(o, *keys);
}

const char *vit_options_take(VitOptions *o, const char *key)
{
    const char *value = NULL;

    know(o, key);
    for (unsigned i = 0; i < o->pairs->len; i++) {
        Pair *p = pair_at(o, i);
        if (strcmp(p->key, key) == 0) {
            p->taken = true;
            value = p->value;
        }
    }
    return value;
}

const char *vit_options_take_next(VitOptions *o, const char *key)
{
    know(o, key);
    for (unsigned i = 0; i < o->pairs->len; i++) {
        Pair *p = pair_at(o, i);
        if (!p->taken && strcmp(p->key, key) == 0) {
            p->taken = true;
            return p->value;
        }
    }
    return NULL;
}

static bool bad_value(const VitOptions *o, const char *key, const char *text, const char *wanted,
                      GError **error)
{
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("%s: “%s=%s” is not %s"),
                o->context, key, text, wanted);
    return false;
}

bool vit_options_take_bool(VitOptions *o, const char *key, bool *value, GError **error)
{
    const char *text = vit_options_take(o, key);
    if (!vit_options_expect(o, key, VIT_OPTION_BOOLEAN, error))
        return false;
    if (!text || vit_parse_bool(text, value))
        return true;
    return bad_value(o, key, text, _("“on” or “off”"), error);
}

bool vit_options_take_uint(VitOptions *o, const char *key, uint64_t max, uint64_t *value,
                           GError **error)
{
    const char *text = vit_options_take(o, key);
    if (!vit_options_expect(o, key, VIT_OPTION_NUMBER, error))
        return false;
    if (!text || vit_parse_uint(text, max, value))
        return true;
    g_autofree char *most = g_strdup_printf("%" G_GUINT64_FORMAT, max);
    g_autofree char *wanted = g_strdup_printf(_("a number up to %s"), most);
    return bad_value(o, key, text, wanted, error);
}

bool vit_options_take_size(VitOptions *o, const char *key, uint64_t *value, GError **error)
{
    const char *text = vit_options_take(o, key);
    if (!vit_options_expect(o, key, VIT_OPTION_NUMBER, error))
        return false;
    if (!text || vit_parse_size(text, value))
        return true;
    return bad_value(o, key, text, _("a size such as 512M or 4G"), error);
}

bool vit_options_finish(const VitOptions *o, GError **error)
{
    for (unsigned i = 0; i < o->pairs->len; i++) {
        const Pair *p = pair_at(o, i);
        if (p->taken)
            continue;
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        for (unsigned k = 0; k < o->known->len; k++) {
            if (strcmp(o->known->pdata[k], p->key) == 0) {
                g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                            _("%s: option “%s” cannot be used here, or not twice"), o->context,
                            p->key);
                return false;
            }
            g_ptr_array_add(names, o->known->pdata[k]);
        }
        g_ptr_array_add(names, NULL);
        g_autofree char *phrase = vit_suggest_phrase(p->key, (const char *const *) names->pdata);
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION,
                    _("%s: unknown option “%s”%s"), o->context, p->key, phrase);
        return false;
    }
    return true;
}

bool vit_parse_bool(const char *text, bool *value)
{
    static const char *const words[][2] = { { "off", "on" }, { "no", "yes" }, { "false", "true" } };

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        for (int v = 0; v < 2; v++)
            if (strcmp(text, words[i][v]) == 0) {
                *value = v;
                return true;
            }
    return false;
}

bool vit_parse_uint(const char *text, uint64_t max, uint64_t *value)
{
    /* Decimal or 0x: a leading zero is no octal, which surprises people. */
    bool hex = g_ascii_strncasecmp(text, "0x", 2) == 0;
    return g_ascii_string_to_unsigned(hex ? text + 2 : text, hex ? 16 : 10, 0, max, value, NULL);
}

bool vit_parse_size(const char *text, uint64_t *value)
{
    static const char units[] = "KMGTPE";
    char *end;

    if (g_ascii_strncasecmp(text, "0x", 2) == 0)
        return vit_parse_uint(text, UINT64_MAX, value);
    if (!g_ascii_isdigit(*text))
        return false;
    size_t digits = strspn(text, "0123456789");
    bool fraction = text[digits] == '.';
    double number = 0;
    uint64_t whole = 0;
    if (fraction) {
        if (!g_ascii_isdigit(text[digits + 1]))
            return false;
        number = g_ascii_strtod(text, &end);
    } else {
        g_autofree char *copy = g_strndup(text, digits);
        if (!g_ascii_string_to_unsigned(copy, 10, 0, UINT64_MAX, &whole, NULL))
            return false;
        end = (char *) text + digits;
    }
    unsigned shift = 0;
    const char *unit = *end ? strchr(units, g_ascii_toupper(*end)) : NULL;
    if (unit) {
        shift = 10 * (unsigned) (unit - units + 1);
        end++;
        if (g_ascii_tolower(*end) == 'i')
            end++;
    }
    if (g_ascii_toupper(*end) == 'B')
        end++;
    if (*end)
        return false;
    if (fraction) {
        number *= (double) (UINT64_C(1) << shift);
        if (!(number < 18446744073709551616.0))
            return false;
        *value = (uint64_t) number;
        return true;
    }
    if (shift && whole >> (64 - shift))
        return false;
    *value = whole << shift;
    return true;
}

static bool out_of_range(void)
{
    errno = ERANGE;
    return false;
}

bool vit_parse_size_strict(const char *text, uint64_t *value)
{
    static const char units[] = "BKMGTPE";
    char *end;

    errno = 0;
    while (g_ascii_isspace(*text))
        text++;
    bool negative = *text == '-';
    if (negative || *text == '+')
        text++;
    if (!g_ascii_isdigit(*text) && !(*text == '.' && g_ascii_isdigit(text[1])))
        return false;
    bool hex = g_ascii_strncasecmp(text, "0x", 2) == 0 && g_ascii_isxdigit(text[2]);
    uint64_t whole = *text == '.' ? 0 : g_ascii_strtoull(text, &end, hex ? 16 : 10);
    bool too_big = errno == ERANGE;
    errno = 0;
    if (*text == '.')
        end = (char *) text;
    double fraction = 0, place = 1;
    if (*end == '.' && !hex) {
        for (end++; g_ascii_isdigit(*end); end++)
            fraction += (*end - '0') * (place /= 10);
    }
    const char *unit = *end && !hex ? strchr(units, g_ascii_toupper(*end)) : NULL;
    unsigned shift = unit ? 10 * (unsigned) (unit - units) : 0;
    if (end[unit ? 1 : 0] || (negative && unit) || (fraction > 0 && shift == 0))
        return false;
    if (too_big || negative || (shift && whole >> (64 - shift)))
        return out_of_range();
    uint64_t more = (uint64_t) (fraction * (double) (UINT64_C(1) << shift) + 0.5);
    if (__builtin_add_overflow(whole << shift, more, value))
        return out_of_range();
    return true;
}
