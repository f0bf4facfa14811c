#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every source file names its licence; scripts parse; no open ends, no traces of one machine, no large files."""
import ast
import re
import subprocess

import tree

LARGEST = 300 * 1024
CODE = (".c", ".h", ".cc", ".cpp", ".cu", ".cuh", ".py", ".sh", ".proto")
SPDX = "SPDX-License-Identifier: "
FORBIDDEN = [
    (re.compile(r"(?:#|//|\*|<!--)\s*(TODO|FIXME|XXX|HACK)\b"), "an open end is written down elsewhere, not in the source"),
    (re.compile(r"(?<![\w.>}])/(home|root|work|Users)/\w"), "a path of one machine"),
    (re.compile(r"\.\./shar" + "ed"), "a path outside the repository"),
    (re.compile(r"(?i)\bissues? #?\d|\bsee #\d|\(#\d+\)"), "a number of something that does not travel with the source"),
    (re.compile(r"https?://[^\s/]*(pypi|pythonhosted|deb\.debian|artifact)"), "the address of a package registry"),
]
# files a check may not look into for these words: this one spells them, .ci/run alone may know where its data lies,
# and the licence's text is not ours
EXEMPT = {"tests/style/check-texts.py", ".ci/run", "COPYING"}

problems, checked = [], 0
for path in tree.files():
    checked += 1
    size = (tree.ROOT / path).stat().st_size
    if size > LARGEST:
        problems.append(f"{path}: {size} bytes, expected at most {LARGEST}")
    text = tree.text(path)
    if text is None:
        continue
    shell = tree.interpreter(path)
    if path.suffix in CODE or shell:
        if not any(SPDX in line for line in text.splitlines()[:3]):
            problems.append(f"{path}: no '{SPDX}...' in its first three lines")
    if shell in ("bash", "sh"):
        ran = subprocess.run([shell, "-n", tree.ROOT / path], capture_output=True, text=True)
        if ran.returncode != 0:
            problems.append(f"{path}: {ran.stderr.strip()}")
    if shell == "python3" or path.suffix == ".py":
        try:
            ast.parse(text, str(path))
        except SyntaxError as error:
            problems.append(f"{path}:{error.lineno}: {error.msg}")
    if str(path) not in EXEMPT:
        for pattern, why in FORBIDDEN:
            for found in pattern.finditer(text):
                problems.append(f"{path}:{text.count(chr(10), 0, found.start()) + 1}: '{found.group(0)}': {why}")
        for number, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip() and path.suffix in CODE + (".build",):
                problems.append(f"{path}:{number}: blanks at the end of the line")
        if text and not text.endswith("\n") and path.parts[:3] != ("tests", "fuzz", "seeds"):  # which end as damage does
            problems.append(f"{path}: no newline at its end")
tree.report(problems, checked)
