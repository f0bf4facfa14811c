#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-applications.py SOURCE BUILD: docs/applications.md against what is installed, as a developer without root meets it.

A comment before a block of indented lines, or a table, says what it is; a block without one is typed into a shell:

    <!-- prints -->                           what the block before prints
    <!-- from: FILE -->                       a part of docs/examples/FILE, word for word
    <!-- compiled with: MODULE HEADER -->     C that compiles with that pkg-config module, where it is
    <!-- not run: REASON -->
    <!-- NAME -->                             a table, which the test of that name compares with what there is
"""
import re
import shutil
import sys
import textwrap

from place import SOURCE, Skip, check, main, test

PAGE = SOURCE / "docs/applications.md"
EXAMPLES = SOURCE / "docs/examples"
# what a structure's text calls a type, and the page
TYPES = {"string": "string", "int": "int", "uint": "uint", "double": "double", "boolean": "boolean", "guint64": "guint64",
         "structure": "structure"}
# both programs, which do the same
READERS = {"C": "./read-results", "Python": "/usr/bin/python3 $SHARE/examples/read-results.py"}
READ_STRUCTURES = """
import sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
pipeline = Gst.parse_launch(sys.argv[1])
pipeline.set_state(Gst.State.PLAYING)
message = None
while message is None or message.type not in (Gst.MessageType.EOS, Gst.MessageType.ERROR):
    message = pipeline.get_bus().timed_pop(Gst.CLOCK_TIME_NONE)
    if message.type == Gst.MessageType.ELEMENT:
        print("message:", message.get_structure().to_string())
buffer = pipeline.get_by_name("out").get_property("last-sample").get_buffer()
print("metadata:", buffer.get_custom_meta("GpudlClassificationMeta").get_structure().to_string())
for name in "stats", "model-info":
    print(name + ":", pipeline.get_by_name("infer").get_property(name).to_string())
pipeline.set_state(Gst.State.NULL)
"""


def read_page():
    """(line, comment, text without its indentation) of each block; comment -> rows of each table, as lists of cells."""
    found, tables, comment, lines, start = [], {}, None, [], 0
    for number, line in enumerate([*PAGE.read_text().splitlines(), "end"], 1):
        check(not line.startswith("```"), f"line {number}: a block between ``` is not one that this test would look at; indent it")
        if line.startswith("    ") or lines and not line:
            start = start or number
            lines.append(line)
            continue
        if lines:
            found.append((start, comment, textwrap.dedent("\n".join(lines)).rstrip()))
            lines, start, comment = [], 0, None
        if line.startswith("<!--"):
            comment = re.fullmatch("<!-- (.+) -->", line).group(1)
        elif line.startswith("|") and comment:
            rows = tables.setdefault(comment, [])
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif line:
            comment = None
    return found, {name: rows[2:] for name, rows in tables.items()}


def prepare(place):
    place.prefix = place.home / "apps"
    place.settings = place.make("install", place.prefix).stdout.splitlines()[-1]
    place.blocks, place.tables = read_page()
    # SHARE and INFER, as the page has them
    place.settings += "".join(f"\n{line}" for line in place.blocks[0][2].splitlines() if re.match("[A-Z]+=", line)) + "\n"


def shell(place, commands, code=0, **more):
    return place.run("bash", "-ec", place.settings + commands, cwd=place.home, code=code, **more)


def shell_blocks(place):
    """(line, commands, what they print or None)"""
    for i, (line, comment, text) in enumerate(place.blocks):
        if comment is None:
            says = place.blocks[i + 1] if i + 1 < len(place.blocks) else (0, "", "")
            yield line, text, says[2] if (says[1] or "").startswith("prints") else None


def python(place):
    if place.run("/usr/bin/python3", "-c", "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst",
                 code=None).returncode != 0:
        raise Skip("needs python3-gi and gir1.2-gstreamer-1.0")


@test
def code_is_that_of_the_examples(place):
    """From the first to the last line of a block, with the indentation that it has there."""
    parts = [(line, c.removeprefix("from: "), text) for line, c, text in place.blocks if (c or "").startswith("from: ")]
    check({name for _, name, _ in parts} == {p.name for p in EXAMPLES.iterdir() if p.suffix in (".c", ".py")}, parts)
    for line, name, text in parts:
        source = (EXAMPLES / name).read_text()
        check(any("\n" + textwrap.indent(text, " " * n) + "\n" in source for n in (0, 4, 8)),
              f"line {line}: this is not in docs/examples/{name}:\n{text}")


@test
def every_block_is_of_a_known_kind(place):
    for line, comment, _ in place.blocks:
        check(comment is None or re.match("prints|from: .|compiled with: .|not run: .", comment), f"line {line}: {comment}")


@test
def commands_print_what_the_page_says(place):
    any_output = 0
    for line, commands, says in shell_blocks(place):
        if ".py" in commands:
            try:
                python(place)
            except Skip as reason:
                print(f"# line {line}: {reason}")
                continue
        done = shell(place, commands)
        check(says is None or done.stdout.rstrip() == says, f"line {line}: {commands}\nprints\n{done.stdout}expected\n{says}")
        check(done.stderr == "", f"line {line}: {done.stderr}")
        any_output += says is not None
    check(any_output >= 3)


@test
def analytics_code_compiles(place):
    for line, comment, text in place.blocks:
        if not (comment or "").startswith("compiled with: "):
            continue
        module, header = comment.removeprefix("compiled with: ").split()
        if place.run("pkg-config", "--exists", module, code=None).returncode != 0:
            raise Skip(f"line {line}: needs {module}")
        place.run("sh", "-ec", f"cc -std=c11 -Wall -Wextra -Werror -Wno-unused-function -x c -c -o analytics.o - "
                  f"$(pkg-config --cflags {module}) <<'END'\n#include <{header}>\n{text}\nEND", cwd=place.home)


def build_readers(place):
    shell(place, "cc -std=c11 -Wall -Wextra -Wno-unused-parameter -Werror $SHARE/examples/read-results.c -o read-results "
          "$(pkg-config --cflags --libs gstreamer-1.0)")
    try:
        python(place)
        return READERS
    except Skip:
        return {"C": READERS["C"]}


@test
def both_programs_say_the_same_of_results_messages_and_errors(place):
    for language, program in build_readers(place).items():
        done = shell(place, f'{program} "videotestsrc pattern=red num-buffers=2 ! $INFER name=one post-messages=all ! '
                     '$INFER threshold=1 ! fakesink name=out"')
        # two threads print, and Python's print() writes a line's end by itself
        expected = ["message of one: red", "testcard: red 0.99", "testcard: no class above the threshold", "    red 0.99",
                    "    chroma-zone-plate 0.00"]
        rest = done.stdout
        for line in expected:
            check(rest.count(line) == 2, f"{language}: {line}: {done.stdout}")
            rest = rest.replace(line, "")
        check(rest == 2 * len(expected) * "\n", f"{language}: {done.stdout}")
        done = shell(place, f'{program} "videotestsrc num-buffers=1 ! $INFER model=/no/such.bin ! fakesink name=out"', code=1)
        check(done.stderr == "error: gst-resource-error-quark 3: File not found: /no/such.bin: No such file or directory\n",
              f"{language}: {done.stderr}")
        done = shell(place, f'{program} "videotestsrc num-buffers=1 ! fakesink name=out"')
        check(done.stdout == "", f"{language}: {done.stdout}")


@test
def both_programs_say_that_a_pipeline_is_behind(place):
    for language, program in build_readers(place).items():
        done = shell(place, f'{program} "videotestsrc is-live=true num-buffers=10000 ! video/x-raw,framerate=2000/1 ! '
                     '$INFER backend=ref ! fakesink name=out"')
        check(re.search(r"^warning: gst-core-error-quark 13: .*\nbehind, because of the network: \d+ frames/s$", done.stderr,
                        re.MULTILINE), f"{language}: {done.stderr}")


def fields_of(structure):
    """name -> type, as the page calls it, of a structure's text."""
    found = {}
    inside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', structure)
    for name, kind, value in re.findall(r"([\w-]+)=\((\w+)\)\s*([^,;]*)", inside):
        check(kind in TYPES, f"{name}: {kind}")
        found[name] = {"<": "array of ", "{": "list of "}.get(value[:1], "") + TYPES[kind]
    return found


