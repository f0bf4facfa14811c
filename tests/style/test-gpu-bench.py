#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench/gpu.py with peers that are made up: who builds and runs when, rows and where a second call goes on, ratios, goals,
the table. Nothing here is timed."""
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

# argv: log, name, plan: "us,us,..." of each turn, "no" (never ready), "die" in the second turn
PEER = """
import json, sys
log, name, plan = sys.argv[1:]
def say(what):
    with open(log, "a") as file:
        file.write(f"{what} {name}\\n")
say("builds")
if plan == "no":
    sys.exit("no such luck")
print("a line of some library's")
print(json.dumps({"ready": f"made up {name}"}), flush=True)
for i, line in enumerate(sys.stdin):
    say(f"runs {line.strip()}")
    if plan == "die" and i == 1:
        sys.exit("gone")
    times = [100] if plan == "die" else [float(t) for t in plan.split(",")]
    print(json.dumps({"runs": int(line), "ns": times[min(i, len(times) - 1)] * 1000}), flush=True)
"""


class Made(gpu.Bench):
    def __init__(self, folder, plans, card="Card, 1", broken=()):
        super().__init__(folder / "build", folder / "bench")
        self.log, self.plans, self.name, self.broken = folder / "log", plans, card, broken

    def card(self):
        return self.name

    def state(self):
        return "cool"

    def export(self, net):
        if net in self.broken:
            raise gpu.SideFailed("no such network")
        return self.folder / f"{net}.onnx"

    def command(self, side, net, batch, precision, model):
        return [sys.executable, "-c", PEER, self.log, side, self.plans.get((side, net, batch), self.plans.get(side, "100"))]

    def starts(self, *_):
        return {"start": {"total_s": 1.25, "added_bytes": 3e6, "predicted_bytes": 2500000}, "bare": {"total_s": 1.0}}

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


def run(bench, nets=("resnet50",), batches=(1,), peers=("eager",), limit=1000, clock=None, path=None, precision="fp16",
        together=1):
    path = path or bench.folder / "rows.json"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = gpu.run(bench, list(nets), list(batches), list(peers), precision, path, limit,
                         together=together, **({"clock": clock} if clock else {}))
    return status, out.getvalue(), gpu.read_rows(path)


@test
def all_build_first_and_then_take_turns(folder):
    bench = Made(folder, {})
    status, _, rows = run(bench, peers=["eager", "inductor"])
    lines = bench.logged()
    check(status == 0 and len(rows) == 1, rows)
    check(sorted(lines[:3]) == ["builds eager", "builds inductor", "builds ours"], lines)
    turns = [line.split()[2] for line in lines[3:]]
    check(all(line.startswith("runs 200 ") for line in lines[3:]), lines)
    sides = ["ours", "eager", "inductor"]
    # one to warm up, then three that count, every second one the other way round
    check(turns == [*sides, *sides, *sides[::-1], *sides], turns)


@test
def rows_build_together_before_any_is_timed(folder):
    bench = Made(folder, {("ours", "resnet50", 8): "10", ("ours", "resnet18", 1): "no"}, broken=["vgg16"])
    status, out, rows = run(bench, nets=["vgg16", "resnet18", "resnet50"], batches=[1, 8], together=6)
    lines = bench.logged()
    check(all(line.startswith("builds") for line in lines[:8]) and not any("builds" in line for line in lines[8:]), lines)
    check(status == 1 and out.count("can't be exported") == 2 and "resnet18 b1: ours: exit" in out, out)
    check([(r["net"], r["batch"], "starts" in r) for r in rows] ==
          [("resnet18", 1, False), ("resnet18", 8, False), ("resnet50", 1, True), ("resnet50", 8, False)], rows)
    check(rows[3]["sides"]["ours"]["ns"] == 10000 and rows[2]["sides"]["ours"]["ns"] == 100000, rows)
    run(bench, nets=["resnet50"], batches=[16, 2, 4], together=2)
    kinds = [line.split()[0] for line in bench.logged()]
    check(kinds == ["builds"] * 4 + ["runs"] * 16 + ["builds"] * 2 + ["runs"] * 8, kinds)


@test
def ours_uses_what_is_carried_then_the_peers_library(folder):
    env = gpu.Bench(folder, folder / "bench", "/its/cudnn").ours_env
    check(env["LD_LIBRARY_PATH"].split(":")[0] == "/its/cudnn", env["LD_LIBRARY_PATH"])
    (folder / "gpu-lib").mkdir()
    env = gpu.Bench(folder, folder / "bench", "/its/cudnn").ours_env
    check(env["LD_LIBRARY_PATH"].split(":")[:2] == [str(folder / "gpu-lib"), "/its/cudnn"], env["LD_LIBRARY_PATH"])
    check(gpu.Bench(folder, folder / "bench").env.get("LD_LIBRARY_PATH") == gpu.os.environ.get("LD_LIBRARY_PATH"))


@test
def a_figure_is_the_median_of_turns_and_a_ratio_of_those_side_by_side(folder):
    # the first turn is not counted
    bench = Made(folder, {"ours": "999,10,20,60", "eager": "999,100,40,120"})
    _, out, rows = run(bench)
    sides = rows[0]["sides"]
    check(sides["ours"]["ns"] == 20000 and sides["eager"]["ns"] == 100000, sides)
    check(sides["eager"]["turns_ns"] == [100000, 40000, 120000] and sides["eager"]["ratio"] == 0.5, sides)
    check("ratio" not in sides["ours"] and sides["eager"]["ready"] == "made up eager", sides)
    check(rows[0]["card"] == "Card, 1" and rows[0]["state"] == "cool" and rows[0]["starts"]["bare"]["total_s"] == 1, rows)
    check("memory    a session adds 3.0 MB, predicted are 2.5 MB" in out, out)
    check("start     1.250 s, bare context with libraries 1.000 s" in out, out)


@test
def it_goes_on_where_it_stopped(folder):
    bench = Made(folder, {})
    now = [0.0]

    def clock():
        now[0] += 10
        return now[0]

    # each row takes 20 of this clock's seconds and more
    status, out, rows = run(bench, batches=[1, 8, 32], limit=50, clock=clock)
    check(status == 1 and 1 <= len(rows) < 3 and "not begun, the limit of 50 s is near" in out, out)
    done = len(rows)
    bench.logged()
    status, out, rows = run(bench, batches=[1, 8, 32])
    check(status == 0 and [r["batch"] for r in rows] == [1, 8, 32], rows)
    check(len([l for l in bench.logged() if l == "builds ours"]) == 3 - done)
    status, out, again = run(bench, batches=[1, 8, 32])
    check(status == 0 and again == rows and bench.logged() == [], "measured again")
    check(out.count("resnet50") == 3, out)  # the table is printed all the same


@test
def another_card_is_another_row(folder):
    run(Made(folder, {}))
    _, out, rows = run(Made(folder, {}, card="Other, 1"))
    check([r["card"] for r in rows] == ["Card, 1", "Other, 1"] and "Card, 1" not in out, out)


@test
def a_further_peer_is_added_with_turns_of_its_own(folder):
    bench = Made(folder, {"ours": "10", "eager": "40", "inductor": "20"})
    run(bench)
    bench.plans["ours"] = "11"
    bench.logged()
    _, _, rows = run(bench, peers=["eager", "inductor"])
    lines = bench.logged()
    check(len(rows) == 1 and "builds eager" not in lines and "builds inductor" in lines, lines)
    sides = rows[0]["sides"]
    check(sides["eager"]["ratio"] == 0.25 and sides["inductor"]["ratio"] == 0.55 and sides["ours"]["ns"] == 11000, sides)


@test
def who_fails_is_named_and_the_others_are_measured(folder):
    bench = Made(folder, {"inductor": "no", ("eager", "resnet18", 1): "die"}, broken=["vgg16"])
    status, out, rows = run(bench, nets=["vgg16", "resnet50", "resnet18"], peers=["eager", "inductor"])
    check(status == 1 and "vgg16 b1: can't be exported: no such network" in out, out)
    first, second = rows
    check(first["sides"]["inductor"] == {"failed": "exit status 1: no such luck"}, first)
    check(first["sides"]["eager"]["ratio"] == 1, first)
    check(second["sides"]["eager"]["failed"] == "exit status 1: gone" and "ns" in second["sides"]["ours"], second)
    # a peer that failed has said why, and is not tried again; ours is
    status, _, _ = run(bench, nets=["resnet50", "resnet18"], peers=["eager", "inductor"])
    check(status == 0)
    bench.plans["ours"] = "no"
    status, out, rows = run(bench, nets=["alexnet"])
    check(status == 1 and "alexnet b1: ours: exit status 1: no such luck" in out, out)
    bench.plans["ours"] = "10"
    status, _, rows = run(bench, nets=["alexnet"])
    check(status == 0 and rows[-1]["sides"]["ours"]["ns"] == 10000, rows)


@test
def the_table_marks_what_misses_its_goal(folder):
    bench = Made(folder, {"eager": "1000", ("ours", "resnet50", 1): "330", ("ours", "resnet50", 8): "415"})
    _, out, _ = run(bench, batches=[8, 1])
    lines = [line.split() for line in out.splitlines() if line.startswith("resnet50 ") and "measured" not in line.split()]
    check(lines == [["resnet50", "1", "0.3300", "1.0000", "0.330", "0.31"],
                    ["resnet50", "8", "0.4150", "1.0000", "0.415!", "0.38"]], out)


@test
def a_table_is_of_one_precision(folder):
    run(Made(folder, {"eager": "1000", "ours": "415"}))
    _, out, rows = run(Made(folder, {"eager": "1000", "ours": "900"}), precision="fp32")
    lines = [line.split() for line in out.splitlines() if line.startswith("resnet50 ") and "measured" not in line.split()]
    check(len(rows) == 2 and "ms of a batch on the device, fp32" in out, out)
    check(lines == [["resnet50", "1", "0.9000", "1.0000", "0.900"]], out)


@test
def networks_have_the_batches_they_are_compared_at(folder):
    check(list(gpu.wanted_rows(["vgg16", "alexnet"], [])) ==
          [("vgg16", 1), ("vgg16", 8), ("vgg16", 32), ("vgg16", 128), ("alexnet", 1), ("alexnet", 32)])
    check(list(gpu.wanted_rows(["vgg16"], [2])) == [("vgg16", 2)])


@test
def rows_are_replaced_at_once(folder):
    path = folder / "rows.json"
    gpu.write_rows(path, [{"net": "a"}])
    check(json.loads(path.read_text()) == {"rows": [{"net": "a"}]} and list(folder.iterdir()) == [path])


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
