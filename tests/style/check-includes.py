#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Includes go one way: kernels <- engine <- models, video <- tools, plugin; nothing sees tests. Outside libraries stay in
the rooms that are made for them."""
import posixpath
import re

import tree

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
# room -> rooms it may see besides itself
SEES = {
    "kernels": set(),
    "engine": {"kernels"},
    "models": {"engine", "kernels"},
    "video": {"engine", "kernels"},
    "tools": {"models", "video", "engine", "kernels"},
    "plugin": {"models", "video", "engine", "kernels"},
}
ROOMS = {*SEES, "tests", "bench"}
# outside headers (regular expression), what they are, where they may be included (prefixes of paths)
OUTSIDE = [
    (r"gst/cuda/|cuda|cudnn|cublas|nvrtc|nvml", "CUDA", ("kernels/*.cu", "kernels/*.cuh", "engine/cuda/", "plugin/cuda/", "tests/")),
    (r"gst/", "GStreamer", ("video/", "plugin/", "tools/media.c", "tools/media-", "tools/plugin-file.c", "tools/demo/", "tests/plugin/",
                            "tests/tools/", "tests/video/", "tests/pipelines/", "tests/storm/", "tests/compat/", "bench/")),
    (r"glib|gio/|gmodule|gobject", "GLib", ("engine/", "models/", "video/", "tools/", "plugin/", "tests/", "bench/")),
    (r"oneapi/|dnnl", "oneDNN", ("engine/cpu/", "tests/", "bench/")),
    (r"protobuf-c", "protobuf-c", ("engine/modelfile/", "models/", "tests/")),
    (r"flatbuffers", "FlatBuffers", ("models/tflite/",)),
    (r"json-glib", "JSON-GLib", ("models/", "tools/", "tests/", "bench/")),
    (r"pango|cairo", "Pango and Cairo", ("plugin/", "tools/demo/", "tests/plugin/")),
    (r"xxhash", "xxHash", ("engine/modelfile/", "tests/")),
]


def allowed(path, places):
    return any(str(path).startswith(p) if "*" not in p else re.fullmatch(p.replace("*", ".*"), str(path)) for p in places)


problems = []
sources = [p for p in tree.files(".c", ".h", ".cc", ".cpp", ".cu", ".cuh") if p.parts[0] in ROOMS]
for path in sources:
    room = path.parts[0]
    for kind, name in INCLUDE.findall(tree.text(path)):
        if kind == "<":
            for pattern, what, places in OUTSIDE:
                if re.match(pattern, name):
                    if not allowed(path, places):
                        problems.append(f"{path}: includes <{name}>: {what} belongs into {', '.join(places)}")
                    break
            continue
        beside = posixpath.normpath(posixpath.join(path.parent, name))
        target = beside if (tree.ROOT / beside).exists() else posixpath.normpath(name)
        seen = target.split("/")[0]
        if seen not in ROOMS or seen == room or room in ("tests", "bench"):
            continue  # made by the build, its own room, or one that may see everything
        if seen not in SEES[room]:
            problems.append(f'{path}: includes "{name}": {room} may see {", ".join(sorted(SEES[room])) or "itself"} only')
tree.report(problems, len(sources))
