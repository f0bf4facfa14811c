# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the rows of make check-zoo come to."""
import collections

FINE = ("equal", "ill-conditioned", "imports")
BAD = ("wrong", "refused", "crashed", "too slow")
UNKNOWN = ("not judged", "exporter fails")  # nothing is known to be amiss with us, nor to be right
VERDICTS = (*FINE, *BAD, *UNKNOWN)
SHARE = .99  # of timm's convolutional names that have to be fine: what is unknown is not, so that little can be


def table(rows):
    """Counts by class of networks and form of file."""
    counts = collections.Counter((row["family"], row["form"], row["verdict"]) for row in rows)
    kinds = sorted({key[:2] for key in counts})
    used = [verdict for verdict in VERDICTS if any(key[2] == verdict for key in counts)]
    yield "| networks | file | " + " | ".join(used) + " |"
    yield "| --- | --- |" + " --- |" * len(used)
    for family, form in kinds:
        yield f"| {family} | {form} | " + " | ".join(str(counts[family, form, verdict]) for verdict in used) + " |"


def verdict_of(rows):
    """Of all files of one network: the worst, except that what one exporter can't write another may."""
    found = {row["verdict"] for row in rows}
    return next((verdict for verdict in (*BAD, "not judged", "ill-conditioned", *FINE, "exporter fails") if verdict in found), "not seen")


def by_name(catalogue, rows):
    """A verdict for each name: its own where there is one, else its kind's representative's. Yields (entry, verdict, own)."""
    own = collections.defaultdict(list)
    for row in rows:
        own[row["net"]].append(row)
    standing = {(entry["module"], entry["family"], entry["kind"]): entry["name"] for entry in catalogue if entry["stands_for"]}
    for entry in catalogue:
        representative = standing[entry["module"], entry["family"], entry["kind"]]
        verdict = verdict_of(own[entry["name"]])
        yield (entry, verdict, True) if verdict != "not seen" else (entry, verdict_of(own[representative]), False)


def complete(catalogue, rows):
    """The lines to print, and whether all is well."""
    lines = list(table(rows)) + [""]
    counts = {}
    for entry, verdict, own in by_name(catalogue, rows):
        if entry["module"] != "torchvision":
            counts.setdefault(entry["family"], collections.Counter())[verdict, own] += 1
    good = not any(row["verdict"] in ("wrong", "crashed") for row in rows)
    for family, count in sorted(counts.items()):
        names = sum(count.values())
        fine = sum(n for (verdict, _), n in count.items() if verdict in FINE)
        unseen = sum(n for (verdict, _), n in count.items() if verdict == "not seen")
        unjudged = sum(n for (verdict, _), n in count.items() if verdict == "not judged")
        itself = sum(n for (verdict, own), n in count.items() if own)
        lines.append(f"{family}: {fine} of timm's {names} names are fine ({100 * fine / names:.1f} %), {itself} of them or of the others looked "
                     f"at themselves, the rest by the smallest of their kind; {unseen} not seen yet, {unjudged} can't be judged")
        if family == "convolutional" and fine < SHARE * (names - unseen):
            good = False
    told = [row for row in rows if "batch1" in row]
    lines += [f"{sum(bool(row['batch1']) for row in told)} of {len(told)} files that were taken hold for batch 1 alone", ""]
    for row in sorted(rows, key=lambda row: (row["verdict"], row["net"])):
        if row["verdict"] in (*BAD, *UNKNOWN):
            lines.append(f"{row['verdict']}: {row['net']}, {row['form']}: {row['text']}")
        elif row["verdict"] == "ill-conditioned":
            lines.append(f"ill-conditioned: {row['net']}, {row['form']}: off by {row['error']:.2g} of the range, PyTorch in float32 by "
                         f"{row['torch']:.2g}, ONNX Runtime by {row['onnxruntime'] or float('nan'):.2g}")
    return lines, good
