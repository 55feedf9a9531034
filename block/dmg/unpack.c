/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/dmg/unpack.c - the compressions of UDIF chunks
 *
 * zlib and ADC always; bzip2, LZFSE and xz where the libraries were there at build time.  ADC: a
 * byte with bit 7 says how many bytes follow as they are; with bit 6 a copy of 4..67 bytes from up
 * to 64 KiB back; with neither, of 3..18 bytes from up to 1 KiB back. */
#include "block/dmg/dmg-private.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>
#ifdef VIT_HAVE_BZIP2
#include <bzlib.h>
#endif
#ifdef VIT_HAVE_LZFSE
#include <lzfse.h>
#endif
#ifdef VIT_HAVE_LZMA
#include <lzma.h>
#endif

static int unpack_zlib(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size)
{
    uLongf got = out_size;

    return uncompress(out, &got, in, in_size) == Z_OK && got == out_size ? 0 : -EIO;
}

#ifdef VIT_HAVE_BZIP2
static int unpack_bzip2(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size)
{
    unsigned got = (unsigned)out_size;

    return BZ2_bzBuffToBuffDecompress((char *)out, &got, (char *)in, (unsigned)in_size, 0, 0) ==
                       BZ_OK &&
                   got == out_size
               ? 0
               : -EIO;
}
#endif

#ifdef VIT_HAVE_LZFSE
static int unpack_lzfse(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size)
{
    return lzfse_decode_buffer(out, out_size, in, in_size, NULL) == out_size ? 0 : -EIO;
}
#endif

#ifdef VIT_HAVE_LZMA
static int unpack_xz(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size)
{
    uint64_t memory = 256 << 20;
    size_t in_at = 0, out_at = 0;

    return lzma_stream_buffer_decode(&memory, 0, NULL, in, &in_at, in_size, out, &out_at,
                                     out_size) == LZMA_OK &&
                   out_at == out_size
               ? 0
               : -EIO;
}
#endif

static int unpack_adc(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size)
{
    size_t at = 0, done = 0;

    while (done < out_size) {
        if (at >= in_size) return -EIO;
        uint8_t code = in[at++];
        size_t length, back;
        if (code & 0x80) {
            length = (code & 0x7fu) + 1;
            if (length > in_size - at || length > out_size - done) return -EIO;
            memcpy(out + done, in + at, length);
            at += length;
            done += length;
            continue;
        }
        unsigned more = code & 0x40 ? 2 : 1;
        if (in_size - at < more) return -EIO;
        length = code & 0x40 ? (code & 0x3fu) + 4 : ((unsigned)code >> 2) + 3;
        back = code & 0x40 ? ((size_t)in[at] << 8 | in[at + 1]) + 1
                           : ((size_t)(code & 3) << 8 | in[at]) + 1;
        at += more;
        if (back > done || length > out_size - done) return -EIO;
        for (size_t i = 0; i < length; i++, done++) out[done] = out[done - back];
    }
    return 0;
}

bool dmg_can_unpack(uint32_t kind)
{
    switch (kind) {
    case DMG_ADC:
    case DMG_ZLIB: return true;
#ifdef VIT_HAVE_BZIP2
    case DMG_BZIP2: return true;
#endif
#ifdef VIT_HAVE_LZFSE
    case DMG_LZFSE: return true;
#endif
#ifdef VIT_HAVE_LZMA
    case DMG_XZ: return true;
#endif
    default: return false;
    }
}

int dmg_unpack(uint32_t kind, const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size)
{
    switch (kind) {
    case DMG_ADC: return unpack_adc(in, in_size, out, out_size);
    case DMG_ZLIB: return unpack_zlib(in, in_size, out, out_size);
#ifdef VIT_HAVE_BZIP2
    case DMG_BZIP2: return unpack_bzip2(in, in_size, out, out_size);
#endif
#ifdef VIT_HAVE_LZFSE
    case DMG_LZFSE: return unpack_lzfse(in, in_size, out, out_size);
#endif
#ifdef VIT_HAVE_LZMA
    case DMG_XZ: return unpack_xz(in, in_size, out, out_size);
#endif
    default: return -ENOTSUP;
    }
}
