# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the scripts beside it: finds gpudlinfer, the model and what they all say.

# Without a trap bash goes on where the command that it waits for ends well in spite of the signal.
trap 'exit 130' INT

here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath -m "${GPUDL_BUILD:-$here/../build}")

fail() { # fail MESSAGE: one line, exit 1
    echo "${0##*/}: $1" >&2
    exit 1
}

usage_error() { # usage_error MESSAGE: one line and where to find help, exit 2
    echo "${0##*/}: $1" >&2
    echo "Try '$0 --help'." >&2
    exit 2
}

# ---- what is to run ---------------------------------------------------------------------------------------------------

# Sets $NAME to begin with FOLDER, and notes it for the command that is shown: it has to work in any other shell.
prepend() { # prepend NAME FOLDER
    # a bare return would have the status of the caller's last test
    case ":${!1:-}:" in
    *":$2:"*) return 0 ;;
    esac
    export "$1=$2${!1:+:${!1}}"
    settings+=("$1=${!1}")
}

# The built tree beside the scripts or named by $GPUDL_BUILD, else the prefix that they are installed in, else what
# GStreamer finds by itself.
find_parts() { # sets $gpudl to the command, "" if it is not there, and the environment for gpudlinfer
    local prefix=${here%/share/gpudl/pipelines} file
    gpudl=
    if [ -e "$build/plugin/libgstgpudl.so" ]; then
        prepend GST_PLUGIN_PATH "$build/plugin"
        local backends=$build/engine/cpu
        [ ! -e "$build/engine/cuda/gpudl-cuda.so" ] || backends=$build/engine/cuda:$backends
        prepend GPUDL_BACKEND_PATH "$backends"
        gpudl=$build/tools/gpudl
    elif [ -n "${GPUDL_BUILD:-}" ]; then
        fail "GPUDL_BUILD: $build/plugin/libgstgpudl.so is not there: build it with 'ninja -C $build', or unset GPUDL_BUILD"
    elif [ "$prefix" != "$here" ]; then
        for file in "$prefix"/lib*/gstreamer-1.0/libgstgpudl.so "$prefix"/lib/*/gstreamer-1.0/libgstgpudl.so; do
            case ${file%/*} in
            /usr/lib/*) ;; # GStreamer's own folders
            *) [ ! -e "$file" ] || prepend GST_PLUGIN_PATH "${file%/*}" ;;
            esac
        done
        gpudl=$prefix/bin/gpudl
    fi
    [ -x "$gpudl" ] || gpudl=$(command -v gpudl) || gpudl=
}

need_gpudl() {
    find_parts
    [ -n "$gpudl" ] || fail "gpudl is neither built in $build nor installed: run 'make demo' or 'make install', or set GPUDL_BUILD to the build's folder"
}

has_element() { # not --exists: that wants plugins of GStreamer's own version
    gst-inspect-1.0 "$1" >/dev/null 2>&1
}

need_elements() { # need_elements NAME...: all have to be there
    local element
    find_parts
    for element in gst-launch-1.0 gst-inspect-1.0; do
        command -v "$element" >/dev/null || fail "$element is missing: install gstreamer1.0-tools (Debian)"
    done
    for element in "$@"; do
        has_element "$element" && continue
        case $element in
        nv* | cuda*) fail "GStreamer's element $element is missing: it is in gstreamer1.0-plugins-bad (Debian), and there where an NVIDIA driver is; 'gpudl doctor' says what was found" ;;
        gpudl*) [ -n "${GST_PLUGIN_PATH:-}" ] || fail "$element is neither built in $build nor installed: run 'make demo' or 'make install', or set GST_PLUGIN_PATH to the folder of libgstgpudl.so" ;;
        esac
        fail "GStreamer's element $element is missing; 'gpudl doctor' says what to install"
    done
}

find_model() { # sets $model from the option, $GPUDL_MODEL or the demo's; what is to run it has to have a known name
    case $backend in
    auto | cuda | cpu | ref) ;;
    *) usage_error "--backend: found '$backend', expected auto, cuda, cpu or ref" ;;
    esac
    model=${model:-${GPUDL_MODEL:-$build/demo/efficientnet-lite0.bin}}
    if [ "$model" = "$build/demo/efficientnet-lite0.bin" ] && [ ! -d "$build" ]; then
        fail "no model: name one with --model or in GPUDL_MODEL; 'make demo' in the source makes build/demo/efficientnet-lite0.bin there"
    fi
    [ -e "$model" ] || fail "$model: no such model; name one with --model or in GPUDL_MODEL, or run 'make demo' once"
    [ -f "$model" ] || fail "$model: is no file; expected a model, a net.bin or a file of ONNX, PyTorch, TensorFlow or Caffe"
}

to_uri() { # to_uri FILE-OR-URI
    case $1 in
    *://*) echo "$1" ;;
    *)
        # byte by byte: a name need not be UTF-8, a URI has to be
        local LC_ALL=C path uri= byte i
        path=$(realpath -- "$1")
        for ((i = 0; i < ${#path}; i++)); do
            byte=${path:i:1}
            case $byte in
            [A-Za-z0-9/._~-]) uri+=$byte ;;
            *)
                printf -v byte %02x "'$byte"
                uri+=%${byte: -2}
                ;;
            esac
        done
        echo "file://$uri"
        ;;
    esac
}

launch_value() { # launch_value TEXT: as gst-launch-1.0 has to be given it, which takes some characters for its own
    case $1 in
    *[\\\"$'\n\t']*)
        local text=${1//\\/\\\\}
        printf '"%s"\n' "${text//\"/\\\"}"
        ;;
    *) printf '%s\n' "$1" ;;
    esac
}

need_utf8() { # need_utf8 FILE: gst-launch-1.0 takes no other names than in a URI
    iconv -f UTF-8 -t UTF-8 <<<"$1" >/dev/null 2>&1 ||
        fail "$1: the name is no UTF-8, and gst-launch-1.0 takes no other: rename the file, or link to it under another name"
}

need_input() { # need_input FILE-OR-URI: a file has to be there
    case $1 in
    *://*) return 0 ;;
    esac
    [ -e "$1" ] || fail "$1: no such file"
    [ ! -d "$1" ] || fail "$1: is a folder; expected a video"
}

# A way to write a video with what is installed: sets $encoder (an array) and $suffix.
find_encoder() {
    if has_element vp8enc && has_element webmmux; then
        encoder=(vp8enc deadline=1 cpu-used=8 threads=2 target-bitrate=2500000 '!' webmmux)
        suffix=.webm
    elif has_element jpegenc && has_element avimux; then
        encoder=(jpegenc quality=85 '!' avimux)
        suffix=.avi
    else
        fail "no encoder to write a video with (looked for vp8enc and webmmux, jpegenc and avimux): install gstreamer1.0-plugins-good (Debian)"
    fi
}

need_output() { # need_output FILE [INPUT]: has to be of the kind that is written, in a folder, and not the input
    case $1 in
    *"$suffix") ;;
    *) usage_error "$1: the output's name has to end in $suffix, which is what can be written here" ;;
    esac
    need_utf8 "$1"
    [ -d "$(dirname "$1")" ] || fail "$1: there is no folder $(dirname "$1") to write it to"
    if [ -n "${2:-}" ] && [ "$1" -ef "${2#file://}" ]; then
        usage_error "$1: is the input; the output has to be another file"
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

common_usage() { # common_usage [BACKEND]: the only one that can be asked for
    echo "  --model FILE      the network: a net.bin or a file of ONNX, PyTorch, TensorFlow or Caffe (default: \$GPUDL_MODEL, else the demo's)"
    echo "  --backend NAME    ${1:-auto, cuda, cpu or ref (default auto)}"
    echo "  -h, --help        this"
    echo "The built tree is used when there is one (\$GPUDL_BUILD, else ../build), else what is installed."
    echo "Ctrl-C ends it properly, with exit code 130; pressed again, at once."
}

# ---- on an NVIDIA GPU -------------------------------------------------------------------------------------------------

codec=h264
decoder=
gpu_memory=('video/x-raw(memory:CUDAMemory)')

gpu_usage() {
    echo "  --codec NAME      what the video is coded in: h264 or h265 (default h264)"
    common_usage cuda
}

# As common_option().
gpu_option() {
    case $1 in
    --codec)
        [ $# -ge 2 ] || usage_error "--codec needs h264 or h265"
        codec=$2
        shifted=2
        ;;
    --codec=*)
        codec=${1#*=}
        shifted=1
        ;;
    esac
}

gpu_files() { # gpu_files ARGUMENT...: takes the options, and sets files to the rest, of which there is one at least
    files=()
    while [ $# -gt 0 ]; do
        common_option "$@"
        [ "$shifted" -gt 0 ] || gpu_option "$@"
        if [ "$shifted" -gt 0 ]; then
            shift "$shifted"
            continue
        fi
        case $1 in
        -*) usage_error "unknown option $1" ;;
        *) files+=("$1") ;;
        esac
        shift
    done
    [ ${#files[@]} -ge 1 ] || usage_error "no video given"
}

need_gpu() { # need_gpu NAME...: the decoder, a gpudlinfer that reads what it writes, and these elements have to be there
    case $codec in
    h264 | h265) ;;
    *) usage_error "--codec: found '$codec', expected h264 or h265" ;;
    esac
    case $backend in
    auto | cuda) backend=cuda ;;
    *) usage_error "--backend: found '$backend', expected cuda: the frames are in the GPU's memory" ;;
    esac
    decoder=nv${codec}dec
    need_elements "$decoder" cudadownload "${codec}parse" gpudlinfer "$@"
    [[ $(gst-inspect-1.0 gpudlinfer) == *memory:CUDAMemory* ]] ||
        fail "this gpudlinfer takes no frames in the GPU's memory: it was built without gstreamer-cuda-1.0; install libgstreamer-plugins-bad1.0-dev (Debian) and build it again"
}

gpu_source() { # gpu_source FILE-OR-URI: sets $source to what decodes it there
    source=(urisourcebin uri="$(to_uri "$1")" ! parsebin ! "${codec}parse" ! "$decoder")
}

# ---- running ----------------------------------------------------------------------------------------------------------

# gst-launch-1.0 has a process group of its own, so that Ctrl-C reaches it from here alone, once each time: the first
# SIGINT lets it finish its file, a second one that came along with the terminal's would cut that off.
launch() { # launch WORDS...: starts gst-launch-1.0 as $child
    set -m
    # not in the user's language: what is read from its output
    LANGUAGE=C gst-launch-1.0 "$@" &
    child=$!
    set +m
    # a signal that came before there was a child
    [ -z "$interrupted" ] || end_child
}

show_command() { # show_command WORDS...: says them, so that they can be taken over into any shell
    local words
    printf -v words ' %q' ${settings[@]+"${settings[@]}"} gst-launch-1.0 "$@"
    words=${words// \\! / ! }
    echo "${words# }" >&2
}

end_child() { # end_child [now]: lets $child finish its file. While no frame has come there is none, and with -e it would
    # wait for the end of a stream that has not begun
    local how=-INT
    [ "${1:-}" != now ] && [ "$frames" != 0 ] || how=-KILL
    # its whole group: what it has started, too, writes to where its end is waited for
    [ -z "$child" ] || kill $how -- "-$child" 2>/dev/null || true
}

on_signal() { # on_signal EXIT-CODE: the first one ends what runs, the next one does not wait for it
    end_child ${interrupted:+now}
    interrupted=$1
    [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null || true
}

on_suspend() { # Ctrl-Z, and what follows it
    [ -z "$child" ] || kill -STOP "$child" 2>/dev/null || true
    kill -STOP $$
    [ -z "$child" ] || kill -CONT "$child" 2>/dev/null || true
}

catch_signals() {
    trap 'on_signal 130' INT
    trap 'on_signal 143' TERM
    trap 'on_signal 129' HUP
    trap on_suspend TSTP
    trap '[ -z "$folder" ] || rm -rf "$folder"; [ -z "$draft" ] || rm -f "$draft"' EXIT
}

await() { # waits for $child, whatever signals come in between, and sets $status
    while :; do
        status=0
        # bash would say how it was killed
        wait "$child" 2>/dev/null || status=$?
        kill -0 "$child" 2>/dev/null || break
    done
    child=
}

run() { # run WORDS...: gst-launch's words, to their end; does not return
    show_command "$@"
    catch_signals
    launch "$@"
    await
    exit "${interrupted:-$status}"
}

# filesink empties a file before anything is known of the input: one that is there stays until another is finished.
run_to() { # run_to FILE WORDS...: as run(), what comes of it in FILE
    local file=$1 target to
    shift
    to=$file
    show_command -e "$@" ! filesink location="$(launch_value "$file")"
    catch_signals
    if [ -f "$file" ] && [ -s "$file" ] && [ -w "$file" ]; then
        target=$(realpath -- "$file")
        # where no other file can be made there is but this one to write to
        draft=$(mktemp -- "$target.XXXXXX" 2>/dev/null) && to=$draft || draft=
    fi
    launch -e "$@" ! filesink location="$(launch_value "$to")"
    await
    if [ -n "$draft" ]; then
        if [ "$status" = 0 ] && [ -s "$draft" ]; then
            chmod --reference="$target" -- "$draft" 2>/dev/null || true
            # a file that is mounted, or another user's in a sticky folder, can be written to and not be replaced
            if mv -f -- "$draft" "$target" 2>/dev/null || cat -- "$draft" >"$target"; then
                rm -f -- "$draft"
            else
                echo "${0##*/}: $file can't be written to; what was to be there is in $draft" >&2
                status=1
            fi
            draft=
        else
            echo "${0##*/}: $file is as it was before" >&2
        fi
    fi
    exit "${interrupted:-$status}"
}

