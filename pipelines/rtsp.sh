#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A network camera (RTSP): live picture with its labels in a window, or the labels alone as text.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage() {
    echo "Usage: rtsp.sh [OPTION...] rtsp://ADDRESS"
    echo "Shows what a network camera sees, with its labels, in a window."
    echo "Without a display the labels are printed as text instead, a line a frame."
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

need_elements rtspsrc decodebin videoconvert gpudlinfer gpudloverlay
find_model
# leaky: a frame that comes while the network is busy is dropped rather than shown late. The second queue holds what waits
# for its time to be shown: without it that wait would count as the network's, and the first queue drop most frames.
newest=(queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0)
due=(queue max-size-buffers=0 max-size-bytes=0 max-size-time=$(((latency + 1000) * 1000000)))
source=(rtspsrc location="$address" latency="$latency" ! "application/x-rtp,media=video" ! decodebin)
infer=(gpudlinfer model="$model" backend="$backend")
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    run "${source[@]}" ! videoconvert ! "${newest[@]}" ! "${infer[@]}" ! "${due[@]}" ! gpudloverlay ! videoconvert ! autovideosink
else
    run_labels "${source[@]}" ! videoconvert ! "${newest[@]}" ! "${infer[@]}" top-k=1 post-messages=all ! fakesink
fi
