# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the scripts beside it: finds gpudlinfer, the model and what they all say.

here=$(cd "$(dirname "$0")" && pwd)
build=${GPUDL_BUILD:-$here/../build}

fail() { # fail MESSAGE: one line, exit 1
    echo "${0##*/}: $1" >&2
    exit 1
}

usage_error() { # usage_error MESSAGE: one line and where to find help, exit 2
    echo "${0##*/}: $1" >&2
    echo "Try '$0 --help'." >&2
    exit 2
}

# The built tree when there is one, else what is installed.
enter_environment() { # enter_environment "$@": runs the script again inside the built tree's environment
    [ -z "${GPUDL_ENVIRONMENT:-}" ] || return 0
    export GPUDL_ENVIRONMENT=entered
    if [ -e "$build/build.ninja" ] && command -v meson >/dev/null; then
        exec meson devenv -C "$build" --workdir "$PWD" "$0" "$@"
    fi
}

need_elements() { # need_elements NAME...: all have to be there
    command -v gst-launch-1.0 >/dev/null || fail "gst-launch-1.0 is missing: install gstreamer1.0-tools (Debian)"
    for element in "$@"; do
        # not --exists: that wants plugins of GStreamer's own version
        gst-inspect-1.0 "$element" >/dev/null 2>&1 ||
            fail "GStreamer's element $element is missing; 'gpudl doctor' says what to install"
    done
}

find_model() { # sets $model from the option, $GPUDL_MODEL or the demo's; what is to run it has to have a known name
    model=${model:-${GPUDL_MODEL:-$build/demo/efficientnet-lite0.bin}}
    [ -e "$model" ] || fail "$model: no such model; name one with --model, or run 'make demo' once"
    case $backend in
    auto | cuda | cpu | ref) ;;
    *) usage_error "--backend: found '$backend', expected auto, cuda, cpu or ref" ;;
    esac
}

to_uri() { # to_uri FILE-OR-URI
    case $1 in
    *://*) echo "$1" ;;
    *)
        [ -e "$1" ] || fail "$1: no such file"
        gst_path=$(realpath "$1")
        # the characters that mean something in a URI
        printf 'file://%s\n' "$(printf %s "$gst_path" | sed 's/%/%25/g; s/ /%20/g; s/#/%23/g; s/?/%3f/g')"
        ;;
    esac
}

# A way to write a video with what is installed: sets $encoder (an array) and $suffix.
find_encoder() {
    if gst-inspect-1.0 --exists vp8enc && gst-inspect-1.0 --exists webmmux; then
        encoder=(vp8enc deadline=1 cpu-used=8 threads=2 target-bitrate=2500000 '!' webmmux)
        suffix=.webm
    elif gst-inspect-1.0 --exists jpegenc && gst-inspect-1.0 --exists avimux; then
        encoder=(jpegenc quality=85 '!' avimux)
        suffix=.avi
    else
        fail "no encoder to write a video with: install gstreamer1.0-plugins-good (Debian)"
    fi
}

# Options that all scripts have. Consumes one option and sets $shifted to the words it took, 0 if it is not one of these.
common_option() {
    shifted=0
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --model)
        [ $# -ge 2 ] || usage_error "--model needs a file"
        model=$2
        shifted=2
        ;;
    --model=*)
        model=${1#*=}
        shifted=1
        ;;
    --backend)
        [ $# -ge 2 ] || usage_error "--backend needs auto, cuda, cpu or ref"
        backend=$2
        shifted=2
        ;;
    --backend=*)
        backend=${1#*=}
        shifted=1
        ;;
    esac
}

common_usage() {
    echo "  --model FILE      the network: a net.bin or an .onnx (default: \$GPUDL_MODEL, else the demo's)"
    echo "  --backend NAME    auto, cuda, cpu or ref (default auto)"
    echo "  -h, --help        this"
    echo "The built tree is used when there is one (\$GPUDL_BUILD, else ../build), else what is installed."
}

run() { # run gst-launch's words; says them first, so that they can be taken over
    echo "gst-launch-1.0 $*" >&2
    exec gst-launch-1.0 "$@"
}

model=
backend=auto
