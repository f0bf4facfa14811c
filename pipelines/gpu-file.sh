#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A video file on an NVIDIA GPU: decoded there and classified in its memory. Labels as text, or drawn into another file.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage() {
    echo "Usage: gpu-file.sh [OPTION...] VIDEO [OUTPUT]"
    echo "Prints the label of each frame of VIDEO, a line a frame. With OUTPUT (.webm, .avi without vp8enc) it draws them there"
    echo "instead. The GPU decodes, and the frames stay in its memory until they are drawn on."
    echo "A picture that is to be turned is seen as it lies in the file."
    gpu_usage
}

gpu_files "$@"
[ ${#files[@]} -le 2 ] || usage_error "one video and one output at a time"

need_gpu parsebin gpudloverlay
find_model
need_utf8 "$model"
need_input "${files[0]}"
infer=("${gpu_memory[@]}" ! gpudlinfer model="$(launch_value "$model")" backend="$backend")
gpu_source "${files[0]}"
if [ ${#files[@]} = 1 ]; then
    run_labels "${source[@]}" ! "${infer[@]}" top-k=1 post-messages=all ! fakesink
fi
find_encoder
need_output "${files[1]}" "${files[0]}"
run_to "${files[1]}" "${source[@]}" ! "${infer[@]}" ! cudadownload ! gpudloverlay ! videoconvert ! "${encoder[@]}"
