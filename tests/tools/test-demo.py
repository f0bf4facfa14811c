#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-demo.py GPUDL-DEMO MAKE-MODEL FAKE-CUDA [CPU]: the demo on a network and pictures whose answers are known by arithmetic."""
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

MEDIA = Path(__file__).parent / "media"
DEMO, MAKE_MODEL, FAKE_CUDA, *CPU = sys.argv[1:]
TURNED = Path(__file__).parent.parent / "pipelines" / "turned.mp4"
COLORS = {"red": (220, 30, 20), "green": (20, 200, 40), "blue": (30, 10, 210)}
tests = []


def test(function):
    tests.append(function)
    return function


def without_display():
    return {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}


def demo(*args):
    return subprocess.run([DEMO, "--backend=ref", *map(str, args)], capture_output=True, text=True, timeout=120,
                          env=without_display())


def interrupted_demo(*args):
    """Ctrl-C after the first label; returns the rest of the output and how long it took to end."""
    process = subprocess.Popen([DEMO, "--backend=ref", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=without_display())
    while (line := process.stdout.readline()) and not line.startswith("0:00:0"):
        pass
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    rest, errors = process.communicate(timeout=60)
    return process.returncode, rest, errors, time.monotonic() - start


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


def write_png(path, rgb, size=64):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress((b"\0" + bytes(rgb) * size) * size)) + chunk(b"IEND", b""))


def write_manifest(path, photos, **more):
    path.write_text(json.dumps({"photographs": photos, **more}))


def photos(**wrong):
    return [{"file": f"{color}.png", "ids": [wrong.get(color, i)], "truth": color} for i, color in enumerate(COLORS)]


