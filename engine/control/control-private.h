/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/control-private.h - shared by the parts of a machine's control
 *
 * Locks: a session's and the control's own are leaves. */
#pragma once
#include "engine/control/control.h"

#include <json-glib/json-glib.h>

/* Errors that clients tell apart; all others are GenericError. */
#define CONTROL_ERROR (control_error_quark())
enum { CONTROL_ERROR_GENERIC, CONTROL_ERROR_COMMAND_NOT_FOUND, CONTROL_ERROR_DEVICE_NOT_FOUND,
       CONTROL_ERROR_DEVICE_NOT_ACTIVE };
GQuark control_error_quark(void);
const char *control_error_class(const GError *error);
/* Sets a GenericError; false. */
bool control_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

typedef struct ControlSession ControlSession;
typedef struct ControlKeys ControlKeys;
typedef struct ControlBlock ControlBlock;

struct VitControl {
    VitEngine   *engine;        /* borrowed; NULL: the storage daemon's */
    VitSystem   *sys;           /* borrowed: the engine's */
    ControlBlock *block;        /* owned */
    void       (*quit)(void *opaque);
    void        *quit_opaque;
    GMutex       lock;          /* leaf */
    GPtrArray   *sessions;      /* of ControlSession*, owned; guarded by lock */
    unsigned     next_id[2];    /* numbers of the next QMP and human monitors; construction only */
    ControlKeys *keys;          /* owned */
    int32_t      abs_x, abs_y;  /* last absolute pointer position sent; guarded by lock */
    unsigned     buttons;       /* as the monitor last set them; guarded by lock */
    unsigned     has_run;       /* atomic bool: guest code has run */
    unsigned     quitting;      /* atomic bool: a command asked for the end */
};

/* BLOCK_IO_ERROR. */
void control_disk_failed(VitControl *control, const VitDiskFailure *failure);

/* ---- Sessions: a connection, its thread, bounded queues (session.c) -------------------------- */

typedef struct {
    const char *name;           /* of the thread; at most 15 characters */
    size_t      state_size;
    void (*init)(void *state, ControlSession *session);
    void (*finish)(void *state);
    /* On the session's thread: */
    void (*opened)(void *state);    /* somebody connected: start over */
    /* Takes at most one command; returns the bytes used, at least 1. */
    size_t (*input)(void *state, const uint8_t *data, size_t size);
} ControlProtocol;

ControlSession *control_session_new(VitControl *control, const ControlProtocol *protocol,
                                    VitChar *chr, bool as_monitor, bool own_chr);
void control_session_free(ControlSession *session);     /* stops its thread first */
VitControl *control_session_control(ControlSession *session);
/* Session's thread: queues output for the connection that the running command came from. */
void control_session_write(ControlSession *session, const char *text, size_t size);
/* Session's thread: that connection gets events from now on. */
void control_session_want_events(ControlSession *session);
/* Any thread: to the connection that wants events, if any; dropped when it does not read. */
void control_session_event(ControlSession *session, const char *text, size_t size);
/* Session's thread, after a command's answer was written: carries out a quit that it asked for. */
void control_session_command_done(ControlSession *session);

extern const ControlProtocol qmp_protocol, hmp_protocol;

/* ---- Events (control.c): any thread ---------------------------------------------------------- */

/* Takes data, which may be NULL. */
void control_emit(VitControl *control, const char *name, JsonObject *data);
void control_reset(VitControl *control);                /* system_reset, with its event */
[[nodiscard]] bool control_continue(VitControl *control, GError **error);
[[nodiscard]] bool control_check_on(VitControl *control, GError **error);   /* not switched off */
void control_powerdown(VitControl *control);
void control_request_quit(VitControl *control);         /* after the running command's answer */
const char *control_status(VitControl *control, bool *running);     /* QMP's RunState */
void control_nmi(VitControl *control);

/* ---- Disks, exports, jobs (qmp-block.c) ------------------------------------------------------ */

ControlBlock *control_block_new(VitControl *control, const VitBlockService *service,
                                GHashTable *drives);
void control_block_free(ControlBlock *block);           /* NULL is fine */

/* ---- Host and guest things that both monitors show (actions.c) ------------------------------- */

[[nodiscard]] bool control_screendump(VitControl *control, const char *path, const char *format,
                                      unsigned head, GError **error);
/* Sorted ids of the drives; free the list, not the strings. */
GList *control_drive_ids(VitControl *control);
bool control_drive_is_cd(VitControl *control, const char *id);
/* To a file, in pieces; cpu NULL: physical addresses. */
[[nodiscard]] bool control_save_memory(VitControl *control, VitCpu *cpu, uint64_t addr,
                                       uint64_t size, const char *path, GError **error);
/* Memory as a vCPU sees it (cpu) or the machine (NULL).  False: nothing is mapped there. */
[[nodiscard]] bool control_read_memory(VitControl *control, VitCpu *cpu, uint64_t addr, void *buf,
                                       size_t size);
VitCpu *control_cpu(VitControl *control, int64_t index, GError **error);

/* ---- Human monitor (hmp.c) ------------------------------------------------------------------- */

typedef struct {
    VitControl *control;
    GString    *out;            /* lines end in \n */
    unsigned    cpu;            /* the one that commands speak of */
} HmpContext;

typedef struct {
    const char *name, *alias;   /* alias may be NULL */
    const char *args, *help;
    bool      (*run)(HmpContext *h, const char *args, GError **error);
} HmpCommand;

void hmp_execute(HmpContext *h, const char *line);
extern const HmpCommand hmp_commands[], hmp_info_commands[];    /* ended by a NULL name */
/* hmp-memory.c */
bool hmp_x(HmpContext *h, const char *args, GError **error);
bool hmp_xp(HmpContext *h, const char *args, GError **error);
bool hmp_print(HmpContext *h, const char *args, GError **error);
/* hmp-expression.c: "0x1000 + $rsp * 2"; sets *rest to what follows it. */
[[nodiscard]] bool hmp_evaluate(HmpContext *h, const char *text, uint64_t *value, const char **rest,
                                GError **error);
char *hmp_complete(const char *line);       /* the longer line, or NULL */
