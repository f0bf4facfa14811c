/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* usage: make-netbins FROM TO: of each model in a folder that can be loaded, a net.bin in another; seeds for fuzzing.
 */
#include "engine/modelfile/modelfile.h"
#include "models/import.h"

int main(int argc, char **argv)
{
    GDir *from = argc == 3 ? g_dir_open(argv[1], 0, NULL) : NULL;
    const gchar *name;
    guint n = 0;

    while (from != NULL && (name = g_dir_read_name(from)) != NULL) {
        g_autofree gchar *path = g_build_filename(argv[1], name, NULL), *to = g_build_filename(argv[2], name, NULL);
        g_autoptr(GpudlModel) model = gpudl_import_model(path, NULL, NULL, NULL);
        g_autoptr(GBytes) file = model != NULL ? gpudl_modelfile_write(model, NULL) : NULL;
        gsize size;

        if (file == NULL)
            continue;
        n += g_file_set_contents(to, g_bytes_get_data(file, &size), (gssize)g_bytes_get_size(file), NULL);
    }
    g_clear_pointer(&from, g_dir_close);
    g_print("%u\n", n);
    return n > 0 ? 0 : 1;
}
