#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-live.py GPUDL MAKE-MODEL TESTCARD STEPS [SERVER CLIP]: gpudl run on addresses: cameras that go away and come back,
networks that are too slow for them, and what is said where nothing comes. Without SERVER what needs one is skipped."""
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time

import onnxfile
from cli import GPUDL, Skip, check, check_run, gpudl, main, test

CAMERA = sys.argv[5:7] if len(sys.argv) > 6 else None
AGAIN = re.compile(r"trying again in ([0-9.]+) s$", re.M)
UNIT = 0.1


def need_camera():
    if CAMERA is None:
        raise Skip("gst-rtsp-server is not installed")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Camera:
    def __init__(self, *password):
        self.port, self.password = free_port(), password
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"
        self.start()

    def start(self):
        self.process = subprocess.Popen([CAMERA[0], str(self.port), CAMERA[1], *self.password], stdout=subprocess.PIPE)
        check(self.process.stdout.readline() == b"ready\n", "the server does not start")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Running:
    def __init__(self, dir, *args, unit=UNIT, stderr=None):
        self.paths = dir / "live.stdout", dir / "live.stderr"
        env = {**os.environ, "GPUDL_RECONNECT_SECOND_MS": str(round(unit * 1000))}
        with open(self.paths[0], "w") as out, open(self.paths[1], "w") as err:
            self.process = subprocess.Popen([GPUDL, "run", "--backend=ref", "--json", *map(str, args)], stdout=out,
                                            stderr=stderr or err, env=env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    @property
    def frames(self):
        return [json.loads(line) for line in self.paths[0].read_text().splitlines()]

    @property
    def stderr(self):
        return self.paths[1].read_text()

    def wait_for(self, what, condition, seconds=15):
        start = time.monotonic()
        while not condition():
            check(self.process.poll() is None, f"ended before {what}: {self.stderr}")
            check(time.monotonic() - start < seconds, f"no {what}: {self.stderr}")
            time.sleep(0.02)

    def ctrl_c(self):
        start = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        check(self.process.wait(20) == 130, self.process.returncode)
        check(time.monotonic() - start < 2, f"ended after {time.monotonic() - start} s")


@test
def a_camera_that_goes_away_is_tried_again(dir):
    need_camera()
    with Camera() as camera, Running(dir, dir / "net.bin", camera.url) as run:
        run.wait_for("frames", lambda: len(run.frames) >= 5)
        camera.stop()
        run.wait_for("waits", lambda: len(AGAIN.findall(run.stderr)) >= 3)
        check(AGAIN.findall(run.stderr)[:3] == ["0.1", "0.2", "0.4"], run.stderr)
        seen = len(run.frames)
        camera.start()
        run.wait_for("frames again", lambda: len(run.frames) >= seen + 5)
        check(run.stderr.endswith(f"gpudl: run: {camera.url}: the picture is back\n"), run.stderr)
        numbers = [f["frame"] for f in run.frames]
        check(numbers == sorted(set(numbers)), numbers)
        run.ctrl_c()


@test
def a_camera_that_refuses_is_not_asked_again(dir):
    need_camera()
    with Camera("viewer:secret") as camera:
        check_run(gpudl("run", dir / "net.bin", camera.url.replace("//", "//viewer:guess@")), 1,
                  f"gpudl: run: {camera.url}: Unauthorized (401)\n")
        url = camera.url.replace("//", "//viewer:secret@").replace("/cam", "/none")
        check_run(gpudl("run", dir / "net.bin", url), 1, f"gpudl: run: {camera.url[:-4]}/none: Not Found (404)\n")


@test
def a_host_that_never_was_is_not_asked_again(dir):
    result = gpudl("run", dir / "net.bin", "rtsp://no-such-host.invalid/cam")
    check_run(result, 1, "gpudl: run: rtsp://no-such-host.invalid/cam: ")
    check("no-such-host.invalid" in result.stderr[50:] and "trying again" not in result.stderr, result.stderr)


@test
def addresses_that_give_nothing_keep_their_reason(dir):
    port = free_port()
    for url, says in [(f"http://127.0.0.1:{port}/a.mp4", "Connection refused"),
                      ("http://no-such-host.invalid/a.mp4", "no-such-host.invalid")]:
        result = gpudl("run", dir / "net.bin", url)
        check_run(result, 1, f"gpudl: run: {url}: ")
        check(says in result.stderr[len(f"gpudl: run: {url}: "):] and "damaged" not in result.stderr, result.stderr)
        check(result.stderr.count("\n") == 1, result.stderr)


@test
def nobody_there_is_tried_ever_more_rarely_and_ctrl_c_ends_the_wait(dir):
    with Running(dir, dir / "net.bin", f"rtsp://user:secret@127.0.0.1:{free_port()}/cam", unit=0.01) as run:
        run.wait_for("seven waits", lambda: len(AGAIN.findall(run.stderr)) >= 7)
        check([round(float(d) * 100) for d in AGAIN.findall(run.stderr)[:7]] == [1, 2, 4, 8, 16, 30, 30], run.stderr)
        check("secret" not in run.stderr, run.stderr)
        run.ctrl_c()
    with Running(dir, dir / "net.bin", f"rtsp://127.0.0.1:{free_port()}/cam", unit=30) as run:
        run.wait_for("a wait", lambda: AGAIN.findall(run.stderr))
        run.ctrl_c()


@test
def ctrl_c_ends_it_while_it_connects(dir):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        for scheme in "rtsp", "http":
            with Running(dir, dir / "net.bin", f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/cam") as run:
                time.sleep(1)
                run.ctrl_c()


@test
def a_terminal_gets_a_summary(dir):
    (dir / "gray.ppm").write_bytes(b"P6 8 8 255\n" + b"\x80" * 192)
    ours, theirs = pty.openpty()
    with Running(dir, dir / "net.bin", dir / "gray.ppm", stderr=theirs) as run:
        check(run.process.wait(30) == 0)
        text = os.read(ours, 4096).decode()
    check(re.search(r"^1 frame in [0-9.]+ s, [0-9.]+ frames/s; 0 dropped, 0 errors\r$", text, re.M), repr(text))
    check(re.search(r"^by \S.*\r$", text, re.M), repr(text))


def write_slow_net(path):
    """A quarter of a second a frame, or so, on the reference backend of an idle machine."""
    node = onnxfile.node
    path.write_bytes(onnxfile.model(
        [node("Conv", "x w", "c0"), *[node("Conv", f"c{i} v", f"c{i + 1}") for i in range(8)],
         node("GlobalAveragePool", "c8", "g"), node("Flatten", "g", "y"),
         onnxfile.constant("w", [48, 3, 3, 3], [0.01] * (48 * 27)),
         onnxfile.constant("v", [48, 48, 3, 3], [0.01] * (48 * 48 * 9))],
        [onnxfile.value("x", ["N", 3, 96, 96])], [onnxfile.value("y", ["N", 48])]))


def watch(run, seconds):
    """(when, frame) of the first and the last line that come meanwhile."""
    run.wait_for("frames", lambda: run.frames)
    start, n, seen = time.monotonic(), len(run.frames), []
    while time.monotonic() - start < seconds or len(seen) < 2:
        check(time.monotonic() - start < 20, "no frames")
        frames = run.frames
        if len(frames) > n:
            n = len(frames)
            seen.append((time.monotonic(), frames[-1]))
        time.sleep(0.01)
    return seen[0], seen[-1]


@test
def the_newest_frame_of_a_camera_is_taken(dir):
    """Frames' times keep pace with the clock, and their numbers with their times, whatever is left out."""
    need_camera()
    write_slow_net(dir / "slow.onnx")
    for every, late in ([], False), (["--every-frame"], True):
        with Camera() as camera, Running(dir, *every, dir / "slow.onnx", camera.url) as run:
            (start, first), (end, last) = watch(run, 4)
            run.ctrl_c()
        took, advance = end - start, (last["pts"] - first["pts"]) / 1e9
        check((advance < 0.6 * took) == late, f"{every}: {advance:.1f} of {took:.1f} s")
        numbers = last["frame"] - first["frame"]
        check(abs(numbers - 25 * advance) <= 3, f"{every}: {numbers} frames in {advance:.2f} s")


