/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* classify MODEL: says libgpudl's version, what the network runs on, and which class a red frame is of.
 *
 *     cc classify.c -o classify $(pkg-config --cflags --libs gpudl-1.0) */
#include <gpudl/gpudl-import.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static guint8 pixels[64 * 64 * 3];
    GpudlFrame frame = {.struct_size = sizeof frame,
                        .format = GPUDL_PIXEL_RGB,
                        .width = 64,
                        .height = 64,
                        .planes = {pixels},
                        .strides = {64 * 3},
                        .range = GPUDL_RANGE_FULL};
    GpudlClass best = {0, 0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_model_load(argc > 1 ? argv[1] : "", NULL, NULL, &error);
    g_autoptr(GpudlSession) session = model != NULL ? gpudl_session_acquire(model, NULL, NULL, &error) : NULL;
    g_autoptr(GpudlStream) stream = session != NULL ? gpudl_stream_new(session, model) : NULL;
    g_autoptr(GpudlRequest) request = stream != NULL ? gpudl_request_new(stream) : NULL;

    for (gsize i = 0; i < sizeof pixels; i += 3)
        pixels[i] = 255;
    if (request == NULL || !gpudl_request_submit(request, &frame, NULL, &error) ||
        !gpudl_request_wait(request, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    if (gpudl_request_top_k(request, 0, 1, 0.f, &best) != 1)
        return 1;
    printf("%s %s %u\n", gpudl_version(), gpudl_session_get_backend(session), best.id);
    return 0;
}
