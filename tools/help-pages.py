#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""help-pages.py man|bash GPUDL OUTPUT: makes the manual page or the completion of bash from what GPUDL's --help says.

A text that is not laid out as help is here is an error: nothing is left out in silence. SOURCE_DATE_EPOCH dates the page.
"""
import datetime
import os
import re
import subprocess
import sys

OPTION = re.compile(r"^  (?:(-\w), )?(?:    )?(--[\w-]+)(?:=(\S+))?(?:  +(\S.*))?$")
COMMAND = re.compile(r"^  ([a-z][\w-]*)  +(\S.*)$")
# values that a description lists: "auto, cuda, cpu or ref (default auto)"
VALUES = re.compile(r"^([a-z0-9-]+(?: \(default\))?(?:, [a-z0-9-]+)*(?: or|,) [a-z0-9-]+)(?: \(|:|$)")
FILES = re.compile(r"FILE|PICTURE|MODEL|\.npy$|\.BIN$")


class Help:
    """One command's help: usage (lines), text (lines), options [(short, long, value, description)], commands."""

    def __init__(self, gpudl, *command):
        env = {**os.environ, "LC_ALL": "C.UTF-8"}
        text = subprocess.run([gpudl, *command, "--help"], capture_output=True, text=True, check=True, env=env).stdout
        self.usage, self.text, self.options, self.commands = [], [], [], []
        part = None
        for line in text.replace("…", "...").splitlines():
            if line in ("Usage:", "Options:", "Commands:"):
                part = line
            elif part == "Usage:" and line:
                self.usage.append(line.strip())
            elif part == "Usage:":
                part = None
            elif part == "Options:" and line:
                self.options.append(self.match(OPTION, line))
            elif part == "Commands:" and line:
                self.commands.append(self.match(COMMAND, line))
            else:
                part = None
                self.text.append(line)
        if not self.usage or not self.options + self.commands:
            sys.exit(f"help-pages: '{gpudl} {' '.join(command)} --help' shows no usage, or neither options nor commands")

    @staticmethod
    def match(pattern, line):
        found = pattern.match(line)
        if not found:
            sys.exit(f"help-pages: '{line}' is neither an option nor a command as help lists them")
        return found.groups()


# ---- man ------------------------------------------------------------------------------------------------------------

def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def paragraphs(lines):
    """Yields (literal, lines): lines that begin with a blank or a brace keep their form."""
    block, literal = [], False
    for line in [*lines, ""]:
        form = line[:1] in (" ", "{") and line != ""
        if block and (not line or form != literal):
            yield literal, block
            block = []
        if line:
            block.append(line)
            literal = form


def write_paragraphs(out, lines):
    fresh = True
    for literal, block in paragraphs(lines):
        if not fresh:
            out.append(".PP")
        fresh = False
        if literal:
            out += [".nf", *(roff(line) for line in block), ".fi"]
        else:
            # a sentence begins a line, which is how the tools tell its end
            out += [roff(line) for line in re.sub(r"([.?!]) (?=[A-Z])", r"\1\n", " ".join(block)).split("\n")]


def wrapped(lines):
    """The source in lines of less than 80 columns; requests and what keeps its form are short enough or stay."""
    literal = False
    for line in lines:
        literal = {".nf": True, ".fi": False}.get(line, literal)
        while len(line) > 78 and not literal and not line.startswith("."):
            cut = line.rfind(" ", 0, 78)
            # no line may begin as a request does
            while cut > 0 and line[cut + 1] in ".'":
                cut = line.rfind(" ", 0, cut)
            if cut <= 0:
                break
            yield line[:cut]
            line = line[cut + 1:]
        yield line


