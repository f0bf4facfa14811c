/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** A web server of one answer, on loopback. */
#ifndef GPUDL_TESTS_TOOLS_SERVER_H
#define GPUDL_TESTS_TOOLS_SERVER_H

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _Server Server;

/** Answers every request with body, copied. */
Server *server_new(gconstpointer body, gsize size);
/** "http://127.0.0.1:PORT/NAME", to be freed by the caller. */
gchar *server_get_uri(Server *server, const gchar *name);
/** Requests answered so far. */
guint server_get_n_requests(Server *server);
void server_free(Server *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Server, server_free)

G_END_DECLS
#endif
