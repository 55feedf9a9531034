/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/keys.c - key names (QMP's QKeyCode) and a queue of key presses */
#include "engine/control/keys.h"

#include "engine/control/control-private.h"

#include <linux/input-event-codes.h>
#include <string.h>

/* ---- Names ----------------------------------------------------------------------------------- */

static const struct { const char *name; uint16_t code; } key_names[] = {
    { "shift", KEY_LEFTSHIFT }, { "shift_r", KEY_RIGHTSHIFT }, { "alt", KEY_LEFTALT },
    { "alt_r", KEY_RIGHTALT }, { "altgr", KEY_RIGHTALT }, { "ctrl", KEY_LEFTCTRL },
    { "ctrl_r", KEY_RIGHTCTRL }, { "menu", KEY_MENU }, { "esc", KEY_ESC }, { "1", KEY_1 },
    { "2", KEY_2 }, { "3", KEY_3 }, { "4", KEY_4 }, { "5", KEY_5 }, { "6", KEY_6 }, { "7", KEY_7 },
    { "8", KEY_8 }, { "9", KEY_9 }, { "0", KEY_0 }, { "minus", KEY_MINUS }, { "equal", KEY_EQUAL },
    { "backspace", KEY_BACKSPACE }, { "tab", KEY_TAB }, { "q", KEY_Q }, { "w", KEY_W },
    { "e", KEY_E }, { "r", KEY_R }, { "t", KEY_T }, { "y", KEY_Y }, { "u", KEY_U }, { "i", KEY_I },
    { "o", KEY_O }, { "p", KEY_P }, { "bracket_left", KEY_LEFTBRACE },
    { "bracket_right", KEY_RIGHTBRACE }, { "ret", KEY_ENTER }, { "a", KEY_A }, { "s", KEY_S },
    { "d", KEY_D }, { "f", KEY_F }, { "g", KEY_G }, { "h", KEY_H }, { "j", KEY_J }, { "k", KEY_K },
    { "l", KEY_L }, { "semicolon", KEY_SEMICOLON }, { "apostrophe", KEY_APOSTROPHE },
    { "grave_accent", KEY_GRAVE }, { "backslash", KEY_BACKSLASH }, { "z", KEY_Z }, { "x", KEY_X },
    { "c", KEY_C }, { "v", KEY_V }, { "b", KEY_B }, { "n", KEY_N }, { "m", KEY_M },
    { "comma", KEY_COMMA }, { "dot", KEY_DOT }, { "slash", KEY_SLASH },
    { "asterisk", KEY_KPASTERISK }, { "spc", KEY_SPACE }, { "caps_lock", KEY_CAPSLOCK },
    { "f1", KEY_F1 }, { "f2", KEY_F2 }, { "f3", KEY_F3 }, { "f4", KEY_F4 }, { "f5", KEY_F5 },
    { "f6", KEY_F6 }, { "f7", KEY_F7 }, { "f8", KEY_F8 }, { "f9", KEY_F9 }, { "f10", KEY_F10 },
    { "num_lock", KEY_NUMLOCK }, { "scroll_lock", KEY_SCROLLLOCK }, { "kp_divide", KEY_KPSLASH },
    { "kp_multiply", KEY_KPASTERISK }, { "kp_subtract", KEY_KPMINUS }, { "kp_add", KEY_KPPLUS },
    { "kp_enter", KEY_KPENTER }, { "kp_decimal", KEY_KPDOT }, { "sysrq", KEY_SYSRQ },
    { "kp_0", KEY_KP0 }, { "kp_1", KEY_KP1 }, { "kp_2", KEY_KP2 }, { "kp_3", KEY_KP3 },
    { "kp_4", KEY_KP4 }, { "kp_5", KEY_KP5 }, { "kp_6", KEY_KP6 }, { "kp_7", KEY_KP7 },
    { "kp_8", KEY_KP8 }, { "kp_9", KEY_KP9 }, { "less", KEY_102ND }, { "f11", KEY_F11 },
    { "f12", KEY_F12 }, { "f13", KEY_F13 }, { "f14", KEY_F14 }, { "f15", KEY_F15 },
    { "f16", KEY_F16 }, { "f17", KEY_F17 }, { "f18", KEY_F18 }, { "f19", KEY_F19 },
    { "f20", KEY_F20 }, { "f21", KEY_F21 }, { "f22", KEY_F22 }, { "f23", KEY_F23 },
    { "f24", KEY_F24 }, { "print", KEY_SYSRQ }, { "home", KEY_HOME }, { "pgup", KEY_PAGEUP },
    { "pgdn", KEY_PAGEDOWN }, { "end", KEY_END }, { "left", KEY_LEFT }, { "up", KEY_UP },
    { "down", KEY_DOWN }, { "right", KEY_RIGHT }, { "insert", KEY_INSERT },
    { "delete", KEY_DELETE }, { "stop", KEY_STOP }, { "again", KEY_AGAIN }, { "props", KEY_PROPS },
    { "undo", KEY_UNDO }, { "front", KEY_FRONT }, { "copy", KEY_COPY }, { "open", KEY_OPEN },
    { "paste", KEY_PASTE }, { "find", KEY_FIND }, { "cut", KEY_CUT }, { "lf", KEY_LINEFEED },
    { "help", KEY_HELP }, { "meta_l", KEY_LEFTMETA }, { "meta_r", KEY_RIGHTMETA },
    { "compose", KEY_COMPOSE }, { "pause", KEY_PAUSE }, { "ro", KEY_RO },
    { "hiragana", KEY_HIRAGANA }, { "henkan", KEY_HENKAN }, { "yen", KEY_YEN },
    { "muhenkan", KEY_MUHENKAN }, { "katakanahiragana", KEY_KATAKANAHIRAGANA },
    { "kp_comma", KEY_KPCOMMA }, { "kp_equals", KEY_KPEQUAL }, { "power", KEY_POWER },
    { "sleep", KEY_SLEEP }, { "wake", KEY_WAKEUP }, { "audionext", KEY_NEXTSONG },
    { "audioprev", KEY_PREVIOUSSONG }, { "audiostop", KEY_STOPCD }, { "audioplay", KEY_PLAYPAUSE },
    { "audiomute", KEY_MUTE }, { "volumeup", KEY_VOLUMEUP }, { "volumedown", KEY_VOLUMEDOWN },
    { "mediaselect", KEY_MEDIA }, { "mail", KEY_MAIL }, { "calculator", KEY_CALC },
    { "computer", KEY_COMPUTER }, { "ac_home", KEY_HOMEPAGE }, { "ac_back", KEY_BACK },
    { "ac_forward", KEY_FORWARD }, { "ac_refresh", KEY_REFRESH }, { "ac_bookmarks", KEY_BOOKMARKS },
    { "lang1", KEY_HANGEUL }, { "lang2", KEY_HANJA },
};

/* Numbers with 80h added: the codes after E0h. */
static const struct { uint8_t number; uint16_t code; } grey_keys[] = {
    { 0x9c, KEY_KPENTER }, { 0x9d, KEY_RIGHTCTRL }, { 0xb5, KEY_KPSLASH }, { 0xb7, KEY_SYSRQ },
    { 0xb8, KEY_RIGHTALT }, { 0xc6, KEY_PAUSE }, { 0xc7, KEY_HOME }, { 0xc8, KEY_UP },
    { 0xc9, KEY_PAGEUP }, { 0xcb, KEY_LEFT }, { 0xcd, KEY_RIGHT }, { 0xcf, KEY_END },
    { 0xd0, KEY_DOWN }, { 0xd1, KEY_PAGEDOWN }, { 0xd2, KEY_INSERT }, { 0xd3, KEY_DELETE },
    { 0xdb, KEY_LEFTMETA }, { 0xdc, KEY_RIGHTMETA }, { 0xdd, KEY_COMPOSE },
};

int control_key_by_name(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(key_names); i++) {
        if (!strcmp(name, key_names[i].name))
            return key_names[i].code;
    }
    return -1;
}

