#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A video in a window, labels drawn on it.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage() {
    echo "Usage: display.sh [OPTION...] [VIDEO]"
    echo "Plays VIDEO (a file or a URI; without one a test picture) in a window with its labels."
    echo "  --sink ELEMENT    where to show it (default autovideosink)"
    common_usage
}

video=
sink=autovideosink
while [ $# -gt 0 ]; do
    common_option "$@"
    if [ "$shifted" -gt 0 ]; then
        shift "$shifted"
        continue
    fi
    case $1 in
    --sink=*) sink=${1#*=} ;;
    --sink)
        [ $# -ge 2 ] || usage_error "--sink needs an element"
        sink=$2
        shift
        ;;
    -*) usage_error "unknown option $1" ;;
    *)
        [ -z "$video" ] || usage_error "one video at a time"
        video=$1
        ;;
    esac
    shift
done

if [ "$sink" = autovideosink ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    fail "no display (DISPLAY and WAYLAND_DISPLAY are empty); file.sh writes a file instead"
fi
need_elements videoconvert videoflip gpudlinfer gpudloverlay "$sink"
find_model
need_utf8 "$model"
if [ -n "$video" ]; then
    need_input "$video"
    source=(uridecodebin uri="$(to_uri "$video")")
else
    source=(videotestsrc num-buffers=300 ! "video/x-raw,width=640,height=480,framerate=30/1")
fi
run "${source[@]}" ! videoconvert ! videoflip video-direction=auto ! \
    gpudlinfer model="$(launch_value "$model")" backend="$backend" ! gpudloverlay ! videoconvert ! "$sink"