@test
def all_right_is_success(dir):
    write_manifest(dir / "good.json", photos(), video={"file": "street.y4m"})
    with open(dir / "street.y4m", "wb") as file:
        file.write(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg\n")
        for _ in range(20):
            file.write(b"FRAME\n" + bytes([76]) * 3072 + bytes([85]) * 768 + bytes([255]) * 768)
    (dir / "out").mkdir()
    result = demo("--output", dir / "out", dir / "net.bin", dir / "good.json")
    check(result.returncode == 0, result.stdout + result.stderr)
    check(result.stderr == "", result.stderr)
    lines = result.stdout.splitlines()
    check("3 of 3 photographs right, 3 of 3 shots right, 170 of 170 frames labelled" in lines, result.stdout)
    check(sum(line.startswith("shot ") and "50 of 50 frames" in line and line.endswith("ok") for line in lines) == 3,
          result.stdout)
    check(any(line.startswith("0:00:00.000  red (0)") for line in lines), result.stdout)
    for line in lines[lines.index("Look at:") + 1:]:
        check(os.path.getsize(line.strip()) > 1000, line)
    check((dir / "out" / "contact-sheet.png").read_bytes().startswith(b"\x89PNG"))


@test
def a_wrong_answer_too_many_is_a_failure(dir):
    write_manifest(dir / "bad.json", photos(blue=1))
    result = demo("--output", dir / "out", dir / "net.bin", dir / "bad.json")
    check(result.returncode == 1, result.stdout + result.stderr)
    check("2 of 3 photographs right, 2 of 3 shots right, 150 of 150 frames labelled: FAILED" in result.stdout,
          result.stdout)
    check(result.stdout.count("WRONG") == 2, result.stdout)


@test
def a_photograph_that_is_not_there_is_named(dir):
    write_manifest(dir / "gone.json", photos()[:2] + [{"file": "gone.png", "ids": [0], "truth": "nothing"}])
    result = demo("--output", dir / "out", dir / "net.bin", dir / "gone.json")
    check(result.returncode == 1 and f"gpudl-demo: {dir}/gone.png: no such file\n" in result.stderr, result.stderr)
    check("2 of 3 photographs right, 2 of 2 shots right" in result.stdout, result.stdout)


@test
def bad_manifests_are_one_error(dir):
    for text, says in [
        ("", ""),
        ("[]", "lists no photographs"),
        ('{"photographs": []}', "lists no photographs"),
        ('{"photographs": [{"file": "red.png", "truth": "red"}]}', "photograph 0: expected"),
        ('{"photographs": [{"file": 7, "ids": [0], "truth": "red"}]}', "photograph 0: expected"),
        ('{"photographs": [{"file": "red.png", "ids": ["0"], "truth": "red"}]}', "photograph 0: expected"),
    ]:
        (dir / "m.json").write_text(text)
        result = demo("--output", dir / "out", dir / "net.bin", dir / "m.json")
        check(result.returncode == 1 and result.stderr.startswith(f"gpudl-demo: {dir}/m.json: {says}"), result.stderr)


@test
def what_is_shown_is_not_written_over(dir):
    (dir / "own").mkdir()
    for name, source in ("annotated.png", "red.png"), ("contact-sheet.png", "green.png"):
        (dir / "own" / name).write_bytes((dir / source).read_bytes())
    write_manifest(dir / "own.json", [{"file": "own/contact-sheet.png", "ids": [1], "truth": "green"}])
    for args in ["--input", dir / "own" / "annotated.png", dir / "net.bin"], [dir / "net.bin", dir / "own.json"]:
        result = demo("--output", dir / "own", *args)
        check(result.returncode == 1 and "would be lost" in result.stderr, f"{result.stdout}{result.stderr}")
        for name, source in ("annotated.png", "red.png"), ("contact-sheet.png", "green.png"):
            check((dir / "own" / name).read_bytes() == (dir / source).read_bytes(), name)


@test
def a_gpu_that_is_there_is_used_and_named(dir):
    """By a module that stands for CUDA's, where there is one of the CPU as well."""
    if not CPU:
        return "needs the CPU backend"
    (dir / "cuda").mkdir()
    shutil.copy(FAKE_CUDA, dir / "cuda" / "gpudl-cuda.so")
    folders = {"cuda": f"{dir}/cuda:{os.path.dirname(CPU[0])}", "cpu": os.path.dirname(CPU[0])}
    for name, path in folders.items():
        result = subprocess.run([DEMO, "--output", dir / "out", "--input", dir / "red.png", dir / "net.bin"], capture_output=True,
                                text=True, timeout=120, env={**without_display(), "GPUDL_BACKEND_PATH": path})
        device = result.stdout.splitlines()[0].split(" on ")[1]
        check((device == "fake") == (name == "cuda"), f"{name}: {result.stdout}{result.stderr}")
        check("1 of 1 frames labelled" in result.stdout, result.stdout + result.stderr)
    return None


@test
def any_picture_or_video_can_be_shown(dir):
    result = demo("--output", dir / "out", "--input", dir / "red.png", dir / "net.bin")
    check(result.returncode == 0, result.stderr)
    check(any(line.startswith("red (0) ") for line in result.stdout.splitlines()), result.stdout)
    check((dir / "out" / "annotated.png").read_bytes().startswith(b"\x89PNG"))
    result = demo("--output", dir / "out", "--input", dir / "street.y4m", dir / "net.bin")
    check(result.returncode == 0 and "20 of 20 frames labelled" in result.stdout, result.stdout + result.stderr)
    result = demo("--output", dir / "out", "--input", dir / "none", dir / "net.bin")
    check(result.returncode == 1 and result.stderr == f"gpudl-demo: {dir}/none: no such file\n", result.stderr)


@test
def pictures_are_shown_upright_whatever_their_kind(dir):
    names = "exif6.jpg", "exif6.png", "still.gif", "animated.gif", "two-pictures.jpg", "cmyk.jpg"
    for name, input in [(n, MEDIA / n) for n in names] + [(n, (MEDIA / n).as_uri()) for n in names[1:3]]:
        shutil.rmtree(dir / "out", ignore_errors=True)
        result = demo("--output", dir / "out", "--input", input, dir / "net.bin")
        if "gdkpixbufdec is missing" in result.stderr:
            return "needs gdkpixbufdec"
        check(result.returncode == 0 and "1 of 1 frames labelled" in result.stdout, result.stdout + result.stderr)
        picture = (dir / "out" / "annotated.png").read_bytes()
        check(struct.unpack(">II", picture[16:24]) == (64, 48) and picture.endswith(b"IEND\xaeB`\x82"), name)
        by_hand = result.stdout.splitlines()[-1].strip()
        check(("video-direction=90r" in by_hand) == name.startswith("exif6"), by_hand)
        (dir / "out" / "annotated.png").unlink()
        done = subprocess.run(by_hand, shell=True, capture_output=True, timeout=60)
        check(done.returncode == 0 and (dir / "out" / "annotated.png").stat().st_size > 1000, f"{by_hand}: {done}")


@test
def times_are_the_streams(dir):
    result = demo("--output", dir / "out", "--input", MEDIA / "bframes.mp4", dir / "net.bin")
    if "no GStreamer plugin" in result.stderr:
        return "needs a decoder of H.264"
    check(result.returncode == 0 and "10 of 10 frames labelled" in result.stdout, result.stdout + result.stderr)
    check(result.stdout.splitlines()[2].startswith("0:00:00.000  "), result.stdout)


@test
def ctrl_c_finishes_the_file(dir):
    with open(dir / "long.y4m", "wb") as file:
        file.write(b"YUV4MPEG2 W160 H120 F25:1 Ip A1:1 C420jpeg\n")
        for i in range(3000):
            file.write(b"FRAME\n" + bytes([i % 200]) * 19200 + bytes([85]) * 4800 + bytes([255]) * 4800)
    (dir / "cut").mkdir()
    code, out, errors, seconds = interrupted_demo("--output", dir / "cut", "--input", dir / "long.y4m", dir / "net.bin")
    (dir / "long.y4m").unlink()
    check(code == 130 and errors == "", f"{code}: {out}{errors}")
    check(seconds < 2, f"{seconds} s")
    said = next(line for line in out.splitlines() if line.startswith("interrupted: "))
    n, total = said.split()[1:4:2]
    check(n == total and 0 < int(n) < 3000, said)
    written, = (dir / "cut").iterdir()
    again = demo("--output", dir / "out", "--input", written, dir / "net.bin")
    check(again.returncode == 0 and f"\n{n} of {n} frames labelled\n" in again.stdout, said + again.stdout + again.stderr)


@test
def ctrl_c_in_the_film_ends_the_whole_demo(dir):
    process = subprocess.Popen([DEMO, "--backend=ref", "--output", dir / "out", dir / "net.bin", dir / "good.json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=without_display())
    while (line := process.stdout.readline()) and not line.startswith("shot  1"):
        pass
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    check(process.returncode == 130 and errors == "", f"{process.returncode}: {out}{errors}")
    check("street" not in out and "FAILED" not in out and "interrupted" in out.splitlines(), out)


@test
def phone_videos_are_upright(dir):
    """320 x 240 in the file, to be turned by a quarter."""
    (dir / "upright").mkdir()
    result = demo("--output", dir / "upright", "--input", TURNED, dir / "net.bin")
    check(result.returncode == 0, result.stderr)
    written, = (dir / "upright").iterdir()
    written.rename(dir / "upright" / "video")
    subprocess.run(["gst-launch-1.0", "-q", "filesrc", "location=video", "!", "decodebin", "!", "videoconvert", "!",
                    "pngenc", "snapshot=true", "!", "filesink", "location=first.png"], cwd=dir / "upright", check=True, timeout=60)
    size = struct.unpack(">II", (dir / "upright" / "first.png").read_bytes()[16:24])
    check(size == (240, 320), size)


@test
def the_command_by_hand_works_in_any_shell(dir):
    result = demo("--output", dir / "out", "--input", dir / "street.y4m", dir / "net.bin")
    lines = result.stdout.splitlines()
    command = lines[lines.index("The same by hand:") + 1]
    env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "GST_REGISTRY")}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env=env)
    check(done.returncode == 0, command + done.stdout + done.stderr)


