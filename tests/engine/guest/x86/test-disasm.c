/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/guest/x86/test-disasm.c - decoder and disassembler: fixed cases, and against objdump
 *
 * The second decodes this program's own bytes as 64-, 32- and 16-bit code; read in the wrong width
 * real code becomes a wild mixture, which is what a decoder must get right too. */
#include "engine/guest/x86/decode.h"
#include "engine/guest/x86/disasm.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* ---- Fixed ----------------------------------------------------------------------------------- */

typedef struct {
    unsigned code;
    const char *hex, *text;
} Case;

static const Case cases[] = {
    { X86_CODE_64, "48 89 e5", "mov rbp,rsp" },
    { X86_CODE_64, "40 88 e5", "mov bpl,spl" },
    { X86_CODE_64, "88 e5", "mov ch,ah" },
    { X86_CODE_64, "48 8b 05 10 00 00 00", "mov rax,QWORD PTR [rip+16] # 0x1017" },
    { X86_CODE_64, "65 48 8b 04 25 28 00 00 00", "mov rax,QWORD PTR gs:[0x28]" },
    { X86_CODE_64, "f0 48 0f b1 0a", "lock cmpxchg QWORD PTR [rdx],rcx" },
    { X86_CODE_64, "f3 48 ab", "rep stos QWORD PTR es:[rdi],rax" },
    { X86_CODE_64, "48 b8 88 77 66 55 44 33 22 11", "mov rax,0x1122334455667788" },
    { X86_CODE_64, "ff 24 c5 00 10 40 00", "jmp QWORD PTR [rax*8+0x401000]" },
    { X86_CODE_64, "41 57", "push r15" },
    { X86_CODE_64, "66 0f ef c0", "pxor xmm0,xmm0" },
    { X86_CODE_64, "f2 0f 10 44 24 08", "movsd xmm0,QWORD PTR [rsp+0x8]" },
    { X86_CODE_64, "d9 c9", "fxch st(1)" },
    { X86_CODE_64, "f3 0f 1e fa", "endbr64" },
    { X86_CODE_64, "0f 01 f8", "swapgs" },
    { X86_CODE_64, "06", "(bad)" },
    { X86_CODE_64, "c5 f8 77", "(bad)" },
    { X86_CODE_32, "c4 06", "les eax,FWORD PTR [esi]" },
    { X86_CODE_32, "67 8b 47 04", "mov eax,DWORD PTR [bx+0x4]" },
    { X86_CODE_32, "ea 78 56 34 12 10 00", "jmp 0x10:0x12345678" },
    { X86_CODE_32, "0f 20 c0", "mov eax,cr0" },
    { X86_CODE_16, "8b 46 fe", "mov ax,WORD PTR [bp-0x2]" },
    { X86_CODE_16, "66 b8 78 56 34 12", "mov eax,0x12345678" },
    { X86_CODE_16, "eb fe", "jmp 0x1000" },
    { X86_CODE_16, "c8 10 00 01", "enter 0x10,0x1" },
};

static unsigned parse_hex(const char *hex, uint8_t *out)
{
    unsigned n = 0;

    for (char *end; *hex; hex = end) out[n++] = (uint8_t)g_ascii_strtoull(hex, &end, 16);
    return n;
}

static void test_fixed(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint8_t bytes[16] = { 0 };
        unsigned n = parse_hex(cases[i].hex, bytes);
        g_autoptr(GString) s = g_string_new(NULL);
        unsigned length = x86_disassemble_one(s, bytes, n, 0x1000, cases[i].code);

        g_assert_cmpstr(s->str, ==, cases[i].text);
        if (!g_str_equal(cases[i].text, "(bad)")) g_assert_cmpuint(length, ==, n);
    }
}

/* Every prefix of an instruction but the whole must ask for more bytes. */
static void test_short(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint8_t bytes[16] = { 0 };
        unsigned n = parse_hex(cases[i].hex, bytes);
        X86Insn insn;

        if (g_str_equal(cases[i].text, "(bad)")) continue;
        for (unsigned k = 0; k < n; k++)
            g_assert_cmpint(x86_decode(&insn, bytes, k, cases[i].code), ==, X86_DECODE_SHORT);
        g_assert_cmpint(x86_decode(&insn, bytes, n, cases[i].code), ==, X86_DECODE_OK);
    }
    uint8_t prefixes[15];
    memset(prefixes, 0x66, sizeof prefixes);
    X86Insn insn;
    g_assert_cmpint(x86_decode(&insn, prefixes, sizeof prefixes, X86_CODE_32), ==,
                    X86_DECODE_SHORT);
}

