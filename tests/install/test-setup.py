#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-setup.py SOURCE: scripts/setup on systems that are not this one, told by stubs of dpkg-query, apt-get and apt-cache:
nothing is installed here."""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(sys.argv[1])
# what is in every Debian, by being essential
ESSENTIAL = {"bash", "coreutils", "dpkg", "grep", "sed", "tar"}
tests = []


def test(function):
    tests.append(function)
    return function


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


def rows(*groups):
    """The packages, each with its alternatives, of these groups of scripts/packages."""
    lines = [line.split() for line in (SOURCE / "scripts/packages").read_text().splitlines()]
    return [words[1].split("|") for words in lines if words and words[0] in groups]


def setup(folder, groups, there, known=None):
    """What scripts/setup tells apt-get to install where the packages there are installed and apt knows those of known."""
    tools, calls = folder / "tools", folder / "calls"
    tools.mkdir(exist_ok=True)
    calls.write_text("")
    stubs = {
        "dpkg-query": 'for name; do :; done; case " $there " in *" $name "*) echo installed ;; *) exit 1 ;; esac',
        "apt-get": 'printf "%s\\n" "$*" >>"$calls"',
        "apt-cache": '[ -z "$known" ] || case " $known " in *" $2 "*) ;; *) exit 0 ;; esac; echo "Package: $2"',
        "sudo": 'exec "$@"',
    }
    for name, text in stubs.items():
        (tools / name).write_text(f"#!/bin/bash\n{text}\n")
        (tools / name).chmod(0o755)
    done = subprocess.run([SOURCE / "scripts/setup", *groups], capture_output=True, text=True, timeout=60,
                          env={"PATH": f"{tools}:/usr/bin:/bin", "there": " ".join(there), "known": " ".join(known or []),
                               "calls": str(calls)})
    check(done.returncode == 0, done.stdout + done.stderr)
    lines = calls.read_text().splitlines()
    if not lines:
        return None
    check(len(lines) == 2 and lines[0].endswith(" update") and " install -y --no-install-recommends " in lines[1], lines)
    return lines[1].split(" --no-install-recommends ")[1].split()


@test
def a_bare_debian_gets_the_first_of_each_row(folder):
    wanted = [names[0] for names in rows("build", "run") if names[0] not in ESSENTIAL]
    check("dpkg-dev" in wanted and "gstreamer1.0-x" in wanted, wanted)
    found = setup(folder, ["build", "run"], ESSENTIAL)
    check(found == wanted, f"{found}, expected {wanted}")


@test
def no_alternative_is_there_always(folder):
    """It would keep the package that is meant from ever being installed."""
    groups = {line.split()[0] for line in (SOURCE / "scripts/packages").read_text().splitlines() if line and line[0] != "#"}
    for names in rows(*groups):
        check(len(names) == 1 or not ESSENTIAL & set(names), names)


@test
def what_is_there_is_left_alone(folder):
    names = [row[-1] for row in rows("build", "run", "demo")]
    check(setup(folder, ["build", "run", "demo"], names) is None)


@test
def an_alternative_is_taken_where_apt_does_not_know_the_first(folder):
    rest = {name for row in rows("build") for name in row} - {"pkg-config", "pkgconf"}
    check(setup(folder, ["build"], rest, known=["pkgconf"]) == ["pkgconf"])
    check(setup(folder, ["build"], rest, known=["pkg-config", "pkgconf"]) == ["pkg-config"])


@test
def packages_are_built_with_all_that_a_build_can_use(folder):
    """What debian/control leaves out is not there on a builder, and the plugin would quietly be without it."""
    control = (SOURCE / "debian/control").read_text()
    depends = re.search(r"^Build-Depends:((?:.*\n)(?: .*\n)*)", control, re.M)[1]
    there = {words[0] for words in map(str.split, depends.split(",")) if words}
    wanted = {names[0] for names in rows("build", "cuda") if names[0].endswith("-dev")} - {"libc6-dev", "dpkg-dev"}
    check("libgstreamer-plugins-bad1.0-dev" in wanted and wanted <= there, wanted - there)
    check("-Dgstcuda=enabled" in (SOURCE / "debian/rules").read_text())
    check({names[0] for names in rows("cuda")} <= {names[0] for names in rows("packages")})


@test
def gstreamers_cuda_library_is_told_by_its_own_file(folder):
    """Other parts of the same package are there without it."""
    lines = [line.split() for line in (SOURCE / "scripts/packages").read_text().splitlines()]
    check([words[2] for words in lines if words[:1] == ["cuda"]] == ["pc:gstreamer-cuda-1.0"], lines)


failed = 0
print(f"1..{len(tests)}", flush=True)
for i, function in enumerate(tests, 1):
    with tempfile.TemporaryDirectory(prefix="gpudl-setup-") as name:
        try:
            function(Path(name))
            print(f"ok {i} - {function.__name__}", flush=True)
        except Exception as problem:
            failed += 1
            print(f"not ok {i} - {function.__name__}")
            for line in f"{type(problem).__name__}: {problem}".splitlines():
                print(f"# {line}", flush=True)
sys.exit(failed > 0)
