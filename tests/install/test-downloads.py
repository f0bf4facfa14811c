#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-downloads.py SOURCE: scripts/downloads.sh, of which clones share what they have downloaded. Nothing is downloaded here:
what fetches writes two files and tells that it was called."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(sys.argv[1])
NOBODY = 65534
FILES = {"weights.whl": b"weights" * 1000, "photo one.jpg": b"photo"}
tests = []


def test(function):
    tests.append(function)
    return function


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


class Case:
    """folder/home, and clones beside it."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir()
        self.cache = self.home / ".cache/gpudl/downloads"
        self.sums = folder / "sums"
        self.sums.write_text("".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in FILES.items()))
        self.origin = folder / "origin"
        self.origin.mkdir()
        for name, data in FILES.items():
            (self.origin / name).write_bytes(data)

    def start(self, clone, fetch='cp -n "$origin"/* "$1/"', home=None, drop=(), **env):
        where = self.folder / clone
        where.mkdir(exist_ok=True)
        variables = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
        variables.update({"HOME": str(self.home)} if home is None else {"HOME": home} if home else {}, origin=str(self.origin), **env)
        return subprocess.Popen([*drop, "bash", "-euc", f'. "$1"; fetch() {{ echo fetched; {fetch}; }}; status=0; '
                                 'downloads "$2" fetch || status=$?; echo "from $from"; exit $status', "bash", SOURCE / "scripts/downloads.sh",
                                 self.sums], cwd=where, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, clone, code=0, **more):
        """Whether fetch was called, the folder named, and what was said on stderr."""
        process = self.start(clone, **more)
        out, err = process.communicate(timeout=60)
        check(process.returncode == code, f"exit status {process.returncode}, expected {code}: {out}{err}")
        lines = out.splitlines()
        folder = Path(lines[-1].removeprefix("from "))
        if code == 0:
            check({p.name: p.read_bytes() for p in folder.iterdir()} == FILES, list(folder.iterdir()))
        return "fetched" in lines, folder, err


@test
def a_second_clone_fetches_nothing(case):
    check(case.run("one") == (True, case.cache, ""))
    check(case.run("two") == (False, case.cache, ""))
    check(not (case.folder / "one/build").exists())


@test
def another_cache_folder_is_taken(case):
    check(case.run("one", XDG_CACHE_HOME=str(case.folder / "my cache"))[1] == case.folder / "my cache/gpudl/downloads")
    check(case.run("two", XDG_CACHE_HOME="relative")[1] == case.cache)


@test
def what_was_damaged_is_fetched_again(case):
    case.run("one")
    (case.cache / "photo one.jpg").write_bytes(b"phot0")
    # what is right is kept: only the other one has to be brought
    check(case.run("two", fetch='[ -e "$1/weights.whl" ] && [ ! -e "$1/photo one.jpg" ] && cp -n "$origin"/* "$1/"') == (True, case.cache, ""))


@test
def what_was_fetched_wrong_or_not_at_all_leaves_nothing(case):
    case.run("one", fetch='cp "$origin"/* "$1/"; echo more >>"$1/photo one.jpg"', code=2)
    case.run("one", fetch='cp "$origin"/weights.whl "$1/"', code=2)
    case.run("one", fetch='cp "$origin"/weights.whl "$1/"; exit 1', code=1)
    check(list(case.cache.iterdir()) == [], list(case.cache.iterdir()))
    check(case.run("one") == (True, case.cache, ""))


@test
def two_at_once_are_both_served(case):
    slowly = 'for file in "$origin"/*; do sleep 0.3; cp -n "$file" "$1/"; done'
    processes = [case.start(f"clone {i}", fetch=slowly) for i in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        check(process.returncode == 0 and err == "" and out.endswith(f"from {case.cache}\n"), out + err)
    check(case.run("last") == (False, case.cache, ""))


@test
def without_a_usable_home_a_clone_keeps_its_own(case):
    (case.folder / "file").touch()
    for i, home in enumerate(("", "relative", "/dev/null", str(case.folder / "file/home"))):
        fetched, folder, said = case.run(f"clone {i}", home=home)
        check(fetched and folder == case.folder / f"clone {i}/build/downloads", folder)
        check(said.startswith("downloads are kept in build/downloads: ") and said.count("\n") == 1, said)
        check(case.run(f"clone {i}", home=home) == (False, folder, ""), "the second time")


@test
def a_cache_that_can_only_be_read_is_read(case):
    drop = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            return "root can write everywhere"
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        case.folder.chmod(0o777)
    (case.home / ".cache/gpudl").mkdir(parents=True)
    (case.home / ".cache/gpudl").chmod(0o555)
    (case.folder / "one").mkdir()
    (case.folder / "one").chmod(0o777)
    fetched, folder, said = case.run("one", drop=drop)
    check(fetched and folder == case.folder / "one/build/downloads" and "can't be written to" in said and said.count("\n") == 1, said)
    (case.home / ".cache/gpudl").chmod(0o755)
    case.run("two")
    case.cache.chmod(0o555)
    shutil.rmtree(case.folder / "one/build")
    check(case.run("one", drop=drop) == (False, case.cache, ""))
    case.cache.chmod(0o755)
    return None


@test
def what_an_older_clone_has_is_used_and_shared(case):
    (case.folder / "old/build").mkdir(parents=True)
    shutil.copytree(case.origin, case.folder / "old/build/downloads")
    check(case.run("old")[0] is False)
    check(case.run("new") == (False, case.cache, ""))


def main():
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for i, function in enumerate(tests, 1):
        with tempfile.TemporaryDirectory(prefix="gpudl-downloads-") as name:
            try:
                skip = function(Case(Path(name).resolve()))
                print(f"ok {i} - {function.__name__}" + (f" # SKIP {skip}" if skip else ""), flush=True)
            except Exception as problem:
                failed += 1
                print(f"not ok {i} - {function.__name__}")
                for line in f"{type(problem).__name__}: {problem}".splitlines():
                    print(f"# {line}", flush=True)
    return failed > 0


sys.exit(main())
