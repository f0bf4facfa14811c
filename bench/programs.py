# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the measurements share: the networks, a build's bench program, the clocks of the machine, tables."""
import ctypes
import json
import os
import pathlib
import platform
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
NETS = ["mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x1_0", "mobilenet_v3_small", "efficientnet_b0", "mnasnet1_0",
        "resnet18", "resnet50", "googlenet", "densenet121", "regnet_y_400mf", "alexnet", "vgg16"]


def export(build, name):
    """torchvision's network as an ONNX file, made once, or the file that is named; None and a line saying why if it can't be."""
    if name.endswith(".onnx"):
        if not pathlib.Path(name).is_file():
            print(f"{name}: left out, there is no such file")
            return None
        return pathlib.Path(name).resolve()
    folder = build / "nets"
    made = subprocess.run(["/usr/bin/python3", HERE.parent / "tests" / "models" / "export-nets.py", folder, name],
                          capture_output=True, text=True)
    if made.returncode != 0:
        reason = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{name}: left out, torchvision's export failed: {reason}")
        return None
    return folder / name / f"{name}.onnx"


class ProgramFailed(Exception):
    pass


class NotAvailable(ProgramFailed):
    """A peer that isn't installed, or can't do what was asked for; it has said so."""


class Program:
    """The bench program of a build on one network, with that build's own backends. Its interface, `bench-cpu net MODEL
    THREADS`, frames on standard input, JSON on standard output, is the same in every version: builds of any age are
    compared through it. Its process sleeps between two runs. precision: of a build that takes it as a fourth word. peer:
    another runtime in its place, as a command that takes the same words and then the precision (peer.py)."""

    def __init__(self, build, model, threads, precision=None, peer=None):
        environment = dict(os.environ, GPUDL_BACKEND_PATH=str(build / "engine" / "cpu"))
        self.path = build / "bench" / "bench-cpu" if peer is None else peer[-1]
        words = [*([self.path, "net"] if peer is None else peer), model, str(threads), *([precision] if precision else [])]
        self.process = subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        try:
            told = self.answer()
            self.device, self.precision = told["ready"], told.get("precision")
            self.clock = processor_clock(self.process.pid)
        except BaseException:
            self.close()
            raise

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            raise (NotAvailable if status == 3 else ProgramFailed)(
                f"{self.path} ended with exit status {status}, its message is above")
        return json.loads(line)

    def run(self, frames):
        """Milliseconds a frame, by both clocks: "wall" as the program measures it, "processor" of all its threads."""
        before = time.clock_gettime_ns(self.clock)
        try:
            self.process.stdin.write(f"{frames}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says what happened
        wall = self.answer()["ns"]
        return {"wall": wall * 1e-6 / frames, "processor": (time.clock_gettime_ns(self.clock) - before) * 1e-6 / frames}

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.close()
        self.process.wait()


def processor_clock(pid):
    """The clock of a process's processor time, threads that have ended included, in ns: /proc counts 10 ms ticks."""
    clock = ctypes.c_int()
    status = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if status != 0:
        raise OSError(status, f"no processor clock for process {pid}: {os.strerror(status)}")
    return clock.value


def busy_seconds():
    """Processor time of the whole machine, not idle and not waiting for disks."""
    fields = [int(v) for v in open("/proc/stat").readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def own_seconds(pids):
    total = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))
    print()


def processor_name():
    return next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                platform.processor())


OPTIONS = ["buildtype", "optimization", "debug", "b_ndebug", "b_lto", "b_sanitize", "c_args", "cpp_args"]


def describe(build):
    """Compiler and options of a build, the commit that its source tree is at now; what can't be told is left out."""
    told = {"build": str(build)}
    try:
        info = json.loads((build / "meson-info" / "meson-info.json").read_text())
        source = info["directories"]["source"]
        commit = subprocess.run(["git", "-C", source, "describe", "--always", "--dirty", "--exclude", "*"],
                                capture_output=True, text=True)
        if commit.returncode == 0:
            told["commit"] = commit.stdout.strip()
        for option in json.loads((build / "meson-info" / "intro-buildoptions.json").read_text()):
            if option["name"] in OPTIONS:
                told[option["name"]] = option["value"]
        compilers = json.loads((build / "meson-info" / "intro-compilers.json").read_text())
        told["compiler"] = compilers["host"]["c"]["full_version"]
    except (OSError, ValueError, KeyError):
        pass
    return told


def differences(ours, theirs):
    """What two descriptions of builds differ in, apart from what is to be compared."""
    return [f"{key}: ours {ours.get(key, 'unknown')}, theirs {theirs.get(key, 'unknown')}"
            for key in [*OPTIONS, "compiler"] if ours.get(key) != theirs.get(key)]
