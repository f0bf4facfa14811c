#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: gpu.py BUILD [--nets A,B] [--batches 1,8] [--peers eager,inductor,ort|none] [--precision fp16] [--json FILE] [--limit S]
       [--together N]

Networks on an NVIDIA GPU: ours against others, each in a process of its own, in turns, the others idle meanwhile. A turn
is at least 200 replays of a CUDA graph of the whole network without pre-processing; a figure is the median of three turns
of medians. All processes of some rows (--together) build side by side before anything of them is timed; what needs the
device for building takes turns by a lock. Ours uses the cuDNN that PyTorch brings, where it brings one.

Each row (network, batch, precision, card) is added to the JSON file when it is there, so a second call goes on where
the first stopped: what has all peers asked for is not measured again. Rows for which the limit leaves no time are not begun.
Then the table of all rows of this card and precision: ms, and ours/peer: below 1 ours is faster. "goal": the ratio to
eager that is expected in fp16; a figure that misses it by more than 8 % has an exclamation mark.
Networks are exported here, by this machine's PyTorch; one that is missing is named. Exit status 0: all rows asked for are
there, 1: some are not, and why stands above the table.
"""
import argparse
import concurrent.futures
import contextlib
import datetime
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from programs import HERE, table

sys.dont_write_bytecode = True
NETS = ["resnet50", "mobilenet_v2", "resnet18", "squeezenet1_1", "efficientnet_lite0", "vgg16"]
MORE_NETS = ["alexnet", "googlenet", "densenet121", "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2",
             "regnet_y_400mf", "convnext_tiny"]
BATCHES, MORE_BATCHES = [1, 8, 32, 128], [1, 32]
PEERS = ["eager", "inductor", "ort"]
TURNS, REPLAYS = 3, 200
# ours over eager at most, in fp16 on an H100
GOALS = {"resnet50": (.31, .38, .42, .39), "mobilenet_v2": (.27, .34, .40, .39), "resnet18": (.37, .40, .46, .46),
         "squeezenet1_1": (.27, .27, .30, .28), "efficientnet_lite0": (.29, .35, .41, .41), "vgg16": (.61, .55, .49, .49)}
MARGIN = 1.08
CARD = "name,driver_version"
STATE = "clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_event_reasons.active"


class SideFailed(Exception):
    pass


class Side:
    """A program that is one of the peers, or ours; it builds while others do, and runs when it is asked."""

    def __init__(self, name, command, env, log):
        self.name = name
        self.log = open(log, "w")
        try:
            self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=self.log, env=env)
        except OSError as error:
            self.log.close()
            raise SideFailed(str(error)) from None

    def answer(self):
        while True:
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                last = pathlib.Path(self.log.name).read_text(errors="replace").strip().splitlines() or ["no message"]
                raise SideFailed(f"exit status {self.process.returncode}: {last[-1]}")
            if line.startswith("{"):
                return json.loads(line)

    def ask(self, line):
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says what happened
        return self.answer()

    def run(self, replays):
        return self.ask(replays)["ns"]

    def close(self):
        for stream in self.process.stdin, self.process.stdout:
            try:
                stream.close()
            except BrokenPipeError:
                pass
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


# ---- rows ------------------------------------------------------------------------------------------------------------

def read_rows(path):
    if not path.exists():
        return []
    return json.loads(path.read_text())["rows"]


def write_rows(path, rows):
    aside = path.with_name(path.name + ".new")
    aside.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    aside.replace(path)


def key_of(row):
    """Rows of pipelines, which are in the same file, have no batch."""
    return tuple(row.get(name) for name in ("net", "batch", "precision", "card"))


def lacks(rows, key, peers):
    """The peers that a row has neither a figure nor a reason for; all, and ours, where there is none. None: nothing."""
    found = next((row for row in rows if key_of(row) == key), None)
    missing = [p for p in peers if found is None or p not in found["sides"]]
    return ["ours", *missing] if missing or found is None or "ns" not in found["sides"].get("ours", {}) else None


def add_row(rows, new):
    """A peer that was not asked for this time keeps its figure; its ratio is of its own turns with ours."""
    for i, row in enumerate(rows):
        if key_of(row) == key_of(new):
            kept = {k: v for k, v in row["sides"].items() if k not in new["sides"]}
            rows[i] = {**new, "sides": {**kept, **new["sides"]}}
            return
    rows.append(new)


def compare(turns):
    """{side: [ns of each turn]}: medians, and ours over the side within a turn."""
    ours = turns.get("ours")
    told = {}
    for side, taken in turns.items():
        told[side] = {"ns": statistics.median(taken), "turns_ns": taken}
        if side != "ours" and ours:
            told[side]["ratio"] = round(statistics.median(a / b for a, b in zip(ours, taken)), 4)
    return told


def goal(net, batch, precision):
    known = precision == "fp16" and net in GOALS and batch in BATCHES
    return GOALS[net][BATCHES.index(batch)] if known else None


def cells(row, peers):
    """A line of the table."""
    def ms(side):
        found = row["sides"].get(side)
        return "" if found is None else f"{found['ns'] / 1e6:.4f}" if "ns" in found else "failed"

    wanted = goal(row["net"], row["batch"], row["precision"])
    line = [row["net"], str(row["batch"]), ms("ours")]
    for peer in peers:
        ratio = row["sides"].get(peer, {}).get("ratio")
        missed = peer == "eager" and wanted and ratio and ratio > wanted * MARGIN
        line += [ms(peer), "" if ratio is None else f"{ratio:.3f}{'!' if missed else ''}"]
    return [*line, f"{wanted:.2f}" if wanted else ""]


def show(rows, card, precision):
    rows = [r for r in rows if "batch" in r and r["card"] == card and r["precision"] == precision]
    if not rows:
        return
    peers = [p for p in PEERS if any(p in r["sides"] for r in rows)]
    head = ["network", "batch", "ours ms"]
    for peer in peers:
        head += [f"{peer} ms", "ours/it"]
    order = {net: i for i, net in enumerate(NETS + MORE_NETS)}
    rows = sorted(rows, key=lambda r: (order.get(r["net"], len(order)), r["net"], r["batch"]))
    print(f"{card}; ms of a batch on the device, {precision}")
    table([[*head, "goal"], *(cells(r, peers) for r in rows)])


# ---- measuring -------------------------------------------------------------------------------------------------------

def smi(fields):
    try:
        ran = subprocess.run(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", "-i", "0"], timeout=20,
                             capture_output=True, text=True)
        return ran.stdout.strip() if ran.returncode == 0 else "unknown"
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def find_cudnn():
    """The folder of the cuDNN that this Python's PyTorch brings, or None: it uses the system's."""
    with contextlib.suppress(ImportError):
        found = importlib.util.find_spec("nvidia.cudnn")
        for folder in (found.submodule_search_locations or []) if found else []:
            if next(pathlib.Path(folder, "lib").glob("libcudnn.so.*"), None):
                return str(pathlib.Path(folder, "lib"))
    return None


class Bench:
    """How things are started here; tests have another."""

    def __init__(self, build, folder, cudnn=None):
        self.build, self.folder = build, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = folder / "lock"
        self.env = dict(os.environ, GPUDL_BACKEND_PATH=str(build / "engine" / "cuda"), GPUDL_BENCH_LOCK=str(self.lock))
        self.env.setdefault("GPUDL_CACHE_DIR", str(folder / "tuning"))
        self.ours_env = dict(self.env)
        carried = str(build / "gpu-lib") if (build / "gpu-lib").is_dir() else None
        if carried or cudnn:
            self.ours_env["LD_LIBRARY_PATH"] = ":".join(p for p in (carried, cudnn, os.environ.get("LD_LIBRARY_PATH")) if p)

    def card(self):
        return smi(CARD)

    def state(self):
        return smi(STATE)

    def export(self, net):
        """The network as ONNX; SideFailed says why it can't be had."""
        path = self.folder / f"{net}.onnx"
        if not path.exists():
            aside = path.with_suffix(".new")
            made = subprocess.run([sys.executable, HERE / "gpunets.py", net, aside], capture_output=True, text=True)
            if made.returncode != 0:
                raise SideFailed((made.stderr.strip().splitlines() or ["no message"])[-1])
            aside.replace(path)
        return path

    def command(self, side, net, batch, precision, model):
        if side == "ours":
            return [self.build / "bench" / "bench-cuda", "net", model, str(batch), precision]
        return [sys.executable, HERE / "gpupeer.py", side, net, str(batch), precision, model]

    def start(self, side, net, batch, precision, model, beside):
        """beside: processes that build at the same time."""
        env = self.ours_env if side == "ours" else self.env
        threads = str(max(2, (os.cpu_count() or 2) * 2 // max(beside, 1)))
        env = {"OMP_NUM_THREADS": threads, "TORCHINDUCTOR_COMPILE_THREADS": threads, **env}
        return Side(side, self.command(side, net, batch, precision, model), env,
                    self.folder / f"{net}-{batch}-{precision}-{side}.log")

    def starts(self, net, batch, precision, model):
        """Seconds of a warm start of ours, and of a process that only opens context, cuDNN and cuBLASLt."""
        told = {}
        for name, arguments in ("start", ["start", model, str(batch), precision]), ("bare", ["bare"]):
            ran = subprocess.run([self.build / "bench" / "bench-cuda", *arguments], capture_output=True, text=True,
                                 env=self.ours_env)
            told[name] = json.loads(ran.stdout) if ran.returncode == 0 else {"failed": ran.stderr.strip()[-300:]}
        return told


class Row:
    """A network and a batch: who builds, who is ready, what is told of whom."""

    def __init__(self, net, batch, precision, sides):
        self.net, self.batch, self.precision, self.sides = net, batch, precision, sides
        self.model, self.ready, self.told = None, [], {}

    def name(self):
        return f"{self.net} b{self.batch}"

    def start(self, bench, beside):
        for name in self.sides:
            try:
                self.ready.append(bench.start(name, self.net, self.batch, self.precision, self.model, beside))
            except SideFailed as failure:
                self.told[name] = {"failed": str(failure)}

    def wait(self):
        """Until all are ready or have failed."""
        for side in list(self.ready):
            try:
                self.told[side.name] = side.answer()
            except SideFailed as failure:
                self.told[side.name] = {"failed": str(failure)}
                self.ready.remove(side)
                side.close()

    def close(self):
        while self.ready:
            self.ready.pop().close()

    def measure(self):
        ready, told = self.ready, self.told
        turns = {side.name: [] for side in ready}
        for side in list(ready):  # clocks are up, memory is warm
            run_one(side, ready, turns, told)
        for turn in range(TURNS):
            for side in list(ready if turn % 2 == 0 else ready[::-1]):
                taken = run_one(side, ready, turns, told)
                if taken is not None:
                    turns[side.name].append(taken)
        for name, figures in compare({k: v for k, v in turns.items() if v}).items():
            told[name] = {**told[name], **figures}


def export_all(bench, rows):
    """Some at a time; the rows whose network is there, and what the others lack."""
    nets, failed = list(dict.fromkeys(row.net for row in rows)), {}

    def export(net):
        try:
            return bench.export(net)
        except SideFailed as failure:
            failed[net] = str(failure)
            return None

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        models = dict(zip(nets, pool.map(export, nets)))
    for row in rows:
        row.model = models[row.net]
    return ([row for row in rows if row.model is not None],
            [f"{row.name()}: can't be exported: {failed[row.net]}" for row in rows if row.model is None])


def run_one(side, ready, turns, told):
    try:
        return side.run(REPLAYS)
    except SideFailed as failure:
        told[side.name] = {**told[side.name], "failed": str(failure)}
        ready.remove(side)
        turns.pop(side.name)
        side.close()
        return None


def wanted_rows(nets, batches):
    for net in nets:
        for batch in batches or (MORE_BATCHES if net in MORE_NETS else BATCHES):
            yield net, batch


def measure_all(bench, todo, card, rows, path):
    """Builds these rows side by side, then measures one after the other; what went wrong."""
    todo, undone = export_all(bench, todo)
    beside = sum(len(row.sides) for row in todo)
    try:
        for row in todo:
            row.start(bench, beside)
        for row in todo:
            row.wait()
        for row in todo:
            begun = time.monotonic()
            row.measure()
            row.close()
            new = {"net": row.net, "batch": row.batch, "precision": row.precision, "card": card, "state": bench.state(),
                   "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "sides": row.told}
            if "ns" not in row.told["ours"]:
                undone.append(f"{row.name()}: ours: {row.told['ours']['failed']}")
            elif row.batch == min(other.batch for other in todo if other.net == row.net):
                new["starts"] = bench.starts(row.net, row.batch, row.precision, row.model)
            add_row(rows, new)
            write_rows(path, rows)
            print_row(new, time.monotonic() - begun)
    finally:
        for row in todo:
            row.close()
    return undone


def run(bench, nets, batches, peers, precision, path, limit, clock=time.monotonic, together=4):
    """Exit status."""
    card, begun, longest, undone = bench.card(), clock(), 0.0, []  # longest: seconds of a row, of those built together
    rows = read_rows(path)
    todo = []
    for net, batch in wanted_rows(nets, batches):
        sides = lacks(rows, (net, batch, precision, card), peers)
        if sides is not None:
            todo.append(Row(net, batch, precision, sides))
    while todo:
        left = limit - (clock() - begun)
        fit = min(together, int(left / longest) if longest else together if left > 0 else 0)
        if fit < 1:
            break
        now, todo = todo[:fit], todo[fit:]
        start = clock()
        undone += measure_all(bench, now, card, rows, path)
        longest = max(longest, (clock() - start) / fit)
    undone += [f"{row.name()}: not begun, the limit of {limit:g} s is near; the same command goes on" for row in todo]
    for line in undone:
        print(line)
    show(rows, card, precision)
    return 1 if undone else 0


def print_row(row, seconds):
    print(f"{row['net']} b{row['batch']}, measured in {seconds:.0f} s; {row['state']}")
    for side, told in row["sides"].items():
        what = told.get("ready", "")
        outcome = f"{told['ns'] / 1e6:.4f} ms" if "ns" in told else f"failed: {told.get('failed')}"
        ratio = f", ours/it {told['ratio']:.3f}" if "ratio" in told else ""
        print(f"  {side:9} {outcome}{ratio}  {what}")
    starts = row.get("starts", {})
    if "predicted_bytes" in starts.get("start", {}):
        added, predicted = (starts["start"][k] / 1e6 for k in ("added_bytes", "predicted_bytes"))
        print(f"  memory    a session adds {added:.1f} MB, predicted are {predicted:.1f} MB")
    if "total_s" in starts.get("start", {}) and "total_s" in starts.get("bare", {}):
        print(f"  start     {starts['start']['total_s']:.3f} s, bare context with libraries {starts['bare']['total_s']:.3f} s")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--nets", default=",".join(NETS + MORE_NETS))
    parser.add_argument("--batches", default="")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--precision", default="fp16", choices=["fp16", "fp32"])
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--limit", type=float, default=450, help="seconds after which no row is begun")
    parser.add_argument("--together", type=int, default=4, help="rows that build side by side")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    peers = [p for p in arguments.peers.split(",") if p] if arguments.peers != "none" else []
    for peer in peers:
        if peer not in PEERS:
            parser.error(f"--peers: found '{peer}', expected {', '.join(PEERS)}, or none alone")
    try:
        batches = [int(b) for b in arguments.batches.split(",") if b]
    except ValueError:
        parser.error(f"--batches: found '{arguments.batches}', expected numbers")
    if not (build / "bench" / "bench-cuda").is_file():
        parser.error(f"{build}: no bench/bench-cuda in it, expected a build folder of this project, built")
    if arguments.together < 1:
        parser.error(f"--together: found {arguments.together}, expected at least 1")
    path = (arguments.json or build / "gpu" / "gpu-bench.json").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    return run(Bench(build, build / "gpu" / "bench", find_cudnn()), [n for n in arguments.nets.split(",") if n], batches, peers,
               arguments.precision, path, arguments.limit, together=arguments.together)


if __name__ == "__main__":
    sys.exit(main())
