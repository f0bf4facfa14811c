#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-rtsp.py SCRIPTS BUILD TESTCARD SERVER: rtsp.sh against a server on loopback that is frozen, stopped and started
again, refuses, and is not there. Without SERVER (no gst-rtsp-server to build it with) what needs it is skipped."""
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness import BUILD, Running, SCRIPTS, check, main, net, on_no_gpu, script, shell, stub, test

SERVER = Path(sys.argv[4]).absolute() if len(sys.argv) > 4 else None
CLIP = Path(__file__).parent.absolute() / "camera.h264"
WITHOUT = "needs gst-rtsp-server (libgstrtspserver-1.0-dev) and GStreamer's H.264 decoder (gstreamer1.0-libav)"
AGAIN = re.compile(r"; trying again in ([0-9.]+) s$", re.M)
# what counts as a second for the script
UNIT = 0.1
# seconds: less than the 5 after which a child that does not end by itself is ended
AT_ONCE = 4


def can_serve():
    return SERVER is not None and subprocess.run(["gst-inspect-1.0", "avdec_h264"], capture_output=True).returncode == 0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Camera:
    def __init__(self, password=None):
        self.port = free_port()
        self.password = [password] if password else []
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.process = subprocess.Popen([SERVER, str(self.port), CLIP, *self.password], stdout=subprocess.PIPE, text=True)
        check(self.process.stdout.readline() == "ready\n", "the server does not start")

    def stop(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


def settings(second=UNIT, **more):
    return shell(GPUDL_BUILD=BUILD, GPUDL_RECONNECT_SECOND_MS=round(second * 1000), **more)


def labels(run):
    return run.stdout.count("  smpte")


def delays(run):
    return [float(d) for d in AGAIN.findall(run.stderr)]


def is_finished(video):
    """The index of a WebM comes last; AVI's header says how many frames there are."""
    data = video.read_bytes()
    return b"\x1c\x53\xbb\x6b" in data[4096:] if video.suffix == ".webm" else data[48:52] != bytes(4)


@test
def a_gpu_is_used_under_the_name_for_it(dir):
    if not can_serve():
        return WITHOUT
    env = settings(**on_no_gpu(dir / "gpu"))
    with Camera() as camera, Running(dir, "gpu-rtsp.sh", "--model", dir / "net.bin", camera.url, env=env) as run:
        run.wait_for("labels", lambda: labels(run) >= 10)
        check("! rtph264depay ! h264parse ! nvh264dec ! video/x-raw\\(memory:CUDAMemory\\) ! queue" in run.stderr, run.stderr)
        check("backend=cuda" in run.stderr and "videoconvert" not in run.stderr, run.stderr)
        camera.stop()
        run.wait_for("waits", lambda: len(delays(run)) >= 1)
        check(f"gpu-rtsp.sh: {camera.url}: the camera ended the stream; trying again in 0.1 s\n" in run.stderr, run.stderr)


@test
def a_camera_that_freezes_stops_and_comes_back(dir):
    if not can_serve():
        return WITHOUT
    with Camera() as camera, Running(dir, "rtsp.sh", *net(dir), camera.url, env=settings()) as run:
        run.wait_for("labels", lambda: labels(run) >= 10)
        camera.freeze()
        time.sleep(1)
        seen = labels(run)
        time.sleep(0.5)
        check(labels(run) == seen, "a frozen server sends nothing")
        camera.thaw()
        run.wait_for("more labels", lambda: labels(run) >= seen + 10)
        check(not delays(run), run.stderr)

        camera.stop()
        run.wait_for("waits", lambda: len(delays(run)) >= 3)
        check(delays(run)[:3] == [UNIT, 2 * UNIT, 4 * UNIT], run.stderr)
        check(f"rtsp.sh: {camera.url}: the camera ended the stream; trying again in 0.1 s\n" in run.stderr, run.stderr)
        check(f"rtsp.sh: {camera.url}: Failed to connect.; trying again in 0.2 s\n" in run.stderr, run.stderr)
        seen = labels(run)
        camera.start()
        run.wait_for("labels again", lambda: labels(run) >= seen + 10)
        check(run.stderr.endswith(f"rtsp.sh: {camera.url}: the picture is back\n"), run.stderr)

        # a camera that is told to stop; the waits begin anew
        before = len(delays(run))
        camera.stop(signal.SIGTERM)
        run.wait_for("waits", lambda: len(delays(run)) >= before + 4)
        check(delays(run)[before:before + 4] == [UNIT, 2 * UNIT, 4 * UNIT, 8 * UNIT], run.stderr)
        run.ctrl_c(AT_ONCE)


