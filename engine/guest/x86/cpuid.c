/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/cpuid.c - CPUID and the text of -cpu (Intel SDM vol. 2A, CPUID; AMD APM vol.
 * 3, appendix E)
 *
 * One package of n cores without hyper-threads. */
#include "engine/guest/x86/cpu-private.h"

#include "engine/core/options.h"
#include "engine/core/suggest.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static const struct {
    const char *name;
    uint16_t feature;
} features[] = {
#define X(name, word, bit, text) { text, X86_FEATURE_##name },
    X86_FEATURES(X)
#undef X
};

static const struct {
    const char *name, *same;
} aliases[] = {
    { "pni", "sse3" },           { "abm", "lzcnt" },      { "sse4-1", "sse4.1" },
    { "sse4-2", "sse4.2" },      { "i64", "lm" },         { "xd", "nx" },
    { "pclmuldq", "pclmulqdq" }, { "mmx-ext", "mmxext" }, { "lahf", "lahf-lm" },
};

/* Known to processors, not to this one: refused by name when asked for, accepted when refused. */
static const char *const unmodelled[] = {
    "vme",    "ht",      "tm",      "ia64",        "pbe",    "dtes64",   "monitor",      "ds-cpl",
    "vmx",    "smx",     "est",     "tm2",         "cid",    "fma",      "xtpr",         "pdcm",
    "dca",    "avx",     "f16c",    "osxsave",     "hle",    "avx2",     "bmi1",         "bmi2",
    "rtm",    "mpx",     "avx512f", "adx",         "sha-ni", "pku",      "ospke",        "lzcnt",
    "svm",    "extapic", "sse4a",   "misalignsse", "3dnow",  "3dnowext", "osvw",         "ibs",
    "xop",    "skinit",  "wdt",     "fma4",        "tbm",    "topoext",  "perfctr-core", "fxsr-opt",
    "xsavec", "xsaves",  "vaes",    "vpclmulqdq",  "gfni",   "clzero",   "wbnoinvd",     "kvm",
    NULL
};

/* What a feature makes no sense without. */
static const struct {
    X86Feature feature, needs;
} needs[] = {
    { X86_FEATURE_SSE, X86_FEATURE_FXSR },       { X86_FEATURE_SSE2, X86_FEATURE_SSE },
    { X86_FEATURE_SSE3, X86_FEATURE_SSE2 },      { X86_FEATURE_SSSE3, X86_FEATURE_SSE3 },
    { X86_FEATURE_SSE41, X86_FEATURE_SSSE3 },    { X86_FEATURE_SSE42, X86_FEATURE_SSE41 },
    { X86_FEATURE_AES, X86_FEATURE_SSE2 },       { X86_FEATURE_PCLMULQDQ, X86_FEATURE_SSE2 },
    { X86_FEATURE_LM, X86_FEATURE_PAE },         { X86_FEATURE_PCID, X86_FEATURE_LM },
    { X86_FEATURE_LA57, X86_FEATURE_LM },        { X86_FEATURE_NX, X86_FEATURE_PAE },
    { X86_FEATURE_XSAVEOPT, X86_FEATURE_XSAVE }, { X86_FEATURE_XGETBV1, X86_FEATURE_XSAVE },
    { X86_FEATURE_MMXEXT, X86_FEATURE_MMX },     { X86_FEATURE_TSC_DEADLINE, X86_FEATURE_APIC },
    { X86_FEATURE_X2APIC, X86_FEATURE_APIC },    { X86_FEATURE_PDPE1GB, X86_FEATURE_LM },
};

/* ---- CPUID ----------------------------------------------------------------------------------- */

static unsigned topology_bits(const X86Cpu *x)
{
    unsigned bits = 0;
    while (1u << bits < x->n_cpus) bits++;
    return bits;
}

static uint32_t signature(const X86Model *m)
{
    unsigned family = MIN(m->family, 15), extended = m->family > 15 ? m->family - 15u : 0;
    return m->stepping | (m->model & 15u) << 4 | family << 8 | (uint32_t)(m->model >> 4) << 16 |
           extended << 20;
}