/* Random bytes: no crash, no length beyond what was given. */
static void test_random(void)
{
    for (unsigned i = 0; i < 300000; i++) {
        uint8_t bytes[15];
        X86Insn insn;

        for (unsigned k = 0; k < sizeof bytes; k++) bytes[k] = (uint8_t)g_test_rand_int();
        bytes[0] = i & 1 ? 0x0f : bytes[0];
        for (unsigned code = X86_CODE_16; code <= X86_CODE_64; code++) {
            X86DecodeResult r = x86_decode(&insn, bytes, sizeof bytes, code);
            g_assert_cmpuint(insn.length, <=, sizeof bytes);
            if (r == X86_DECODE_OK) g_assert_nonnull(x86_mnemonic(insn.row));
        }
    }
}

/* ---- Against objdump ------------------------------------------------------------------------- */

/* Words that objdump writes before or after a mnemonic, or that name what is not supported. */
static bool is_noise(const char *word)
{
    static const char *const noise[] = { "rep",     "repz",     "repnz",   "lock",   "bnd",
                                         "notrack", "cs",       "ds",      "es",     "ss",
                                         "fs",      "gs",       "data16",  "data32", "addr16",
                                         "addr32",  "xacquire", "xrelease" };

    for (unsigned i = 0; i < G_N_ELEMENTS(noise); i++) {
        if (g_str_equal(word, noise[i])) return true;
    }
    return g_str_has_prefix(word, "rex");
}

/* The same instruction under objdump's name: suffixes of size and older names. */
static bool same_mnemonic(const char *ours, const char *theirs)
{
    static const char *const pairs[][2] = {
        { "xchg", "nop" },
        { "nop", "xchg" },
        { "movabs", "mov" },
        { "mov", "movabs" },
        { "shl", "sal" },
        { "ret", "retw" },
        { "lods", "lodsb" },
        { "fwait", "wait" },
        { "int1", "icebp" },
        { "movsxd", "movsxd" },
        { "sysret", "sysretq" },
        { "retf", "retfq" },
        { "retf", "lret" },
        { "fcom", "fcom2" },
        { "fcomp", "fcomp3" },
        { "fcomp", "fcomp5" },
        { "fxch", "fxch4" },
        { "fxch", "fxch7" },
        { "fstp", "fstp1" },
        { "fstp", "fstp8" },
        { "fstp", "fstp9" },
        { "fneni", "fneni(8087" },
        { "fndisi", "fndisi(8087" },
        { "fnsetpm", "fnsetpm(287" },
        { "fstp", "fstpnce" },
        { "tzcnt", "bsf" },
        { "lzcnt", "bsr" },
        { "prefetch", "prefetchwt1" },
        { "bound", "bound" },
        { "call", "lcall" },
        { "nop", "cldemote" },
        { "nop", "prefetchit0" },
        { "nop", "prefetchit1" },
        { "nop", "rdsspd" },
        { "nop", "rdsspq" },
        { "prefetchw", "prefetch" },
        { "prefetchw", "prefetchw" },
        { "nop", "bndmov" },
        { "nop", "bndcl" },
        { "nop", "bndcu" },
        { "nop", "bndmk" },
        { "nop", "bndldx" },
        { "nop", "bndstx" },
        { "nop", "bndcn" },
        { "nop", "prefetchrst2" },
        { "loop", "loopw" },
    };
    size_t n = strlen(ours);

    if (g_str_equal(ours, theirs)) return true;
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (g_str_equal(ours, pairs[i][0]) && g_str_equal(theirs, pairs[i][1])) return true;
    }
    /* pushaw, iretd, popfq ...; cmpeqps for cmpps */
    if (strncmp(ours, theirs, n) == 0 && strlen(theirs) == n + 1 && strchr("wdqlbs", theirs[n]))
        return true;
    if (g_str_has_prefix(ours, "cmp") && g_str_has_prefix(theirs, "cmp") && strlen(ours) == 5)
        return g_str_has_suffix(theirs, ours + 3);
    return g_str_has_prefix(ours, "pclmulqdq") && g_str_has_prefix(theirs, "pclmul");
}

