/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/objects.h - what users create beside the nodes of a graph: secrets, TLS credentials,
 * limits, threads
 *
 * Names of types and properties are those of "-object".  The table may be used from any thread; an
 * object that somebody uses is not removed from it, and lives on when the table is freed. */
#pragma once
#include "block/args.h"
#include "engine/core/iothread.h"

typedef struct VitBlockObjects VitBlockObjects;
typedef struct VitBlockObject VitBlockObject;

[[nodiscard]] VitBlockObjects *vit_block_objects_new(void);
void vit_block_objects_free(VitBlockObjects *objects); /* NULL is fine */

/* From "TYPE,id=NAME,key=value" or "{"qom-type": TYPE, "id": NAME, ...}". */
[[nodiscard]] bool vit_block_objects_add_text(VitBlockObjects *objects, const char *text,
                                              GError **error);
/* The same from options already parsed ("object-add"); takes all of them. */
[[nodiscard]] bool vit_block_objects_add(VitBlockObjects *objects, VitBlockArgs *args,
                                         GError **error);
[[nodiscard]] bool vit_block_objects_remove(VitBlockObjects *objects, const char *id,
                                            GError **error);
const char *const *vit_block_object_types(void); /* NULL-ended, sorted */

/* A use of an object, to be released.  type: what it must be, NULL: any. */
[[nodiscard]] VitBlockObject *vit_block_objects_use(VitBlockObjects *objects, const char *id,
                                                    const char *type, GError **error);
void vit_block_object_release(VitBlockObject *object); /* NULL is fine */
/* The throttle group of that name; one that nobody has made is made, without limits, and goes with
 * its last user.  NULL when another object has the name. */
[[nodiscard]] VitBlockObject *vit_block_objects_use_group(VitBlockObjects *objects, const char *id,
                                                          GError **error);
const char *vit_block_object_type(const VitBlockObject *object);
const char *vit_block_object_id(const VitBlockObject *object);
/* Calls fn for each, in order of creation, with the table locked: fn may not call back here. */
typedef void (*VitBlockObjectFunc)(void *opaque, const char *id, const char *type);
void vit_block_objects_each(VitBlockObjects *objects, VitBlockObjectFunc fn, void *opaque);

/* The decrypted bytes of a secret: a reference, wiped when the last one is dropped.  objects NULL:
 * a node without a graph, which has no secrets. */
[[nodiscard]] VIT_FOR_MODULES GBytes *vit_block_secret_lookup(VitBlockObjects *objects,
                                                              const char *id, GError **error);
/* The same as text, refused unless it is UTF-8 without NUL.  Free with
 * vit_block_secret_free_text(). */
[[nodiscard]] VIT_FOR_MODULES char *vit_block_secret_lookup_text(VitBlockObjects *objects,
                                                                 const char *id, GError **error);
VIT_FOR_MODULES void vit_block_secret_free_text(char *text); /* wipes; NULL is fine */

/* Of an "iothread": borrowed, as long as the object is used. */
VitIoThread *vit_block_object_io_thread(VitBlockObject *object);
typedef struct {
    char *id; /* owned by the array */
    int64_t thread_id; /* of the host */
    /* As they were given: an event loop that never polls has nothing to tune. */
    uint64_t poll_max_ns, poll_grow, poll_shrink, aio_max_batch;
} VitBlockIoThreadInfo;
/* Of every iothread, in order of creation: an array of VitBlockIoThreadInfo, the caller's. */
GArray *vit_block_objects_io_threads(VitBlockObjects *objects);
