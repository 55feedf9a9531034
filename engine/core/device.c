/* engine/core/device.c - device instances: life, options, windows, wires
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/device-private.h"
#include "engine/core/log.h"
#include "engine/core/options.h"
#include "engine/core/suggest.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

/* ---- Options --------------------------------------------------------------------------------- */

static const char *kind_text(VitPropKind kind)
{
    switch (kind) {
    case VIT_PROP_BOOL: return _("on or off");
    case VIT_PROP_U32: return _("a number up to 4294967295");
    case VIT_PROP_U64: return _("a number");
    case VIT_PROP_SIZE: return _("a size, such as 64M");
    case VIT_PROP_LIST: return _("a list");
    case VIT_PROP_STR: break;
    }
    return _("a text");
}

static bool set_prop(VitDevice *d, const VitProp *prop, const char *value)
{
    void *at = (uint8_t *) d + prop->offset;
    uint64_t number = 0;
    bool flag = false;
    switch (prop->kind) {
    case VIT_PROP_BOOL:
        if (!vit_parse_bool(value, &flag))
            return false;
        *(bool *) at = flag;
        return true;
    case VIT_PROP_U32:
        if (!vit_parse_uint(value, UINT32_MAX, &number))
            return false;
        *(uint32_t *) at = (uint32_t) number;
        return true;
    case VIT_PROP_U64:
        if (!vit_parse_uint(value, UINT64_MAX, &number))
            return false;
        *(uint64_t *) at = number;
        return true;
    case VIT_PROP_SIZE:
        if (!vit_parse_size(value, &number))
            return false;
        *(uint64_t *) at = number;
        return true;
    case VIT_PROP_STR:
    case VIT_PROP_LIST:
        g_free(*(char **) at);
        *(char **) at = g_strdup(value);
        return true;
    }
    return false;
}

bool vit_device_set_prop(VitDevice *d, const char *name, const char *value, GError **error)
{
    const VitProp *prop = d->klass->props;
    while (prop && prop->name && strcmp(prop->name, name) != 0)
        prop++;
    if (!prop || !prop->name) {
        g_autoptr(GPtrArray) known = g_ptr_array_new();
        for (prop = d->klass->props; prop && prop->name; prop++)
            g_ptr_array_add(known, (char *) prop->name);
        g_ptr_array_add(known, NULL);
        g_autofree char *hint = vit_suggest_phrase(name, (const char *const *) known->pdata);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    _("Device \"%s\" has no option \"%s\"%s"), d->klass->name, name, hint);
        return false;
    }
    if (!set_prop(d, prop, value)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    _("Option \"%s\" of device \"%s\" takes %s, not \"%s\""), name, d->klass->name,
                    kind_text(prop->kind), value);
        return false;
    }
    return true;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static char *free_id(VitSystem *sys, const char *name)
{
    for (unsigned n = 0;; n++) {
        char *id = g_strdup_printf("%s%u", name, n);
        if (!vit_system_find_device(sys, id))
            return id;
        g_free(id);
    }
}

VitDevice *vit_device_new(VitSystem *sys, const VitDeviceClass *klass, const char *id)
{
    if (klass->instance_size < sizeof(VitDevice))
        g_error("device class \"%s\" does not say its instance_size (VIT_STATE)", klass->name);
    VitDevice *d = g_malloc0(klass->instance_size);
    d->klass = klass;
    d->sys = sys;
    d->priv = g_new0(VitDevicePrivate, 1);
    d->priv->window_data = g_ptr_array_new_with_free_func(g_free);
    d->irqs = g_new0(VitIrqOut, klass->n_irqs);
    d->windows = g_ptr_array_new_with_free_func((GDestroyNotify) vit_region_free);
    for (const VitProp *prop = klass->props; prop && prop->name; prop++)
        if (prop->def && !set_prop(d, prop, prop->def))
            g_critical("default of %s.%s: \"%s\" is not %s", klass->name, prop->name, prop->def,
                       kind_text(prop->kind));
    vit_device_build_reg_index(d);
    vit_device_lock(d);
    d->id = id ? g_strdup(id) : free_id(sys, klass->name);
    g_ptr_array_add(sys->devices, d);
    vit_device_unlock(d);
    return d;
}

static bool id_is_unique(VitDevice *d)
{
    for (guint i = 0; i < d->sys->devices->len; i++) {
        VitDevice *other = d->sys->devices->pdata[i];
        if (other != d && strcmp(other->id, d->id) == 0)
            return false;
    }
    return true;
}

bool vit_device_init(VitDevice *d, GError **error)
{
    VitSystem *sys = d->sys;
    vit_system_lock(sys);
    bool ok = id_is_unique(d);
    if (!ok) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    _("The machine has a device \"%s\" already; give this one another id"), d->id);
    } else {
        d->priv->initialized = true;
        ok = !d->klass->init || d->klass->init(d, error);
    }
    if (ok)
        vit_device_reset_state(d);
    else
        vit_device_free(d);
    vit_system_unlock(sys);
    return ok;
}

static void drop_sinks(VitDevice *d, const void *opaque)
{
    for (unsigned n = 0; n < d->klass->n_irqs; n++)
        for (guint i = 0; d->irqs[n].sinks && i < d->irqs[n].sinks->len;)
            if (g_array_index(d->irqs[n].sinks, IrqSink, i).opaque == opaque)
                g_array_remove_index(d->irqs[n].sinks, i);
            else
                i++;
}

