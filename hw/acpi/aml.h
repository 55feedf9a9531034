/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/acpi/aml.h - writer of ACPI Machine Language (ACPI 6.4, chapter 20)
 *
 * Terms are appended in order; what has a length is opened by ..._begin and closed by aml_end(). */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    GByteArray *bytes;          /* owned until vit_aml_finish() */
    GArray     *open;           /* guint: offsets where PkgLengths go; owned */
} VitAml;

void vit_aml_init(VitAml *aml);
GByteArray *vit_aml_finish(VitAml *aml);        /* caller owns the bytes */

void vit_aml_end(VitAml *aml);                  /* closes the innermost ..._begin */
void vit_aml_scope_begin(VitAml *aml, const char *name);
void vit_aml_device_begin(VitAml *aml, const char *name);
void vit_aml_method_begin(VitAml *aml, const char *name, unsigned args);
void vit_aml_package_begin(VitAml *aml, uint8_t elements);
void vit_aml_if_begin(VitAml *aml);             /* the predicate follows, then the body */
void vit_aml_else_begin(VitAml *aml);

void vit_aml_name(VitAml *aml, const char *name);       /* DefName; its object follows */
void vit_aml_path(VitAml *aml, const char *name);       /* a reference: "\\_SB.PCI0" */
void vit_aml_int(VitAml *aml, uint64_t value);
void vit_aml_string(VitAml *aml, const char *text);
void vit_aml_eisa_id(VitAml *aml, const char *id);      /* "PNP0A03" */
void vit_aml_buffer(VitAml *aml, const void *data, unsigned size);
void vit_aml_return(VitAml *aml);                       /* the value follows */
void vit_aml_store_arg0(VitAml *aml, const char *name);
void vit_aml_name_int(VitAml *aml, const char *name, uint64_t value);
void vit_aml_name_eisa(VitAml *aml, const char *name, const char *id);

/* Resource templates: collected, then written as Name(_CRS, Buffer ...). */
typedef struct { GByteArray *bytes; } VitAmlResources;
void vit_aml_resources_init(VitAmlResources *res);
void vit_aml_resource_io(VitAmlResources *res, uint16_t base, uint8_t length);
void vit_aml_resource_irq(VitAmlResources *res, unsigned irq);          /* edge, active high */
void vit_aml_resource_memory32(VitAmlResources *res, uint32_t base, uint32_t length, bool writable);
void vit_aml_resource_bus(VitAmlResources *res, uint16_t first, uint16_t last);
void vit_aml_resource_io_window(VitAmlResources *res, uint16_t first, uint16_t last);
void vit_aml_resource_memory_window(VitAmlResources *res, uint64_t first, uint64_t last,
                                    bool cacheable);
/* frees res's bytes */
void vit_aml_name_resources(VitAml *aml, const char *name, VitAmlResources *res);
