#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench/gpupipes.py with sides that are made up: percentiles, ratios, goals, who is started with what, rows and where a second
call goes on, the tables. Nothing here is timed."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True
import gpu
import gpupipes

# argv: log, name, plan: answers of the turns, the last one for all further ones; "die": ends
SIDE = """
import json, sys
log, name, plan = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
print(json.dumps({"ready": f"made up {name}"}), flush=True)
for i, line in enumerate(sys.stdin):
    with open(log, "a") as file:
        file.write(f"{name} {line}")
    answer = plan[min(i, len(plan) - 1)]
    if answer == "die":
        sys.exit("gone")
    print(json.dumps(answer if isinstance(answer, dict) else {"ns": answer}), flush=True)
"""


class Made(gpupipes.Pipes):
    def __init__(self, folder, plans, *words, card="Card, 1", broken=False):
        build = folder / "build"
        for program in "bench-pipe", "bench-cuda":
            (build / "bench").mkdir(parents=True, exist_ok=True)
            (build / "bench" / program).touch(0o755)
        options = gpupipes.parse([str(build), "--source=videotestsrc", "--live-source=camera", *words])
        super().__init__(build, folder / "bench", options)
        self.log, self.plans, self.name, self.broken, self.tuned = folder / "log", plans, card, broken, []

    def card(self):
        return self.name

    def state(self):
        return "cool"

    def export(self, net):
        if self.broken:
            raise gpu.SideFailed("no such network")
        return self.folder / f"{net}.onnx"

    def tune(self, model):
        self.tuned.append(model.stem)

    def network_ns(self, net, model):
        return 300000

    def utilization(self):
        return 40

    def start_side(self, name, side, command):
        plan = self.plans.get((name, side), self.plans.get(side, [1000]))
        return gpu.Side(side, [sys.executable, "-c", SIDE, self.log, side, json.dumps(plan)], self.env,
                        self.folder / f"{name}-{side}.log")

    def logged(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


tests = []


def test(function):
    tests.append(function)


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


def run(bench, limit=100000, clock=None):
    out = io.StringIO()
    path = bench.folder.parent / "rows.json"
    with contextlib.redirect_stdout(out):
        status = gpupipes.run(bench, bench.options.names, path, limit, **({"clock": clock} if clock else {}))
    return status, out.getvalue(), gpu.read_rows(path)


def lines_of(out, first):
    return [line.split() for line in out.splitlines() if line.startswith(first + " ") and "in" not in line.split()]


@test
def a_percentile_is_of_nearest_rank(folder):
    values = [30, 10, 20, 40]
    check([gpupipes.percentile(values, p) for p in (0, 25, 26, 50, 75, 76, 99, 100)] == [10, 10, 20, 20, 30, 40, 40, 40])
    check(gpupipes.percentile([7], 50) == gpupipes.percentile([7], 99) == 7)
    check(gpupipes.percentile(range(1, 1001), 99) == 990 and gpupipes.percentile(range(1, 1001), 50) == 500)


@test
def speeds_are_of_turns_side_by_side_and_above_1_ours_is_faster(folder):
    told = gpupipes.compare({"ours": [{"ns": 10}, {"ns": 20}, {"ns": 60}], "identity": [{"ns": 5}, {"ns": 40}, {"ns": 120}]})
    check(told["identity"]["speed"] == 2 and told["ours"]["ns"] == 20 and told["ours"]["rate"] == 5e7, told)
    check("speed" not in told["ours"] and told["identity"]["turns_ns"] == [5, 40, 120], told)
    check(gpupipes.compare({"identity": [{"ns": 5}]})["identity"]["ns"] == 5)
    told = gpupipes.compare({"ours": [{"ns": 1, "memory": "A"}, {"ns": 1, "memory": "B"}]})
    check(told["ours"]["memory"] == "B", told)


@test
def delays_are_of_all_turns_and_compared_by_percentile(folder):
    ours = gpupipes.delays([{"through_ns": list(range(1, 51)), "late_ns": [5] * 50},
                            {"through_ns": list(range(51, 101)), "late_ns": [7] * 50}])
    check(ours == {"frames": 100, "max_ns": 100, "p50_ns": 50, "p99_ns": 99, "late_p50_ns": 5, "late_p99_ns": 7}, ours)
    told = gpupipes.added(ours, {"p50_ns": 10, "p99_ns": 19}, 300000)
    check(told == {"p50_ns": {"added_ns": 40, "allowed_ns": 800000}, "p99_ns": {"added_ns": 80, "allowed_ns": 1800000}}, told)
    check(gpupipes.added(ours, ours, None)["p99_ns"] == {"added_ns": 0, "allowed_ns": None})


@test
def pictures_are_slices_that_begin_with_the_first_macroblock(folder):
    start = b"\0\0\0\1"
    stream = (start + b"\x67\x42\0" + start + b"\x68\xce" + start + b"\x65\x88\1" + start + b"\x65\x40\1"  # a second slice
              + start + b"\x41\x9a\2" + b"\0\0\1\x01\x9e\3" + start + b"\x06\x80")
    check(gpupipes.count_pictures(stream) == 3 and gpupipes.count_pictures(b"") == 0)
    check(gpupipes.busy_ns(40, 1000) == 400 and gpupipes.busy_ns(None, 1000) is None)


@test
def a_clip_is_repeated_until_it_is_long_enough(folder):
    clip = folder / "clip.h264"
    clip.write_bytes(b"\0\0\0\1\x65\x88\1" * 3)
    bench = Made(folder, {}, f"--clip={clip}")
    check(bench.clip(3).read_bytes() == clip.read_bytes() and len(bench.clip(7).read_bytes()) == 3 * 21)
    bench.options.source = None
    live, still = bench.source(10, live=True), bench.source(1, "system")
    check("h264parse ! identity sync=true ! nvh264dec ! video/x-raw(memory:CUDAMemory)" in live, live)
    check(still.endswith("h264parse ! nvh264dec ! video/x-raw,format=NV12"), still)
    clip.write_bytes(b"nothing")
    try:
        Made(folder, {}, f"--clip={clip}").clip(1)
        check(False, "no error")
    except gpu.SideFailed as failure:
        check("no picture of an H.264 byte stream" in str(failure), failure)


@test
def sides_differ_in_the_element_alone(folder):
    bench = Made(folder, {})
    model = bench.folder / "n.onnx"
    told = bench.commands("file-8", model)
    check(list(told) == ["ours", "identity", "torch"], told)
    ours, identity = ([str(w) for w in told[s]] for s in ("ours", "identity"))
    check([a for a, b in zip(ours, identity) if a != b] ==
          [f'--place=gpudlinfer model="{model}" backend=cuda precision=fp16 autotune=cached'], ours)
    check("--place=identity" in identity and "--streams=8" in ours and ours[1] == "rate", identity)
    check(told["torch"][4] == "8" and told["torch"][3] == "resnet50", told)
    pool, other = bench.commands("pool-4", model), bench.commands("malloc-4", model)
    check("--memory=pool" in pool["ours"] and "--memory=pinned" in pool["copy"] and "--streams=4" in pool["ours"], pool)
    check("--memory=malloc" in other["ours"] and "--memory=malloc" in other["copy"], other)
    check(list(Made(folder, {}, "--peers=").commands("file-1", model)) == ["ours", "identity"])


@test
def sides_take_turns_and_the_first_does_not_count(folder):
    bench = Made(folder, {"ours": [9000, 1000, 2000, 3000], "identity": [9000, 960, 1920, 2880], "torch": [4000]},
                 "--rows=file-1", "--seconds=2")
    status, out, rows = run(bench)
    sides = ["ours", "identity", "torch"]
    check([line.split()[0] for line in bench.logged()] == [*sides, *sides[::-1], *sides, *sides[::-1]])
    check(status == 0 and len(rows) == 1 and bench.tuned == ["resnet50"], out)
    told = rows[0]["sides"]
    check(told["ours"]["turns_ns"] == [1000, 2000, 3000] and told["identity"]["speed"] == .96, told)
    check(told["torch"]["speed"] == 2 and told["torch"]["ready"] == "made up torch", told)
    check(lines_of(out, "file-1")[0][:7] == ["file-1", "resnet50", "500000", "identity", "520833", "0.960", "0.95"], out)


@test
def what_misses_its_goal_is_marked(folder):
    bench = Made(folder, {"ours": [1000], "identity": [940], "copy": [840], "torch": [500]}, "--rows=file-1,pool-4,malloc-4")
    _, out, _ = run(bench)
    check([line[5] for line in lines_of(out, "file-1")] == ["0.940!", "0.500"], out)
    check(lines_of(out, "pool-4")[0][5:7] == ["0.840!", "0.85"] and lines_of(out, "malloc-4")[0][5] == "0.840!", out)


@test
def a_live_stream_is_compared_with_identity_and_the_network(folder):
    def answer(through):
        return {"ns": 33e6, "through_ns": through, "late_ns": [1000000] * len(through)}
    bench = Made(folder, {"ours": [answer([800000, 900000, 5000000])], "identity": [answer([10000]), answer([20000, 20000])]},
                 "--rows=live", "--latency=60")
    status, out, rows = run(bench)
    check(bench.logged() == ["identity 3.0", "ours 60.0", "identity 3.0"])
    check(status == 0 and rows[0]["sides"]["identity"]["frames"] == 3 and rows[0]["network_ns"] == 300000, rows)
    check(rows[0]["added"]["p50_ns"] == {"added_ns": 880000, "allowed_ns": 800000}, rows)
    check(lines_of(out, "p50") == [["p50", "0.900", "0.020", "0.880!", "0.800", "1.000", "1.000"]], out)
    check(lines_of(out, "p99")[0][3] == "4.980!" and "the network alone: 0.300 ms" in out, out)


@test
def it_goes_on_where_it_stopped(folder):
    bench = Made(folder, {}, "--rows=file-1,pool-4", "--seconds=1")
    status, out, rows = run(bench, limit=100, clock=iter(range(0, 10000, 20)).__next__)
    check(status == 1 and [r["pipeline"] for r in rows] == ["file-1"], out)
    check("pool-4: not begun, the limit of 100 s is near" in out, out)
    bench.logged()
    status, out, rows = run(bench)
    check(status == 0 and [r["pipeline"] for r in rows] == ["file-1", "pool-4"], out)
    check({line.split()[0] for line in bench.logged()} == {"ours", "copy"})
    status, _, again = run(bench)
    check(status == 0 and again == rows and bench.logged() == [])
    run(Made(folder, {}, "--rows=pool-4", card="Other, 1"))
    check(len(gpu.read_rows(folder / "rows.json")) == 3)


@test
def who_fails_is_named_and_the_others_are_measured(folder):
    bench = Made(folder, {"torch": [1000, "die"]}, "--rows=file-1")
    status, out, rows = run(bench)
    check(status == 0 and rows[0]["sides"]["torch"]["failed"] == "exit status 1: gone", rows)
    check(rows[0]["sides"]["identity"]["speed"] == 1, rows)
    frame = {"ns": 33e6, "through_ns": [1000], "late_ns": [1000]}
    bench = Made(folder, {"ours": ["die"], "identity": [frame]}, "--rows=live")
    status, out, rows = run(bench)
    check(status == 1 and "live: ours: exit status 1: gone" in out and "added" not in rows[-1], out)
    status, out, rows = run(Made(folder, {}, "--rows=pool-4", broken=True))
    check(status == 1 and "pool-4: no such network" in out and len(rows) == 2, out)
    # ours is tried again, a peer that has said why is not
    bench = Made(folder, {"ours": [frame], "identity": [frame]}, "--rows=file-1,live")
    status, out, rows = run(bench)
    check(status == 0 and len(rows) == 2 and "added" in rows[-1], rows)
    check({line.split()[0] for line in bench.logged()[-3:]} == {"ours", "identity"} and "torch" not in bench.logged(), out)


@test
def rows_of_networks_and_of_pipelines_share_a_file(folder):
    path = folder / "rows.json"
    net = {"net": "resnet50", "batch": 1, "precision": "fp16", "card": "Card, 1", "state": "", "sides": {"ours": {"ns": 1e6}}}
    gpu.write_rows(path, [net])
    _, _, rows = run(Made(folder, {}, "--rows=file-1"))
    check(len(rows) == 2 and rows[0] == net, rows)
    check(gpu.lacks(rows, ("resnet50", 1, "fp16", "Card, 1"), []) is None)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        gpu.show(rows, "Card, 1", "fp16")
    check(len(lines_of(out.getvalue(), "resnet50")) == 1, out.getvalue())


@test
def words_that_mean_nothing_are_refused(folder):
    Made(folder, {})
    for words, expected in [(["--rows=file-2"], "--rows: found 'file-2', expected file-1"),
                            (["--peers=tf"], "--peers: found 'tf', expected torch"),
                            (["--source=a"], "--source and --live-source belong together")]:
        err = io.StringIO()
        try:
            with contextlib.redirect_stderr(err):
                gpupipes.parse([str(folder / "build"), *words])
            check(False, f"{words} taken")
        except SystemExit:
            check(expected in err.getvalue(), err.getvalue())


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
