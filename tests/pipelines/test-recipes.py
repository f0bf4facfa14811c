#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-recipes.py BUILD SOURCE PAGE...: runs the gst-launch-1.0 commands of pages of docs/ word for word, in a folder
that looks like the clone's: each ends well, without a warning, and leaves the files it names. One that never ends, of a
live source, is interrupted after SECONDS_LIVE; where the page's next block is a warning, that has to come. A command that
wants a camera, a display, a file of the demo or an element that is not there is skipped, and says so."""
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD, SOURCE, PAGES = Path(sys.argv[1]), Path(sys.argv[2]), [Path(p) for p in sys.argv[3:]]
OUTSIDE = {"v4l2src": "a camera", "autovideosink": "a display", "glimagesink": "a display", "rtspsrc": "a server"}
SECONDS = 60
SECONDS_LIVE = 8
DEMO = "build/demo/efficientnet-lite0.bin"
SMALL = "models/recipes/testcard/testcard.onnx"


def commands(page):
    """Indented lines that begin with gst-launch-1.0, and what a backslash continues; with each, whether a warning is shown
    for it. $MODEL is the demo's, as the pages say, and a small one where that is not there."""
    text = re.sub(r" *\\\n +", " ", page.read_text())
    model = DEMO if (BUILD / DEMO.removeprefix("build/")).exists() else SMALL
    return [(command.replace("$MODEL", model), bool(shown) and model == DEMO)
            for command, shown in re.findall(r"^    (gst-launch-1\.0 .*)$(\n\n    WARNING: )?", text, re.MULTILINE)]


def missing(words):
    """What keeps a command from being run here, or None."""
    for word in words:
        if word in OUTSIDE:
            return f"wants {OUTSIDE[word]}"
        name, _, value = word.partition("=")
        if name in ("location", "model", "labels-file") and value.startswith(("build/", "models/")):
            path = (BUILD if value.startswith("build/") else SOURCE) / value.removeprefix("build/")
            if not path.exists():
                return f"{value} is not there"
    elements = [w for before, w in zip(["!", *words], words) if before == "!" and re.fullmatch(r"[a-z0-9]+", w)]
    for element in elements:
        if subprocess.run(["gst-inspect-1.0", element], capture_output=True).returncode != 0:
            return f"{element} is not installed"
    return None


def run(command, warns, folder):
    words = shlex.split(command)
    live = "is-live=true" in words
    limit = ["timeout", "--signal=INT", "--kill-after=10", str(SECONDS_LIVE)] if live else []
    result = subprocess.run([*limit, "bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    said = result.stdout + result.stderr
    if result.returncode != (124 if live else 0):
        return f"exit code {result.returncode}: {said}"
    if ("WARNING" in said) != warns or re.search("ERROR|CRITICAL", said):
        return f"{'a warning' if warns else 'nothing of the kind'} was expected: {said}"
    if " -m " in command and "gpudlinfer-result" not in said:
        return f"no answer: {said}"
    for word in words[1:]:
        made = word.removeprefix("location=")
        if made != word and "/" not in made and not (folder / made).stat().st_size:
            return f"{made} is empty"
    return None


cases = [(page, *case) for page in PAGES for case in commands(page)]
failed = 0
print(f"1..{len(cases)}", flush=True)
with tempfile.TemporaryDirectory(prefix="gpudl recipes ") as name:
    folder = Path(name)
    (folder / "build").symlink_to(BUILD)
    (folder / "models").symlink_to(SOURCE / "models")
    os.environ["GST_REGISTRY"] = str(folder / "registry")
    for i, (page, command, warns) in enumerate(cases, 1):
        title = f"{i} - {page.name}: {' '.join(command.split())[15:90]}".replace("#", " ")
        why = missing(shlex.split(command))
        if why:
            print(f"ok {title} # SKIP {why}", flush=True)
            continue
        problem = run(command, warns, folder)
        print(f"not ok {title}" if problem else f"ok {title}", flush=True)
        for line in (problem or "").splitlines():
            print(f"# {line}")
        failed += problem is not None
sys.exit(failed > 0 or not cases)
