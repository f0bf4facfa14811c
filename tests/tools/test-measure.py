#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-measure.py GPUDL MAKE-MODEL TESTCARD STEPS: gpudl profile and gpudl bench as a user meets them, on backends whose
figures are known."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

from cli import GPUDL, STEPS, check, check_run, gpudl, main, test

HOSTILE = "</td><script>alert(\"1\")</script>&amp;'"  # how make-model begins a node's name


def steps(*args):
    """gpudl with steps-backend.c as its backends."""
    return gpudl(*args, env=STEPS)


@test
def wrong_usage_is_exit_code_2(dir):
    for args, says in [
        (["profile"], "gpudl: profile: no model given"),
        (["profile", "a", "b"], "gpudl: profile: one model at a time; found 'b'"),
        (["profile", "--nonsense", "m"], "gpudl: profile: Unknown option"),
        (["profile", "--batch=0", "m"], "gpudl: profile: --batch: found '0', expected 1 to 4096"),
        (["profile", "--runs=-1", "m"], "gpudl: profile: --runs: found '-1', expected 1 to"),
        (["profile", "--top=-1", "m"], "gpudl: profile: --top: found '-1', expected 0 (all) to"),
        (["profile", "--threads=1025", "m"], "gpudl: profile: --threads: found '1025', expected 0 (one per core) to 1024"),
        (["profile", "--sort=name", "m"], "gpudl: profile: --sort: found 'name', expected one of run, time"),
        (["profile", "--precision=fp7", "m"], "gpudl: profile: --precision: found 'fp7'"),
        (["profile", "--backend=abacus", "m"], "gpudl: profile: --backend: found 'abacus'"),
        (["profile", "--html=", "m"], "gpudl: profile: --html: found ''"),
        (["bench"], "gpudl: bench: no model given"),
        (["bench", "a", "b"], "gpudl: bench: one model at a time; found 'b'"),
        (["bench", "--backend=cpu,abacus", "m"], "gpudl: bench: --backend: found 'abacus', expected auto, cuda, cpu or"),
        (["bench", "--backend=cpu,", "m"], "gpudl: bench: --backend: found 'cpu,', expected 1 to 32 values"),
        (["bench", "--precision=fp32,fp7", "m"], "gpudl: bench: --precision: found 'fp7'"),
        (["bench", "--threads=1,-2", "m"], "gpudl: bench: --threads: found '-2', expected 0 (one per core) to 1024"),
        (["bench", "--batch=1,x", "m"], "gpudl: bench: --batch: found 'x', expected 0 (the backend's choice) to 4096"),
        (["bench", "--seconds=0", "m"], "gpudl: bench: --seconds: found '0', expected a number within 0.01 and 3600"),
        (["bench", "--warmup=-1", "m"], "gpudl: bench: --warmup: found '-1'"),
        (["bench", "--device=-1", "m"], "gpudl: bench: --device: found '-1', expected 0 to"),
        (["profile", "--device=first", "m"], "gpudl: profile: --device: found 'first', expected 0 to"),
        (["bench", "--input=640x480", "m"], "gpudl: bench: --input: found '640x480', expected WIDTHxHEIGHT:FORMAT"),
    ]:
        result = gpudl(*args)
        check_run(result, 2, says)
        check(result.stdout == "" and "--help'" in result.stderr, f"{args}: {result.stdout}{result.stderr}")


