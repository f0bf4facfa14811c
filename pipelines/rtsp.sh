#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A network camera (RTSP): live picture with its labels in a window, or the labels alone as text.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage() {
    echo "Usage: rtsp.sh [OPTION...] rtsp://ADDRESS"
    echo "Shows what a network camera sees, with its labels, in a window."
    echo "Without a display the labels are printed as messages instead."
    echo "  --latency MS      jitter buffer (default 200)"
    common_usage
}

address=
latency=200
while [ $# -gt 0 ]; do
    common_option "$@"
    if [ "$shifted" -gt 0 ]; then
        shift "$shifted"
        continue
    fi
    case $1 in
    --latency=*) latency=${1#*=} ;;
    --latency)
        [ $# -ge 2 ] || usage_error "--latency needs milliseconds"
        latency=$2
        shift
        ;;
    -*) usage_error "unknown option $1" ;;
    *)
        [ -z "$address" ] || usage_error "one address at a time"
        address=$1
        ;;
    esac
    shift
done
case $address in
rtsp://* | rtsps://* | rtspt://* | rtspu://* | rtsph://*) ;;
'') usage_error "no address given" ;;
*) usage_error "$address: expected an address that begins with rtsp://" ;;
esac
case $latency in
'' | *[!0-9]*) usage_error "--latency: found '$latency', expected milliseconds" ;;
esac

enter_environment --model="$model" --backend="$backend" --latency="$latency" "$address"
need_elements rtspsrc decodebin videoconvert gpudlinfer gpudloverlay
find_model
queue=(queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0)
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    run rtspsrc location="$address" latency="$latency" ! decodebin ! videoconvert ! "${queue[@]}" ! \
        gpudlinfer model="$model" backend="$backend" ! gpudloverlay ! videoconvert ! autovideosink
else
    run -m rtspsrc location="$address" latency="$latency" ! decodebin ! videoconvert ! "${queue[@]}" ! \
        gpudlinfer model="$model" backend="$backend" top-k=1 post-messages=all ! fakesink
fi
