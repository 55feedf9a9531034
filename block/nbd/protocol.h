/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/protocol.h - numbers of the NBD protocol (NetworkBlockDevice/nbd, doc/proto.md, with
 * the extension "extended headers"); all of them travel in network byte order */
#pragma once
#include <stdint.h>

#define VIT_NBD_MAGIC            UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define VIT_NBD_OPTION_MAGIC     UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define VIT_NBD_OLD_MAGIC        UINT64_C(0x0000420281861253) /* of the oldstyle handshake */
#define VIT_NBD_REPLY_MAGIC      UINT64_C(0x0003e889045565a9) /* of replies to options */
#define VIT_NBD_REQUEST          UINT32_C(0x25609513)
#define VIT_NBD_EXTENDED_REQUEST UINT32_C(0x21e41c71)
#define VIT_NBD_SIMPLE_REPLY     UINT32_C(0x67446698)
#define VIT_NBD_STRUCTURED_REPLY UINT32_C(0x668e33ef)
#define VIT_NBD_EXTENDED_REPLY   UINT32_C(0x6e8a278c)

enum { /* handshake flags, both ways */
       VIT_NBD_FIXED_NEWSTYLE = 1 << 0,
       VIT_NBD_NO_ZEROES = 1 << 1,
};

enum { /* transmission flags */
       VIT_NBD_HAS_FLAGS = 1 << 0,
       VIT_NBD_READ_ONLY = 1 << 1,
       VIT_NBD_SEND_FLUSH = 1 << 2,
       VIT_NBD_SEND_FUA = 1 << 3,
       VIT_NBD_ROTATIONAL = 1 << 4,
       VIT_NBD_SEND_TRIM = 1 << 5,
       VIT_NBD_SEND_WRITE_ZEROES = 1 << 6,
       VIT_NBD_SEND_DF = 1 << 7,
       VIT_NBD_CAN_MULTI_CONN = 1 << 8,
       VIT_NBD_SEND_RESIZE = 1 << 9,
       VIT_NBD_SEND_CACHE = 1 << 10,
       VIT_NBD_SEND_FAST_ZERO = 1 << 11,
       VIT_NBD_BLOCK_STATUS_PAYLOAD = 1 << 12,
};

enum { /* options */
       VIT_NBD_OPT_EXPORT_NAME = 1,
       VIT_NBD_OPT_ABORT = 2,
       VIT_NBD_OPT_LIST = 3,
       VIT_NBD_OPT_STARTTLS = 5,
       VIT_NBD_OPT_INFO = 6,
       VIT_NBD_OPT_GO = 7,
       VIT_NBD_OPT_STRUCTURED_REPLY = 8,
       VIT_NBD_OPT_LIST_META_CONTEXT = 9,
       VIT_NBD_OPT_SET_META_CONTEXT = 10,
       VIT_NBD_OPT_EXTENDED_HEADERS = 11,
};

#define VIT_NBD_REP_ERROR               UINT32_C(0x80000000)
#define VIT_NBD_REP_ACK                 UINT32_C(1)
#define VIT_NBD_REP_SERVER              UINT32_C(2)
#define VIT_NBD_REP_INFO                UINT32_C(3)
#define VIT_NBD_REP_META_CONTEXT        UINT32_C(4)
#define VIT_NBD_REP_ERR_UNSUP           UINT32_C(0x80000001)
#define VIT_NBD_REP_ERR_POLICY          UINT32_C(0x80000002)
#define VIT_NBD_REP_ERR_INVALID         UINT32_C(0x80000003)
#define VIT_NBD_REP_ERR_PLATFORM        UINT32_C(0x80000004)
#define VIT_NBD_REP_ERR_TLS_REQD        UINT32_C(0x80000005)
#define VIT_NBD_REP_ERR_UNKNOWN         UINT32_C(0x80000006)
#define VIT_NBD_REP_ERR_SHUTDOWN        UINT32_C(0x80000007)
#define VIT_NBD_REP_ERR_BLOCK_SIZE_REQD UINT32_C(0x80000008)
#define VIT_NBD_REP_ERR_TOO_BIG         UINT32_C(0x80000009)
#define VIT_NBD_REP_ERR_EXT_HEADER_REQD UINT32_C(0x8000000a)

