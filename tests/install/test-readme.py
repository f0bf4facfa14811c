#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-readme.py SOURCE BUILD: runs what README.md tells its reader to type, as a user without root, into a prefix of his own.

Every block of indented lines is run by bash, line after line, in a clone, each in what the blocks before have made: after
"meson devenv" in that environment, after "make install" with what its last line says. A comment right before a block tells
of one that can't be run as it is:

    <!-- not run: REASON -->     never
    <!-- run as: SED -->         as that makes it: another source in place of a camera

The reader's own files, of the names in OWN, are made here. A pipeline without an end is stopped after it has played.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from place import BUILD, Place, Skip, check

DEMO = "build/demo/"
OWN = {
    "net.onnx": "cp models/recipes/testcard/testcard.onnx net.onnx",
    "labels.txt": "cp models/recipes/testcard/labels.txt labels.txt",
    "pictures.txt": "echo docs/demo.jpg 0 >pictures.txt",
    "picture.jpg": "cp docs/demo.jpg picture.jpg",
    "video.mp4": "gst-launch-1.0 -q videotestsrc num-buffers=10 ! video/x-raw,width=160,height=120 ! avenc_mpeg4 ! mp4mux ! "
                 "filesink location=video.mp4",
}
PLAYS_FOR = 2  # seconds


class Block:
    def __init__(self, number, lines, comment):
        self.number = number
        self.commands = "\n".join(line[4:] for line in lines)
        found = re.fullmatch(r"<!-- (not run|run as): (.+) -->", comment or "")
        check(found or not (comment or "").startswith("<!--"), f"line {number}: '{comment}' is no comment that this test knows")
        self.why_not = found.group(2) if found and found.group(1) == "not run" else None
        self.change = found.group(2) if found and found.group(1) == "run as" else None

    def name(self):
        first = next((line for line in self.commands.splitlines() if not line.startswith("#")), "")
        return f"line {self.number}: {re.sub('[ #]+', ' ', first)[:60].strip()}"

    def script(self):
        if not self.change:
            return self.commands
        changed = subprocess.run(["sed", "-e", self.change], input=self.commands, capture_output=True, text=True)
        check(changed.returncode == 0, changed.stderr)
        check(changed.stdout.strip() != self.commands.strip(), f"'{self.change}' changes nothing")
        return changed.stdout.rstrip("\n")


def read_blocks(path):
    blocks, lines, comment, start = [], [], None, 0
    fenced = False
    for number, line in enumerate([*path.read_text().splitlines(), "end"], 1):
        fenced ^= line.startswith("```")
        check(not fenced, f"line {number}: a block between ``` is not one that this test would run; indent it")
        if line.startswith("    ") or lines and not line:
            start = start or number
            lines.append(line)
            continue
        if lines:
            while not lines[-1]:
                lines.pop()
            blocks.append(Block(start, lines, comment))
            lines, start, comment = [], 0, None
        if line:
            comment = line
    return blocks


