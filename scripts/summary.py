#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts what Meson's tests did, case by case, and ends in one line: "N passed, N failed, N skipped".

usage: summary.py [--failure TEXT]... [LABEL=testlog.json]...

Programs that speak TAP count by case, others as one. A program that fails without a failed case (crash, timeout, wrong
plan) counts as one failure. A log that is not there is a failure, as is each TEXT (a step that did not get as far as
tests). Failures and skips are listed by name. Exit 1 if anything failed or nothing ran.
"""
import json
import re
import sys

CASE = re.compile(r"^(\s*)(not )?ok\b\s*(\d+)?\s*-?\s*([^#]*)(?:#\s*(SKIP|TODO)\S*\s*(.*))?$", re.IGNORECASE)
PLAN_SKIP = re.compile(r"^1\.\.0\s*#\s*SKIP\S*\s*(.*)$", re.IGNORECASE)
PASSED = {"OK", "EXPECTEDFAIL"}


def tap_cases(text):
    """Yields (name, outcome, reason) of each case. A line that closes a block of indented cases is their sum: no case."""
    deepest = 0
    for line in text.splitlines():
        plan = PLAN_SKIP.match(line)
        if plan:
            yield "", "skipped", plan.group(1)
        found = CASE.match(line)
        if not found:
            continue
        indent, negative, _, name, directive, reason = found.groups()
        closes = len(indent) < deepest
        deepest = len(indent)
        if closes:
            continue
        directive = (directive or "").upper()
        if directive == "SKIP":
            outcome = "skipped"
        elif negative and directive != "TODO":
            outcome = "failed"
        else:
            outcome = "passed"
        yield name.strip(), outcome, (reason or "").strip()


def last_line(entry):
    lines = [l.strip() for l in ((entry.get("stdout") or "") + "\n" + (entry.get("stderr") or "")).splitlines()]
    lines = [l for l in lines if l]
    return lines[-1] if lines else ""


def outcomes(entry):
    """Yields (name, outcome, reason) for one program of a test log."""
    name, result = entry["name"], entry["result"]
    cases = list(tap_cases(entry.get("stdout") or ""))
    if not cases:
        if result == "SKIP":
            yield name, "skipped", last_line(entry)
        else:
            yield name, "passed" if result in PASSED else "failed", result.lower()
        return
    for case, outcome, reason in cases:
        yield f"{name} {case}".strip(), outcome, reason
    if result not in PASSED | {"SKIP"} and all(outcome != "failed" for _, outcome, _ in cases):
        yield name, "failed", f"{result.lower()} (exit status {entry.get('returncode')})"


def main(arguments):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    lines = {"failed": [], "skipped": []}

    def add(name, outcome, reason):
        count[outcome] += 1
        if outcome != "passed":
            lines[outcome].append(f"{outcome}: {name}" + (f": {reason}" if reason else ""))

    while arguments:
        argument = arguments.pop(0)
        if argument == "--failure" and arguments:
            add(arguments.pop(0), "failed", "")
            continue
        label, separator, path = argument.partition("=")
        if not separator:
            sys.exit(__doc__)
        try:
            with open(path, encoding="utf-8", errors="replace") as log:
                entries = [json.loads(line) for line in log if line.strip()]
        except (OSError, ValueError) as error:
            add(label, "failed", f"no test log: {error}")
            continue
        for entry in entries:
            for name, outcome, reason in outcomes(entry):
                add(f"{label}: {name}", outcome, reason)

    for line in sorted(lines["skipped"]) + sorted(lines["failed"]):
        print(line)
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
