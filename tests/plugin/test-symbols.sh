#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-symbols.sh PLUGIN HAS_CUDA OLDER_THAN_1_24: what the plugin asks of the machine that it is loaded on.
set -eu
plugin=$1 has_cuda=$2 older=$3
failed=0

say() { # say NUMBER TEXT FAULTS
    if [ -z "$3" ]; then
        echo "ok $1 - $2"
    else
        echo "not ok $1 - $2"
        echo "$3" | sed 's/^/# /'
        failed=1
    fi
}

echo 1..2
needed=$(readelf -d "$plugin" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
say 1 "loads without a driver and CUDA's libraries" "$(echo "$needed" | grep -E '^lib(cuda|cudart|cudnn|cublas|nv)' || true)"
if [ "$has_cuda" = 1 ] && [ "$older" = 1 ]; then
    faults=
    for name in gst_cuda_memory_get_stream gst_cuda_stream_get_handle; do
        readelf --dyn-syms -W "$plugin" | grep -Eq " WEAK +DEFAULT +UND $name\$" || faults="$faults$name is not weak: this plugin is wrong on GStreamer 1.24 or does not load here
"
    done
    say 2 "knows streams of a GStreamer newer than the one it is built against" "$faults"
else
    echo "ok 2 - knows streams of a GStreamer newer than the one it is built against # SKIP built with them, or without CUDA memory"
fi
exit $failed
