# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the measurements make of their numbers; pure functions, tests/style/test-bench.py holds cases worked by hand."""
import statistics


def summary(values):
    """Median, least and the width of the values without the tenth at each end."""
    ordered = sorted(values)
    return {"median_ms": statistics.median(ordered), "min_ms": ordered[0],
            "spread_ms": ordered[-1 - len(ordered) // 10] - ordered[len(ordered) // 10]}


def ratios(ours, theirs):
    """Theirs over ours within each round, above 1: ours is faster. What slows the machine down slows both of a round,
    so this holds where the quotient of the two medians would not."""
    return [b / a for a, b in zip(ours, theirs, strict=True)]


def compare(rounds, clock):
    """rounds: one {"ours": {clock: ms, ...}, "theirs": ...} each; the comparison by that clock."""
    ours, theirs = [r["ours"][clock] for r in rounds], [r["theirs"][clock] for r in rounds]
    pairs = ratios(ours, theirs)
    return {"ours_ms": statistics.median(ours), "theirs_ms": statistics.median(theirs),
            "ratio": statistics.median(pairs), "least": min(pairs), "largest": max(pairs)}


def steady(values, width=0.01):
    """Whether the values lie within that part of their median of each other."""
    return max(values) - min(values) <= width * statistics.median(values)


def further(one, many, number):
    """What each element after the first costs."""
    return (many - one) / (number - 1)