static uint32_t word_1_edx(const X86Cpu *x)
{
    uint32_t edx = x->features[X86_WORD_1_EDX];

    if (x->ops && x->ops->apic_enabled && !x->ops->apic_enabled(x->ops_opaque)) edx &= ~(1u << 9);
    return x->n_cpus > 1 ? edx | 1u << 28 : edx;
}

static void put_text(uint32_t out[4], const char *text, size_t length)
{
    memset(out, 0, 16);
    memcpy(out, text, MIN(length, 16));
}

/* Deterministic cache parameters: L1 data, L1 code, L2, L3; 64-byte lines. */
static void leaf_caches(const X86Cpu *x, uint32_t n, uint32_t out[4])
{
    static const struct {
        uint8_t type, level;
        uint16_t ways, sets;
        bool shared;
    } rows[] = {
        { 1, 1, 8, 64, false },
        { 2, 1, 4, 128, false },
        { 3, 2, 8, 512, false },
        { 3, 3, 16, 8192, true },
    };

    if (x->amd || n >= G_N_ELEMENTS(rows)) return;
    unsigned sharing = rows[n].shared ? (1u << topology_bits(x)) - 1 : 0;
    out[0] = rows[n].type | (uint32_t)rows[n].level << 5 | 1 << 8 | sharing << 14 |
             MIN((1u << topology_bits(x)) - 1, 63) << 26;
    out[1] = 63 | (rows[n].ways - 1u) << 22;
    out[2] = rows[n].sets - 1u;
}

static void leaf_topology(const X86Cpu *x, uint32_t n, uint32_t out[4])
{
    out[2] = n & 0xff;
    out[3] = x->apic_id;
    if (n == 0) {
        out[1] = 1;
        out[2] |= 1 << 8;
    } else if (n == 1) {
        out[0] = topology_bits(x);
        out[1] = x->n_cpus;
        out[2] |= 2 << 8;
    }
}

static void leaf_basic(const X86Cpu *x, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    const uint32_t *f = x->features;

    switch (leaf) {
    case 0:
        out[0] = x->model->level;
        memcpy(&out[1], x->model->vendor, 4);
        memcpy(&out[3], x->model->vendor + 4, 4);
        memcpy(&out[2], x->model->vendor + 8, 4);
        break;
    case 1:
        out[0] = signature(x->model);
        out[1] = (x->apic_id & 0xff) << 24 | MIN(1u << topology_bits(x), 255) << 16 | 8 << 8;
        out[2] = f[X86_WORD_1_ECX] | (x->cr4 & CR4_OSXSAVE ? 1u << 27 : 0);
        out[3] = word_1_edx(x);
        break;
    case 2:
        out[0] = x->amd ? 0 : 0xff01; /* see leaf 4 */
        break;
    case 4: leaf_caches(x, sub, out); break;
    case 6: out[0] = f[X86_WORD_6_EAX]; break;
    case 7:
        if (sub == 0) {
            out[1] = f[X86_WORD_7_EBX];
            out[2] = f[X86_WORD_7_ECX];
            out[3] = f[X86_WORD_7_EDX];
        }
        break;
    case 0xb: leaf_topology(x, sub, out); break;
    case 0xd:
        if (x86_has(x, X86_FEATURE_XSAVE) && sub == 0) {
            out[0] = 3;
            out[1] = out[2] = 576;
        } else if (x86_has(x, X86_FEATURE_XSAVE) && sub == 1) {
            out[0] = f[X86_WORD_D1_EAX];
        }
        break;
    }
}

