#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The statistics of the measurements, by hand; bench/against.py on a pair of programs that take the time they are told:
who runs when, which of two measurements decides, what a build that fails means. Nothing here is timed."""
import contextlib
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import types

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True
import against as comparison
import bench
import elements
import figures
import programs

# One start of the program reads one line of its plan: "warm-up, round, round, ..." in ms a frame, the last of them for
# all further rounds, or "die"; the last line is for all further starts. Each run is logged.
FAKE = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).resolve().parent
plan = (here / "plan").read_text().splitlines()
started = here / "started"
count = int(started.read_text()) if started.exists() else 0
started.write_text(str(count + 1))
times = plan[min(count, len(plan) - 1)]
if times == "die" or sys.argv[1] != "net" or here / "refused" == pathlib.Path(sys.argv[2]):
    sys.exit("no such luck")
times = [float(t) for t in times.split(",")]
told = {{"precision": (here / "precision").read_text()}} if (here / "precision").exists() else {{}}
print(json.dumps({{"ready": "fake", **told}}), flush=True)
for run, line in enumerate(sys.stdin):
    with open(here.parents[1] / "log", "a") as log:
        log.write(here.parent.name + ("-warm" if run == 0 else "") + "\\n")
    ms = times[min(run, len(times) - 1)]
    if ms == 0:
        sys.exit("gone in the middle")
    print(json.dumps({{"frames": int(line), "ns": round(int(line) * ms * 1e6)}}), flush=True)
"""


