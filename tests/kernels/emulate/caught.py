#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""caught.py TOLD PROGRAM [ARGUMENT..]: succeeds if the program says so: a line of its output that the regular expression
TOLD finds the begin of, and exit status 1. A crash, a usage error or a hang is no verdict of a check."""
import re
import subprocess
import sys

told, *command = sys.argv[1:]
done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
if done.returncode == 1 and re.search(f"^(?:{told})", done.stdout, re.MULTILINE):
    print(f"caught: {told}")
    sys.exit(0)
sys.exit(f"{command[0]} ended with {done.returncode}, expected 1 and a line that begins with '{told}'; its output:\n"
         f"{done.stdout}")
