#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: bench.py BUILD [--nets A,B] [--threads 1,2] [--rounds N] [--seconds S] [--json FILE]

Ours against ONNX Runtime on torchvision's networks, in turns in one run; pre-processing alone; processor time at 25
frames a second. A round runs a batch of frames on each, the order changing from round to round; what is compared is the
median over the rounds of the ratio within a round, so that what slows the machine down slows both. With N threads ours
has N frames in flight on one thread each, ONNX Runtime one frame on N threads, its own settings else.
Prints tables; --json also writes every figure. The share of the machine that other processes used is shown: figures
taken beside more than a few per cent mean little.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

from figures import ratios, summary
from programs import HERE, NETS, Program, ProgramFailed, busy_seconds, export, own_seconds, processor_name, table


def enter(build):
    """Goes on in the virtual environment that has ONNX Runtime."""
    venv = build / "venv"
    if pathlib.Path(sys.prefix).resolve() == venv.resolve():
        return
    python = venv / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", "import onnxruntime, numpy"],
                                             capture_output=True).returncode != 0:
        sys.exit(f"bench: no ONNX Runtime in {venv}: scripts/venv references makes it")
    os.execv(python, [str(python), "-W", "ignore", *sys.argv])


class OnnxRuntime:
    def __init__(self, model, threads):
        import numpy
        import onnxruntime
        onnxruntime.set_default_logger_severity(4)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        shape = [d if isinstance(d, int) else 1 for d in self.session.get_inputs()[0].shape]
        data = numpy.random.default_rng(1).uniform(-2, 2, shape).astype(numpy.float32)
        self.feed = {self.session.get_inputs()[0].name: data}

    def run(self, frames):
        start = time.perf_counter_ns()
        for _ in range(frames):
            self.session.run(None, self.feed)
        return (time.perf_counter_ns() - start) * 1e-6 / frames

    def close(self):
        del self.session


def bench_net(build, name, model, threads, rounds):
    ours, theirs = Program(build, model, threads), OnnxRuntime(model, threads)
    pids = [os.getpid(), ours.process.pid]
    ours.run(2)
    frames = max(2 * threads, min(60, int(300 / theirs.run(2))))  # about 0.3 s a turn
    busy, own, start = busy_seconds(), own_seconds(pids), time.monotonic()
    samples = {"ours": [], "ort": []}
    for i in range(rounds):
        for key in (("ours", "ort"), ("ort", "ours"))[i % 2]:
            samples[key].append(ours.run(frames)["wall"] if key == "ours" else theirs.run(frames))
    wall = time.monotonic() - start
    others = max(0, (busy_seconds() - busy) - (own_seconds(pids) - own)) / wall
    result = {"net": name, "threads": threads, "rounds": rounds, "frames_a_round": frames,
              "ours": summary(samples["ours"]), "ort": summary(samples["ort"]),
              "ratio": statistics.median(ratios(samples["ours"], samples["ort"])),
              "others_cores": others, "device": ours.device}
    ours.close()
    theirs.close()
    return result


def bench_nets(build, names, threads, rounds):
    results = []
    for name in names:
        model = export(build, name)
        for n in threads if model else []:
            results.append(bench_net(build, name, model, n, rounds))
            print(f"\r{name}, {n} thread{'s' if n > 1 else ''}: {results[-1]['ratio']:.2f}".ljust(60), end="",
                  file=sys.stderr)
    print(file=sys.stderr)
    rows = [["network", "threads", "ours ms", "spread", "ORT ms", "spread", "ORT/ours", "others' cores"]]
    for r in results:
        rows.append([r["net"], str(r["threads"]), f"{r['ours']['median_ms']:.2f}", f"{r['ours']['spread_ms']:.2f}",
                     f"{r['ort']['median_ms']:.2f}", f"{r['ort']['spread_ms']:.2f}", f"{r['ratio']:.2f}",
                     f"{r['others_cores']:.2f}"])
    print("Milliseconds a frame, 3x224x224 float32. ORT/ours above 1: ours is faster.")
    table(rows)
    return results


def bench_preproc(build):
    lines = subprocess.run([build / "bench" / "bench-cpu", "preproc"], check=True, capture_output=True, text=True)
    objects = [json.loads(line) for line in lines.stdout.splitlines()]
    rows = [["format", "size", "min ms", "median ms", "p90 ms"]]
    for o in objects[1:]:
        rows.append([o["format"], f"{o['width']}x{o['height']}", f"{o['min_ms']:.3f}", f"{o['median_ms']:.3f}",
                     f"{o['p90_ms']:.3f}"])
    print(f"Pre-processing alone to 3x224x224 float32, bilinear, one core, {objects[0]['instructions']}.")
    table(rows)
    return objects


def bench_live(build, seconds):
    model = export(build, "mobilenet_v2")
    if model is None:
        return None
    environment = dict(os.environ, GPUDL_BACKEND_PATH=str(build / "engine" / "cpu"))
    ran = subprocess.run([build / "bench" / "bench-cpu", "live", model, str(seconds)], check=True, text=True,
                         stdout=subprocess.PIPE, env=environment)
    result = json.loads(ran.stdout)
    result["core_share"] = result["cpu_s"] / result["wall_s"]
    print(f"MobileNetV2 on 768x576 I420 at 25 frames/s: {100 * result['core_share']:.1f} % of a core, "
          f"{result['latency_ms']:.1f} ms from submit to result.\n")
    return result


def machine():
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    import onnxruntime
    return {"date": datetime.datetime.now().isoformat(timespec="seconds"), "processor": processor_name(),
            "cores": len(os.sched_getaffinity(0)), "system": platform.platform(),
            "commit": commit.stdout.strip(), "onnxruntime": onnxruntime.__version__}


parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1],
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("build", type=pathlib.Path)
parser.add_argument("--nets", default=",".join(NETS))
parser.add_argument("--threads", default="1,2")
parser.add_argument("--rounds", type=int, default=10)
parser.add_argument("--seconds", type=int, default=10, help="of the live measurement")
parser.add_argument("--json", type=pathlib.Path)
arguments = parser.parse_args()
arguments.build = arguments.build.resolve()
enter(arguments.build)
report = {"machine": machine()}
print("{processor}, {cores} cores, commit {commit}, ONNX Runtime {onnxruntime}, {date}\n".format(**report["machine"]))
report["preproc"] = bench_preproc(arguments.build)
report["live"] = bench_live(arguments.build, arguments.seconds)
try:
    report["nets"] = bench_nets(arguments.build, [n for n in arguments.nets.split(",") if n],
                                [int(n) for n in arguments.threads.split(",")], arguments.rounds)
except ProgramFailed as error:
    sys.exit(f"bench: {error}")
if arguments.json:
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
