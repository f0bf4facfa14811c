#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: gpupipes.py BUILD [--rows A,B] [--seconds S] [--latency S] [--json FILE] [--limit S] ...

Whole pipelines on an NVIDIA GPU, in turns with what each is compared with in the same run (bench-pipe, pipepeer.py):

file-1, file-8  filesrc ! h264parse ! nvh264dec ! CUDA memory ! gpudlinfer (resnet50) ! fakesink, 1 and 8 streams in one
                process, against the same with identity, and against appsink and PyTorch behind the same decoder
pool-4          frames of system memory, 64 buffers of the pool that gpudlinfer proposes, pushed again and again by each of
                4 streams (mobilenet_v2), against the rate of pinned copies of such frames to the GPU
malloc-4        the same of memory that nobody has proposed, against one memcpy() a streaming thread
live            what one live stream of 30 frames/s is delayed by (resnet50), sink pad to source pad of the element, against
                identity, beside the time that the network takes for a frame alone

Networks are tuned to the end first. A turn is so many --seconds after a warm-up, a figure the median of three turns; one before
them does not count. "live" is --latency seconds of ours, a tenth of that of identity. Each row is added to the JSON file
when it is there, beside those of gpu.py, so a second call goes on where the first stopped. No row is begun for which the
limit leaves no time. The clip (--clip, else BUILD/bench/clip.h264) is made with x264enc where there is none, and repeated as
often as a turn needs. An exclamation mark is at what misses its goal. Exit status 0: all rows asked for are there, 1: some
are not, and why stands above the table.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import threading
import time

import figures
import gpu
from programs import HERE, table

sys.dont_write_bytecode = True
BEGUN = time.monotonic()
NAMES = ["file-1", "file-8", "pool-4", "malloc-4", "live"]
NETS = {"file-1": "resnet50", "file-8": "resnet50", "pool-4": "mobilenet_v2", "malloc-4": "mobilenet_v2", "live": "resnet50"}
# ours over it in frames/s, at least
GOALS = {"identity": .95, "copy": .85}
DELAY_GOALS = {"p50_ns": (50, .5e6), "p99_ns": (99, 1.5e6)}  # percent, and how much above the network's time at most
TURNS = 3
PUSHED = "video/x-raw,format=NV12,width=1920,height=1080,framerate=30/1"
CUDA_MEMORY = "video/x-raw(memory:CUDAMemory)"
MOST_RATE = 2500  # frames/s of one stream: more are not in the clip that a turn reads
CLIP = ("videotestsrc pattern=zone-plate kx2=12 ky2=12 kt=2 num-buffers=300 ! "
        "video/x-raw,format=I420,width=1920,height=1080,framerate=30/1 ! {} ! video/x-h264,profile=main,stream-format=byte-stream ! "
        "filesink location={}")
ENCODER = "x264enc speed-preset=veryfast tune=zerolatency bitrate=5000 key-int-max=60"


# ---- arithmetic ------------------------------------------------------------------------------------------------------

def percentile(values, percent):
    """Nearest rank: the smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def compare(turns):
    """{side: [answers of its turns]}: medians, and "speed": ours over the side in frames/s within a turn."""
    told = {}
    ours = [answer["ns"] for answer in turns.get("ours", [])]
    for side, answers in turns.items():
        taken = [answer["ns"] for answer in answers]
        told[side] = {"ns": statistics.median(taken), "rate": round(1e9 / statistics.median(taken), 1), "turns_ns": taken,
                      **{k: answers[-1][k] for k in ("stats", "memory", "frame_bytes", "GB_s") if k in answers[-1]}}
        if side != "ours" and ours:
            told[side]["speed"] = round(statistics.median(figures.ratios(ours, taken)), 4)
    return told


def delays(answers):
    """What frames of all these turns took through the element, and how late they came to the end."""
    through = [ns for answer in answers for ns in answer["through_ns"]]
    late = [ns for answer in answers for ns in answer["late_ns"]]
    return {"frames": len(through), "max_ns": max(through),
            **{name: percentile(through, percent) for name, (percent, _) in DELAY_GOALS.items()},
            **{f"late_{name}": percentile(late, percent) for name, (percent, _) in DELAY_GOALS.items()}}


def added(ours, identity, network_ns):
    """For each percentile what ours adds to identity, and what it may at most; None where the network's time is unknown."""
    return {name: {"added_ns": ours[name] - identity[name],
                   "allowed_ns": None if network_ns is None else network_ns + above}
            for name, (_, above) in DELAY_GOALS.items()}


