#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: elements.py BUILD [--against BUILD] [--model FILE] [--number N] [--runs N] [--rate FPS] [--json FILE]

What gpudlinfer costs in memory where many elements share a model: one process of gst-launch-1.0 with 1 and one with N
live branches `videotestsrc ! gpudlinfer ! fakesink`, and the same with identity in gpudlinfer's place, which shows what
the rest of the pipeline takes. Resident memory is sampled from PLAYING on until it no longer moves; load time is from
the start of the process until the whole pipeline is PLAYING, that is until each branch has given its first frame.
With --against each run measures both builds, in turns. What the heap's layout does differs from run to run: look at the
range of the runs, not at one.
"""
import argparse
import datetime
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from figures import further, steady
from programs import describe, export, processor_name, table

PLAYING_S = 120  # a model that loads longer is an error
INTERVAL_S, WINDOW, SETTLE_S = 0.25, 12, 60


def environment(build, folder):
    """A registry of its own for each build: the system's would know but one plugin of that name."""
    return dict(os.environ, GPUDL_BACKEND_PATH=str(build / "engine" / "cpu"),
                GST_PLUGIN_PATH=str(build / "plugin"), GST_REGISTRY=str(folder / "registry.bin"))


def resident(pid):
    """Resident bytes of a process, and those of them that no file backs."""
    fields = dict(line.split(":", 1) for line in open(f"/proc/{pid}/smaps_rollup").read().splitlines()[1:])
    return tuple(1024 * int(fields[key].split()[0]) for key in ("Rss", "Anonymous"))


def plays(line):
    """Whether this message says that all of the pipeline, sinks included, has arrived in PLAYING."""
    return ('from element "pipeline0" (state-changed)' in line and "new-state=(GstState)playing" in line
            and "pending-state=(GstState)void-pending" in line)


def watch(stream, playing, lines):
    """Reads the messages to their end, so that nobody waits for the pipe; notes when the whole pipeline plays."""
    for line in stream:
        lines.append(line)
        if plays(line):
            playing.set()