@test
def a_profile_is_what_the_backend_says(dir):
    result = steps("profile", "--json", "--backend=cpu", "--runs=5", dir / "net.bin")
    check_run(result, 0)
    told = json.loads(result.stdout)
    check(list(told) == ["gpudl", "date", "command", "model", "backend", "device", "precision", "batch", "runs",
                         "highest_rates", "steps", "total", "reorders", "whole_run_ns", "difference_ns", "whole_run_by"], told)
    check(told["model"]["name"] == "three colours" and told["model"]["file"] == str(dir / "net.bin"), told)
    check(told["device"] == 'steps <1.0> & "more"' and told["backend"] == "cpu" and told["precision"] == "fp32", told)
    first, second, third = told["steps"]
    check(first["node"].startswith(HOSTILE) and first["op"] == "GlobalAveragePool" and first["nodes"] == 1, first)
    check(second == {"node": "times-ten", "nodes": 1, "op": "Conv", "implementation": "second 'quoted'", "ns": 6000,
                     "share": 0.6, "flops": 60000, "bytes": 12000, "floor_ns": 4000}, second)
    check(third["nodes"] == 2 and third["flops"] is None and third["bytes"] is None, third)
    # 10 GB/s and, in this precision, 15 GFLOP/s, of which the slower counts
    check(told["highest_rates"] == {"bytes_per_second": 10**10, "flops_per_second": 15 * 10**9}, told)
    check((first["floor_ns"], third["floor_ns"]) == (600, None), told)
    for key in "ns", "flops", "bytes", "floor_ns":
        check(told["total"][key] == sum(s[key] or 0 for s in told["steps"]), told)
    check(abs(sum(s["share"] for s in told["steps"]) - 1) < 1e-6, told)
    # a frame takes the backend 100 us
    check(100000 <= told["whole_run_ns"] < 100000000 and told["whole_run_by"] == "frames", told)
    check(told["difference_ns"] == told["whole_run_ns"] - told["total"]["ns"], told)


@test
def a_profile_is_of_what_was_asked_for(dir):
    told = json.loads(steps("profile", "--json", "--backend=cpu", "--batch=3", "--runs=7", "--precision=fp16",
                            dir / "net.bin").stdout)
    check((told["batch"], told["runs"], told["precision"]) == (3, 7, "fp16"), told)
    check([s["ns"] for s in told["steps"]] == [9000, 18000, 3000], told)
    check(told["steps"][2]["implementation"] == "third in 7 runs", told)
    # nothing is known of its products
    check(told["highest_rates"] == {"bytes_per_second": 10**10, "flops_per_second": None}, told)
    check([s["floor_ns"] for s in told["steps"]] == [1800, 3600, None], told)
    check((told["whole_run_ns"], told["difference_ns"], told["whole_run_by"]) == (60000, 30000, "backend"), told)
    readable = steps("profile", "--backend=cpu", "--sort=time", "--top=2", dir / "net.bin")
    check_run(readable, 0)
    lines = readable.stdout.splitlines()
    check([line.split()[0] for line in lines[4:6]] == ["1", "0"] and "the other 1" in lines[6], readable.stdout)
    check("3 steps: 10.0 us" in lines and "\x1b" not in readable.stdout, readable.stdout)
    check("their floor: 4.6 us, 46.0 %, at the most that this device could do: 10.0 GB/s 15.0 GFLOP/s" in lines, readable.stdout)
    check(lines[3].split()[:6] == ["step", "us", "share", "floor", "GFLOP/s", "GB/s"] and lines[4].split()[5:6] == ["10.0"], readable.stdout)


@test
def what_a_backend_cannot_profile_is_an_error(dir):
    check_run(steps("profile", "--backend=cuda", dir / "net.bin"), 1,
              "gpudl: profile: backend 'cuda' can't time its steps\n")
    check_run(steps("profile", "--backend=cpu", "--batch=5", dir / "net.bin"), 1,
              "gpudl: profile: backend 'cpu' refuses model 'three colours': 4 is the largest batch of steps\n")
    result = steps("profile", "--backend=cpu", f"--html={dir}/none/p.html", dir / "net.bin")
    check_run(result, 1, f"gpudl: profile: {dir}/none/p.html: can't be written: ")
    check(result.stdout == "", result.stdout)
    os.mkfifo(dir / "pipe.html")
    (dir / "folder.html").mkdir()
    for name in "pipe.html", "folder.html":
        check_run(steps("profile", "--backend=cpu", f"--html={dir}/{name}", dir / "net.bin"), 1,
                  f"gpudl: profile: {dir}/{name}: can't be written: is not a regular file\n")
    check((dir / "pipe.html").is_fifo())


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "br", "rect", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        check(self.open and self.open.pop() == tag, f"</{tag}> closes nothing")

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