static void leaf_extended(const X86Cpu *x, uint32_t leaf, uint32_t out[4])
{
    enum { SHARED_EDX = 0x0183f3ff }; /* bits of leaf 1 that AMD repeats */
    const uint32_t *f = x->features;
    bool many = x->n_cpus > 1;
    char brand[48] = "";

    switch (leaf) {
    case 0x80000000:
        out[0] = x->model->ext_level;
        if (x->amd) {
            leaf_basic(x, 0, 0, out);
            out[0] = x->model->ext_level;
        }
        break;
    case 0x80000001:
        out[0] = x->amd ? signature(x->model) : 0;
        out[2] = f[X86_WORD_EXT1_ECX] | (x->amd && many ? 2 : 0);
        out[3] = f[X86_WORD_EXT1_EDX] | (x->amd ? word_1_edx(x) & SHARED_EDX : 0);
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        g_strlcpy(brand, x->model->brand, sizeof brand);
        put_text(out, brand + (leaf - 0x80000002) * 16, 16);
        break;
    case 0x80000005:
        if (x->amd) {
            out[0] = out[1] = 0x01ff01ff;
            out[2] = out[3] = 0x40020140; /* 64 KiB, 2 ways */
        }
        break;
    case 0x80000006:
        if (x->amd) {
            out[0] = out[1] = 0x42004200;
            out[2] = 0x02008140; /* 512 KiB, 16 ways */
        } else {
            out[2] = 0x01006040; /* 256 KiB, 8 ways */
        }
        break;
    case 0x80000007: out[3] = f[X86_WORD_EXT7_EDX]; break;
    case 0x80000008:
        out[0] = X86_PHYS_BITS;
        if (x86_has(x, X86_FEATURE_LM)) out[0] |= (x86_has(x, X86_FEATURE_LA57) ? 57 : 48) << 8;
        out[1] = f[X86_WORD_EXT8_EBX];
        out[2] = x->amd ? (x->n_cpus - 1) | topology_bits(x) << 12 : 0;
        break;
    case 0x80000021: out[0] = f[X86_WORD_EXT21_EAX]; break;
    }
}

void x86_cpuid(const X86Cpu *x, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 16);
    if (leaf >> 16 == 0x4000 && x86_has(x, X86_FEATURE_HYPERVISOR)) {
        if (leaf == 0x40000000) {
            out[0] = 0x40000000;
            memcpy(&out[1], "Vitrine VMM ", 12);
        }
        return;
    }
    if (leaf >> 31) {
        if (leaf <= x->model->ext_level) {
            leaf_extended(x, leaf, out);
            return;
        }
    }
    /* Beyond the last leaf Intel's processors repeat it, AMD's give zero. */
    if (leaf > x->model->level) {
        if (x->amd) return;
        leaf = x->model->level;
    }
    leaf_basic(x, leaf, subleaf, out);
}

uint64_t x86_h_cpuid(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint32_t out[4];

    x86_cpuid(x, (uint32_t)x->gpr[X86_RAX], (uint32_t)x->gpr[X86_RCX], out);
    x->gpr[X86_RAX] = out[0];
    x->gpr[X86_RBX] = out[1];
    x->gpr[X86_RCX] = out[2];
    x->gpr[X86_RDX] = out[3];
    return 0;
}
DEFINE_HELPER(x86_h_cpuid, VIT_HELPER_ALL);

/* ---- The text of -cpu ------------------------------------------------------------------------ */

static char *fold_name(const char *text)
{
    char *name = g_ascii_strdown(text, -1);

    g_strdelimit(name, "_", '-');
    for (size_t i = 0; i < G_N_ELEMENTS(aliases); i++) {
        if (strcmp(name, aliases[i].name) == 0) {
            g_free(name);
            return g_strdup(aliases[i].same);
        }
    }
    return name;
}

static void set_feature(uint32_t words[X86_FEATURE_WORDS], X86Feature f, bool on)
{
    if (on) words[f / 32] |= 1u << (f % 32);
    else words[f / 32] &= ~(1u << (f % 32));
}

static const char *feature_name(X86Feature f)
{
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++)
        if (features[i].feature == f) return features[i].name;
    return "";
}

static bool unknown_feature(const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (size_t i = 0; i < G_N_ELEMENTS(features); i++)
        g_ptr_array_add(names, (char *)features[i].name);
    g_ptr_array_add(names, (char *)"tsc-frequency");
    g_ptr_array_add(names, NULL);
    g_autofree char *phrase = vit_suggest_phrase(name, (const char *const *)names->pdata);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("-cpu: unknown feature “%s”%s"),
                name, phrase);
    return false;
}

