#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-pipelines.py SCRIPTS BUILD TESTCARD: runs the scripts of pipelines/ that need no camera and no display, as a
user would, on the testcard network, and checks what comes out. The others are checked up to where the camera begins."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPTS, BUILD, TESTCARD = (Path(a) for a in sys.argv[1:4])
ALL = ["file.sh", "camera.sh", "rtsp.sh", "pictures.sh", "json-lines.sh", "display.sh"]
tests = []


def net(dir):
    """The reference backend is there on every machine, and the network is small."""
    return "--backend", "ref", "--model", dir / "net.bin"


def test(function):
    tests.append(function)
    return function


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


def script(name, *args, code=0, display=False, **more):
    env = {**os.environ, "GPUDL_BUILD": str(BUILD)}
    env.pop("GPUDL_ENVIRONMENT", None)
    for key in ("DISPLAY", "WAYLAND_DISPLAY"):
        env.pop(key, None)
    done = subprocess.run([SCRIPTS / name, *map(str, args)], capture_output=True, text=True, timeout=120, env=env, **more)
    check(done.returncode == code, f"{name}: exit code {done.returncode}, expected {code}: {done.stdout}{done.stderr}")
    return done


def launch(description, **more):
    subprocess.run(["gst-launch-1.0", "-q", *description.split()], check=True, timeout=60, **more)


@test
def every_script_has_help_and_refuses_nonsense(dir):
    for name in ALL:
        check(script(name, "--help").stdout.startswith(f"Usage: {name} "), name)
        result = script(name, "--nonsense", code=2)
        check(result.stderr.startswith(f"{name}: unknown option --nonsense\n"), result.stderr)
        result = script(name, "--model", code=2)
        check(result.stderr.startswith(f"{name}: --model needs a file\n"), result.stderr)


@test
def file_writes_every_frame(dir):
    script("file.sh", *net(dir), dir / "smpte.avi", cwd=dir)
    written = [p for p in dir.iterdir() if p.name.startswith("annotated.")]
    check(len(written) == 1, written)
    lines = script("json-lines.sh", *net(dir), written[0]).stdout.splitlines()
    check(len(lines) == 30, f"{len(lines)} frames of 30 came out")


@test
def file_takes_names_with_blanks(dir):
    shutil.copy(dir / "smpte.avi", dir / "a b#c%20.avi")
    suffix = next(p for p in dir.iterdir() if p.name.startswith("annotated.")).suffix
    script("file.sh", *net(dir), dir / "a b#c%20.avi", dir / f"out put{suffix}")
    check((dir / f"out put{suffix}").stat().st_size > 1000)


@test
def json_lines_are_json_and_right(dir):
    out = script("json-lines.sh", *net(dir), dir / "smpte.avi", dir / "snow.png").stdout
    lines = [json.loads(line) for line in out.splitlines()]
    check(len(lines) == 31, out)
    labels = [line["results"][0]["label"] for line in lines]
    check(labels[:30].count("smpte") >= 27 and labels[30] == "snow", labels)


@test
def pictures_are_told(dir):
    lines = script("pictures.sh", *net(dir), dir / "snow.png").stdout.splitlines()
    check(lines[0] == str(dir / "snow.png") and len(lines) == 4 and lines[1].endswith("snow"), lines)


@test
def display_plays_into_any_sink(dir):
    script("display.sh", *net(dir), "--sink", "fakesink", dir / "smpte.avi")
    result = script("display.sh", *net(dir), dir / "smpte.avi", code=1)
    check(result.stderr.startswith("display.sh: no display"), result.stderr)


@test
def what_is_missing_is_said_in_one_line(dir):
    for args, code, says in [
        (["file.sh", "--model", dir / "none.bin", dir / "smpte.avi"], 1, f"{dir}/none.bin: no such model"),
        (["file.sh", *net(dir), dir / "none.avi"], 1, f"{dir}/none.avi: no such file"),
        (["file.sh", *net(dir), dir / "smpte.avi", "out.xyz"], 2, "out.xyz: the output's name"),
        (["file.sh"], 2, "no video given"),
        (["pictures.sh"], 2, "no picture given"),
        (["json-lines.sh"], 2, "no picture or video given"),
        (["camera.sh", *net(dir), "/dev/video-none"], 1, "/dev/video-none: no such camera"),
        (["camera.sh", *net(dir), dir / "smpte.avi"], 1, f"{dir}/smpte.avi: is no camera but a file"),
        (["file.sh", *net(dir), "--backend", "abacus", dir / "smpte.avi"], 2, "--backend: found 'abacus'"),
        (["rtsp.sh"], 2, "no address given"),
        (["rtsp.sh", "http://x"], 2, "http://x: expected an address"),
        (["rtsp.sh", "--latency", "soon", "rtsp://x"], 2, "--latency: found 'soon'"),
    ]:
        result = script(*args, code=code)
        check(result.stderr.startswith(f"{args[0]}: {says}"), result.stderr)
        check(result.stderr.count("\n") == (1 if code == 1 else 2), result.stderr)


def main():
    failed = 0
    if shutil.which("meson") is None or shutil.which("gst-launch-1.0") is None:
        print("1..0 # SKIP needs meson and gst-launch-1.0")
        return 0
    print(f"1..{len(tests)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gpudl-pipelines-") as name:
        dir = Path(name)
        subprocess.run([BUILD / "tools" / "gpudl", "convert", TESTCARD / "testcard.onnx", "-o", dir / "net.bin",
                        "--labels", TESTCARD / "labels.txt", "--scale", "255", "--backend", "ref"], check=True, stdout=subprocess.DEVNULL)
        launch(f"videotestsrc num-buffers=30 ! video/x-raw,width=128,height=96,framerate=25/1 ! jpegenc ! avimux ! "
               f"filesink location={dir}/smpte.avi")
        launch(f"videotestsrc num-buffers=1 pattern=snow ! video/x-raw,width=128,height=96 ! pngenc ! "
               f"filesink location={dir}/snow.png")
        for i, function in enumerate(tests, 1):
            try:
                function(dir)
                print(f"ok {i} - {function.__name__}", flush=True)
            except Exception as problem:
                failed += 1
                print(f"not ok {i} - {function.__name__}")
                for line in f"{type(problem).__name__}: {problem}".splitlines():
                    print(f"# {line}", flush=True)
    return failed > 0


sys.exit(main())
