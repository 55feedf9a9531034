/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/filters/blkdebug.h - rules of errors, states and breakpoints, and how tools set the latter
 *
 * Options and configuration files are those that QEMU's documentation of blkdebug describes. */
#pragma once
#include "block/args.h"
#include "block/driver.h"

typedef struct VitDebugRules VitDebugRules;

[[nodiscard]] VitDebugRules *vit_debug_rules_new(VitIoThread *thread);
void vit_debug_rules_free(VitDebugRules *rules); /* lets go of what a breakpoint holds */
void vit_debug_rules_move(VitDebugRules *rules, VitIoThread *thread); /* nobody waits there */
/* Adds what args have under "inject-error", "set-state" and "config" (a file's name). */
[[nodiscard]] bool vit_debug_rules_take(VitDebugRules *rules, VitBlockArgs *args, GError **error);
/* The error that a request is to meet: 0 or -errno. */
int vit_debug_rules_inject(VitDebugRules *rules, VitBlockOp op, uint64_t offset, uint64_t bytes);
/* What the rules for an event change; on a fiber, which waits at a breakpoint. */
void vit_co_debug_rules_event(VitDebugRules *rules, VitBlockEvent event);

VitDebugRules *vit_debug_rules_of(VitBlockNode *node); /* borrowed; NULL: it is no blkdebug */

/* On a fiber of the node's thread.  They mean the blkdebug node that `node` stands on; 0 or
 * -errno. */
int vit_debug_break(VitBlockNode *node, const char *event, const char *tag);
int vit_debug_remove_break(VitBlockNode *node, const char *tag);
int vit_debug_resume(VitBlockNode *node, const char *tag);
bool vit_debug_is_suspended(VitBlockNode *node, const char *tag);