static bool change_feature(uint32_t words[X86_FEATURE_WORDS], uint32_t asked[X86_FEATURE_WORDS],
                           const char *name, bool on, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        if (strcmp(features[i].name, name) == 0) {
            set_feature(words, features[i].feature, on);
            set_feature(asked, features[i].feature, on);
            return true;
        }
    }
    if (!g_strv_contains(unmodelled, name)) return unknown_feature(name, error);
    if (!on) return true;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                _("-cpu: feature “%s” is not emulated; leave it out"), name);
    return false;
}

/* One part after the model: "+f", "-f", "f", "f=on". */
static bool parse_part(X86Cpu *x, uint32_t words[X86_FEATURE_WORDS],
                       uint32_t asked[X86_FEATURE_WORDS], const char *part, int64_t *tsc_khz,
                       GError **error)
{
    const char *equals = strchr(part, '=');
    bool on = part[0] != '-';
    g_autofree char *raw = NULL, *name = NULL;

    if (part[0] == '+' || part[0] == '-') {
        name = fold_name(part + 1);
        return change_feature(words, asked, name, on, error);
    }
    raw = equals ? g_strndup(part, (size_t)(equals - part)) : g_strdup(part);
    name = fold_name(raw);
    if (strcmp(name, "tsc-frequency") == 0) {
        uint64_t hz = 0;
        if (!equals || !vit_parse_uint(equals + 1, UINT64_C(100000000000), &hz) || hz < 1000000) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        _("-cpu: “%s” is not a frequency in Hz from 1000000 up"), part);
            return false;
        }
        *tsc_khz = (int64_t)(hz / 1000);
        return true;
    }
    if (equals && !vit_parse_bool(equals + 1, &on)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-cpu: “%s” is not “on” or “off”"), part);
        return false;
    }
    return change_feature(words, asked, name, on, error);
}

static bool resolve_needs(uint32_t words[X86_FEATURE_WORDS],
                          const uint32_t asked[X86_FEATURE_WORDS], GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(needs);
         i++) { /* rows are ordered: a need's own need comes first */
        X86Feature f = needs[i].feature, n = needs[i].needs;
        if (!(words[f / 32] >> (f % 32) & 1) || (words[n / 32] >> (n % 32) & 1)) continue;
        if (asked[f / 32] >> (f % 32) & 1) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        _("-cpu: feature “%s” needs “%s”"), feature_name(f), feature_name(n));
            return false;
        }
        set_feature(words, f, false);
    }
    return true;
}

static const X86Model *find_model(const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (const X86Model *m = x86_models; m->name; m++) {
        if (g_ascii_strcasecmp(m->name, name) == 0) return m;
        g_ptr_array_add(names, (char *)m->name);
    }
    g_ptr_array_add(names, NULL);
    g_autofree char *phrase = vit_suggest_phrase(name, (const char *const *)names->pdata);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("-cpu: unknown model “%s”%s"),
                name, phrase);
    return NULL;
}

bool x86_cpu_set_model(X86Cpu *x, const char *spec, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(spec, ",", 0);
    const X86Model *m = find_model(parts[0] ? parts[0] : "", error);
    uint32_t words[X86_FEATURE_WORDS], asked[X86_FEATURE_WORDS] = { 0 };
    int64_t tsc_khz = x->tsc_khz;

    if (!m) return false;
    memcpy(words, m->features, sizeof words);
    for (char **p = parts + 1; *p; p++)
        if (!parse_part(x, words, asked, *p, &tsc_khz, error)) return false;
    if (!resolve_needs(words, asked, error)) return false;
    x->model = m;
    x->tsc_khz = tsc_khz;
    memcpy(x->features, words, sizeof words);
    x->amd = strcmp(m->vendor, "AuthenticAMD") == 0;
    return true;
}

char *x86_cpu_help(void)
{
    GString *s = g_string_new("Models:\n");

    for (const X86Model *m = x86_models; m->name; m++)
        g_string_append_printf(s, "  %-12s %s\n", m->name, m->description);
    g_string_append(s, "\nFeatures (model,+feature,-feature):\n ");
    size_t column = 1;
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        size_t length = strlen(features[i].name) + 1;
        if (column + length > 78) {
            g_string_append(s, "\n ");
            column = 1;
        }
        g_string_append_printf(s, " %s", features[i].name);
        column += length;
    }
    g_string_append_c(s, '\n');
    return g_string_free(s, FALSE);
}
