#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A video file: labels drawn on it, written to another video file.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage() {
    echo "Usage: file.sh [OPTION...] VIDEO [OUTPUT]"
    echo "Writes VIDEO (a file or a URI) with its labels to OUTPUT (default: annotated.webm, or .avi without vp8enc)."
    common_usage
}

files=()
while [ $# -gt 0 ]; do
    common_option "$@"
    if [ "$shifted" -gt 0 ]; then
        shift "$shifted"
    else
        case $1 in
        -*) usage_error "unknown option $1" ;;
        *)
            files+=("$1")
            shift
            ;;
        esac
    fi
done
[ ${#files[@]} -ge 1 ] || usage_error "no video given"
[ ${#files[@]} -le 2 ] || usage_error "one video and one output at a time"

need_elements uridecodebin videoconvert videoflip gpudlinfer gpudloverlay
find_model
need_utf8 "$model"
find_encoder
need_input "${files[0]}"
output=${files[1]:-annotated$suffix}
need_output "$output" "${files[0]}"
run_to "$output" uridecodebin uri="$(to_uri "${files[0]}")" ! videoconvert ! videoflip video-direction=auto ! \
    gpudlinfer model="$(launch_value "$model")" backend="$backend" ! gpudloverlay ! videoconvert ! "${encoder[@]}"