def measure(element, number, rate, env):
    """One process: seconds until it plays, resident bytes when steady."""
    branch = ["videotestsrc", "is-live=true", "!", f"video/x-raw,format=I420,width=320,height=240,framerate={rate}/1",
              "!", *element, "!", "fakesink"]
    playing, lines = threading.Event(), []
    start = time.monotonic()
    process = subprocess.Popen(["gst-launch-1.0", "-m", "--no-fault", *(branch * number)], text=True, env=env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    reader = threading.Thread(target=watch, args=(process.stdout, playing, lines))
    reader.start()
    try:
        while not playing.wait(0.01) and process.poll() is None and time.monotonic() - start < PLAYING_S:
            pass
        load, samples = time.monotonic() - start, []
        while playing.is_set() and process.poll() is None:
            try:
                samples.append(resident(process.pid))
            except (OSError, KeyError):  # it ended just now
                process.wait()
                break
            window = [rss for rss, _ in samples[-WINDOW:]]
            if len(samples) >= WINDOW and (steady(window) or len(samples) * INTERVAL_S >= SETTLE_S):
                return {"load_s": load, "rss": statistics.median(window), "steady": steady(window),
                        "anonymous": statistics.median(a for _, a in samples[-WINDOW:])}
            time.sleep(INTERVAL_S)
        what = "ended" if process.poll() is not None else f"was not PLAYING within {PLAYING_S} s"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        reader.join()
        process.stdout.close()
    sys.stderr.writelines(lines[-20:])
    sys.exit(f"elements: gst-launch-1.0 with {number} x {element[0]} {what}, its last messages are above")


def check(build, env):
    """Fills the registry, so that no measurement scans plugins; an element that isn't there is an error."""
    found = subprocess.run(["gst-inspect-1.0", "gpudlinfer"], capture_output=True, text=True, env=env)
    if found.returncode != 0 or str(build / "plugin") not in found.stdout:
        sys.exit(f"elements: no gpudlinfer in {build / 'plugin'}: build it (ninja -C {build}); see gst-inspect-1.0")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--against", type=pathlib.Path, help="another build of this project")
    parser.add_argument("--model", type=pathlib.Path,
                        help="default: efficientnet-lite0.bin in BUILD/demo where make demo left it, else MobileNetV2")
    parser.add_argument("--number", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=int, default=5, help="frames a second of each branch")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.number < 2 or arguments.runs < 1 or arguments.rate < 1:
        parser.error("expected --number of 2 or more, --runs and --rate of 1 or more")
    builds = {"ours": arguments.build.resolve()}
    if arguments.against:
        builds["theirs"] = arguments.against.resolve()
    model = arguments.model or builds["ours"] / "demo" / "efficientnet-lite0.bin"
    if not model.is_file():
        model = export(builds["ours"], "mobilenet_v2") if not arguments.model else sys.exit(f"elements: no {model}")
    if model is None:
        sys.exit("elements: no model to measure with, name one with --model")
    report = {"date": datetime.datetime.now().isoformat(timespec="seconds"), "processor": processor_name(),
              "cores": len(os.sched_getaffinity(0)), "model": str(model), "model_bytes": model.stat().st_size,
              "number": arguments.number, "rate": arguments.rate, "malloc": {
                  k: v for k, v in os.environ.items() if k.startswith(("MALLOC_", "GLIBC_TUNABLES"))},
              **{key: describe(build) for key, build in builds.items()}, "runs": []}
    with tempfile.TemporaryDirectory() as folder:
        environments = {}
        for key, build in builds.items():
            (pathlib.Path(folder) / key).mkdir()
            environments[key] = environment(build, pathlib.Path(folder) / key)
            check(build, environments[key])
        for run in range(arguments.runs):
            report["runs"].append(one_run(run, environments, model, arguments))
    show(report, arguments.number)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def one_run(run, environments, model, arguments):
    keys = list(environments) if run % 2 == 0 else list(environments)[::-1]
    result = {}
    for what in [*keys, "identity"]:
        element = ["identity"] if what == "identity" else ["gpudlinfer", f"model={model.resolve()}"]
        env = environments["ours" if what == "identity" else what]
        result[what] = {n: measure(element, n, arguments.rate, env) for n in (1, arguments.number)}
        print(f"\rrun {run + 1} of {arguments.runs}, {what}".ljust(60), end="", file=sys.stderr, flush=True)
    return result


def show(report, number):
    mb = 1e6
    print(file=sys.stderr)
    print(f"{report['processor']}, {report['cores']} cores, {report['date']}; commit "
          f"{report['ours'].get('commit', 'unknown')}"
          + (f" against {report['theirs'].get('commit', 'unknown')}" if "theirs" in report else ""))
    print(f"{pathlib.Path(report['model']).name}, {report['model_bytes'] / mb:.1f} MB; live branches of I420 320x240 at "
          f"{report['rate']} frames/s; resident memory in MB, in brackets what no file backs")
    rows = [["run", "", "1", f"{number}", "each further", "less identity's", f"s until 1 plays", f"s until {number} play",
             "steady"]]
    for i, run in enumerate(report["runs"], 1):
        base = further(run["identity"][1]["rss"], run["identity"][number]["rss"], number)
        for what, sizes in run.items():
            one, many = sizes[1], sizes[number]
            each = further(one["rss"], many["rss"], number)
            rows.append([str(i), what if what == "identity" else f"{what}, gpudlinfer",
                         f"{one['rss'] / mb:.1f} ({one['anonymous'] / mb:.1f})",
                         f"{many['rss'] / mb:.1f} ({many['anonymous'] / mb:.1f})", f"{each / mb:.2f}",
                         "" if what == "identity" else f"{(each - base) / mb:.2f}", f"{one['load_s']:.2f}",
                         f"{many['load_s']:.2f}", "yes" if one["steady"] and many["steady"] else "no"])
    table(rows)
    for what in report["runs"][0]:
        each = [further(run[what][1]["rss"], run[what][number]["rss"], number) / mb for run in report["runs"]]
        many = [run[what][number]["rss"] / mb for run in report["runs"]]
        print(f"{what}: {number} take {statistics.median(many):.1f} MB ({min(many):.1f}..{max(many):.1f}), each further "
              f"{statistics.median(each):.2f} MB ({min(each):.2f}..{max(each):.2f})")
    print()


if __name__ == "__main__":
    main()
