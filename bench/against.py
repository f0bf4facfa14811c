#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: against.py OURS THEIRS [--nets A,B] [--threads 1,2] [--rounds N] [--floor F] [--by CLOCK] [--json FILE]

Two builds of this project on the same networks, in turns in one run: is OURS slower than THEIRS? Each build's own bench
program runs with its own backends, in a process of its own, so nothing of the two need fit together. A round runs a
batch of frames of about 0.3 s on each, ours first in one round, theirs in the next; what is compared is the median over
the rounds of the ratio within a round. The processes start anew every few rounds: where a process's memory happens to
lie is part of its speed.

A net whose ratio is below the floor is measured again with three times the rounds; the second measurement decides.
Exit status 0: no net is slower, 1: one is or doesn't run on ours any more or nothing was measured, 2: usage.
A net that THEIRS can't run is named and left out. --nets takes names of torchvision's networks and paths of models.
"""
import argparse
import datetime
import json
import os
import pathlib
import sys
import time

from figures import compare
from programs import (NETS, Program, ProgramFailed, busy_seconds, describe, differences, export, own_seconds,
                      processor_name, table)

TURN_MS = 300
A_START = 5  # rounds that a pair of processes runs
AGAIN = 3  # times the rounds, for a net that seems slower
CLOCKS = ("wall", "processor")


class Side:
    """One of the two builds, and its bench program while that runs; key is "ours" or "theirs"."""

    def __init__(self, key, build):
        self.key, self.build, self.program = key, build, None

    def start(self, model, threads):
        try:
            self.program = Program(self.build, model, threads)
            return self.program.run(2 * threads)["wall"]
        except (OSError, ProgramFailed) as error:
            raise SideFailed(self.key, str(error)) from None

    def run(self, frames):
        try:
            return self.program.run(frames)
        except ProgramFailed as error:
            raise SideFailed(self.key, str(error)) from None

    def close(self):
        if self.program is not None:
            self.program.close()
        self.program = None


class SideFailed(Exception):
    def __init__(self, key, reason):
        super().__init__(reason)
        self.key = key


TOLD = set()


def tell_precisions(model, precisions):
    """Each build takes what it takes by itself; where that differs, so do more than their speeds. Once for each network."""
    if len(set(precisions)) > 1 and model not in TOLD:
        TOLD.add(model)
        print("note: {}: ours computes in {}, theirs in {}".format(pathlib.Path(model).stem, *precisions))


def measure(sides, model, threads, rounds):
    """The rounds, and the share of a core that other processes used meanwhile."""
    taken, frames, others, spent = [], None, 0, 0
    while len(taken) < rounds:
        order = sides if len(taken) // A_START % 2 == 0 else sides[::-1]
        try:
            slowest = max(side.start(model, threads) for side in order)
            tell_precisions(model, [side.program.precision or "not told, fp32 in a build of then" for side in sides])
            frames = frames or max(2 * threads, int(TURN_MS / slowest))
            pids = [os.getpid(), *(side.program.process.pid for side in sides)]
            busy, own, start = busy_seconds(), own_seconds(pids), time.monotonic()
            for _ in range(min(A_START, rounds - len(taken))):
                turns = sides if len(taken) % 2 == 0 else sides[::-1]
                taken.append({side.key: side.run(frames) for side in turns})
            others += max(0, (busy_seconds() - busy) - (own_seconds(pids) - own))
            spent += time.monotonic() - start
        finally:
            for side in sides:
                side.close()
    return {"rounds": taken, "frames_a_turn": frames, "others_cores": others / max(spent, 1e-9),
            **{clock: compare(taken, clock) for clock in CLOCKS}}


def bench_net(sides, name, model, threads, arguments):
    """One row of the report: measured, perhaps again, or what failed."""
    result = {"net": name, "threads": threads}
    try:
        result["first"] = result["decides"] = measure(sides, model, threads, arguments.rounds)
        if result["first"][arguments.by]["ratio"] < arguments.floor:
            result["decides"] = measure(sides, model, threads, AGAIN * arguments.rounds)
    except SideFailed as failure:
        result["failed"], result["reason"] = failure.key, str(failure)
    return result


def called(result):
    return f"{result['net']}, {result['threads']} thread{'s' if result['threads'] > 1 else ''}"


def show(results):
    rows = [["network", "threads", "rounds", "ours ms", "theirs ms", "theirs/ours", "least..largest", "processor: ours",
             "theirs", "theirs/ours", "others' cores"]]
    for r in results:
        if "failed" in r:
            continue
        for measured in [r["first"]] if r["first"] is r["decides"] else [r["first"], r["decides"]]:
            wall, processor = measured["wall"], measured["processor"]
            rows.append([r["net"] if measured is r["first"] else "  again", str(r["threads"]),
                         str(len(measured["rounds"])), f"{wall['ours_ms']:.2f}", f"{wall['theirs_ms']:.2f}",
                         f"{wall['ratio']:.3f}", f"{wall['least']:.2f}..{wall['largest']:.2f}",
                         f"{processor['ours_ms']:.2f}", f"{processor['theirs_ms']:.2f}", f"{processor['ratio']:.3f}",
                         f"{measured['others_cores']:.2f}"])
    print("Milliseconds a frame. theirs/ours, the median over the rounds of the ratio within a round, above 1: ours is "
          "faster.")
    table(rows)
    others = max((r["decides"]["others_cores"] for r in results if "failed" not in r), default=0)
    if others > 0.1:
        print(f"Other processes used up to {others:.2f} of a core: the wall clock means little here, see --by processor.")


def verdict(results, by, floor):
    """Prints the last lines; the exit status."""
    for r in results:
        if r.get("failed") == "theirs":
            print(f"{called(r)}: left out, theirs doesn't run it: {r['reason']}")
    broken = [r for r in results if r.get("failed") == "ours"]
    for r in broken:
        print(f"{called(r)}: ours doesn't run it: {r['reason']}")
    measured = [r for r in results if "failed" not in r]
    slower = [r for r in measured if r["decides"][by]["ratio"] < floor]
    for r in slower:
        print(f"{called(r)}: slower, twice: {r['first'][by]['ratio']:.3f}, then {r['decides'][by]['ratio']:.3f}")
    if not measured:
        print("no net was measured")
        return 1
    if slower or broken:
        print(f"{len(slower)} slower than {floor:g} by median, {len(broken)} failed, of {len(results)}")
        return 1
    print(f"no net slower than {floor:g} by median")
    return 0


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=pathlib.Path)
    parser.add_argument("theirs", type=pathlib.Path)
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=positive, default=10)
    parser.add_argument("--floor", type=float, default=0.98)
    parser.add_argument("--by", choices=CLOCKS, default="wall",
                        help="the clock that decides; processor time bears a busy machine better, but waits don't count")
    parser.add_argument("--json", type=pathlib.Path, help="every turn of every round")
    arguments = parser.parse_args()
    sides = [Side("ours", arguments.ours.resolve()), Side("theirs", arguments.theirs.resolve())]
    for side in sides:
        if not (side.build / "bench" / "bench-cpu").is_file():
            parser.error(f"{side.build}: no bench/bench-cpu in it, expected a build folder of this project, built")
    report = {"date": datetime.datetime.now().isoformat(timespec="seconds"), "processor": processor_name(),
              "cores": len(os.sched_getaffinity(0)), "by": arguments.by, "floor": arguments.floor,
              **{side.key: describe(side.build) for side in sides}, "nets": []}
    print(f"{report['processor']}, {report['cores']} cores, {report['date']}; ours: commit "
          f"{report['ours'].get('commit', 'unknown')}, theirs: {report['theirs'].get('commit', 'unknown')}")
    for line in differences(report["ours"], report["theirs"]):
        print(f"the builds differ: {line}")
    print()
    for name in filter(None, arguments.nets.split(",")):
        is_path = "/" in name or name.endswith((".onnx", ".bin"))
        model = pathlib.Path(name).resolve() if is_path else export(sides[0].build, name)
        for threads in [int(n) for n in arguments.threads.split(",")] if model else []:
            report["nets"].append(bench_net(sides, pathlib.Path(name).stem, model, threads, arguments))
            print(f"\r{called(report['nets'][-1])}".ljust(60), end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    show(report["nets"])
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(verdict(report["nets"], arguments.by, arguments.floor))


if __name__ == "__main__":
    main()