enum { /* kinds of information */
       VIT_NBD_INFO_EXPORT = 0,
       VIT_NBD_INFO_NAME = 1,
       VIT_NBD_INFO_DESCRIPTION = 2,
       VIT_NBD_INFO_BLOCK_SIZE = 3,
};

enum { /* commands */
       VIT_NBD_CMD_READ = 0,
       VIT_NBD_CMD_WRITE = 1,
       VIT_NBD_CMD_DISC = 2,
       VIT_NBD_CMD_FLUSH = 3,
       VIT_NBD_CMD_TRIM = 4,
       VIT_NBD_CMD_CACHE = 5,
       VIT_NBD_CMD_WRITE_ZEROES = 6,
       VIT_NBD_CMD_BLOCK_STATUS = 7,
};

enum { /* flags of commands */
       VIT_NBD_FLAG_FUA = 1 << 0,
       VIT_NBD_FLAG_NO_HOLE = 1 << 1,
       VIT_NBD_FLAG_DF = 1 << 2,
       VIT_NBD_FLAG_REQ_ONE = 1 << 3,
       VIT_NBD_FLAG_FAST_ZERO = 1 << 4,
       VIT_NBD_FLAG_PAYLOAD_LEN = 1 << 5,
};

enum { /* chunks of structured replies */
       VIT_NBD_CHUNK_NONE = 0,
       VIT_NBD_CHUNK_DATA = 1,
       VIT_NBD_CHUNK_HOLE = 2,
       VIT_NBD_CHUNK_STATUS = 5,
       VIT_NBD_CHUNK_STATUS_EXT = 6,
       VIT_NBD_CHUNK_ERROR = 0x8001,
       VIT_NBD_CHUNK_ERROR_OFFSET = 0x8002,
       VIT_NBD_CHUNK_DONE = 1 << 0, /* a flag of the header */
};

enum { /* error values */
       VIT_NBD_EPERM = 1,
       VIT_NBD_EIO = 5,
       VIT_NBD_ENOMEM = 12,
       VIT_NBD_EINVAL = 22,
       VIT_NBD_ENOSPC = 28,
       VIT_NBD_EOVERFLOW = 75,
       VIT_NBD_ENOTSUP = 95,
       VIT_NBD_ESHUTDOWN = 108,
};

enum { /* base:allocation */
       VIT_NBD_STATE_HOLE = 1 << 0,
       VIT_NBD_STATE_ZERO = 1 << 1,
};

enum {
    VIT_NBD_MAX_STRING = 4096,
    VIT_NBD_MAX_PAYLOAD = 32 << 20,
};

/* Numbers in messages. */
static inline uint16_t vit_nbd_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t vit_nbd_get32(const uint8_t *p)
{
    return (uint32_t)vit_nbd_get16(p) << 16 | vit_nbd_get16(p + 2);
}

static inline uint64_t vit_nbd_get64(const uint8_t *p)
{
    return (uint64_t)vit_nbd_get32(p) << 32 | vit_nbd_get32(p + 4);
}

static inline uint8_t *vit_nbd_put16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
    return p + 2;
}

static inline uint8_t *vit_nbd_put32(uint8_t *p, uint32_t value)
{
    return vit_nbd_put16(vit_nbd_put16(p, (uint16_t)(value >> 16)), (uint16_t)value);
}

static inline uint8_t *vit_nbd_put64(uint8_t *p, uint64_t value)
{
    return vit_nbd_put32(vit_nbd_put32(p, (uint32_t)(value >> 32)), (uint32_t)value);
}