void vit_device_free(VitDevice *d)
{
    if (!d)
        return;
    VitSystem *sys = d->sys;
    const VitDeviceClass *klass = d->klass;
    vit_system_lock(sys);
    g_ptr_array_remove(sys->devices, d);
    for (guint i = 0; i < sys->devices->len; i++)
        drop_sinks(sys->devices->pdata[i], d);
    if (d->priv->initialized && klass->finish)
        klass->finish(d);
    vit_device_free_state(d);
    for (const VitProp *prop = klass->props; prop && prop->name; prop++)
        if (prop->kind == VIT_PROP_STR || prop->kind == VIT_PROP_LIST)
            g_free(*(char **) (void *) ((uint8_t *) d + prop->offset));
    g_ptr_array_unref(d->windows);
    for (unsigned n = 0; n < klass->n_irqs; n++)
        if (d->irqs[n].sinks)
            g_array_unref(d->irqs[n].sinks);
    g_free(d->irqs);
    g_ptr_array_unref(d->priv->window_data);
    g_free(d->priv->reg_index);
    g_free(d->priv);
    g_free(d->id);
    g_free(d);
    vit_system_unlock(sys);
}

/* ---- Windows --------------------------------------------------------------------------------- */

typedef struct {
    VitDevice *d;
    uint32_t   offset;
    VitMmioOps ops;
} Window;

static bool window_enter(VitDevice *d, uint64_t offset)
{
    if (d->priv->in_window) {
        vit_log(VIT_LOG_GUEST_ERROR, "%s: an access to its own register %#" G_GINT64_MODIFIER
                "x is refused", d->id, offset);
        return false;
    }
    d->priv->in_window = true;
    return true;
}

static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
    Window *w = opaque;
    VitDevice *d = w->d;
    if (!window_enter(d, w->offset + offset))
        return 0;
    uint64_t value = vit_device_read(d, w->offset + (uint32_t) offset, size);
    d->priv->in_window = false;
    return value;
}

static void window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Window *w = opaque;
    VitDevice *d = w->d;
    if (!window_enter(d, w->offset + offset))
        return;
    vit_device_write(d, w->offset + (uint32_t) offset, value, size);
    d->priv->in_window = false;
}

VitRegion *vit_device_window(VitDevice *d, uint32_t offset, uint32_t size)
{
    Window *w = g_new0(Window, 1);
    w->d = d;
    w->offset = offset;
    w->ops.read = window_read;
    w->ops.write = window_write;
    w->ops.max_size = d->klass->max_access ? d->klass->max_access : 4;
    g_ptr_array_add(d->priv->window_data, w);
    VitRegion *region = vit_region_new_mmio(d->id, &w->ops, w, size);
    g_ptr_array_add(d->windows, region);
    return region;
}

/* ---- Wires ----------------------------------------------------------------------------------- */

static bool irq_exists(const VitDevice *d, unsigned n)
{
    if (n < d->klass->n_irqs)
        return true;
    g_critical("device \"%s\" has no output %u", d->klass->name, n);
    return false;
}

void vit_irq_connect(VitDevice *d, unsigned n, VitIrqHandler fn, void *opaque, unsigned sink_n)
{
    if (!irq_exists(d, n))
        return;
    IrqSink sink = { fn, opaque, sink_n };
    if (!d->irqs[n].sinks)
        d->irqs[n].sinks = g_array_new(FALSE, FALSE, sizeof(IrqSink));
    g_array_append_val(d->irqs[n].sinks, sink);
}

static void device_input(void *opaque, unsigned n, bool level)
{
    VitDevice *d = opaque;
    if (d->klass->input)
        d->klass->input(d, n, level);
    if (d->klass->update)
        d->klass->update(d);
}

void vit_irq_connect_device(VitDevice *d, unsigned n, VitDevice *sink, unsigned input)
{
    if (input >= sink->klass->n_inputs)
        g_critical("device \"%s\" has no input %u", sink->klass->name, input);
    else
        vit_irq_connect(d, n, device_input, sink, input);
}

static void tell(VitIrqOut *out, bool level)
{
    for (guint i = 0; out->sinks && i < out->sinks->len; i++) {
        IrqSink sink = g_array_index(out->sinks, IrqSink, i);
        sink.fn(sink.opaque, sink.n, level);
    }
}

void vit_irq_set(VitDevice *d, unsigned n, bool level)
{
    if (!irq_exists(d, n) || d->irqs[n].level == level)
        return;
    d->irqs[n].level = level;
    if (!d->priv->quiet)
        tell(&d->irqs[n], level);
}

void vit_irq_pulse(VitDevice *d, unsigned n)
{
    if (!irq_exists(d, n) || d->priv->quiet)
        return;
    bool level = d->irqs[n].level;
    tell(&d->irqs[n], !level);
    tell(&d->irqs[n], level);
}

bool vit_irq_level(const VitDevice *d, unsigned n)
{
    return irq_exists(d, n) && d->irqs[n].level;
}

/* ---- Reset ----------------------------------------------------------------------------------- */

void vit_device_replay(VitDevice *d)
{
    d->priv->quiet = true;
    if (d->klass->update)
        d->klass->update(d);
    d->priv->quiet = false;
    for (unsigned n = 0; n < d->klass->n_irqs; n++)
        tell(&d->irqs[n], d->irqs[n].level);
}

void vit_device_quiesce(VitDevice *d, bool on)
{
    if (d->klass->quiesce)
        d->klass->quiesce(d, on);
}

void vit_device_reset(VitDevice *d)
{
    vit_device_lock(d);
    vit_device_reset_state(d);
    vit_device_replay(d);
    vit_device_unlock(d);
}