@test
def a_network_that_is_too_slow_is_told_once(dir):
    need_camera()
    write_slow_net(dir / "slow.onnx")
    behind = r"^gpudl: run: (\S+): the network answers ([0-9.]+) of ([0-9.]+) frames/s: (.*)\. Take a smaller network"
    for every, lost in ([], "the others are dropped"), (["--every-frame"], "they come out late"):
        with Camera() as camera, Running(dir, *every, dir / "slow.onnx", camera.url) as run:
            run.wait_for("a line", lambda: re.search(behind, run.stderr, re.M))
            time.sleep(3 if not every else 0)
            url, reached, asked, how = re.findall(behind, run.stderr, re.M)[0]
            check(len(re.findall(behind, run.stderr, re.M)) == 1, run.stderr)
            check(url == camera.url and how == lost and float(reached) < 20 < float(asked) < 30, run.stderr)
            run.ctrl_c()


@test
def a_network_that_is_fast_enough_is_left_alone(dir):
    need_camera()
    with Camera() as camera, Running(dir, dir / "net.bin", camera.url) as run:
        run.wait_for("frames of 6 s", lambda: run.frames and run.frames[-1]["pts"] > 6e9)
        check(run.stderr == "", run.stderr)
        run.ctrl_c()


@test
def what_goes_into_a_file_shows_on_the_terminal_that_it_does(dir):
    """After a second, in place; an error stands on a line of its own."""
    need_camera()
    ours, theirs = pty.openpty()
    with Camera() as camera, Running(dir, dir / "net.bin", camera.url, stderr=theirs) as run:
        text = b""
        while b"frames/s" not in text:
            text += os.read(ours, 4096)
        check(re.search(rb"^\r\x1b\[K" + re.escape(camera.url.encode()) + rb": frame \d+; \d+ frames, [0-9.]+ frames/s",
                        text, re.M), repr(text))
        camera.stop()
        while b"trying again" not in text:
            text += os.read(ours, 4096)
        check(re.search(rb"\r\x1b\[Kgpudl: run: ", text), repr(text))
        run.process.kill()


sys.exit(main())