def count_pictures(data):
    """Pictures of an H.264 byte stream: slices that begin with the first macroblock."""
    return len(re.findall(rb"\x00\x00\x01[\x01\x05\x21\x25\x41\x45\x61\x65][\x80-\xff]", data))


def busy_ns(percent, ns):
    """Time on the GPU for a frame, of the part of the clock's time in which a kernel ran."""
    return round(percent / 100 * ns) if percent is not None else None


# ---- rows ------------------------------------------------------------------------------------------------------------

def is_done(row, sides):
    """Ours has figures, the others figures or a reason."""
    return row is not None and "failed" not in row["sides"].get("ours", {"failed": ""}) and all(s in row["sides"] for s in sides)


def find_row(rows, name, card, backend):
    return next((r for r in rows if (r.get("pipeline"), r["card"], r.get("backend")) == (name, card, backend)), None)


def add_row(rows, new):
    old = find_row(rows, new["pipeline"], new["card"], new["backend"])
    if old is not None:
        rows.remove(old)
    rows.append(new)


def rate_lines(row):
    """Lines of the table of frames/s, one a side that ours is compared with."""
    ours = row["sides"].get("ours", {})
    mine = f"{ours['rate']:.0f}" if "rate" in ours else "failed"
    for side, told in row["sides"].items():
        if side == "ours":
            continue
        goal, speed = GOALS.get(side), told.get("speed")
        missed = goal is not None and speed is not None and speed < goal
        yield [row["pipeline"], row["net"], mine, side, f"{told['rate']:.0f}" if "rate" in told else "failed",
               "" if speed is None else f"{speed:.3f}{'!' if missed else ''}", "" if goal is None else f"{goal:.2f}",
               f"{ours['gpu_ns'] / 1e3:.0f}" if ours.get("gpu_ns") else ""]


def delay_lines(row):
    for name, told in row.get("added", {}).items():
        allowed, sides = told["allowed_ns"], row["sides"]
        missed = allowed is not None and told["added_ns"] > allowed
        yield [name.removesuffix("_ns"), *(f"{sides[s][name] / 1e6:.3f}" for s in ("ours", "identity")),
               f"{told['added_ns'] / 1e6:.3f}{'!' if missed else ''}", "" if allowed is None else f"{allowed / 1e6:.3f}",
               *(f"{sides[s]['late_' + name] / 1e6:.3f}" for s in ("ours", "identity"))]


def show(rows, card, backend, precision):
    rows = [r for r in (find_row(rows, name, card, backend) for name in NAMES) if r is not None]
    rates = [line for row in rows if row["pipeline"] != "live" for line in rate_lines(row)]
    if rates:
        print(f"{card}; frames/s of all streams together, {precision}")
        table([["pipeline", "network", "ours", "against", "it", "ours/it", "goal", "us on the GPU"], *rates])
    for row in rows:
        if row["pipeline"] == "live" and "added" in row:
            alone = "unknown" if row["network_ns"] is None else f"{row['network_ns'] / 1e6:.3f} ms"
            print(f"live, {row['net']}, {row['sides']['ours']['frames']} frames; the network alone: {alone}; ms")
            table([["", "ours", "identity", "added", "at most", "late at the end, ours", "identity"], *delay_lines(row)])


# ---- measuring -------------------------------------------------------------------------------------------------------

