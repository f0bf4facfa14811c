/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * libFuzzer's entry point for model files, and a main() that replays files where libFuzzer is not built in.
 *
 *     CC=clang CXX=clang++ meson setup build/fuzz -Db_sanitize=address,undefined -Db_lundef=false \
 *         -Dfuzzer=true -Dc_args=-fsanitize=fuzzer-no-link
 *     ninja -C build/fuzz tests/fuzz/fuzz-model
 *     build/fuzz/tests/fuzz/fuzz-model -max_len=200000 CORPUS models/recipes/testcard tests/fuzz/seeds
 */
#include "engine/modelfile/modelfile.h"
#include "hostile.h"
#include "models/caffe/caffe.h"
#include "models/import.h"
#include "models/tf/graphdef.h"
#include "models/tflite/tflite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HostileSeries series = {0};
    if (gpudl_modelfile_sniff(data, size))
        hostile_netbin(&series, data, size, TRUE);
    else if (gpudl_tflite_sniff(data, size) || gpudl_graphdef_sniff(data, size))
        hostile_tensorflow(&series, data, size);
    else if (gpudl_import_is_exported(data, size) || gpudl_import_is_script(data, size))
        hostile_torch(&series, data, size, TRUE);
    else if (gpudl_caffe_sniff_text(data, size))
        hostile_caffe(&series, data, size, TRUE);
    else if (gpudl_caffe_sniff(data, size))
        hostile_caffe(&series, data, size, FALSE);
    else
        hostile_onnx(&series, data, size);
    hostile_series_clear(&series);
    return 0;
}

#ifndef GPUDL_LIBFUZZER
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        gchar *data = NULL;
        gsize size = 0;
        g_autoptr(GError) error = NULL;
        if (!g_file_get_contents(argv[i], &data, &size, &error)) {
            g_printerr("%s\n", error->message);
            return 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)data, size);
        g_free(data);
    }
    return 0;
}
#endif
