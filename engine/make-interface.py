#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""make-interface.py OUTPUT HEADER...: writes a header with GPUDL_BACKEND_INTERFACE, a fingerprint of the C code in
these headers. Comments and blanks do not count; a changed enumeration, struct or function does."""
import hashlib
import re
import sys

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\w+|\s+|.', re.DOTALL)


def fingerprint(texts):
    digest = hashlib.sha256()
    for text in texts:
        for token in TOKEN.findall(text):
            if not token.isspace() and not token.startswith(("//", "/*")):
                digest.update(token.encode() + b"\0")
    return digest.hexdigest()[:32]


if __name__ == "__main__":
    output, *headers = sys.argv[1:]
    texts = [open(path, encoding="utf-8").read() for path in headers]
    with open(output, "w", encoding="utf-8") as file:
        file.write(f'#define GPUDL_BACKEND_INTERFACE "{fingerprint(texts)}"\n')
