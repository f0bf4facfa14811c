#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-interface.py MAKE-INTERFACE: what changes the fingerprint of the backends' interface, and what does not."""
import pathlib
import re
import subprocess
import sys
import tempfile

make_interface = pathlib.Path(sys.argv[1])
engine = make_interface.parent
headers = [engine / "backend.h", engine / "settings.h", engine / "graph/attrs.h", engine / "../kernels/frame.h",
           engine / "../kernels/types.h"]


def fingerprint(texts):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, text in enumerate(texts):
            paths.append(pathlib.Path(folder, f"{i}.h"))
            paths[-1].write_text(text, encoding="utf-8")
        output = pathlib.Path(folder, "interface.h")
        subprocess.run([sys.executable, make_interface, output, *paths], check=True)
        return re.fullmatch(r'#define GPUDL_BACKEND_INTERFACE "([0-9a-f]{32})"\n', output.read_text())[1]


originals = [path.read_text(encoding="utf-8") for path in headers]
first = fingerprint(originals)
number = 0
failed = False


def check(name, equal, *changes):
    """changes: (index of the header, old text, new text)."""
    global number, failed
    texts = list(originals)
    for index, old, new in changes:
        assert old in texts[index], f"{headers[index]} has no {old!r}"
        texts[index] = texts[index].replace(old, new, 1)
    number += 1
    good = (fingerprint(texts) == first) == equal
    failed = failed or not good
    print(f"{'ok' if good else 'not ok'} {number} - {name}")


check("the same again", True)
check("a comment", True, (0, "/** Room for one message;", "/** Room for a message of any kind;"))
check("a comment more, and blanks", True, (0, "typedef enum {", "// this\n  typedef   enum\n{ /* and that */"))
check("an enumerator inserted", False, (0, "GPUDL_STATUS_FAILED,", "GPUDL_STATUS_OTHER,\n    GPUDL_STATUS_FAILED,"))
check("an enumerator of another header", False, (3, "GPUDL_PIXEL_NV21,", "GPUDL_PIXEL_OTHER, GPUDL_PIXEL_NV21,"))
check("two enumerators change places", False, (0, "GPUDL_STATUS_FAILED,\n    GPUDL_STATUS_UNSUPPORTED",
                                               "GPUDL_STATUS_UNSUPPORTED,\n    GPUDL_STATUS_FAILED"))
check("a field of a struct", False, (0, "int32_t precision; /*", "int64_t precision; /*"))
check("a function's argument", False, (0, "uint32_t slot, uint64_t timeout_ns", "uint32_t slot, uint32_t timeout_ns"))
check("a constant", False, (0, "#define GPUDL_MAX_BUCKETS 16", "#define GPUDL_MAX_BUCKETS 17"))
check("an operator's attribute", False, (2, "int32_t", "int64_t"))
check("a word split in two", False, (0, "GPUDL_STATUS_FAILED", "GPUDL_STATUS_ FAILED"))
print(f"1..{number}")
sys.exit(failed)
