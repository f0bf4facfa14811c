#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-bench-pipe.py BENCH_PIPE MODEL: what bench/bench-pipe counts and hands over, with gpudlinfer on the modules of tests/fake.
How fast it all is, is not looked at."""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

PROGRAM, MODEL = sys.argv[1:]
INFER = f'--place=gpudlinfer model="{MODEL}" backend=cuda'
SOURCE = "--source=videotestsrc ! video/x-raw,format=NV12,width=64,height=48"
CAPS = "--caps=video/x-raw,format=NV12,width=320,height=240,framerate=30/1"
tests = []


def test(function):
    tests.append(function)


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


def ask(*words, turns=(".2",)):
    """Exit status, answers after the first object, errors."""
    ran = subprocess.run([PROGRAM, *words], input="".join(f"{t}\n" for t in turns), capture_output=True, text=True, timeout=100)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    check(ran.returncode != 0 or "ready" in lines[0], ran)
    return ran.returncode, lines[1:], ran.stderr


@test
def frames_are_counted_turn_by_turn(folder):
    status, told, err = ask("rate", SOURCE, INFER, "--streams=2", turns=(".3", ".2"))
    check(status == 0 and len(told) == 2, err)
    for answer, seconds in zip(told, (.3, .2)):
        check(answer["frames"] > 0 and answer["window_ns"] >= seconds * 1e9, answer)
        check(abs(answer["ns"] - answer["window_ns"] / answer["frames"]) <= 1, answer)
        check(0 < answer["stats"]["infer-latency-p50"] <= answer["stats"]["total-latency-p50"], answer)
    status, told, err = ask("rate", SOURCE, "--place=identity")
    check(status == 0 and "stats" not in told[0], err)


@test
def a_turn_begins_when_each_stream_is_warm(folder):
    begin = time.monotonic()
    # "%u" is the stream's number: 10 and 11 frames/s
    status, _, err = ask("rate", "--source=videotestsrc is-live=true ! video/x-raw,format=NV12,width=64,height=48,framerate=1%u/1",
                         "--place=identity", "--warmup=20", "--streams=2")
    check(status == 0 and time.monotonic() - begin >= 1.9 + .2, err)


@test
def each_frame_of_a_live_stream_is_timed(folder):
    live = "--source=videotestsrc is-live=true ! video/x-raw,format=NV12,width=64,height=48,framerate=50/1"
    for place, least in (INFER, 0), ("--place=identity", 0), ("--place=identity sleep-time=5000", 5e6):
        status, told, err = ask("delay", live, place, "--warmup=5", turns=("1",))
        check(status == 0, err)
        through, late = told[0]["through_ns"], told[0]["late_ns"]
        check(len(through) == len(late) == told[0]["frames"] and 20 <= len(through) <= 60, told)
        check(all(ns > least for ns in through) and all(ns > 0 for ns in late), told)
        # a frame is late by what the element takes, and more
        check(all(a <= b for a, b in zip(through, late)), told)


@test
def buffers_are_of_the_pool_that_is_proposed_or_of_no_one_s(folder):
    for memory, kind in ("pool", "GpudlHostMemory"), ("malloc", "SystemMemory"):
        status, told, err = ask("push", CAPS, f"--memory={memory}", INFER, "--streams=2", "--buffers=4", turns=(".2", ".2"))
        check(status == 0 and len(told) == 2, err)
        check(all(t["frames"] > 0 and t["memory"] == kind and t["frame_bytes"] == 115200 for t in told), told)
    status, told, err = ask("push", CAPS, "--memory=pool", "--place=identity")
    check(status == 1 and "--memory=pool: no pool is proposed for such frames" in err, err)


@test
def copies_are_counted_in_bytes(folder):
    status, told, err = ask("copy", CAPS, "--memory=malloc", "--streams=2", "--buffers=4", turns=(".5", ".05"))
    check(status == 0 and len(told) == 2, err)
    check(told[1]["ns"] > told[0]["ns"] / 5, "the second turn has the first one's frames")
    for answer in told:
        check(answer["memory"] in ("malloc to malloc", "malloc to pinned") and answer["frame_bytes"] == 115200, answer)
        check(abs(answer["GB_s"] - 115200 * answer["frames"] / answer["window_ns"]) <= .06, answer)
    status, told, err = ask("copy", CAPS, "--memory=pinned")
    check(told and told[0]["memory"] == "pinned" if status == 0 else "an NVIDIA GPU and driver are needed" in err, err)


@test
def frames_are_handed_over_without_padding_in_places_that_go_round(folder):
    shared = folder / "frames"
    source = "--source=videotestsrc pattern=white ! video/x-raw,format=NV12,width=322,height=241"
    process = subprocess.Popen([PROGRAM, "frames", source, f"--shared={shared}", "--buffers=3"], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    told = json.loads(process.stdout.readline())
    size = 322 * 241 + 322 * 121
    check(told == {"format": "NV12", "width": 322, "height": 241, "frame_bytes": size, "places": 3}, told)
    places = [int(process.stdout.readline()) for _ in range(3)]
    check(sorted(places) == [0, 1, 2], places)
    for place in 2, 0, 1, 2:
        process.stdin.write(f"{place}\n")
        process.stdin.flush()
        check(int(process.stdout.readline()) == place, "another place than the one that was free")
    data = shared.read_bytes()
    check(data == (b"\xeb" * (322 * 241) + b"\x80" * (322 * 121)) * 3, "pixels")
    process.stdin.close()
    check(process.stdout.read() == "" and process.wait(60) == 0)


@test
def what_ends_or_fails_is_told(folder):
    status, told, err = ask("rate", "--source=videotestsrc num-buffers=40 ! video/x-raw,format=NV12,width=64,height=48",
                            "--place=identity", "--warmup=10", turns=("5",))
    check(status == 1 and not told and "the streams ended after 40 frames" in err and "a longer clip is needed" in err, err)
    status, told, err = ask("rate", SOURCE, "--place=gpudlinfer model=/nowhere.onnx backend=cuda")
    check(status == 1 and "place0" in err and "/nowhere.onnx" in err, err)
    status, told, err = ask("rate", SOURCE, "--place=nosuchelement")
    check(status == 1 and "nosuchelement" in err, err)
    status, told, err = ask("rate", SOURCE, "--place=identity", turns=("soon",))
    check(status == 1 and "expected seconds" in err, err)


@test
def words_that_mean_nothing_are_refused(folder):
    for words, expected in [([], "expected one of rate, delay"), (["rate", SOURCE], "rate needs --place"),
                            (["push", CAPS, INFER, "--memory=pinned"], "--memory: found 'pinned', expected one of: pool malloc"),
                            (["delay", SOURCE, INFER, "--streams=2"], "delay: expected one stream"),
                            (["frames", SOURCE], "frames needs --shared"),
                            (["rate", SOURCE, INFER, "--streams=0"], "--streams: found 0, expected 1 to 64")]:
        status, _, err = ask(*words)
        check(status == 2 and expected in err, f"{words}: {status} {err}")


failed = 0
print(f"1..{len(tests)}")
for i, function in enumerate(tests, 1):
    with tempfile.TemporaryDirectory() as name:
        try:
            function(pathlib.Path(name))
            print(f"ok {i} - {function.__name__}", flush=True)
        except Exception as problem:
            failed += 1
            print(f"not ok {i} - {function.__name__}")
            for line in f"{type(problem).__name__}: {problem}".splitlines():
                print(f"# {line}", flush=True)
sys.exit(failed > 0)