def against(ours, theirs, *arguments, nets=("net.onnx",), refused=None, precisions=(None, None)):
    """Exit status, output's lines, the report, who ran in which order."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name).resolve()
        for side, plan, precision in zip(("ours", "theirs"), (ours, theirs), precisions):
            program = folder / side / "bench" / "bench-cpu"
            program.parent.mkdir(parents=True)
            if plan is not None:
                program.write_text(FAKE.format(python=sys.executable))
                program.chmod(0o755)
                (program.parent / "plan").write_text("\n".join(plan))
                if precision:
                    (program.parent / "precision").write_text(precision)
        models = [str(folder / refused / "bench" / "refused") if net == "refused" else f"{folder}/{net}" for net in nets]
        report = folder / "report.json"
        ran = subprocess.run([sys.executable, BENCH / "against.py", folder / "ours", folder / "theirs", "--json", report,
                              "--threads", "1", "--nets", ",".join(models), *arguments], capture_output=True, text=True)
        log = (folder / "log").read_text().split() if (folder / "log").exists() else []
        return (ran.returncode, ran.stdout.splitlines() + ran.stderr.splitlines(),
                json.loads(report.read_text()) if report.exists() else None, log, ran.stdout.splitlines())


def same(a, b):
    return math.isclose(a, b, rel_tol=1e-6)


def check_summary():
    values = [5, 1, 2, 3, 4, 6, 7, 8, 9, 100]
    got = figures.summary(values)
    assert got == {"median_ms": 5.5, "min_ms": 1, "spread_ms": 7}, got
    assert figures.summary([3, 1, 2]) == {"median_ms": 2, "min_ms": 1, "spread_ms": 2}


def check_ratio():
    # the medians' quotient would be 2 / 3
    rounds = [{"ours": {"wall": o, "processor": p}, "theirs": {"wall": t, "processor": 6}}
              for o, t, p in ((1, 2, 1), (3, 2, 2), (4, 9, 3))]
    wall, processor = figures.compare(rounds, "wall"), figures.compare(rounds, "processor")
    assert wall == {"ours_ms": 3, "theirs_ms": 2, "ratio": 2, "least": 2 / 3, "largest": 2.25}, wall
    assert processor == {"ours_ms": 2, "theirs_ms": 6, "ratio": 3, "least": 2, "largest": 6}, processor
    try:
        figures.ratios([1, 2], [1])
    except ValueError:
        return
    assert False, "a round without its other half was left out silently"


def check_memory():
    assert figures.further(70, 380, 32) == 10
    assert figures.steady([100, 100.5, 101]) and not figures.steady([100, 100.5, 101.1])


def check_playing():
    line = ('Got message #53 from element "{}" (state-changed): GstMessageStateChanged, old-state=(GstState)paused, '
            "new-state=(GstState){}, pending-state=(GstState){};\n")
    assert elements.plays(line.format("pipeline0", "playing", "void-pending"))
    for other in (("fakesink0", "playing", "void-pending"), ("pipeline0", "paused", "void-pending"),
                  ("pipeline0", "playing", "paused")):
        assert not elements.plays(line.format(*other)), other


def check_differences():
    ours = {"build": "a", "commit": "1", "buildtype": "release", "compiler": "gcc 12"}
    assert programs.differences(ours, {**ours, "build": "b", "commit": "2"}) == []
    told = programs.differences(ours, {**ours, "buildtype": "debug"})
    assert told == ["buildtype: ours release, theirs debug"], told


def check_turns():
    status, out, report, log, stdout = against(["1,2"], ["1,2"], "--rounds", "7")
    assert status == 0 and stdout[-1] == "no net slower than 0.98 by median", out
    first, second = ["ours", "theirs"], ["theirs", "ours"]
    warm = ["ours-warm", "theirs-warm"]
    assert log == warm + first + second + first + second + first + warm[::-1] + second + first, log
    assert report["nets"][0]["first"]["frames_a_turn"] == 300


def check_sides():
    status, out, report, _, _ = against(["1,2,4,4"], ["1,4,4,12"], "--rounds", "3")
    wall = report["nets"][0]["decides"]["wall"]
    assert status == 0 and same(wall["ratio"], 2) and same(wall["least"], 1) and same(wall["largest"], 3), wall
    assert same(wall["ours_ms"], 4) and same(wall["theirs_ms"], 4), wall
    assert all(r[side]["processor"] >= 0 for r in report["nets"][0]["first"]["rounds"] for side in ("ours", "theirs"))
    assert any(line.split()[:6] == ["net", "1", "3", "4.00", "4.00", "2.000"] for line in out), out


def check_noise():
    status, out, report, log, stdout = against(["1,2", "1,1"], ["1,1"], "--rounds", "2")
    net = report["nets"][0]
    assert status == 0 and stdout[-1] == "no net slower than 0.98 by median", out
    assert same(net["first"]["wall"]["ratio"], 0.5) and same(net["decides"]["wall"]["ratio"], 1), net
    assert len(net["first"]["rounds"]) == 2 and len(net["decides"]["rounds"]) == 6
    assert any(line.startswith("  again ") for line in out), out


def check_slower():
    status, out, _, _, stdout = against(["1,1.05"], ["1,1"], "--rounds", "2")
    assert status == 1 and stdout[-1] == "1 slower than 0.98 by median, 0 failed, of 1", out
    assert "net, 1 thread: slower, twice: 0.952, then 0.952" in out, out


def check_floor():
    assert against(["1,1.05"], ["1,1"], "--rounds", "2", "--floor", "0.95")[0] == 0
    status, _, report, _, _ = against(["1,1"], ["1,1"], "--rounds", "2", "--floor", "1.01")
    assert status == 1 and len(report["nets"][0]["decides"]["rounds"]) == 6


def check_clock():
    """Ours is slower by processor time only, which no program can be told to take."""
    sides = []
    for key, processor in (("ours", 2), ("theirs", 1)):
        side = types.SimpleNamespace(key=key, start=lambda model, threads: 1, close=lambda: None,
                                     program=types.SimpleNamespace(precision=None, process=types.SimpleNamespace(pid=os.getpid())),
                                     run=lambda frames, processor=processor: {"wall": 1, "processor": processor})
        sides.append(side)
    for by, rounds, status in (("wall", 2, 0), ("processor", 6, 1)):
        result = comparison.bench_net(sides, "net", "model", 1, types.SimpleNamespace(by=by, rounds=2, floor=.98))
        assert len(result["decides"]["rounds"]) == rounds, (by, result)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert comparison.verdict([result], by, .98) == status, (by, out.getvalue())


def check_ours_fails():
    status, out, _, _, stdout = against(["1,1"], ["1,1"], "--rounds", "1", nets=("net.onnx", "refused"), refused="ours")
    assert status == 1 and stdout[-1] == "0 slower than 0.98 by median, 1 failed, of 2", out
    assert any(line.startswith("refused, 1 thread: ours doesn't run it: ") for line in out), out


def check_theirs_fails():
    status, out, _, _, stdout = against(["1,1"], ["1,1"], "--rounds", "1", nets=("net.onnx", "refused"), refused="theirs")
    assert status == 0 and stdout[-1] == "no net slower than 0.98 by median", out
    assert any(line.startswith("refused, 1 thread: left out, theirs doesn't run it: ") for line in out), out


def check_nothing_measured():
    status, out, _, _, stdout = against(["1,1"], ["die"], "--rounds", "1")
    assert status == 1 and stdout[-1] == "no net was measured", out


def check_dies_later():
    status, out, _, _, stdout = against(["1,1,0"], ["1,1"], "--rounds", "3")
    assert status == 1 and any("ours doesn't run it" in line and "exit status 1" in line for line in out), out


def check_other_precisions_are_told():
    for precisions, theirs in ((("bf16", "fp32"), "fp32"), (("bf16", None), "not told, fp32 in a build of then")):
        _, out, *_ = against(["1,1"], ["1,1"], precisions=precisions)
        assert [line for line in out if line.startswith("note: ")] == [f"note: net: ours computes in bf16, theirs in {theirs}"], out
    for precisions in ("fp32", "fp32"), (None, None):
        _, out, *_ = against(["1,1"], ["1,1"], precisions=precisions)
        assert not any(line.startswith("note: net") for line in out), out


def check_no_build():
    status, out, report, log, _ = against(["1,1"], None)
    assert status == 2 and report is None and log == [], out
    assert any("no bench/bench-cpu in it" in line for line in out), out


# bench-cpu, or in a virtual environment the interpreter that runs peer.py: 1 ms a frame in fp32, 0.5 in others
SPOKEN = """#!{python}
import json, sys
words = sys.argv[sys.argv.index("onnxruntime") if "onnxruntime" in sys.argv else 1:]
if words[0] == "onnxruntime" and words[3] == "bf16":
    sys.exit(3)