/* Outside what the table knows: VEX, EVEX, virtualisation, later extensions. */
static bool unsupported(const char *name, const uint8_t *bytes, unsigned n)
{
    static const char *const prefixes[] = {
        "v",         "(bad)",       "k",        "enclu",     "encls",     "xabort",
        "xbegin",    "xend",        "xtest",    "rdpkru",    "wrpkru",    "tpause",
        "umonitor",  "umwait",      "adcx",     "adox",      "sha",       "gf2p8",
        "ptwrite",   "serialize",   "inc",      "wrss",      "rstorssp",  "saveprevssp",
        "setssbsy",  "clrssbsy",    "mova",     "movdir",    "enqcmd",    "xrstors",
        "xsaves",    "xsavec",      "pconfig",  "getsec",    "rsm",       "skinit",
        "clgi",      "stgi",        "clzero",   "monitorx",  "mwaitx",    "invlpga",
        "rdpru",     "pf",          "pi2f",     "pavgusb",   "pmulhrw",   "pswapd",
        "femms",     "llwpcb",      "slwpcb",   "bextr",     "bl",        "tzmsk",
        "t1mskc",    "uiret",       "stui",     "clui",      "testui",    "senduipi",
        "hreset",    "aesenc1",     "aesdec",   "aesencw",   "loadiwkey", "encodekey",
        "cldemote",  "wbnoinvd",    "mcommit",  "sysexitq",  "ud0",       "ud1",
        "lwpins",    "lwpval",      "insertq",  "extrq",     "movnts",    "montmul",
        "xcrypt",    "xsha",        "xstore",   "pvalidate", "psmash",    "rmpadjust",
        "rmpupdate", "tdcall",      "seam",     "fsetpm",    "frstpm",    "frinear",
        "jmpe",      "aadd",        "aand",     "aor",       "axor",      "cmpbe",
        "cmpb",      "prefetchrst", "rmpquery", "rdmsrlist", "wrmsrlist", "wrmsrns",
        "pbndkb",    "fneni",       "fndisi"
    };

    for (unsigned i = 0; i < n && i < 15; i++) {
        if (bytes[i] == 0x0f && (bytes[i + 1] == 0x24 || bytes[i + 1] == 0x26))
            return true; /* test registers of the 486 */
        if (bytes[i] == 0xc4 || bytes[i] == 0xc5 || bytes[i] == 0x62 || bytes[i] == 0x8f ||
            bytes[i] == 0xd5)
            /* may be VEX, EVEX, XOP, REX2 to objdump; LES, BOUND and POP have their fixed cases */
            return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        if (g_str_has_prefix(name, prefixes[i]) && !g_str_equal(name, "inc") &&
            !g_str_has_prefix(name, "ver"))
            return true;
    }
    return strstr(name, "bad") || name[0] == '.' ||
           bytes[0] == 0x9b; /* objdump joins FWAIT to the next */
}

/* One line of objdump's: "  12:\t48 89 e5 \tmov    rbp,rsp". */
static bool check_line(const char *line, unsigned code, unsigned *checked, GString *wrong)
{
    g_auto(GStrv) columns = g_strsplit(line, "\t", 3);
    uint8_t bytes[16] = { 0 };
    const char *name = NULL;
    X86Insn insn;

    if (g_strv_length(columns) < 3 || !g_str_has_suffix(columns[0], ":")) return true;
    unsigned n = parse_hex(g_strchomp(columns[1]), bytes);
    g_auto(GStrv) words = g_strsplit_set(columns[2], " ,", -1);
    for (unsigned i = 0; words[i] && !name; i++) {
        if (*words[i] && !is_noise(words[i])) name = words[i];
    }
    if (!name || strstr(columns[2], "(bad)") || unsupported(name, bytes, n)) return true;
    X86DecodeResult r = x86_decode(&insn, bytes, n, code);
    ++*checked;
    if (r == X86_DECODE_OK && insn.length == n && same_mnemonic(x86_mnemonic(insn.row), name))
        return true;
    g_string_append_printf(wrong, "%s | %s | length %u, ours %s, length %u\n", columns[1],
                           columns[2], n,
                           r == X86_DECODE_OK    ? x86_mnemonic(insn.row)
                           : r == X86_DECODE_BAD ? "(bad)"
                                                 : "(short)",
                           insn.length);
    return false;
}

static void compare(const char *path, const char *machine, unsigned code)
{
    const char *argv[] = { "objdump",         "-D", "-b", "binary", "-m", machine, "-M", "intel",
                           "--insn-width=15", path, NULL };
    g_autofree char *text = NULL;
    g_autoptr(GString) wrong = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    unsigned checked = 0, failed = 0;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &text, NULL, NULL,
                      &error)) {
        g_test_skip("objdump is not here");
        return;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) failed += !check_line(lines[i], code, &checked, wrong);
    g_test_message("%s: %u instructions, %u differ\n%.6000s", machine, checked, failed, wrong->str);
    g_assert_cmpuint(checked, >, 1000);
    g_assert_cmpuint(failed, ==, 0);
}

/* Bytes of each kind of code; a sanitizer makes the comparison some twenty times as slow. */
#ifdef __SANITIZE_ADDRESS__
enum { SAMPLE = 20000 };
#else
enum { SAMPLE = 300000 };
#endif

static void test_objdump(void)
{
    g_autofree char *self = NULL, *path = NULL;
    size_t size;
    int fd = g_file_open_tmp("vitrine-disasm-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_get_contents(g_getenv("VIT_TEST_CODE") ? g_getenv("VIT_TEST_CODE")
                                                                : "/proc/self/exe",
                                      &self, &size, NULL));
    size = MIN(size, SAMPLE);
    g_assert_true(g_file_set_contents(path, self, (gssize)size, NULL));
    compare(path, "i386:x86-64", X86_CODE_64);
    compare(path, "i386", X86_CODE_32);
    compare(path, "i8086", X86_CODE_16);
    g_unlink(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/x86/disasm/fixed", test_fixed);
    g_test_add_func("/x86/disasm/short", test_short);
    g_test_add_func("/x86/disasm/random", test_random);
    g_test_add_func("/x86/disasm/objdump", test_objdump);
    return g_test_run();
}