@test
def silence_is_a_camera_that_went_away(dir):
    """It has lost its power or its network: no end ever comes."""
    if not can_serve():
        return WITHOUT
    with Camera() as camera, Running(dir, "rtsp.sh", *net(dir), camera.url, dir / f"silent{SUFFIX}", env=settings(0.05)) as run:
        run.wait_for("frames", lambda: (dir / f"silent{SUFFIX}").exists())
        time.sleep(1)
        camera.freeze()
        took = run.wait_for("a word", lambda: delays(run))
        check(took > 1 and f"{camera.url}: no picture for 1.5 s; trying again in 0.05 s\n" in run.stderr, run.stderr)
        camera.thaw()
        run.wait_for("the picture", lambda: run.stderr.endswith("the picture is back\n"))
        time.sleep(0.5)
        run.ctrl_c(AT_ONCE)
    for name in f"silent{SUFFIX}", f"silent-2{SUFFIX}":
        check(is_finished(dir / name), name)


@test
def each_part_of_the_output_is_a_finished_file(dir):
    if not can_serve():
        return WITHOUT
    folder = dir / "parts"
    folder.mkdir()
    (folder / f"cam{SUFFIX}").write_text("an earlier recording")
    with Camera() as camera, Running(dir, "rtsp.sh", *net(dir), camera.url, folder / f"cam{SUFFIX}", env=settings()) as run:
        run.wait_for("a file", lambda: (folder / f"cam-2{SUFFIX}").exists())
        time.sleep(1.5)
        camera.stop()
        run.wait_for("a try", lambda: len(delays(run)) >= 3)
        camera.start()
        run.wait_for("the picture", lambda: run.stderr.endswith("the picture is back\n"))
        time.sleep(1)
        run.ctrl_c(AT_ONCE)
    check(sorted(p.name for p in folder.iterdir()) == [f"cam-2{SUFFIX}", f"cam-3{SUFFIX}", f"cam{SUFFIX}"], list(folder.iterdir()))
    check((folder / f"cam{SUFFIX}").read_text() == "an earlier recording")
    for n in 2, 3:
        check(is_finished(folder / f"cam-{n}{SUFFIX}"), n)
        check(len(script("json-lines.sh", *net(dir), folder / f"cam-{n}{SUFFIX}").stdout.splitlines()) > 5)


@test
def every_frame_is_shown_in_time(dir):
    """A sink that waits for the clock stands in for the window."""
    if not can_serve():
        return WITHOUT
    env = settings(1, DISPLAY=":none", FRAMES=dir / "frames", **stub(dir / "window", "gst-launch-1.0", """words=()
for word in "$@"; do case $word in autovideosink) words+=(videoconvert ! video/x-raw,format=GRAY8 ! fakesink sync=true
    qos=true max-lateness=100000000 dump=false name=shown ! fakesink) ;; *) words+=("$word") ;; esac; done
n=${#words[@]}
words=("${words[@]:0:n-2}" silent=false)
exec "$real" -v "${words[@]}" > >(tee -a "$FRAMES") """))
    with Camera() as camera, Running(dir, "rtsp.sh", *net(dir), "--latency", 1000, camera.url, env=env) as run:
        def shown():
            return (dir / "frames").read_text().count("last-message = chain") if (dir / "frames").exists() else 0
        run.wait_for("the first frame", lambda: shown() > 0)
        first, start = shown(), time.monotonic()
        time.sleep(3)
        rate = (shown() - first) / (time.monotonic() - start)
        run.ctrl_c(AT_ONCE)
    check(rate > 12, f"{rate:.1f} of 25 frames a second were shown")


