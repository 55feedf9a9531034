/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/objects/tls.h - TLS sessions with the credentials of a "tls-creds-*" object
 *
 * The caller gives the session its transport, makes the handshake, then has the peer verified. */
#pragma once
#include "block/objects.h"
#include <gnutls/gnutls.h>

/* Any of the types "tls-creds-x509", "-psk", "-anon", for one end of a connection; a use. */
[[nodiscard]] VitBlockObject *vit_block_tls_use(VitBlockObjects *objects, const char *id,
                                                bool server, GError **error);
/* flags: GNUTLS_NONBLOCK and the like; client or server is added.  hostname: what a client says
 * that it wants and expects (borrowed; NULL: not known).  creds must stay in use until
 * gnutls_deinit(). */
[[nodiscard]] bool vit_block_tls_session_new(VitBlockObject *creds, unsigned flags,
                                             const char *hostname, gnutls_session_t *session,
                                             GError **error);
/* After the handshake: whether the peer is who it should be.  peer: NULL, or gets the distinguished
 * name of an x509 peer (caller frees; NULL if it has none). */
[[nodiscard]] bool vit_block_tls_verify(VitBlockObject *creds, gnutls_session_t session,
                                        const char *hostname, char **peer, GError **error);