precision = "bf16" if words[0] == "net" and words[3] == "auto" else "fp32" if words[3] == "auto" else words[3]
print(json.dumps({{"ready": words[0], "precision": precision}}), flush=True)
for line in sys.stdin:
    print(json.dumps({{"frames": int(line), "ns": int(line) * (1000000 if precision == "fp32" else 500000)}}), flush=True)
"""


def check_like_against_like():
    with tempfile.TemporaryDirectory() as name:
        build = pathlib.Path(name)
        for path in build / "bench" / "bench-cpu", build / "venv" / "bin" / "python":
            path.parent.mkdir(parents=True)
            path.write_text(SPOKEN.format(python=sys.executable))
            path.chmod(0o755)
        kept, out = bench.export, io.StringIO()
        bench.export = lambda build, name: pathlib.Path(name)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()) as err:
                got = bench.bench_nets(build, ["net"], [1], ["fp32", "bf16", "auto"], ["onnxruntime", "openvino"], 2)
        finally:
            bench.export = kept
    # a peer that has no bf16 has no row for it; one that is not installed is named
    assert [(r["asked"], r["ours_precision"], r["peer_precision"]) for r in got] == [("fp32", "fp32", "fp32"), ("auto", "bf16", "fp32")], got
    assert [r["wall"]["ratio"] for r in got] == [1, 2] and got[0]["processor"]["ours"]["median_ms"] > 0, got
    rows = [line.split() for line in out.getvalue().splitlines() if line.startswith("net ")]
    assert [(r[2], r[6], r[7]) for r in rows] == [("fp32", "onnxruntime", "fp32"), ("bf16", "onnxruntime", "fp32")], rows
    assert "openvino: left out, there is no " in err.getvalue(), err.getvalue()


def check_precision_is_checked_and_fp32_by_default():
    for options, part in (["--precision=fp7"], "--precision: found 'fp7', expected some of fp32, bf16, auto"), (
            ["--peers=x"], "--peers: found 'x', expected some of onnxruntime, openvino"):
        ran = subprocess.run([sys.executable, BENCH / "bench.py", "/none", *options], capture_output=True, text=True)
        assert ran.returncode == 2 and part in ran.stderr, ran.stderr
    ran = subprocess.run([sys.executable, BENCH / "bench.py", "--help"], capture_output=True, text=True)
    assert "(default fp32)" in ran.stdout, ran.stdout


def check_a_peer_that_can_not_says_so():
    with tempfile.TemporaryDirectory() as name:
        (pathlib.Path(name) / "onnxruntime.py").write_text("__version__ = '9'\n")
        (pathlib.Path(name) / "openvino.py").write_text("raise ImportError('no openvino here')\n")
        for words, status, part in (["onnxruntime", "m", "1", "bf16"], 3, "in fp32, not in bf16"), (
                ["openvino", "m", "1", "fp32"], 3, "no openvino here"), (["abacus", "m", "1", "fp32"], 2, "usage"), (
                ["openvino", "m", "1", "fp7"], 2, "usage"):
            ran = subprocess.run([sys.executable, BENCH / "peer.py", *words], capture_output=True, text=True,
                                 env={**os.environ, "PYTHONPATH": name})
            assert ran.returncode == status and part in ran.stderr and ran.stdout == "", ran


def main():
    cases = [(name.removeprefix("check_").replace("_", " "), case) for name, case in globals().items()
             if name.startswith("check_")]
    failed = 0
    print(f"1..{len(cases)}")
    for number, (name, case) in enumerate(cases, 1):
        try:
            case()
            print(f"ok {number} {name}")
        except Exception as error:
            failed += 1
            print(f"not ok {number} {name}")
            print("".join(f"# {type(error).__name__}: {line}\n" for line in str(error).splitlines() or ["here"]), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
