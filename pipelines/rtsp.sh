#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A network camera (RTSP): live picture with its labels in a window, or the labels alone as text.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# the same on an NVIDIA GPU goes by another name
on_gpu=
[ "${0##*/}" != gpu-rtsp.sh ] || on_gpu=1

usage() {
    echo "Usage: ${0##*/} [OPTION...] rtsp://ADDRESS [OUTPUT]"
    echo "Shows what a network camera sees, with its labels, in a window, or writes it to OUTPUT (.webm, .avi without vp8enc)."
    echo "Without a display and OUTPUT the labels are printed as text instead, a line a frame."
    echo "When the camera goes away it is tried again after 1, 2, 4, 8, 16, 30, 30 .. s, until Ctrl-C; a refused password and"
    echo "the like end it. No file is overwritten: each part of OUTPUT gets a name that is free, name.webm, name-2.webm .."
    [ -z "$on_gpu" ] || echo "The GPU decodes and classifies; frames stay in its memory until they are drawn on."
    echo "  --latency MS      jitter buffer (default 200)"
    if [ -n "$on_gpu" ]; then gpu_usage; else common_usage; fi
}

address=
output=
latency=200
while [ $# -gt 0 ]; do
    common_option "$@"
    [ "$shifted" -gt 0 ] || [ -z "$on_gpu" ] || gpu_option "$@"
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
        if [ -z "$address" ]; then
            address=$1
        else
            [ -z "$output" ] || usage_error "one address and one output at a time"
            output=$1
        fi
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

# the length of a second of all waits, in ms: tests make it shorter
second=${GPUDL_RECONNECT_SECOND_MS:-1000}
case $second in
'' | 0* | *[!0-9]*) fail "GPUDL_RECONNECT_SECOND_MS: found '$second', expected a number of milliseconds from 1 on" ;;
esac

if [ -n "$on_gpu" ]; then
    need_gpu rtspsrc "rtp${codec}depay" videoconvert gpudloverlay
else
    need_elements rtspsrc decodebin videoconvert gpudlinfer gpudloverlay
fi
find_model
need_utf8 "$model"
if [ -n "$output" ]; then
    find_encoder
    need_output "$output"
fi

# leaky: a frame that comes while the network is busy is dropped rather than shown late. The second queue holds what waits
# for its time to be shown: without it that wait would count as the network's, and the first queue drop most frames.
newest=(queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0)
due=(queue max-size-buffers=0 max-size-bytes=0 max-size-time=$(((latency + 1000) * 1000000)))
# no udp-reconnect: a server that was started again knows nothing of the old session, and sends nothing
source=(rtspsrc location="$address" latency="$latency" udp-reconnect=false ! "application/x-rtp,media=video")
if [ -n "$on_gpu" ]; then
    source+=(! "rtp${codec}depay" ! "${codec}parse" ! "nv${codec}dec" ! "${gpu_memory[@]}")
    to_drawing=(cudadownload ! gpudloverlay)
else
    source+=(! decodebin ! videoconvert)
    to_drawing=(gpudloverlay)
fi
infer=(gpudlinfer model="$(launch_value "$model")" backend="$backend")

pipeline() { # pipeline FILE: sets $words
    words=("${source[@]}" ! "${newest[@]}" ! "${infer[@]}")
    if [ -n "$output" ]; then
        words=(-e "${words[@]}" post-messages=all ! "${to_drawing[@]}" ! videoconvert ! "${encoder[@]}" ! filesink location="$(launch_value "$1")")
    elif [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        words+=(post-messages=all ! "${due[@]}" ! "${to_drawing[@]}" ! videoconvert ! autovideosink)
    else
        words+=(top-k=1 post-messages=all ! fakesink)
    fi
}

# without the password
shown=$(sed -E 's,//[^/]*@,//,' <<<"$address")
say() {
    echo "${0##*/}: $shown: $1" >&2
}

seconds() { # seconds MS
    awk "BEGIN { print $1 / 1000 }"
}

on_frame() {
    [ "$frames" != 1 ] || [ -z "$away" ] || say "the picture is back"
    away=
    seen=1
    [ "${words[-1]}" != fakesink ] || print_labels "$1"
}

# docs/live.md has the rule.
waiting_mends() { # whether to try again after what was heard; may set $reason
    local host
    [ -z "$ended$silent" ] || return 0
    case $culprit in
    */GstRTSPSrc:*) ;;
    *) return 1 ;;
    esac
    if [[ $reason =~ \(([1-5][0-9][0-9])\)$ ]]; then
        case ${BASH_REMATCH[1]} in
        408 | 453 | 454 | 500 | 502 | 503 | 504) return 0 ;;
        404) [ -n "$seen" ] ;;
        *) return 1 ;;
        esac
        return
    fi
    case $reason in
    *TLS* | *ertificate*) return 1 ;;
    *onnect*)
        host=$(sed -E 's,^[a-z]*://([^/]*@)?(\[([^]]*)\]|([^/:?]*)).*,\3\4,' <<<"$address")
        if [ -z "$seen" ] && ! getent ahosts "$host" >/dev/null; then
            reason="there is no host $host"
            return 1
        fi
        ;;
    *message.* | *imeout*) ;;
    *) return 1 ;;
    esac
}

free_name() { # sets $file
    local n=1
    file=$output
    while [ -e "$file" ]; do
        n=$((n + 1))
        file=${output%"$suffix"}-$n$suffix
    done
}

file=
seen=
away=
delay=1
catch_signals
while [ -z "$interrupted" ]; do
    [ -z "$output" ] || free_name
    pipeline "$file"
    if [ -z "$away" ]; then
        if [ "${words[-1]}" = fakesink ]; then show_command -m "${words[@]}"; else show_command "${words[@]}"; fi
    fi
    launch_heard -m "${words[@]}"
    listen $((30 * second))
    # an attempt that saw nothing leaves nothing
    [ -z "$output" ] || [ "$frames" -gt 0 ] || rm -f "$file"
    [ -z "$interrupted" ] || break
    if [ "$message" = "Output window was closed" ]; then exit 0; fi
    if ! waiting_mends; then
        [ -z "$interrupted" ] || break
        [[ $culprit != */GstRTSPSrc:* ]] || fail "$shown: ${reason:-$message}"
        fail "$(failure)"
    fi
    [ "$frames" = 0 ] || delay=1
    away=1
    if [ -n "$silent" ]; then
        what="no picture for $(seconds $((30 * second))) s"
    elif [ -n "$ended" ]; then
        what="the camera ended the stream"
    else
        what=${reason:-$message}
        what=${what% (Generic error)}
    fi
    wait_ms=$((delay * second))
    say "$what; trying again in $(seconds $wait_ms) s"
    pause $wait_ms
    delay=$((delay * 2 > 30 ? 30 : delay * 2))
done
exit "$interrupted"
