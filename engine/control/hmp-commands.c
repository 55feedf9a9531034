/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/hmp-commands.c - the human monitor's commands (names as in QEMU's) */
#include "engine/control/control-private.h"
#include "engine/control/keys.h"
#include "engine/core/device.h"
#include "engine/core/log.h"
#include "engine/core/options.h"

#include <linux/input-event-codes.h>
#include <string.h>

/* Words between blanks; empty ones left out. */
static char **words(const char *args, unsigned *n)
{
    g_auto(GStrv) parts = g_strsplit_set(args, " \t", -1);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    *n = 0;
    for (char **p = parts; *p; p++) {
        if (**p) {
            g_strv_builder_add(builder, *p);
            ++*n;
        }
    }
    return g_strv_builder_end(builder);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static bool run_help(HmpContext *h, const char *args, GError **error)
{
    bool any = false;

    for (const HmpCommand *row = hmp_commands; row->name; row++) {
        if (*args && strcmp(args, row->name) && g_strcmp0(args, row->alias))
            continue;
        g_autofree char *usage = g_strdup_printf("%s%s%s%s%s", row->name, row->alias ? "|" : "",
                                                 row->alias ?: "", *row->args ? " " : "",
                                                 row->args);
        g_string_append_printf(h->out, "%-36s %s\n", usage, row->help);
        any = true;
    }
    return any || control_fail(error, "there is no command '%s'", args);
}

static bool run_stop(HmpContext *h, const char *args, GError **error)
{
    vit_engine_pause(h->control->engine);
    return true;
}

static bool run_cont(HmpContext *h, const char *args, GError **error)
{
    return control_continue(h->control, error);
}

static bool run_reset(HmpContext *h, const char *args, GError **error)
{
    if (!control_check_on(h->control, error))
        return false;
    control_reset(h->control);
    return true;
}

static bool run_powerdown(HmpContext *h, const char *args, GError **error)
{
    control_powerdown(h->control);
    return true;
}

static bool run_quit(HmpContext *h, const char *args, GError **error)
{
    control_request_quit(h->control);
    return true;
}

static bool run_nmi(HmpContext *h, const char *args, GError **error)
{
    control_nmi(h->control);
    return true;
}

static bool run_cpu(HmpContext *h, const char *args, GError **error)
{
    uint64_t n;

    if (!vit_parse_uint(args, UINT_MAX, &n))
        return control_fail(error, "cpu: the number of a CPU is missing");
    if (!control_cpu(h->control, (int64_t) n, error))
        return false;
    h->cpu = (unsigned) n;
    return true;
}

/* ---- Display, keys, pointer ------------------------------------------------------------------ */

static bool run_screendump(HmpContext *h, const char *args, GError **error)
{
    unsigned n;
    g_auto(GStrv) word = words(args, &n);

    if (n != 1 && (n != 3 || strcmp(word[1], "-f")))
        return control_fail(error, "screendump FILE [-f png|ppm]");
    if (n == 3 && strcmp(word[2], "png") && strcmp(word[2], "ppm"))
        return control_fail(error, "screendump: the format is png or ppm");
    return control_screendump(h->control, word[0], n == 3 ? word[2] : NULL, 0, error);
}

static bool run_sendkey(HmpContext *h, const char *args, GError **error)
{
    unsigned n, codes = 0;
    uint16_t code[CONTROL_KEYS_AT_ONCE];
    uint64_t hold = 100;
    g_auto(GStrv) word = words(args, &n);

    if (n < 1 || n > 2 || (n == 2 && !vit_parse_uint(word[1], CONTROL_MAX_HOLD_MS, &hold)))
        return control_fail(error, "sendkey KEY[-KEY...] [HOLD_MS], at most %d ms",
                            CONTROL_MAX_HOLD_MS);
    g_auto(GStrv) keys = g_strsplit(word[0], "-", -1);
    for (char **k = keys; *k; k++) {
        uint64_t number;
        int found = g_str_has_prefix(*k, "0x") && vit_parse_uint(*k, 255, &number)
                        ? control_key_by_number((int64_t) number) : control_key_by_name(*k);
        if (found < 0)
            return control_fail(error, "there is no key '%s'", *k);
        if (codes == CONTROL_KEYS_AT_ONCE)
            return control_fail(error, "at most %d keys at once", CONTROL_KEYS_AT_ONCE);
        code[codes++] = (uint16_t) found;
    }
    return control_keys_send(h->control->keys, code, codes, (unsigned) hold, error);
}

static bool run_mouse_move(HmpContext *h, const char *args, GError **error)
{
    unsigned n;
    g_auto(GStrv) word = words(args, &n);
    gint64 value[3] = { 0 };

    if (n < 2 || n > 3)
        return control_fail(error, "mouse_move DX DY [DZ]");
    for (unsigned i = 0; i < n; i++) {
        if (!g_ascii_string_to_signed(word[i], 10, -32768, 32767, &value[i], error))
            return false;
    }
    const VitInputEvent events[] = {
        { .kind = VIT_INPUT_REL, .value = (int32_t) value[0], .value2 = (int32_t) value[1] },
        { .kind = VIT_INPUT_WHEEL, .value2 = (int32_t) value[2] * -120 },
    };
    vit_input_hub_send(vit_engine_input(h->control->engine), events, value[2] ? 2 : 1);
    return true;
}

static bool run_mouse_button(HmpContext *h, const char *args, GError **error)
{
    static const uint16_t buttons[] = { BTN_LEFT, BTN_MIDDLE, BTN_RIGHT };
    VitInputEvent events[G_N_ELEMENTS(buttons)];
    uint64_t state;
    unsigned n = 0;

    if (!vit_parse_uint(args, 7, &state))
        return control_fail(error,
                            "mouse_button STATE, the sum of 1 (left), 2 (middle), 4 (right)");
    g_mutex_lock(&h->control->lock);
    for (unsigned i = 0; i < G_N_ELEMENTS(buttons); i++) {
        if ((h->control->buttons ^ state) & 1u << i)
            events[n++] = (VitInputEvent) { .kind = VIT_INPUT_BUTTON, .code = buttons[i],
                                            .value = state >> i & 1 };
    }
    h->control->buttons = (unsigned) state;
    g_mutex_unlock(&h->control->lock);
    if (n)
        vit_input_hub_send(vit_engine_input(h->control->engine), events, n);
    return true;
}

/* ---- Devices, log ---------------------------------------------------------------------------- */

static bool run_dump(HmpContext *h, const char *args, GError **error)
{
    VitDevice *d = *args ? vit_system_find_device(h->control->sys, args) : NULL;

    if (!d)
        return control_fail(error, "dump: there is no device '%s'; info qtree lists them", args);
    g_autofree char *text = vit_device_dump(d);
    g_string_append(h->out, text);
    return true;
}

static bool run_log(HmpContext *h, const char *args, GError **error)
{
    unsigned mask = 0;

    if (strcmp(args, "none") && !vit_log_parse(args, &mask, error))
        return false;
    vit_log_set_mask(mask);
    return true;
}

const HmpCommand hmp_commands[] = {
    { "help", "?", "[COMMAND]", "this list", run_help },
    { "info", NULL, "[SUBJECT]", "show something about the machine", NULL },
    { "stop", "s", "", "pause the machine", run_stop },
    { "cont", "c", "", "let it go on", run_cont },
    { "system_reset", NULL, "", "press the reset button", run_reset },
    { "system_powerdown", NULL, "", "press the power button; the guest decides", run_powerdown },
    { "quit", "q", "", "end the program; the guest is not asked", run_quit },
    { "screendump", NULL, "FILE [-f png|ppm]", "save a picture of the display", run_screendump },
    { "sendkey", NULL, "KEYS [HOLD_MS]", "press keys, e.g. ctrl-alt-delete", run_sendkey },
    { "mouse_move", NULL, "DX DY [DZ]", "move the pointer, turn the wheel", run_mouse_move },
    { "mouse_button", NULL, "STATE", "hold buttons: 1 left, 2 middle, 4 right", run_mouse_button },
    { "cpu", NULL, "N", "the CPU that commands speak of", run_cpu },
    { "nmi", NULL, "", "send a non-maskable interrupt", run_nmi },
    { "x", NULL, "/FMT ADDRESS", "memory as the CPU sees it, e.g. x/10i $pc", hmp_x },
    { "xp", NULL, "/FMT ADDRESS", "physical memory, e.g. xp/16xb 0xf0000", hmp_xp },
    { "print", "p", "/FMT EXPRESSION", "a value, e.g. p/x $rsp + 8", hmp_print },
    { "dump", NULL, "DEVICE", "registers and state of a device", run_dump },
    { "log", NULL, "ITEM,...|none", "what is logged, as with -d", run_log },
    { 0 }
};
