#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: labels.py TIMM_WHEEL OUT: the 1000 ImageNet class names in the weights' order, one a line.

The first synonym of WordNet's stands for the class ("tench" of "tench, Tinca tinca"). Two birds and machines are called
crane and two garments maillot: where names collide, WordNet's id tells them apart ("crane (n02012849)").
"""
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    ids = wheel.read("timm/data/_info/imagenet_synsets.txt").decode().split()
    names = dict(line.split("\t", 1) for line in
                 wheel.read("timm/data/_info/imagenet_synset_to_lemma.txt").decode().splitlines())
first = [names[i].split(",")[0].strip() for i in ids]
if len(first) != 1000:
    sys.exit(f"labels.py: found {len(first)} classes, expected 1000")
with open(sys.argv[2], "w", encoding="utf-8") as out:
    for wordnet_id, name in zip(ids, first):
        out.write(name if first.count(name) == 1 else f"{name} ({wordnet_id})")
        out.write("\n")
