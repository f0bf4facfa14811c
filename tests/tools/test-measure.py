#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-measure.py GPUDL MAKE-MODEL TESTCARD STEPS: gpudl profile and gpudl bench as a user meets them, on backends whose
figures are known."""
import json
import re
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
    ]:
        result = gpudl(*args)
        check_run(result, 2, says)
        check(result.stdout == "" and "--help'" in result.stderr, f"{args}: {result.stdout}{result.stderr}")


@test
def a_profile_is_what_the_backend_says(dir):
    result = steps("profile", "--json", "--backend=cpu", "--runs=5", dir / "net.bin")
    check_run(result, 0)
    told = json.loads(result.stdout)
    check(list(told) == ["gpudl", "date", "command", "model", "backend", "device", "precision", "batch", "runs", "steps",
                         "total", "whole_run_ns", "difference_ns", "whole_run_by"], told)
    check(told["model"]["name"] == "three colours" and told["model"]["file"] == str(dir / "net.bin"), told)
    check(told["device"] == 'steps <1.0> & "more"' and told["backend"] == "cpu" and told["precision"] == "fp32", told)
    first, second, third = told["steps"]
    check(first["node"].startswith(HOSTILE) and first["op"] == "GlobalAveragePool" and first["nodes"] == 1, first)
    check(second == {"node": "times-ten", "nodes": 1, "op": "Conv", "implementation": "second 'quoted'", "ns": 6000,
                     "share": 0.6, "flops": 60000, "bytes": 12000}, second)
    check(third["nodes"] == 2 and third["flops"] is None and third["bytes"] is None, third)
    for key in "ns", "flops", "bytes":
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
    check((told["whole_run_ns"], told["difference_ns"], told["whole_run_by"]) == (60000, 30000, "backend"), told)
    readable = steps("profile", "--backend=cpu", "--sort=time", "--top=2", dir / "net.bin")
    check_run(readable, 0)
    lines = readable.stdout.splitlines()
    check([line.split()[0] for line in lines[4:6]] == ["1", "0"] and "the other 1" in lines[6], readable.stdout)
    check("3 steps: 10.0 us" in lines and "\x1b" not in readable.stdout, readable.stdout)


@test
def what_a_backend_cannot_profile_is_an_error(dir):
    check_run(steps("profile", "--backend=cuda", dir / "net.bin"), 1,
              "gpudl: profile: backend 'cuda' can't time its steps\n")
    check_run(steps("profile", "--backend=cpu", "--batch=5", dir / "net.bin"), 1,
              "gpudl: profile: backend 'cpu' refuses model 'three colours': 4 is the largest batch of steps\n")
    result = steps("profile", "--backend=cpu", f"--html={dir}/none/p.html", dir / "net.bin")
    check_run(result, 1, f"gpudl: profile: {dir}/none/p.html: can't be written: ")
    check(result.stdout == "", result.stdout)


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
    for shown in HOSTILE, str(file), 'steps <1.0> & "more"', "first </title><img src=x>", "three colours", "median of 20":
        check(shown in text, f"{shown} is not in {text}")
    check(len(re.findall(r'<g class="s">', source)) == 3 and source.count("<tr>") == 4 and "\x1b" not in source, source)
    check(re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", text), text)


def interrupt(args, after=0.5):
    process = subprocess.Popen([GPUDL, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=STEPS)
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


sys.exit(main())