@test
def the_page_needs_nothing_and_shows_names_as_they_are(dir):
    file = dir / "<b>odd & \"quoted\" '.bin"
    file.write_bytes((dir / "net.bin").read_bytes())
    check_run(steps("profile", "--backend=cpu", "--html", dir / "p.html", file), 0)
    source = (dir / "p.html").read_text("utf-8")
    page = Page(source)
    check(page.open == [], f"not closed: {page.open}")
    tags = [tag for tag, _ in page.elements]
    check(tags.count("script") == 1 and not {"img", "link", "iframe", "object"} & set(tags), tags)
    check(not re.search(r"https?://|url\(|@import", source), source)
    for tag, attributes in page.elements:
        check(not {"src", "href", "onerror", "onload"} & set(attributes), f"{tag} {attributes}")
    policy = [a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a]
    check(len(policy) == 1 and policy[0].startswith("default-src 'none'; ") and "script-src 'sha256-" in policy[0], policy)
    text = "".join(page.text)
    for shown in HOSTILE, str(file), 'steps <1.0> & "more"', "first </title><img src=x>", "three colours", "median of 20", "floor of the steps4.6":
        check(shown in text, f"{shown} is not in {text}")
    check(len(re.findall(r'<g class="s">', source)) == 3 and source.count("<tr>") == 4 and "\x1b" not in source, source)
    check(re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", text), text)


QUICK = "--seconds=0.1", "--warmup=0.02"


@test
def a_bench_measures_every_combination(dir):
    result = steps("bench", "--json", *QUICK, "--backend=cpu,ref", "--precision=auto,fp16", "--threads=1,2",
                   "--batch=1,4,5", dir / "net.bin")
    check_run(result, 0)
    told = json.loads(result.stdout)
    check(list(told) == ["gpudl", "date", "command", "model", "input", "seconds", "warmup_seconds", "results"], told)
    check(told["input"] == {"kind": "values"} and told["seconds"] == 0.1 and told["warmup_seconds"] == 0.02, told)
    asked = [tuple(r["asked"].values()) for r in told["results"]]
    check(asked == [(b, p, t, n) for b in ("cpu", "ref") for p in ("auto", "fp16") for t in (1, 2) for n in (1, 4, 5)],
          asked)
    for (backend, precision, threads, batch), r in zip(asked, told["results"]):
        can = batch <= 4 if backend == "cpu" else batch == 1 and precision == "auto"
        check(r["measured"] == can and ("reason" in r) != can, r)
        if not can:
            check(f"backend '{backend}'" in r["reason"] and list(r) == ["asked", "measured", "reason"], r)
            continue
        check(r["backend"] == backend and r["precision"] == ("fp16" if precision == "fp16" else "fp32"), r)
        spread = r["latency_ns"]
        check(spread["min"] <= spread["p50"] <= spread["p90"] <= spread["p99"] <= spread["max"], r)
        check(spread["min"] <= spread["mean"] <= spread["max"] and r["frames"] >= r["depth"] >= 1, r)
        check(abs(r["frames_per_second"] - r["frames"] * 1e9 / r["wall_ns"]) < 1e-5 * r["frames_per_second"], r)
        check(r["wall_ns"] >= 1e8 and r["load_ns"] > 0 and r["processor_ns"] > 0, r)
        if backend == "cpu":  # 100 us a frame
            check((r["parallelism"], r["max_batch"], r["depth"]) == (threads * batch, batch, 2 * threads * batch), r)
            check((r["weight_bytes"], r["work_bytes"]) == (1000, 2000 * threads), r)
            check(r["device"] == 'steps <1.0> & "more"' and spread["min"] >= 100000, r)
            check(r["frames"] <= r["wall_ns"] / 100000 * threads + r["depth"], r)
            # who waits for the execution before is under way twice as long as an execution takes
            check(batch == 1 or threads == 2 or spread["p90"] > 600000, r)
            check(r["mean_batch"] == 1 if batch == 1 else 1 < r["mean_batch"] <= 4, r)


@test
def what_is_measured_is_the_device_asked_for(dir):
    asked = dir / "asked"
    env = {**STEPS, "STEPS_TIMES": "1", "GPUDL_CACHE_DIR": str(dir / "devices"), "STEPS_ASKED": str(asked)}
    for command in ["profile"], ["bench", *QUICK, "--batch=1"]:
        for device, code in (0, 0), (1, 0), (2, 1):
            asked.unlink(missing_ok=True)
            result = gpudl(*command, "--backend=cuda", f"--device={device}", dir / "net.bin", env=env)
            check(result.returncode == code, f"{device}: {result.returncode} {result.stderr}")
            check(("0 and 1 are all devices of steps" in result.stdout + result.stderr) == (device == 2), f"{result.stdout}{result.stderr}")
            if device == 2:  # behind one that is opened all devices are listed
                check(set(asked.read_text().split()) == {"2"}, f"{command[0]}: asked for 2, looked for {asked.read_text().split()}")


@test
def a_bench_of_frames_pre_processes_them(dir):
    for input in "64x48:NV12", "7x5:RGB":
        result = steps("bench", "--json", *QUICK, "--backend=ref", f"--input={input}", dir / "net.bin")
        check_run(result, 0)
        told = json.loads(result.stdout)
        size, format = input.split(":")
        width, height = map(int, size.split("x"))
        check(told["input"] == {"kind": "frames", "width": width, "height": height, "format": format}, told)
        check(told["results"][0]["measured"] and told["results"][0]["frames"] > 0, told)
    bare = json.loads(steps("bench", "--json", *QUICK, "--backend=ref", dir / "net.bin").stdout)["results"][0]
    large = json.loads(steps("bench", "--json", *QUICK, "--backend=ref", "--input=640x480:RGB", dir / "net.bin").stdout)
    check(large["results"][0]["latency_ns"]["p50"] > 2 * bare["latency_ns"]["p50"], f"{bare} {large}")


@test
def the_readable_bench_lists_what_it_could_not(dir):
    result = steps("bench", *QUICK, "--backend=cpu", "--batch=1,9", dir / "net.bin")
    check_run(result, 0)
    check(re.search(r"^  cpu +fp32 +auto +1 +\d", result.stdout, re.MULTILINE), result.stdout)
    check(re.search(r"^not measured:\n.*\n  cpu +auto +auto +9 +backend 'cpu' refuses .*4 is the largest batch of steps$",
                    result.stdout, re.MULTILINE), result.stdout)


@test
def a_bench_of_nothing_or_with_a_failure_fails(dir):
    result = steps("bench", *QUICK, "--backend=cpu", "--batch=9", dir / "net.bin")
    check_run(result, 1)
    check("4 is the largest batch" in result.stdout, result.stdout)
    result = steps("bench", "--json", *QUICK, "--backend=cpu", "--threads=1,7,2", "--batch=1", dir / "net.bin")
    check_run(result, 1)
    check([r.get("reason", "") for r in json.loads(result.stdout)["results"]] == ["", "cpu: tripped over seven", ""],
          result.stdout)
    check_run(steps("bench", dir / "none.bin"), 1, f"gpudl: bench: {dir}/none.bin: ")


def on_cold_cache(dir, *args):
    """gpudl on the backend that tunes while it has nothing to do; what it had to run before that was over."""
    cache, early = dir / "cold cache", dir / "early"
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    early.unlink(missing_ok=True)
    result = gpudl(*args, "--backend=cuda", dir / "net.bin",
                   env={**STEPS, "GPUDL_CACHE_DIR": str(cache), "STEPS_TIMES": "1", "STEPS_EARLY": str(early)})
    check_run(result, 0)
    check(not early.exists(), f"{args[0]} does not wait for the end of tuning: {early.read_text() if early.exists() else ''}")
    return json.loads(result.stdout), sorted(p.name for p in cache.iterdir())


@test
def what_is_measured_is_tuned(dir):
    """On a cold cache tuning would go on between the frames."""
    told, kept = on_cold_cache(dir, "bench", "--json", *QUICK, "--precision=fp16")
    check(len(kept) == 4, kept)
    result, = told["results"]
    check(result["settle_ns"] > 80e6 > result["load_ns"], result)  # 20 ms for each of four choices
    told, kept = on_cold_cache(dir, "profile", "--json", "--batch=2")
    check(len(kept) == 2 and told["backend"] == "cuda" and len(told["steps"]) == 3, (kept, told))


@test
def what_tunes_before_it_is_measured_can_be_interrupted(dir):
    (dir / "slow cache").mkdir()
    for command in "bench", "profile":
        code, stdout, stderr = interrupt([command, "--backend=cuda", dir / "net.bin"],
                                         env={**STEPS, "GPUDL_CACHE_DIR": str(dir / "slow cache"), "STEPS_TIMES": "1",
                                              "STEPS_SLOW": "1"})
        check((code, stdout, stderr) == (130, "", f"gpudl: {command}: interrupted\n"), f"{code} {stdout} {stderr}")


def keys(value):
    if isinstance(value, list):
        return {k for v in value for k in keys(v)}
    return set(value) | keys(list(value.values())) if isinstance(value, dict) else set()


@test
def help_names_every_key(dir):
    for command, options in ("profile", []), ("bench", [*QUICK, "--batch=1,9", "--input=8x8:RGB"]):
        told = json.loads(steps(command, "--json", "--backend=cpu", *options, dir / "net.bin").stdout)
        text = gpudl(command, "--help").stdout
        missing = [k for k in keys(told) if not re.search(rf"\b{k}\b", text)]
        check(len(keys(told)) > 20 and not missing, f"{command} --help does not name {missing}")


def interrupt(args, after=0.5, env=STEPS):
    process = subprocess.Popen([GPUDL, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    time.sleep(after)
    check(process.poll() is None, f"{args} has ended by itself")
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    stdout, stderr = process.communicate(timeout=60)
    check(time.monotonic() - begin < 5, f"{args} ended after {time.monotonic() - begin} s")
    return process.returncode, stdout, stderr


@test
def ctrl_c_ends_a_profile(dir):
    code, stdout, stderr = interrupt(["profile", "--backend=cpu", "--runs=1000", f"--html={dir}/late.html", dir / "net.bin"])
    check((code, stdout, stderr) == (130, "", "gpudl: profile: interrupted\n"), f"{code} {stdout} {stderr}")
    check(not (dir / "late.html").exists())


@test
def ctrl_c_ends_a_bench_and_shows_what_was_measured(dir):
    for after in 0.5, 1, 2, 4:  # a loaded machine has measured nothing at first
        code, stdout, stderr = interrupt(["bench", "--json", "--backend=ref,cpu", "--seconds=0.2", "--warmup=0",
                                          "--threads=" + ",".join(["1"] * 20), dir / "net.bin"], after)
        if stdout:
            break
    told = json.loads(stdout)["results"]
    check(1 <= len(told) < 40 and all(r["measured"] for r in told), stdout)
    check((code, stderr) == (130, "gpudl: bench: interrupted: this is not all that was asked for\n"), f"{code} {stderr}")
    code, stdout, stderr = interrupt(["bench", "--backend=cpu", "--seconds=60", dir / "net.bin"])
    check((code, stdout, stderr) == (130, "", "gpudl: bench: interrupted\n"), f"{code} {stdout} {stderr}")


sys.exit(main())