@test
def what_waiting_does_not_mend_ends_it(dir):
    if not can_serve():
        return WITHOUT
    with Camera("viewer:secret") as camera:
        for url, says in [
            (camera.url, f"{camera.url}: Unauthorized (401)"),
            (camera.url.replace("//", "//viewer:guess@"), f"{camera.url}: Unauthorized (401)"),
            (camera.url.replace("//", "//viewer:secret@").replace("/cam", "/none"), f"{camera.url[:-4]}/none: Not Found (404)"),
        ]:
            result = script("rtsp.sh", *net(dir), url, code=1, env=settings())
            command, *rest = result.stderr.splitlines()
            check(rest == [f"rtsp.sh: {says}"], result.stderr)
        (dir / "bad.bin").write_text("no model")
        result = script("rtsp.sh", "--model", dir / "bad.bin", camera.url, code=1, env=settings())
        check("trying again" not in result.stderr and f"{dir}/bad.bin" in result.stderr.splitlines()[1], result.stderr)
        check(result.stderr.count("\n") == 2, result.stderr)


@test
def nobody_there_is_tried_again_ever_more_rarely(dir):
    url = f"rtsp://user:secret@127.0.0.1:{free_port()}/cam"
    with Running(dir, "rtsp.sh", *net(dir), url, dir / "nothing.webm", env=settings(0.02)) as run:
        run.wait_for("seven waits", lambda: len(delays(run)) >= 7, 30)
        check([round(d / 0.02) for d in delays(run)[:7]] == [1, 2, 4, 8, 16, 30, 30], run.stderr)
        check("secret" not in run.stderr.split("\n", 1)[1], run.stderr)
        run.ctrl_c(AT_ONCE)
    check(not (dir / "nothing.webm").exists())


@test
def ctrl_c_stops_the_wait(dir):
    with Running(dir, "rtsp.sh", *net(dir), f"rtsp://127.0.0.1:{free_port()}/cam", env=settings(30)) as run:
        run.wait_for("a wait", lambda: delays(run) == [30])
        run.ctrl_c(AT_ONCE)


@test
def ctrl_c_right_as_the_wait_begins_stops_it(dir):
    """The signal is caught between the start of the sleep and the look whether one has come."""
    line = """set -euT; . "$(dirname "$0")/common.sh"; catch_signals
        trap 'if [ -n "$sleeper" ] && [ -z "$interrupted" ]; then on_signal 130; wait "$sleeper" || true; fi' DEBUG
        pause 60000; exit "$interrupted" """
    done = subprocess.run(["bash", "-c", line, SCRIPTS / "rtsp.sh"], capture_output=True, text=True, timeout=20)
    check(done.returncode == 130 and done.stderr == "", f"exit code {done.returncode}: {done.stderr}")


