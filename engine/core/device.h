/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/device.h - the device class: register rows, hidden state rows, wires
 *
 * The two tables drive reset, save, load, dump, documentation and fuzzing; see style.md for a whole
 * device.  A device is bus-neutral: its windows are mapped by the board or by its transport.
 * Every hook runs under the machine lock. */
#pragma once
#include "engine/core/fifo8.h"
#include "engine/core/system.h"

typedef struct VitDeviceClass VitDeviceClass;

/* ---- State rows ------------------------------------------------------------------------------ */

typedef enum {
    VIT_FIELD_END, VIT_FIELD_UINT, VIT_FIELD_BOOL, VIT_FIELD_BYTES, VIT_FIELD_FIFO8,
    VIT_FIELD_TIMER, VIT_FIELD_STRUCTS, VIT_FIELD_VARBYTES,
} VitFieldKind;

typedef struct VitField VitField;
struct VitField {
    VitFieldKind    kind;
    uint8_t         width;      /* UINT: bytes of one element */
    uint32_t        offset;     /* from the start of the instance (of the element inside STRUCTS) */
    uint32_t        count;      /* elements; 1 for scalars */
    uint32_t        stride;     /* STRUCTS: bytes of one element */
    const VitField *fields;     /* STRUCTS: rows of one element, ended by VIT_END */
    uint64_t        reset;
    uint64_t        max;        /* UINT: largest value a load accepts; 0 = any */
    uint32_t        len_offset; /* VARBYTES: offset of a size_t length */
    const char     *name;
};
#define VIT_SIZEOF(T, f)    sizeof(((T *) 0)->f)
#define VIT_UINT(T, f, ...)                                                                        \
    { .kind = VIT_FIELD_UINT, .width = VIT_SIZEOF(T, f), .offset = offsetof(T, f), .count = 1,     \
      .name = #f, ##__VA_ARGS__ }               /* optional: .reset = , .max = */
#define VIT_UINTS(T, f, ...)                                                                       \
    { .kind = VIT_FIELD_UINT, .width = VIT_SIZEOF(T, f[0]), .offset = offsetof(T, f),              \
      .count = VIT_SIZEOF(T, f) / VIT_SIZEOF(T, f[0]), .name = #f, ##__VA_ARGS__ }
#define VIT_BOOL(T, f, r)                                                                          \
    { .kind = VIT_FIELD_BOOL, .width = 1, .offset = offsetof(T, f), .count = 1, .reset = (r),      \
      .name = #f }
#define VIT_BOOLS(T, f, r)                                                                         \
    { .kind = VIT_FIELD_BOOL, .width = 1, .offset = offsetof(T, f), .count = VIT_SIZEOF(T, f),     \
      .reset = (r), .name = #f }
#define VIT_BYTES(T, f)                                                                            \
    { .kind = VIT_FIELD_BYTES, .width = 1, .offset = offsetof(T, f), .count = VIT_SIZEOF(T, f),    \
      .name = #f }
#define VIT_FIFO8(T, f)                                                                            \
    { .kind = VIT_FIELD_FIFO8, .offset = offsetof(T, f), .count = 1, .name = #f }
#define VIT_STRUCTS(T, f, rows)                                                                    \
    { .kind = VIT_FIELD_STRUCTS, .offset = offsetof(T, f), .stride = VIT_SIZEOF(T, f[0]),          \
      .count = VIT_SIZEOF(T, f) / VIT_SIZEOF(T, f[0]), .fields = (rows), .name = #f }
/* A VitTimer* outside st: its deadline is state; reset disarms it. */
#define VIT_TIMER(T, f)                                                                            \
    { .kind = VIT_FIELD_TIMER, .offset = offsetof(T, f), .count = 1, .name = #f }
/* A g_malloc'ed uint8_t* in st with its size_t length, also in st; the core frees it at reset, load
 * and vit_device_free(). */
#define VIT_VARBYTES(T, f, len, limit)                                                             \
    { .kind = VIT_FIELD_VARBYTES, .offset = offsetof(T, f), .count = 1, .max = (limit),            \
      .len_offset = offsetof(T, len), .name = #f }
#define VIT_END .kind = VIT_FIELD_END

/* ---- Register rows --------------------------------------------------------------------------- */

enum { VIT_ANY_BANK = -1 };

typedef struct {
    uint32_t    offset;         /* in the device's window */
    int16_t     bank;           /* compared with class->bank(); VIT_ANY_BANK matches all */
    const char *name;           /* as the specification calls it */
    uint32_t    at;             /* VIT_AT: offset of the storage + 1; 0 = no storage */
    uint8_t     size;           /* bytes; 0 = class->reg_size, or the storage's */
    uint64_t    rw;             /* bits that a guest write changes */
    uint64_t    w1c;            /* bits that writing 1 clears */
    uint64_t    rc;             /* bits that a read clears */
    uint64_t    ones;           /* bits that always read as one */
    uint64_t    reset;
    uint16_t    count;          /* array of registers; 0 = 1 */
    uint16_t    stride;         /* between them in the window; 0 = size */
    uint16_t    at_stride;      /* between their storage; 0 = storage size */
    uint64_t (*read)(VitDevice *d, uint32_t offset);                    /* replaces the read */
    void (*write)(VitDevice *d, uint32_t offset, uint64_t value);       /* replaces the write */
    void (*wrote)(VitDevice *d, uint32_t offset, uint64_t old);         /* after the stored write */
} VitReg;
#define VIT_AT(T, f) .at = offsetof(T, f) + 1, .size = VIT_SIZEOF(T, f)
#define VIT_REGS(table) .regs = (table), .n_regs = G_N_ELEMENTS(table)
#define VIT_STATE(T, s)                                                                            \
    .instance_size = sizeof(T), .state_offset = offsetof(T, s), .state_size = VIT_SIZEOF(T, s)

/* ---- Options ("-device name,option=value") --------------------------------------------------- */

typedef enum {
    VIT_PROP_BOOL, VIT_PROP_U32, VIT_PROP_U64, VIT_PROP_SIZE, VIT_PROP_STR,
    VIT_PROP_LIST,      /* a char*, like STR: its JSON */
} VitPropKind;
typedef struct {
    const char *name;
    VitPropKind kind;
    uint32_t    offset;         /* in the instance: bool, uint32_t, uint64_t, or char* (owned) */
    const char *def;            /* text of the default, NULL = 0/NULL */
    const char *help;
} VitProp;
#define VIT_PROP(n, k, T, f, d, h) { (n), (k), offsetof(T, f), (d), (h) }

/* ---- Class and instance ---------------------------------------------------------------------- */

struct VitDeviceClass {
    const char     *name;       /* as in -device and in saved state */
    const char     *description;
    uint32_t        version;    /* of the saved state */
    size_t          instance_size, state_offset, state_size;
    uint64_t        mmio_size;  /* bytes of the register window; 0 = none */
    uint8_t         reg_size;   /* default register width in bytes, 0 = 1 */
    uint8_t         max_access; /* widest guest access passed as one, 0 = 4; wider ones are split */
    unsigned        n_irqs;     /* outputs */
    unsigned        n_inputs;   /* inputs */
    const VitReg   *regs;
    size_t          n_regs;
    const VitField *hidden;     /* state that no register stores; ended by { VIT_END } */
    const VitProp  *props;      /* ended by a NULL name */
    int (*bank)(VitDevice *d, uint32_t offset);
    /* Raw access for windows that no table can describe (e.g. a data port's whole page); NULL =
     * table.  Return false to fall back to the table. */
    bool (*raw_read)(VitDevice *d, uint32_t offset, unsigned size, uint64_t *value);
    bool (*raw_write)(VitDevice *d, uint32_t offset, unsigned size, uint64_t value);
    /* after options are set; allocate timers, buffers */
    bool (*init)(VitDevice *d, GError **error);
    void (*finish)(VitDevice *d);          /* undo init; also called when init failed half way */
    void (*reset)(VitDevice *d);           /* after the tables' reset; no wires here */
    void (*update)(VitDevice *d);          /* drive outputs from state; after access, reset, load */
    void (*input)(VitDevice *d, unsigned n, bool level);
    /* st: a loaded copy, not yet live */
    bool (*validate)(VitDevice *d, const void *st, GError **error);
    void (*loaded)(VitDevice *d);              /* after commit of a load: rebuild host-side state */
    /* For devices with data paths.  true, before reset, save and load: wait until no other thread
     * touches st and keep it so until the matching false (calls nest). */
    void (*quiesce)(VitDevice *d, bool on);
};

typedef void (*VitIrqHandler)(void *opaque, unsigned n, bool level);
typedef struct VitIrqOut VitIrqOut; /* one output wire: level and its sinks */
typedef struct VitDevicePrivate VitDevicePrivate;

struct VitDevice {
    const VitDeviceClass *klass;
    VitSystem *sys;             /* borrowed */
    char      *id;              /* owned; unique in the machine */
    VitIrqOut *irqs;            /* n_irqs, owned */
    GPtrArray *windows;         /* VitRegion*, owned */
    void      *transport;       /* owned by the transport (PCI function, virtio-pci ...); or NULL */
    VitDevicePrivate *priv;     /* owned */
};

/* Makes an instance with default options and adds it to sys->devices; id NULL = class name plus
 * number.  Set options and host handles, then vit_device_init(). */
[[nodiscard]] VitDevice *vit_device_new(VitSystem *sys, const VitDeviceClass *klass,
                                        const char *id);
[[nodiscard]] bool vit_device_set_prop(VitDevice *d, const char *name, const char *value,
                                       GError **error);
/* On failure the device has been removed and freed. */
[[nodiscard]] bool vit_device_init(VitDevice *d, GError **error);
void vit_device_free(VitDevice *d);      /* removes it from sys->devices; used by vit_system_free */

/* A region over bytes [offset, offset+size) of the register window; owned by the device.  While an
 * access through a window runs, another one (DMA of the device into its own registers) is refused:
 * reads give 0, writes are dropped. */
VitRegion *vit_device_window(VitDevice *d, uint32_t offset, uint32_t size);
uint64_t vit_device_read(VitDevice *d, uint32_t offset, unsigned size);     /* as a guest access */
void vit_device_write(VitDevice *d, uint32_t offset, uint64_t value, unsigned size);

/* Wires.  An output may have several sinks; a sink is told of changes only, and of the present
 * level after reset and load. */
void vit_irq_connect(VitDevice *d, unsigned n, VitIrqHandler fn, void *opaque, unsigned sink_n);
/* Calls sink's input(), then its update(). */
void vit_irq_connect_device(VitDevice *d, unsigned n, VitDevice *sink, unsigned input);
void vit_irq_set(VitDevice *d, unsigned n, bool level);
void vit_irq_pulse(VitDevice *d, unsigned n);
bool vit_irq_level(const VitDevice *d, unsigned n);

void vit_device_reset(VitDevice *d);        /* tables, reset hook, update */
void vit_device_save(VitDevice *d, GByteArray *out);
[[nodiscard]] bool vit_device_load(VitDevice *d, const uint8_t *data, size_t size, GError **error);
char *vit_device_dump(VitDevice *d);        /* registers and hidden state as text */
/* For tests: NULL, or which bytes of st no row covers or two rows cover (caller frees). Padding is
 * found by the rows' natural alignment. */
char *vit_device_class_check(const VitDeviceClass *klass);

static inline void vit_device_lock(VitDevice *d) { g_rec_mutex_lock(&d->sys->lock); }
static inline void vit_device_unlock(VitDevice *d) { g_rec_mutex_unlock(&d->sys->lock); }