int control_key_by_number(int64_t number)
{
    if (number >= KEY_ESC && number <= KEY_F12 && number != 84 && number != 85)
        return (int) number;        /* Linux took its numbers from there */
    for (size_t i = 0; i < G_N_ELEMENTS(grey_keys); i++) {
        if (number == grey_keys[i].number)
            return grey_keys[i].code;
    }
    return -1;
}

int control_button_by_name(const char *name)
{
    static const struct { const char *name; int code; } buttons[] = {
        { "left", BTN_LEFT }, { "middle", BTN_MIDDLE }, { "right", BTN_RIGHT },
        { "side", BTN_SIDE }, { "extra", BTN_EXTRA },   { "touch", BTN_TOUCH },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(buttons); i++) {
        if (!strcmp(name, buttons[i].name))
            return buttons[i].code;
    }
    return -1;
}

/* ---- Queue ----------------------------------------------------------------------------------- */

enum { MAX_WAITING = 256, GAP_MS = 20 };

typedef struct {
    uint16_t codes[CONTROL_KEYS_AT_ONCE];
    unsigned n, hold_ms;
} Press;

struct ControlKeys {
    VitInputHub *hub;           /* borrowed */
    VitIoThread *thread;        /* owned */
    GSource     *timer;         /* owned; thread only */
    Press        now;           /* n > 0: these are down; thread only */
    GMutex       lock;          /* leaf */
    GQueue       waiting;       /* of Press*, owned; guarded by lock */
};