def fields_in(rows):
    found = {}
    for row in rows:
        names = re.findall("`(.+?)`", row[0])
        for name in names:
            if name.startswith("-") and names[0].endswith("-avg"):
                name = names[0].removesuffix("-avg") + name
            found[name] = row[1]
    return found


@test
def tables_list_the_fields_that_there_are(place):
    python(place)
    done = shell(place, f"cat >read.py <<'END'\n{READ_STRUCTURES}END\n/usr/bin/python3 read.py \"videotestsrc num-buffers=1 ! "
                 '$INFER name=infer post-messages=all ! fakesink name=out"')
    structures = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    for name, says in ("fields of the metadata", "metadata"), ("fields of the message", "message"), \
            ("fields of stats", "stats"), ("fields of model-info", "model-info"):
        there, listed = fields_of(structures[says]), fields_in(place.tables[name])
        listed.pop("head", None)  # this network has one output
        check(there == listed, f"{name}: {set(there.items()) ^ set(listed.items())}")


@test
def errors_are_those_of_the_plugin(place):
    source = (SOURCE / "plugin/gstgpudlerror.c").read_text()
    there = {what: f"{domain} {code}" for what, domain, code in re.findall(
        r"\[GPUDL_ERROR_(\w+)\] = \{DOMAIN_(\w+),\s+GST_(?:LIBRARY|RESOURCE|STREAM)_ERROR_(\w+),", source)}
    # nothing is written; frames that end with these two are no error of the pipeline
    for name in "WRITE", "CANCELLED", "NOT_FINITE":
        del there[name]
    listed = {row[0]: f"{row[1]} {row[2]}" for row in place.tables["errors"]}
    check(there == listed, f"{set(there.items()) ^ set(listed.items())}")


@test
def what_keeps_the_metadata_is_said(place):
    build_readers(place)
    rows = place.tables["what keeps the metadata"]
    check(len(rows) > 8 and {row[1].split(":")[0] for row in rows} == {"yes", "no"}, rows)
    for chain, kept, *_ in rows:
        chain = chain.strip("`")
        missing = [e for e in re.findall(r"(?:^|! )([a-z0-9]+)(?= |$)", chain)
                   if shell(place, f"gst-inspect-1.0 {e}", code=None).returncode != 0]
        if missing:
            print(f"# not run: {chain}: {missing[0]} is not installed")
            continue
        done = shell(place, './read-results "videotestsrc num-buffers=2 pattern=red ! video/x-raw,width=320,height=240 ! '
                     f'$INFER ! {chain} ! fakesink name=out"')
        n = done.stdout.count("testcard: red")
        check(n == 2 if kept == "yes" else n == 0, f"{chain}: {n} of 2 buffers have it, the page says {kept}")


if shutil.which("pkg-config") is None or shutil.which("cc") is None:
    print("1..0 # SKIP needs cc and pkg-config")
    sys.exit(0)
sys.exit(main(prepare))
