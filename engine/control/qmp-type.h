/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-type.h - what JSON values commands, answers and events have: one table of each
 * type, from which values are checked and query-qmp-schema tells clients */
#pragma once
#include <json-glib/json-glib.h>
#include <stdbool.h>

typedef enum {
    QMP_STR,
    QMP_INT,
    QMP_NUMBER,
    QMP_BOOL,
    QMP_NULL,
    QMP_ANY,
    QMP_ARRAY,
    QMP_OBJECT,
    QMP_ALTERNATE
} QmpKind;

typedef struct QmpType QmpType;

typedef struct { /* a member of an object */
    const char *name;
    QmpKind kind;
    bool optional;
    const char *const *values; /* of a string that names one of these, ended by NULL; or NULL */
    /* Of the elements of an array, or of the member itself if kind and values do not say all;
     * NULL: any values, and the members of an object are nobody's business here. */
    const QmpType *type;
} QmpArg;

struct QmpType {
    QmpKind kind;
    const char *name; /* alternate: what errors call it */
    const char *const *values; /* string: see QmpArg */
    char **(*list)(void); /* string: instead of values, made anew */
    const QmpType *element; /* array; NULL: any */
    const QmpType *const *choices; /* alternate: of different kinds, ended by NULL */
    const QmpArg *members; /* object: ended by a NULL name */
    /* Object: the member that says which further members there are, as those of another object;
     * NULL: none. */
    const char *tag;
    const QmpType *(*branch)(const char *value);
    /* Object: may have more members.  String: values or list are what clients are told, and there
     * are others.  Whoever takes them knows them, and checks. */
    bool open;
};

extern const QmpType qmp_str_type, qmp_null_type;
extern const QmpArg qmp_no_members[];

/* False: names the first thing that is wrong, with its path. */
[[nodiscard]] bool qmp_check(const QmpType *type, JsonNode *value, GError **error);
[[nodiscard]] bool qmp_check_object(const QmpType *type, JsonObject *object, GError **error);
bool qmp_has_kind(JsonNode *node, QmpKind kind);
/* The type that a row gives its member. */
QmpType qmp_member_type(const QmpArg *row);
/* What a string must be one of, NULL: anything; `*made` is the caller's to free with the rest. */
const char *const *qmp_values(const QmpType *type, char ***made);
