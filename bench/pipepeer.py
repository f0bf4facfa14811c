#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: pipepeer.py BENCH_PIPE NET STREAMS SOURCE [--device cuda|cpu] [--precision fp16|fp32] [--libraries PATH]

The same chain with PyTorch instead of gpudlinfer, as an application would have it by appsink: SOURCE gives frames in system
memory (NV12), a GStreamer process hands them over (bench-pipe frames), and PyTorch uploads them, scales and normalises on the
device, and runs the network (channels last, softmax, the best five) in a CUDA graph, as many frames at a time as there are
streams. Frames lie in shared memory that is pinned, uploads overlap with the network: that is more than most do.

One object when it is ready; then for each line of standard input so many seconds, and what was counted, as bench-pipe rate.
"""
import argparse
import collections
import json
import mmap
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

PLACES, WARM, SIDE = 64, 30, 224
LOST_S = 120  # more than a turn needs to start and to stop: something hangs
MEAN, STD = (.485, .456, .406), (.229, .224, .225)
# R, G and B of BT.709 in limited range: of Y, U and V after their offsets
MATRIX = ((1.1644, 0, 1.7927), (1.1644, -.2132, -.5329), (1.1644, 2.1124, 0))


class Feed:
    """Frames of another process, for one turn."""

    def __init__(self, arguments, folder):
        self.path = pathlib.Path(folder) / "frames"
        command = [arguments.program, "frames", f"--source={arguments.source}", f"--shared={self.path}",
                   f"--streams={arguments.streams}", f"--buffers={PLACES}"]
        env = {**os.environ, **({"LD_LIBRARY_PATH": arguments.libraries} if arguments.libraries else {})}
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"pipepeer: bench-pipe frames ended with exit status {self.process.wait()}")
        self.told = json.loads(line)
        with open(self.path, "r+b") as file:
            self.data = mmap.mmap(file.fileno(), PLACES * self.told["frame_bytes"])
        self.path.unlink()  # both have it; nothing stays behind

    def take(self, number):
        """The places of so many frames; waits for them."""
        lines = [self.process.stdout.readline() for _ in range(number)]
        if not lines[-1]:
            sys.exit(f"pipepeer: bench-pipe frames ended with exit status {self.process.wait()}")
        return [int(line) for line in lines]

    def release(self, places):
        self.process.stdin.write("".join(f"{place}\n" for place in places))
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        for _ in self.process.stdout:  # what is on the way still
            pass
        self.process.wait(60)


class Net:
    """Pre-processing and network on a batch of NV12 frames."""

    def __init__(self, name, device, precision):
        import gpunets
        import torch
        self.torch, self.device = torch, torch.device(device)
        self.kind = torch.half if precision == "fp16" else torch.float
        torch.backends.cudnn.benchmark = True
        self.net = gpunets.make(name).to(self.device, self.kind).to(memory_format=torch.channels_last)
        scale = [[v / 255 / s for v in row] for row, s in zip(MATRIX, STD)]
        # ((matrix (yuv - offset)) / 255 - mean) / std as one matrix and one addend
        addend = [-m / s - (row[0] * 16 + (row[1] + row[2]) * 128) for m, s, row in zip(MEAN, STD, scale)]
        self.matrix = torch.tensor(scale, device=self.device)
        self.addend = torch.tensor(addend, device=self.device)

    def run(self, frames, width, height):
        """frames: bytes, one row a frame. Scaling comes first: all before the network is linear."""
        torch = self.torch
        n, luma = frames.shape[0], width * height
        y = frames[:, :luma].view(n, 1, height, width).to(self.kind)
        uv = frames[:, luma:].view(n, height // 2, width // 2, 2).permute(0, 3, 1, 2).to(self.kind)
        parts = [torch.nn.functional.interpolate(p, (SIDE, SIDE), mode="bilinear", align_corners=False) for p in (y, uv)]
        yuv = torch.cat(parts, 1).float()
        x = torch.einsum("rc,nchw->nrhw", self.matrix, yuv) + self.addend.view(1, 3, 1, 1)
        x = x.to(self.kind).contiguous(memory_format=torch.channels_last)
        return self.net(x).float().softmax(1).topk(5)


class Slot:
    """One of two batches under way on a GPU."""

    def __init__(self, net, batch, told):
        torch = net.torch
        self.frames = torch.zeros(batch, told["frame_bytes"], dtype=torch.uint8, device=net.device)
        self.uploaded, self.done, self.places = torch.cuda.Event(), torch.cuda.Event(), []
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                net.run(self.frames, told["width"], told["height"])
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.best = net.run(self.frames, told["width"], told["height"])
        self.answer = [torch.empty(v.shape, dtype=v.dtype, pin_memory=True) for v in self.best]


class Gpu:
    """Batches by turns in two slots: while one runs the other is uploaded."""

    def __init__(self, net, batch):
        self.net, self.batch, self.slots, self.flight = net, batch, None, collections.deque()
        self.copies = net.torch.cuda.Stream()

    def open(self, feed):
        torch = self.net.torch
        self.host = torch.frombuffer(feed.data, dtype=torch.uint8).view(PLACES, feed.told["frame_bytes"])
        torch.cuda.check_error(torch.cuda.cudart().cudaHostRegister(self.host.data_ptr(), self.host.numel(), 0))
        if self.slots is None:
            self.slots = [Slot(self.net, self.batch, feed.told) for _ in range(2)]

    def step(self, feed, places):
        """Frames that are done."""
        torch = self.net.torch
        slot = self.slots[0]
        self.slots.reverse()
        with torch.cuda.stream(self.copies):
            for i, place in enumerate(places):
                slot.frames[i].copy_(self.host[place], non_blocking=True)
            slot.uploaded.record()
        torch.cuda.current_stream().wait_event(slot.uploaded)
        slot.graph.replay()
        for answer, value in zip(slot.answer, slot.best):
            answer.copy_(value, non_blocking=True)
        slot.done.record()
        slot.places = places
        self.flight.append(slot)
        return self.finish(feed) if len(self.flight) == 2 else 0

    def finish(self, feed):
        slot = self.flight.popleft()
        slot.uploaded.synchronize()
        feed.release(slot.places)
        slot.done.synchronize()
        return len(slot.places)

    def close(self, feed):
        while self.flight:
            self.finish(feed)
        self.net.torch.cuda.cudart().cudaHostUnregister(self.host.data_ptr())
        del self.host


class Cpu:
    """For trying this where no GPU is."""

    def __init__(self, net, batch):
        self.net = net

    def open(self, feed):
        torch = self.net.torch
        self.host = torch.frombuffer(feed.data, dtype=torch.uint8).view(PLACES, feed.told["frame_bytes"])

    def step(self, feed, places):
        self.net.run(self.host[places], feed.told["width"], feed.told["height"])
        feed.release(places)
        return len(places)

    def close(self, feed):
        del self.host


def turn(runner, arguments, seconds, folder):
    feed = Feed(arguments, folder)
    if feed.told["format"] != "NV12":
        sys.exit(f"pipepeer: frames are {feed.told['format']}, expected NV12")
    runner.open(feed)
    warm = 0
    while warm < WARM * arguments.streams:
        warm += runner.step(feed, feed.take(arguments.streams))
    begin, frames = time.monotonic_ns(), 0
    while time.monotonic_ns() - begin < seconds * 1e9:
        frames += runner.step(feed, feed.take(arguments.streams))
    window = time.monotonic_ns() - begin
    runner.close(feed)
    feed.close()
    return {"frames": frames, "window_ns": window, "ns": round(window / frames)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("net")
    parser.add_argument("streams", type=int)
    parser.add_argument("source")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--precision", default="fp16", choices=["fp16", "fp32"])
    parser.add_argument("--libraries", help="bench-pipe's LD_LIBRARY_PATH")
    arguments = parser.parse_args()
    import torch
    net = Net(arguments.net, arguments.device, arguments.precision)
    runner = {"cuda": Gpu, "cpu": Cpu}[arguments.device](net, arguments.streams)
    print(json.dumps({"ready": f"torch {torch.__version__}, {arguments.device}"}), flush=True)
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    for line in sys.stdin:
        signal.alarm(int(float(line)) + LOST_S)
        with tempfile.TemporaryDirectory(dir=shared) as folder, torch.inference_mode():
            print(json.dumps(turn(runner, arguments, float(line), folder)), flush=True)
        signal.alarm(0)
    sys.stdout.flush()
    os._exit(0)  # graphs are not taken down in order


if __name__ == "__main__":
    main()