class Pipes(gpu.Bench):
    """How things are started here; tests have another."""

    def __init__(self, build, folder, options):
        super().__init__(build, folder, gpu.find_cudnn())
        self.options = options
        carried = build / "gpu-lib" / "gstreamer-1.0"
        self.ours_env["GPUDL_BACKEND_PATH"] = f"{build / 'engine' / 'cuda'}:{build / 'engine' / 'cpu'}"
        self.ours_env["GST_PLUGIN_PATH_1_0"] = str(build / "plugin")
        self.ours_env["GST_REGISTRY_1_0"] = str(folder / "registry")
        if carried.is_dir():  # without its scanner
            self.ours_env.update(GST_PLUGIN_SYSTEM_PATH_1_0=str(carried), GST_REGISTRY_FORK="no")
        self.clips, self.tuned_models = {}, set()

    def clean(self):
        for path in self.clips.values():
            path.unlink(missing_ok=True)
        self.clips.clear()

    def model(self, net):
        return self.options.model or self.export(net)

    def tune(self, model):
        """So that nothing is measured beside what is compared."""
        if self.options.backend != "cuda" or model in self.tuned_models:
            return
        tuned = subprocess.run([self.build / "tools" / "gpudl", "tune", "--backend=cuda", f"--precision={self.options.precision}",
                                model], capture_output=True, text=True, env=self.ours_env)
        if tuned.returncode != 0:
            raise gpu.SideFailed(f"gpudl tune: {(tuned.stderr.strip().splitlines() or ['no message'])[-1]}")
        self.tuned_models.add(model)

    def place(self, model):
        more = " autotune=cached" if self.options.backend == "cuda" else ""
        return f"gpudlinfer model=\"{model}\" backend={self.options.backend} precision={self.options.precision}{more}"

    def clip(self, frames):
        """A file of at least so many frames: the clip, repeated."""
        clip = self.options.clip or find_clip(self.build, self.ours_env)
        data = clip.read_bytes()
        pictures = count_pictures(data)
        if pictures == 0:
            raise gpu.SideFailed(f"{clip}: no picture of an H.264 byte stream is in it")
        times = -(-frames // pictures)
        path = self.folder / f"clip-{times}.h264"
        if times not in self.clips:
            with open(path, "wb") as file:
                for _ in range(times):
                    file.write(data)
            self.clips[times] = path
        return path

    def source(self, seconds, memory=None, live=False):
        """What is in front of gpudlinfer: frames of this memory (None: as the options say) for so many seconds."""
        if self.options.source:
            return self.options.live_source if live else self.options.source
        frames = int((seconds + 10) * 30 if live else (seconds + 1) * MOST_RATE)
        caps = CUDA_MEMORY if (memory or self.options.memory) == "cuda" else "video/x-raw,format=NV12"
        return (f"filesrc location=\"{self.clip(frames)}\" ! h264parse ! {'identity sync=true ! ' if live else ''}"
                f"{self.options.decoder} ! {caps}")

    def pipe(self, mode, *arguments):
        return [self.build / "bench" / "bench-pipe", mode, *arguments]

    def commands(self, name, model):
        """{side: command} of a row, ours first."""
        net, streams = NETS[name], name.rsplit("-", 1)[-1]
        place = f"--place={self.place(model)}"
        if name.startswith("file"):
            source = f"--source={self.source(self.options.seconds)}"
            torch = [sys.executable, HERE / "pipepeer.py", self.build / "bench" / "bench-pipe", net, streams,
                     self.source(self.options.seconds, "system"), "--device", self.options.device,
                     "--precision", "fp16" if self.options.device == "cuda" else "fp32",
                     "--libraries", self.ours_env.get("LD_LIBRARY_PATH", "")]
            return {"ours": self.pipe("rate", source, place, f"--streams={streams}"),
                    "identity": self.pipe("rate", source, "--place=identity", f"--streams={streams}"),
                    **({"torch": torch} if "torch" in self.options.peers else {})}
        kind, copy = ("pool", "pinned") if name.startswith("pool") else ("malloc", "malloc")
        shared = [f"--caps={PUSHED}", f"--streams={streams}"]
        return {"ours": self.pipe("push", *shared, f"--memory={kind}", place),
                "copy": self.pipe("copy", *shared, f"--memory={copy}")}

    def start_side(self, name, side, command):
        env = self.ours_env
        if side == "torch":  # Python has this system's libraries, bench-pipe those that were carried
            env = {k: v for k, v in env.items() if k != "LD_LIBRARY_PATH" or "LD_LIBRARY_PATH" in os.environ}
            env.update({k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"})
        return gpu.Side(side, command, env, self.folder / f"{name}-{side}.log")

    def network_ns(self, net, model):
        """The network alone, a batch of one; None without a GPU."""
        if self.options.backend != "cuda":
            return None
        side = self.start("ours", net, 1, self.options.precision, model, 1)
        try:
            side.answer()
            side.run(gpu.REPLAYS)
            return side.run(gpu.REPLAYS)
        finally:
            side.close()

    def utilization(self):
        told = gpu.smi("utilization.gpu").split()
        return int(told[0]) if told and told[0].isdigit() else None


def find_clip(build, env):
    """Ten seconds of 1080p, made once; SideFailed says why there is none."""
    path = build / "bench" / "clip.h264"
    if path.exists():
        return path
    aside = path.with_suffix(".new")
    try:
        made = subprocess.run(["gst-launch-1.0", "-q", *CLIP.format(ENCODER, aside).split()], capture_output=True, text=True,
                              env=env, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise gpu.SideFailed(f"{path} is not there, and can't be made: {error}") from None
    if made.returncode != 0 or not aside.exists():
        raise gpu.SideFailed(f"{path} is not there, and can't be made: {(made.stderr.strip().splitlines() or ['?'])[-1]}; it takes "
                             "x264enc (Debian: gstreamer1.0-plugins-ugly), or name an H.264 byte stream with --clip (CLIP=)")
    aside.replace(path)
    return path


class Busy(threading.Thread):
    """Asks how busy the GPU is while a turn goes on; most: the busiest of what was heard."""

    def __init__(self, ask):
        super().__init__(daemon=True)
        self.ask, self.over, self.most = ask, threading.Event(), None

    def run(self):
        while not self.over.wait(.5):
            heard = self.ask()
            self.most = max((v for v in (heard, self.most) if v is not None), default=None)

    def end(self):
        self.over.set()
        self.join()
        return self.most


def one_turn(side, seconds, started, told):
    """A side's answer; None: it has failed, has said why, and is out."""
    try:
        return side.ask(seconds)
    except gpu.SideFailed as failure:
        told[side.name] = {**told[side.name], "failed": str(failure)}
        started.remove(side)
        side.close()
        return None


def start_all(bench, name, commands):
    started, told = [], {}
    for side, command in commands.items():
        try:
            process = bench.start_side(name, side, command)
        except gpu.SideFailed as failure:
            told[side] = {"failed": str(failure)}
            continue
        try:
            told[side] = process.answer()
            started.append(process)
        except gpu.SideFailed as failure:
            told[side] = {"failed": str(failure)}
            process.close()
    return started, told


def measure_rates(bench, name, model):
    """The sides of a row: one turn of each that does not count, in which the GPU is asked how busy it is, then three."""
    started, told = start_all(bench, name, bench.commands(name, model))
    turns, busy = {side.name: [] for side in started}, {}
    seconds = bench.options.seconds
    try:
        for turn in range(TURNS + 1):
            for side in list(started if turn % 2 == 0 else started[::-1]):
                watch = Busy(bench.utilization) if turn == 0 and side.name in ("ours", "identity") else None
                if watch:
                    watch.start()
                answer = one_turn(side, seconds, started, told)
                if watch:
                    busy[side.name] = watch.end()
                if answer is None:
                    turns.pop(side.name)
                elif turn > 0:
                    turns[side.name].append(answer)
    finally:
        for side in started:
            side.close()
    for side, figure in compare({k: v for k, v in turns.items() if v}).items():
        told[side] = {**told[side], **figure}
        if busy.get(side) is not None:
            told[side].update(busy_percent=busy[side], gpu_ns=busy_ns(busy[side], figure["ns"]))
    return {"sides": told}


def measure_delay(bench, name, model):
    """Identity before and after ours."""
    length = bench.options.latency
    short = max(2, length / 20)
    network_ns = bench.network_ns(NETS[name], model)
    source = f"--source={bench.source(length, live=True)}"
    commands = {"ours": bench.pipe("delay", source, f"--place={bench.place(model)}"),
                "identity": bench.pipe("delay", source, "--place=identity")}
    started, told = start_all(bench, name, commands)
    sides, answers = {side.name: side for side in started}, {"ours": [], "identity": []}
    try:
        for side, seconds in ("identity", short), ("ours", length), ("identity", short):
            if sides.get(side) in started:
                answer = one_turn(sides[side], seconds, started, told)
                answers[side] += [answer] if answer else []
    finally:
        for side in started:
            side.close()
    for side, turns in answers.items():
        if turns and "failed" not in told[side]:
            told[side] = {**told[side], **delays(turns), **{k: turns[-1][k] for k in ("stats",) if k in turns[-1]}}
    row = {"sides": told, "network_ns": network_ns, "seconds": length}
    if all("p50_ns" in told[side] for side in ("ours", "identity")):
        row["added"] = added(told["ours"], told["identity"], network_ns)
    return row


def tell(what):
    """What begins now: whoever has to stop the program sees what took the time."""
    print(f"{time.monotonic() - BEGUN:5.0f} s  {what}", file=sys.stderr, flush=True)


def expected_s(bench, name):
    """How long a row takes, about: a network is exported and tuned first."""
    if name == "live":
        return 1.1 * bench.options.latency + 90
    return (3 if name.startswith("file") else 2) * (TURNS + 1) * (bench.options.seconds + 3) + 20


def print_row(row, seconds):
    print(f"{row['pipeline']} in {seconds:.0f} s; {row['state']}")
    for side, told in row["sides"].items():
        outcome = (f"failed: {told['failed']}" if "failed" in told else
                   f"{told['rate']:.0f} frames/s" if "rate" in told else f"p50 {told['p50_ns'] / 1e6:.3f} ms")
        more = "".join(f", {k} {told[k]}" for k in ("speed", "busy_percent", "memory", "GB_s", "stats") if k in told)
        print(f"  {side:9} {outcome}{more}  {told.get('ready', '')}", flush=True)


def run(bench, names, path, limit, clock=time.monotonic):
    """Exit status."""
    card, begun, undone = bench.card(), clock(), []
    backend = bench.options.backend
    rows = gpu.read_rows(path)
    for name in names:
        sides = ["ours", *(["copy"] if name in ("pool-4", "malloc-4") else ["identity"]),
                 *(bench.options.peers if name.startswith("file") else [])]
        if is_done(find_row(rows, name, card, backend), sides):
            continue
        if clock() - begun + expected_s(bench, name) > limit:
            undone.append(f"{name}: not begun, the limit of {limit:g} s is near; the same command goes on")
            continue
        start = clock()
        try:
            tell(f"{name}: exporting {NETS[name]}")
            model = bench.model(NETS[name])
            tell(f"{name}: tuning")
            bench.tune(model)
            tell(f"{name}: measuring")
            told = (measure_delay if name == "live" else measure_rates)(bench, name, model)
        except gpu.SideFailed as failure:
            undone.append(f"{name}: {failure}")
            continue
        row = {"pipeline": name, "net": NETS[name] if not bench.options.model else pathlib.Path(model).stem, "backend": backend,
               "precision": bench.options.precision, "card": card, "state": bench.state(),
               "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), **told}
        if "failed" in told["sides"]["ours"]:
            undone.append(f"{name}: ours: {told['sides']['ours']['failed']}")
        add_row(rows, row)
        gpu.write_rows(path, rows)
        print_row(row, clock() - start)
    for line in undone:
        print(line)
    show(rows, card, backend, bench.options.precision)
    return 1 if undone else 0


def parse(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rows", default=",".join(NAMES))
    parser.add_argument("--seconds", type=float, default=3, help="of a turn")
    parser.add_argument("--latency", type=float, default=300, help="seconds of the live stream")
    parser.add_argument("--peers", default="torch", help="beside identity and copies: torch, or nothing")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--limit", type=float, default=450, help="seconds after which no row is begun")
    parser.add_argument("--clip", type=pathlib.Path, help="H.264, a byte stream")
    parser.add_argument("--only-clip", action="store_true", help="make BUILD/bench/clip.h264 if it is not there, and end")
    parser.add_argument("--decoder", default="nvh264dec", help="as gst-launch-1.0 has it; NV12 is what comes of it")
    parser.add_argument("--memory", default="cuda", choices=["cuda", "system"], help="of what is decoded")
    parser.add_argument("--source", help="instead of clip, parser and decoder, as gst-launch-1.0 has it")
    parser.add_argument("--live-source", help="as --source, for the live stream")
    parser.add_argument("--backend", default="cuda", choices=["cuda", "cpu", "ref"])
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="PyTorch's")
    parser.add_argument("--model", type=pathlib.Path, help="instead of the networks named above")
    options = parser.parse_args(words)
    options.build = options.build.resolve()
    options.names = [n for n in options.rows.split(",") if n]
    options.peers = [p for p in options.peers.split(",") if p]
    for found, known, what in (options.names, NAMES, "--rows"), (options.peers, ["torch"], "--peers"):
        for name in found:
            if name not in known:
                parser.error(f"{what}: found '{name}', expected {', '.join(known)}")
    if bool(options.source) != bool(options.live_source):
        parser.error("--source and --live-source belong together")
    for program in ("bench-pipe", *(["bench-cuda"] if options.backend == "cuda" else [])):
        if not os.access(options.build / "bench" / program, os.X_OK):
            parser.error(f"{options.build}: no bench/{program} in it, expected a build folder of this project, built with the plugin")
    return options


def main():
    options = parse(sys.argv[1:])
    if options.only_clip:
        try:
            find_clip(options.build, dict(os.environ))
        except gpu.SideFailed as failure:
            sys.exit(f"gpupipes: {failure}")
        return 0
    path = (options.json or options.build / "gpu" / "gpu-bench.json").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    bench = Pipes(options.build, options.build / "gpu" / "bench", options)
    try:
        return run(bench, options.names, path, options.limit)
    finally:
        bench.clean()


if __name__ == "__main__":
    sys.exit(main())
