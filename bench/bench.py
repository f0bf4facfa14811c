#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: bench.py BUILD [--nets A,B] [--threads 1,2] [--precision fp32,bf16] [--peers A,B] [--rounds N] [--seconds S] [--json FILE]

Ours against ONNX Runtime and OpenVINO on torchvision's networks, in turns in one run; pre-processing alone; processor time at
25 frames a second. Like against like: each precision that is asked for (fp32 unless told otherwise) is asked of ours and of each
peer, and each row says what both computed in; with auto each takes what it takes by itself. A round runs a batch of
frames on each, the order changing from round to round; what is compared is the median over the rounds of the ratio within a
round, so that what slows the machine down slows both. With N threads ours has N frames in flight on one thread each, the peers
one frame on N threads, their own settings else. Processor time is that of all the program's threads, a peer's that wait busily too.
Prints tables; --json also writes every figure. The share of the machine that other processes used is shown: figures
taken beside more than a few per cent mean little.
"""
import argparse
import datetime
import itertools
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

from figures import ratios, summary
from programs import HERE, NETS, NotAvailable, Program, ProgramFailed, busy_seconds, export, own_seconds, processor_name, table


PEERS = {"onnxruntime": "venv", "openvino": "venv-peers"}  # and the virtual environment of build/ that has it


def start_peer(build, peer, model, threads, precision):
    """None where it can't be had, and a line saying why."""
    python = build / PEERS[peer] / "bin" / "python"
    if not python.exists():
        print(f"{peer}: left out, there is no {python}: scripts/venv makes it", file=sys.stderr)
        return None
    try:
        return Program(build, model, threads, precision, [python, "-W", "ignore", HERE / "peer.py", peer])
    except NotAvailable:
        return None


def bench_peer(build, name, model, threads, precision, peer, rounds):
    theirs = start_peer(build, peer, model, threads, precision)
    if theirs is None:
        return None
    ours = Program(build, model, threads, precision)
    pids = [os.getpid(), ours.process.pid, theirs.process.pid]
    ours.run(2)
    frames = max(2 * threads, min(60, int(300 / theirs.run(2)["wall"])))  # about 0.3 s a turn
    busy, own, start = busy_seconds(), own_seconds(pids), time.monotonic()
    turns = {"ours": [], "theirs": []}
    for i in range(rounds):
        for key in (("ours", "theirs"), ("theirs", "ours"))[i % 2]:
            turns[key].append((ours if key == "ours" else theirs).run(frames))
    wall = time.monotonic() - start
    others = max(0, (busy_seconds() - busy) - (own_seconds(pids) - own)) / wall
    result = {"net": name, "threads": threads, "rounds": rounds, "frames_a_round": frames, "peer": peer,
              "peer_version": theirs.device, "device": ours.device, "asked": precision, "ours_precision": ours.precision,
              "peer_precision": theirs.precision, "others_cores": others}
    for clock in "wall", "processor":
        samples = {key: [turn[clock] for turn in turns[key]] for key in turns}
        result[clock] = {"ours": summary(samples["ours"]), "theirs": summary(samples["theirs"]),
                         "ratio": statistics.median(ratios(samples["ours"], samples["theirs"]))}
    ours.close()
    theirs.close()
    return result


def bench_nets(build, names, threads, precisions, peers, rounds):
    results = []
    for name in names:
        model = export(build, name)
        name = pathlib.Path(name).stem if name.endswith(".onnx") else name
        for n, precision, peer in itertools.product(threads, precisions, peers) if model else []:
            result = bench_peer(build, name, model, n, precision, peer, rounds)
            if result:
                results.append(result)
                print(f"\r{name}, {n} thread{'s' if n > 1 else ''}, {peer}: {result['wall']['ratio']:.2f}".ljust(60), end="",
                      file=sys.stderr)
    print(file=sys.stderr)
    if not results:
        return results
    rows = [["network", "threads", "ours", "ms", "spread", "cpu ms", "against", "in", "ms", "spread", "cpu ms", "ratio", "of cpu",
             "others' cores"]]
    for r in results:
        row = [r["net"], str(r["threads"])]
        for side, told in ("ours", [r["ours_precision"]]), ("theirs", [r["peer"], r["peer_precision"]]):
            row += told + [f"{r['wall'][side]['median_ms']:.2f}", f"{r['wall'][side]['spread_ms']:.2f}",
                           f"{r['processor'][side]['median_ms']:.2f}"]
        rows.append(row + [f"{r['wall']['ratio']:.2f}", f"{r['processor']['ratio']:.2f}", f"{r['others_cores']:.2f}"])
    print("Milliseconds a frame of 3x224x224, by the wall clock and by processor time. Ratio: theirs over ours, above 1 ours is\n"
          "faster.")
    for version in sorted({r["peer_version"] for r in results}):
        print(version)
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
    return {"date": datetime.datetime.now().isoformat(timespec="seconds"), "processor": processor_name(),
            "cores": len(os.sched_getaffinity(0)), "system": platform.platform(),
            "commit": commit.stdout.strip()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--nets", default=",".join(NETS), help="torchvision's names, or ONNX files")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--precision", default="fp32", help="fp32, bf16, auto: asked of ours and of the peers (default fp32)")
    parser.add_argument("--peers", default=",".join(PEERS), help="of " + ",".join(PEERS) + " (all)")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=10, help="of the live measurement")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.build = arguments.build.resolve()
    for option, known in ("precision", ("fp32", "bf16", "auto")), ("peers", tuple(PEERS)):
        chosen = [v for v in getattr(arguments, option).split(",") if v]
        for value in chosen:
            if value not in known:
                parser.error(f"--{option}: found '{value}', expected some of {', '.join(known)}")
        setattr(arguments, option, chosen)
    report = {"machine": machine()}
    print("{processor}, {cores} cores, commit {commit}, {date}\n".format(**report["machine"]))
    report["preproc"] = bench_preproc(arguments.build)
    report["live"] = bench_live(arguments.build, arguments.seconds)
    try:
        report["nets"] = bench_nets(arguments.build, [n for n in arguments.nets.split(",") if n],
                                    [int(n) for n in arguments.threads.split(",")], arguments.precision, arguments.peers,
                                    arguments.rounds)
    except ProgramFailed as error:
        sys.exit(f"bench: {error}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