# Labels as text: what gpudlinfer's message of a frame says, as one line with the time of day.
print_labels() { # print_labels LINE [WHOSE]
    local pattern=' label=\(string\)("([^"\\]|\\.)*"|[^,;]*), id=\(int\)([0-9]+), confidence=\(double\)([^,;]*)'
    [[ $1 =~ $pattern ]] || return 0
    local label=${BASH_REMATCH[1]//\\/}
    label=${label#\"}
    LC_NUMERIC=C printf '%(%T)T  %.3f  %s (%s)%s\n' -1 "${BASH_REMATCH[4]}" "${label%\"}" "${BASH_REMATCH[3]}" "${2:+  $2}"
}

# What gst-launch-1.0 says, heard as it says it: whether frames come, and why they don't.
launch_heard() { # launch_heard WORDS...: as launch(), messages can be read from file descriptor $heard
    local both
    frames=0
    folder=$(mktemp -d)
    mkfifo "$folder/words"
    # held open while nobody writes yet: otherwise opening it would wait for a child that a signal may have ended
    exec {both}<>"$folder/words"
    exec {heard}<"$folder/words"
    launch "$@" >"$folder/words" 2>&1 {both}>&- {heard}>&-
    exec {both}>&-
    rm -r "$folder"
    folder=
}

now() { # sets $now, milliseconds
    now=${EPOCHREALTIME/[.,]/}
    now=$((now / 1000))
}

# Errors come by another stream than the rest: one may begin in the middle of a line, whose end then follows it.
hear() { # hear LINE: sets $frames, $culprit (the element that failed first), $message and $reason (its words), $ended
    case $1 in
    *'(element): gpudlinfer-result,'*)
        frames=$((frames + 1))
        on_frame "$1"
        ;;
    *'GstMessageProgress, type=(GstProgressType)start, code=(string)load,'*) loading=1 ;;
    *'GstMessageProgress, type=(GstProgressType)complete, code=(string)load,'*) loading= ;;
    'Got EOS from element'*) ended=1 ;;
    *'ERROR: from element '*)
        expected=
        [ -z "$culprit" ] || return 0
        reason=${1#*ERROR: from element }
        culprit=${reason%%: *}
        message=${reason#*: }
        reason=
        expected=title
        ;;
    *'WARNING: erroneous pipeline: '*) message=${1#*WARNING: erroneous pipeline: } ;;
    *'ERROR: pipeline could not be constructed: '*) message=${1#*ERROR: pipeline could not be constructed: } ;;
    *)
        # "Additional debug info:", the place in the source, and, if that ends in a colon, the reason
        case $expected:$1 in
        title:*'Additional debug info:') expected=place ;;
        place:*:) expected=reason ;;
        place:*) expected= ;;
        reason:*)
            reason=$1
            expected=
            ;;
        esac
        ;;
    esac
}

