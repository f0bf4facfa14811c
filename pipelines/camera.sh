#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A camera: live picture with its labels in a window, or the labels alone as text.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage() {
    echo "Usage: camera.sh [OPTION...] [DEVICE]"
    echo "Shows what the camera DEVICE (default /dev/video0) sees, with its labels, in a window."
    echo "Without a display the labels are printed as text instead, a line a frame."
    common_usage
}

device=
while [ $# -gt 0 ]; do
    common_option "$@"
    if [ "$shifted" -gt 0 ]; then
        shift "$shifted"
        continue
    fi
    case $1 in
    -*) usage_error "unknown option $1" ;;
    *)
        [ -z "$device" ] || usage_error "one camera at a time"
        device=$1
        ;;
    esac
    shift
done
device=${device:-/dev/video0}

[ -e "$device" ] || fail "$device: no such camera"
[ -c "$device" ] || fail "$device: is no camera but a file; file.sh and pictures.sh take these"
need_elements v4l2src decodebin videoconvert gpudlinfer gpudloverlay
find_model
need_utf8 "$model"
# leaky: a frame that comes while the network is busy is dropped rather than shown late
queue=(queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0)
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    run v4l2src device="$device" ! decodebin ! videoconvert ! "${queue[@]}" ! \
        gpudlinfer model="$(launch_value "$model")" backend="$backend" ! gpudloverlay ! videoconvert ! autovideosink sync=false
else
    run_labels v4l2src device="$device" ! decodebin ! videoconvert ! "${queue[@]}" ! \
        gpudlinfer model="$(launch_value "$model")" backend="$backend" top-k=1 post-messages=all ! fakesink
fi