@test
def a_window_opens_where_there_is_a_display(dir):
    inspect, xvfb = shutil.which("gst-inspect-1.0"), shutil.which("xvfb-run")
    if not inspect or not xvfb or subprocess.run([inspect, "--exists", "ximagesink"]).returncode != 0:
        return "needs xvfb-run and ximagesink"
    # without -noreset the server begins anew, and refuses who comes meanwhile, when its only client has closed its first window
    result = subprocess.run(["xvfb-run", "-a", "-s", "-screen 0 640x480x24 -noreset", DEMO, "--backend=ref", "--input",
                             dir / "street.y4m", "--output", dir / "window", dir / "net.bin"],
                            capture_output=True, text=True, timeout=120)
    check(result.returncode == 0 and "20 of 20 frames labelled" in result.stdout, result.stdout + result.stderr)
    check("autovideosink" in result.stdout and not any((dir / "window").iterdir()), result.stdout)


@test
def wrong_usage_is_exit_code_2(dir):
    for args in [], [dir / "net.bin"], ["--nonsense"], ["--input", "x"], ["--input", "x", "a", "b"]:
        check(demo(*args).returncode == 2, args)
    check(demo("--help").returncode == 0)


def main():
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gpudl demo ") as name:
        dir = Path(name)
        subprocess.run([MAKE_MODEL, dir / "net.bin"], check=True)
        for color, rgb in COLORS.items():
            write_png(dir / f"{color}.png", rgb)
        for i, function in enumerate(tests, 1):
            try:
                skip = function(dir)
                print(f"ok {i} - {function.__name__}{f' # SKIP {skip}' if skip else ''}", flush=True)
            except Exception as problem:
                failed += 1
                print(f"not ok {i} - {function.__name__}")
                for line in f"{type(problem).__name__}: {problem}".splitlines():
                    print(f"# {line}", flush=True)
    return failed > 0


sys.exit(main())