@test
def ctrl_c_stops_at_any_moment(dir):
    """While it starts, connects to a server that says nothing, and between two tries."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        for moment in 0.1, 0.3, 0.5, 0.7, 0.9, 1.2:
            with Running(dir, "rtsp.sh", *net(dir), f"rtsp://127.0.0.1:{mute.getsockname()[1]}/cam", dir / f"mute{SUFFIX}",
                         env=settings()) as run:
                time.sleep(moment)
                run.ctrl_c(AT_ONCE)
        check(not (dir / f"mute{SUFFIX}").exists())
    # a command that comes to its end in spite of the signal
    env = settings(**stub(dir / "steady", "gst-inspect-1.0", 'trap : INT; touch "$0.ran"; sleep 0.3; exit 0'))
    with Running(dir, "rtsp.sh", *net(dir), "rtsp://127.0.0.1/cam", env=env) as run:
        run.wait_for("a check", lambda: (dir / "steady" / "gst-inspect-1.0.ran").exists())
        run.ctrl_c(AT_ONCE)
    check(run.stderr == "", run.stderr)


@test
def a_host_that_does_not_exist_ends_it(dir):
    for second in UNIT, "0", "soon":
        env = {**settings(), "GPUDL_RECONNECT_SECOND_MS": "100" if second == UNIT else second}
        result = script("rtsp.sh", *net(dir), "rtsp://no-such-host.invalid/cam", code=1, env=env)
        says = "rtsp://no-such-host.invalid/cam: there is no host no-such-host.invalid" if second == UNIT else "GPUDL_RECONNECT_SECOND_MS: found"
        check(f"rtsp.sh: {says}" in result.stderr and "trying again" not in result.stderr, result.stderr)


@test
def a_failure_is_heard_in_the_middle_of_a_line(dir):
    """Errors are written by another stream, and do not wait for the end of what the first one writes."""
    env = settings(0.01, **stub(dir / "mixed", "gst-launch-1.0", """printf '%s\\n' \
    'Got message #4 from element "queue0" (state-changed): ERROR: from element /GstPipeline:pipeline0/GstRTSPSrc:rtspsrc0: Not there.' \
    'GstMessageStateChanged, old-state=(GstState)null;' 'Got message #5 from elementAdditional debug info:' \
    '../gst/rtsp/gstrtspsrc.c(8336): gst_rtspsrc_retrieve_sdp (): /GstPipeline:pipeline0/GstRTSPSrc:rtspsrc0:' \
    'Failed to connect. (Generic error)' ' "queue0" (state-changed): GstMessageStateChanged;' >&2; exit 1"""))
    with Running(dir, "rtsp.sh", *net(dir), "rtsp://127.0.0.1/cam", env=env) as run:
        run.wait_for("three tries", lambda: len(delays(run)) >= 3)
        check(run.stderr.count("rtsp://127.0.0.1/cam: Failed to connect.; trying again in 0.0") >= 3, run.stderr)
        run.ctrl_c()
    env = settings(**stub(dir / "unknown", "gst-launch-1.0", "echo 'Got messageWARNING: erroneous pipeline: no element \"x\"' >&2; exit 1"))
    result = script("rtsp.sh", *net(dir), "rtsp://127.0.0.1/cam", env=env, code=1)
    check(result.stderr.splitlines()[1:] == ['rtsp.sh: no element "x"'], result.stderr)


@test
def silence_ends_what_was_started_by_what_is_ended(dir):
    """A gst-launch-1.0 that is a script of its own, as a wrapper that sets an environment."""
    env = settings(0.01, **stub(dir / "wrapper", "gst-launch-1.0", "sleep 1000"))
    with Running(dir, "rtsp.sh", *net(dir), "rtsp://127.0.0.1/cam", env=env) as run:
        run.wait_for("two tries", lambda: len(delays(run)) >= 2)
        run.ctrl_c(AT_ONCE)


@test
def a_closed_window_is_no_error(dir):
    env = settings(DISPLAY=":none", **stub(dir / "closed", "gst-launch-1.0", """printf %s 'ERROR: from element \
/GstPipeline:pipeline0/GstAutoVideoSink:autovideosink0/GstXImageSink:sink: Output window was closed' >&2; exit 1"""))
    result = script("rtsp.sh", *net(dir), "rtsp://127.0.0.1/cam", env=env)
    check(result.stderr.count("\n") == 1, result.stderr)


@test
def a_failure_behind_the_source_ends_it(dir):
    env = settings(**stub(dir / "broken", "gst-launch-1.0", """printf '%s\\n' 'ERROR: from element /GstPipeline:pipeline0/GstDecodeBin:d: No decoder.' \\
    'Additional debug info:' 'place (): /GstPipeline:pipeline0/GstDecodeBin:d:' 'for H.266' 'ERROR: from element /GstPipeline:pipeline0/GstRTSPSrc:rtspsrc0: Other.' >&2; exit 1"""))
    result = script("rtsp.sh", *net(dir), "rtsp://127.0.0.1/cam", env=env, code=1)
    check(result.stderr.splitlines()[1:] == ["rtsp.sh: No decoder. (for H.266)"], result.stderr)
    env = settings(**stub(dir / "dead", "gst-launch-1.0", "kill -SEGV $$"))
    result = script("rtsp.sh", *net(dir), "rtsp://127.0.0.1/cam", env=env, code=1)
    check(result.stderr.splitlines()[-1] == "rtsp.sh: gst-launch-1.0 ended with exit code 139", result.stderr)


if shutil.which("gst-launch-1.0") is None:
    print("1..0 # SKIP needs gst-launch-1.0")
    sys.exit(0)
SUFFIX = ".webm" if subprocess.run(["gst-inspect-1.0", "vp8enc"], capture_output=True).returncode == 0 else ".avi"
sys.exit(main(lambda dir: None))
