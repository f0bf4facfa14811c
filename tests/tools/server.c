/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "server.h"

#include <string.h>

struct _Server {
    GSocketListener *listener;
    GCancellable *stop;
    GThread *thread;
    GBytes *body;
    guint16 port;
    gint n_requests; /* atomic */
};

/* FALSE: the peer went away before its request was whole. */
static gboolean read_request(GSocketConnection *connection)
{
    g_autoptr(GDataInputStream) in = g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(connection)));

    g_data_input_stream_set_newline_type(in, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
    while (TRUE) {
        g_autofree gchar *line = g_data_input_stream_read_line(in, NULL, NULL, NULL);

        if (line == NULL || line[0] == '\0')
            return line != NULL;
    }
}

static void answer(Server *server, GSocketConnection *connection)
{
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    gsize size;
    gconstpointer body = g_bytes_get_data(server->body, &size);
    g_autofree gchar *head =
        g_strdup_printf("HTTP/1.1 200 OK\r\nContent-Length: %" G_GSIZE_FORMAT "\r\nConnection: close\r\n\r\n", size);

    if (g_output_stream_write_all(out, head, strlen(head), NULL, NULL, NULL))
        g_output_stream_write_all(out, body, size, NULL, NULL, NULL);
    g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
}

static gpointer serve(gpointer user_data)
{
    Server *server = user_data;
    GSocketConnection *connection;

    while ((connection = g_socket_listener_accept(server->listener, NULL, server->stop, NULL)) != NULL) {
        if (read_request(connection)) {
            g_atomic_int_inc(&server->n_requests);
            answer(server, connection);
        }
        g_object_unref(connection);
    }
    return NULL;
}

Server *server_new(gconstpointer body, gsize size)
{
    Server *server = g_new0(Server, 1);
    g_autoptr(GInetAddress) loopback = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
    g_autoptr(GSocketAddress) any_port = g_inet_socket_address_new(loopback, 0), taken = NULL;
    g_autoptr(GError) error = NULL;

    server->body = g_bytes_new(body, size);
    server->stop = g_cancellable_new();
    server->listener = g_socket_listener_new();
    g_socket_listener_add_address(server->listener, any_port, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL, &taken,
                                  &error);
    g_assert_no_error(error);
    server->port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(taken));
    server->thread = g_thread_new("server", serve, server);
    return server;
}

gchar *server_get_uri(Server *server, const gchar *name)
{
    return g_strdup_printf("http://127.0.0.1:%u/%s", server->port, name);
}

guint server_get_n_requests(Server *server)
{
    return (guint)g_atomic_int_get(&server->n_requests);
}

void server_free(Server *server)
{
    g_cancellable_cancel(server->stop);
    g_thread_join(server->thread);
    g_object_unref(server->listener);
    g_object_unref(server->stop);
    g_bytes_unref(server->body);
    g_free(server);
}
