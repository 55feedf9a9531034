/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/control.h - the control protocol (QMP) and the human monitor of one machine
 *
 * Each connection has a thread of its own: a command that waits for vCPUs or disks holds up neither
 * the machine nor another monitor. */
#pragma once
#include "block/service.h"
#include "engine/machine/machine.h"

typedef struct VitControl VitControl;

/* Before the machine first runs.  quit: somebody asked for the program's end; called on a control
 * thread, must only tell the main loop, which then frees control and engine, in that order. */
[[nodiscard]] VitControl *vit_control_new(VitEngine *engine, void (*quit)(void *opaque),
                                          void *opaque);
/* The same for disks without a machine (a storage daemon); all borrowed. */
[[nodiscard]] VitControl *vit_control_new_storage(VitSystem *sys, const VitBlockService *service,
                                                  void (*quit)(void *opaque), void *opaque);
void vit_control_free(VitControl *control);     /* not on a control thread; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitControl, vit_control_free)

/* spec: a host end as vit_char_open() takes it: "unix:PATH,server=on,wait=off", "stdio", ... */
[[nodiscard]] bool vit_control_add_qmp(VitControl *control, const char *spec, GError **error);
[[nodiscard]] bool vit_control_add_monitor(VitControl *control, const char *spec, GError **error);
/* On a host end that is open already; chr is borrowed. */
void vit_control_attach_qmp(VitControl *control, VitChar *chr);
/* A human monitor behind Ctrl-A c of a serial port's host end ("mon:stdio"); chr is borrowed. */
void vit_control_attach_monitor(VitControl *control, VitChar *chr);