def man(version, top, commands):
    date = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH") or datetime.datetime.now().timestamp()),
                                           datetime.timezone.utc)
    out = [f'.\\" Made from "gpudl --help".', f'.TH GPUDL 1 {date:%Y-%m-%d} "gpudl {version}"',
           ".SH NAME", "gpudl \\- classify pictures and videos with neural networks",
           ".SH SYNOPSIS"]
    for i, (name, _, _) in enumerate(commands):
        out += [".br"] if i else []
        out.append(f".B gpudl {name}")
        out += [roff(arguments(h)) for n, _, h in commands if n == name]
    out += [".SH DESCRIPTION",
            "Converts, inspects and runs classification networks without a pipeline.",
            "The GStreamer element gpudlinfer runs the same networks on the frames of one."]
    for name, summary, help_ in commands:
        out += [f".SH GPUDL {name.upper()}", roff(summary[0].upper() + summary[1:]) + "."]
        if help_.text:
            out.append(".PP")
            write_paragraphs(out, help_.text)
        for short, long, value, text in help_.options:
            tag = ", ".join(f"\\fB{roff(o)}\\fR" for o in (short, long) if o) + (f"=\\fI{roff(value)}\\fR" if value else "")
            out += [".TP", tag]
            out.append(roff(text) if text else "\\&")
    out.append(".SH EXIT STATUS")
    codes = [line for line in top.text if line.startswith("Exit codes: ")]
    if not codes:
        sys.exit("help-pages: 'gpudl --help' does not tell the exit codes")
    for code, meaning in re.findall(r"(\d+) ([^,.]+)", codes[0]):
        out += [".TP", f".B {code}", roff(meaning[0].upper() + meaning[1:]) + "."]
    out += [".SH SEE ALSO", ".BR gst\\-launch\\-1.0 (1),", ".BR gst\\-inspect\\-1.0 (1)"]
    return "\n".join(wrapped(out)) + "\n"


def arguments(help_):
    """What follows the command's name in its usage."""
    return help_.usage[0].split(" ", 2)[2]


# ---- bash -----------------------------------------------------------------------------------------------------------

BASH = """\
# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion of gpudl; made from "gpudl --help"

_gpudl() {
    local commands='@COMMANDS@'
    local command=${COMP_WORDS[1]-} word=${COMP_WORDS[COMP_CWORD]} option= options= values= before

    COMPREPLY=()
    if [ "$COMP_CWORD" -le 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$word")
        return
    fi
    # --option=VALUE comes as one word, or as three where = parts words
    before=${COMP_WORDS[COMP_CWORD - 1]}
    case $word in
    =)
        option=$before
        word=
        ;;
    --*=*)
        option=${word%%=*}
        word=${word#*=}
        ;;
    *)
        if [ "$before" = = ]; then
            option=${COMP_WORDS[COMP_CWORD - 2]}
        else
            case $before in -*) option=$before ;; esac
        fi
        ;;
    esac
    case $command in
@OPTIONS@
    help) options=$commands ;;
    *) return ;;
    esac
    case $command:$option in
@VALUES@
    esac
    if [ -n "$values" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
    elif [ "$command" = help ] || [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        # an option that wants a value is no whole word yet
        [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}

complete -F _gpudl gpudl
"""


def values_of(text):
    found = VALUES.match(text or "")
    return " ".join(w for w in re.split(r"[ ,]+|\(default\)", found.group(1)) if w not in ("", "or")) if found else ""


def bash(_version, _top, commands):
    known = {}
    for _, _, help_ in commands:
        for _, long, _, text in help_.options:
            known.setdefault(long, values_of(text)) or known.update({long: values_of(text)})
    options, values = [], []
    for name, _, help_ in commands:
        words = " ".join(long + ("=" if value else "") for _, long, value, _ in help_.options)
        options.append(f"    {name}) options='{words}' ;;")
        for short, long, value, text in help_.options:
            if not value:
                continue
            patterns = "|".join(f"{name}:{o}" for o in (short, long) if o)
            listed = values_of(text) or known[long]
            if FILES.search(value) and not listed:
                continue
            # neither a list nor a file: nothing is offered, rather than files
            what = f"values='{listed}'" if listed else "return"
            values.append(f"    {patterns}) {what} ;;")
    return (BASH.replace("@COMMANDS@", " ".join(name for name, _, _ in commands) + " help")
            .replace("@OPTIONS@", "\n".join(options)).replace("@VALUES@", "\n".join(values)))


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("man", "bash"):
        sys.exit(__doc__)
    kind, gpudl, output = sys.argv[1:]
    version = subprocess.run([gpudl, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    top = Help(gpudl)
    commands = [(name, summary, Help(gpudl, name)) for name, summary in top.commands]
    text = {"man": man, "bash": bash}[kind](version, top, commands)
    with open(output, "w", encoding="utf-8") as file:
        file.write(text)


main()