# Hears $child to its end. After LIMIT ms without a word from it, while it loads no model, it is told to end and $silent
# is set; one that has been told to end and does not within 5 s is ended.
listen() { # listen LIMIT
    local limit=$1 part='' line last told=''
    culprit='' message='' reason='' expected='' ended='' silent='' loading=''
    now
    last=$now
    while :; do
        if IFS= read -r -t 0.5 -u "$heard" line; then
            line=$part$line
            part=
            now
            last=$now
            hear "$line"
            continue
        elif [ $? -le 128 ]; then # the end, perhaps within a line
            [ -z "$part$line" ] || hear "$part$line"
            break
        fi
        part+=$line
        now
        [ -z "$interrupted" ] || told=${told:-$now}
        if [ -n "$told" ] && [ $((now - told)) -ge 5000 ]; then
            end_child now
        elif [ -z "$told$loading" ] && [ "$limit" -gt 0 ] && [ $((now - last)) -ge "$limit" ]; then
            silent=1
            told=$now
            end_child
        fi
    done
    exec {heard}<&-
    await
}

pause() { # pause MS: returns at once where a signal has come
    [ -z "$interrupted" ] || return 0
    sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))" &
    sleeper=$!
    # a signal that came before there was a sleeper; one right after has ended it already
    [ -z "$interrupted" ] || kill $sleeper 2>/dev/null || true
    wait $sleeper 2>/dev/null || true
    sleeper=
}

failure() { # what went wrong, from what was heard, in one line
    local text=$message${reason:+ ($reason)}
    [ "$reason" != "$message" ] || text=$message
    case $decoder:$reason in
    ?*:*not-linked*) text="no video in $codec is there for $decoder: name what it is coded in with --codec, or use a script without gpu- in its name" ;;
    esac
    echo "${text:-gst-launch-1.0 ended with exit code $status}"
}

name_of() { # name_of LINE: what is to be said of where a frame came from
    :
}

run_labels() { # run_labels WORDS...: as run(), each frame's label printed as text
    show_command -m "$@"
    catch_signals
    on_frame() { print_labels "$1" "$(name_of "$1")"; }
    launch_heard -m "$@"
    listen 0
    [ -z "$interrupted" ] || exit "$interrupted"
    [ "$status" = 0 ] || fail "$(failure)"
    exit 0
}

model=
backend=auto
settings=()
child=
sleeper=
interrupted=
frames=
folder=
draft=