static void send(ControlKeys *k, const Press *press, bool down)
{
    for (unsigned i = 0; i < press->n; i++) {
        uint16_t code = press->codes[down ? i : press->n - 1 - i];
        VitInputEvent event = { .kind = VIT_INPUT_KEY, .code = code, .value = down };
        vit_input_hub_send(k->hub, &event, 1);
    }
}

static void step(void *opaque);

static gboolean on_timer(void *opaque)
{
    ControlKeys *k = opaque;

    g_clear_pointer(&k->timer, g_source_unref);
    if (k->now.n) {
        send(k, &k->now, false);
        k->now.n = 0;
        k->timer = g_timeout_source_new(GAP_MS);
        g_source_set_callback(k->timer, on_timer, k, NULL);
        g_source_attach(k->timer, vit_io_thread_context(k->thread));
    } else {
        step(k);
    }
    return G_SOURCE_REMOVE;
}

/* Presses what waits, unless something is down or was a moment ago. */
static void step(void *opaque)
{
    ControlKeys *k = opaque;

    if (k->timer)
        return;
    g_mutex_lock(&k->lock);
    g_autofree Press *press = g_queue_pop_head(&k->waiting);
    g_mutex_unlock(&k->lock);
    if (!press)
        return;
    k->now = *press;
    send(k, press, true);
    k->timer = g_timeout_source_new(press->hold_ms);
    g_source_set_callback(k->timer, on_timer, k, NULL);
    g_source_attach(k->timer, vit_io_thread_context(k->thread));
}

bool control_keys_send(ControlKeys *k, const uint16_t *codes, unsigned n, unsigned hold_ms,
                       GError **error)
{
    if (n > CONTROL_KEYS_AT_ONCE || hold_ms > CONTROL_MAX_HOLD_MS) {
        g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC,
                    "At most %d keys at once, for at most %d ms", CONTROL_KEYS_AT_ONCE,
                    CONTROL_MAX_HOLD_MS);
        return false;
    }
    Press *press = g_new0(Press, 1);
    memcpy(press->codes, codes, n * sizeof *codes);
    press->n = n;
    press->hold_ms = hold_ms;
    g_mutex_lock(&k->lock);
    bool full = g_queue_get_length(&k->waiting) >= MAX_WAITING;
    if (!full)
        g_queue_push_tail(&k->waiting, press);
    g_mutex_unlock(&k->lock);
    if (full) {
        g_free(press);
        g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC,
                    "%d key presses are waiting already; send more when they are done",
                    MAX_WAITING);
        return false;
    }
    vit_io_thread_call(k->thread, step, k);
    return true;
}

ControlKeys *control_keys_new(VitInputHub *hub)
{
    ControlKeys *k = g_new0(ControlKeys, 1);

    k->hub = hub;
    g_mutex_init(&k->lock);
    g_queue_init(&k->waiting);
    k->thread = vit_io_thread_new("monitor-keys");
    return k;
}

void control_keys_free(ControlKeys *k)
{
    if (!k)
        return;
    vit_io_thread_free(k->thread);
    if (k->timer) {
        g_source_destroy(k->timer);
        g_source_unref(k->timer);
    }
    send(k, &k->now, false);
    g_queue_clear_full(&k->waiting, g_free);
    g_mutex_clear(&k->lock);
    g_free(k);
}
