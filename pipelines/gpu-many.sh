#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many video files at once on an NVIDIA GPU: decoded there and classified in its memory by one network.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage() {
    echo "Usage: gpu-many.sh [OPTION...] VIDEO..."
    echo "Prints the label of each frame of all VIDEOs, a line a frame, each with its file's name. All run at once in one process,"
    echo "as fast as the GPU can; the network is in its memory once, and frames of several files run together."
    echo "A picture that is to be turned is seen as it lies in the file."
    gpu_usage
}

gpu_files "$@"

need_gpu parsebin
find_model
need_utf8 "$model"
words=()
for i in "${!files[@]}"; do
    need_input "${files[i]}"
    gpu_source "${files[i]}"
    words+=("${source[@]}" ! "${gpu_memory[@]}" ! gpudlinfer name="file$i" model="$(launch_value "$model")" backend="$backend" top-k=1 post-messages=all !
        fakesink)
done

name_of() { # name_of LINE: the file that a message's element is for
    local pattern='from element "file([0-9]+)"'
    [[ $1 =~ $pattern ]] && echo "${files[BASH_REMATCH[1]]}"
}
run_labels "${words[@]}"