def statements(script):
    """Lines with their continuations, without comments."""
    joined = re.sub(r"\\\n\s*", " ", script)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def interrupt(session, name):
    """As Ctrl-C does, but for the shells and environments that the program was started through."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found = re.match(r"(\d+) \((.*)\) \S \d+ \d+ (\d+) ", stat.read_text())
        except OSError:
            continue  # it has ended
        if found and found.group(2) == name and int(found.group(3)) == session:
            os.kill(int(found.group(1)), signal.SIGINT)


class Reader:
    """What the page has brought about so far."""

    def __init__(self, place):
        self.place, self.developing, self.settings = place, False, ""

    def command(self, line):
        wrapped = f"{self.settings}\n{line}"
        shell = ["bash", "-ec", wrapped]
        if self.developing:
            shell = ["meson", "devenv", "-C", "build", "--workdir", str(self.place.source), *shell]
        return self.place.drop + shell

    def type(self, line):
        process = subprocess.Popen(self.command(line), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, cwd=self.place.source, env=self.place.env, start_new_session=True)
        out, stopped = [], False
        for text in process.stdout:
            out.append(text)
            # sources that never end: a camera, the test pattern
            if "Setting pipeline to PLAYING" in text and not re.search("num-buffers|location=", line):
                time.sleep(PLAYS_FOR)
                interrupt(process.pid, "gst-launch-1.0")
                stopped = True
        code = process.wait()
        check(not stopped or "handling interrupt" in "".join(out), "".join(out))
        return 0 if stopped else code, "".join(out)

    def run(self, block):
        for line in statements(block.script()):
            code, out = self.type(line)
            check(code == 0, f"'{line}' ended with {code}:\n{out}")
            check(not re.search("^(ERROR|WARNING|CRITICAL)", out, re.MULTILINE), out)
            if line.startswith("meson devenv"):
                self.developing = True
            elif "make install" in line:
                self.developing = False
                self.settings = out.splitlines()[-1]
                check(self.settings.startswith("export "), out)


def open_window_system(place):
    """A screen for the windows of the page's pipelines: returns the server, or None where there is none to start."""
    xvfb = shutil.which("Xvfb")
    if not xvfb or place.run("gst-inspect-1.0", "--exists", "ximagesink", code=None).returncode != 0:
        return None
    # -ac: for other users as well
    server = subprocess.Popen([xvfb, "-displayfd", "1", "-noreset", "-ac", "-nolisten", "tcp", "-screen", "0", "640x480x24"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    number = server.stdout.readline().strip()
    check(number, "Xvfb does not start")
    place.env["DISPLAY"] = f":{number}"
    return server


def prepare(place):
    demo = BUILD / "demo"
    if (demo / "efficientnet-lite0.onnx").exists() and (demo / "photos/manifest.json").exists():
        subprocess.run([place.source / "models/recipes/efficientnet-lite0/convert", place.source / "build/tools/gpudl"],
                       env={**place.env, "GPUDL_BACKEND_PATH": str(BUILD / "engine/cpu")}, capture_output=True, check=True)
    for command in OWN.values():
        place.run("sh", "-ec", command)


def main():
    for tool in "make", "gst-launch-1.0", "meson":
        if shutil.which(tool) is None:
            print(f"1..0 # SKIP needs {tool}")
            return 0
    with tempfile.TemporaryDirectory(prefix="gpudl-readme-") as name:
        place = Place(Path(name))
        prepare(place)
        blocks = read_blocks(place.source / "README.md")
        reader, failed = Reader(place), 0
        server = open_window_system(place)
        runs = [block for block in blocks if not block.why_not]
        print(f"1..{len(runs)}", flush=True)
        for block in blocks:
            if block.why_not:
                parsed = subprocess.run(["bash", "-n"], input=block.commands, capture_output=True, text=True)
                check(parsed.returncode == 0, parsed.stderr)
                print(f"# not run: {block.name()}: {block.why_not}", flush=True)
        for i, block in enumerate(runs, 1):
            started = time.monotonic()
            try:
                if DEMO in block.commands and not (BUILD / "demo/efficientnet-lite0.bin").exists():
                    raise Skip("make demo has not been run")
                if "autovideosink" in block.commands and not server:
                    raise Skip("needs Xvfb and ximagesink")
                reader.run(block)
                print(f"ok {i} - {block.name()}", flush=True)
            except Skip as reason:
                print(f"ok {i} - {block.name()} # SKIP {reason}", flush=True)
            except Exception as problem:
                failed += 1
                print(f"not ok {i} - {block.name()}")
                for line in f"{type(problem).__name__}: {problem}".splitlines():
                    print(f"# {line}", flush=True)
            print(f"# {time.monotonic() - started:.1f} s", flush=True)
        if server:
            server.terminate()
            server.wait()
    return failed > 0


sys.exit(main())
