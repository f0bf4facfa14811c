# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of installing share: a clone of the source whose build/ is the build under test, and a user without root
who works in it. Their arguments: SOURCE BUILD."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE, BUILD = (Path(a) for a in sys.argv[1:3])
NOBODY = 65534
# what the build's environment, or the one who runs the tests, would help out with
HELPERS = ("GPUDL_BACKEND_PATH", "GPUDL_BUILD", "GPUDL_ENVIRONMENT", "GPUDL_MODEL", "GST_PLUGIN_PATH", "GST_PLUGIN_PATH_1_0",
           "GST_REGISTRY", "GST_REGISTRY_1_0", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "PREFIX", "DESTDIR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DISPLAY",
           "WAYLAND_DISPLAY", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS", "GPUDL_TEST_DATA")
tests = []


class Skip(Exception):
    pass


def test(function):
    tests.append(function)
    return function


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


class Place:
    """folder/source: the clone; folder/home: the user's home; all theirs."""

    def __init__(self, folder):
        self.folder = folder
        self.source, self.home = folder / "source", folder / "home"
        self.env = {k: v for k, v in os.environ.items() if k not in HELPERS}
        self.env.update(HOME=str(self.home), LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1")
        shutil.copytree(SOURCE, self.source, symlinks=True, ignore=lambda where, names: [
            n for n in names if n in (".git", ".device", "__pycache__") or Path(where) == SOURCE and n.startswith("build")])
        (self.source / "build").symlink_to(BUILD)
        self.home.mkdir()
        # made once: looking at all of GStreamer's plugins takes seconds
        (folder / "gstreamer").mkdir()
        self.env["GST_REGISTRY"] = str(folder / "gstreamer" / "registry.bin")
        self.drop = []
        folder.chmod(0o755)
        # what is to be installed: built and staged by whom the build belongs to
        done = self.run("scripts/build", cwd=self.source)
        if os.geteuid() == 0:
            drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            if shutil.which("setpriv") is None or subprocess.run(drop + ["test", "-r", BUILD / "build.ninja"]).returncode != 0:
                print(f"# run by root: no other user can read {BUILD}", flush=True)
                return
            self.drop = drop
            subprocess.run(["chown", "-Rh", f"{NOBODY}:{NOBODY}", self.source, self.home, folder / "gstreamer"],
                           check=True)

    def run(self, *command, code=0, env=None, cwd=None, **more):
        """As the user, in the clone; code None: whatever it is."""
        done = subprocess.run([*self.drop, *map(str, command)], capture_output=True, text=True,
                              cwd=cwd or self.source, env={**self.env, **(env or {})}, timeout=more.pop("timeout", 120),
                              stdin=subprocess.DEVNULL, **more)
        check(code is None or done.returncode == code,
              f"{command}: exit status {done.returncode}, expected {code}:\n{done.stdout}{done.stderr}")
        return done

    def make(self, target, prefix=None, code=0, **more):
        words = [f"PREFIX={prefix}"] if prefix is not None else []
        return self.run("make", target, *words, *(f"{k}={v}" for k, v in more.items()), code=code)


def tree(folder):
    """Every path below, with what tells that it was changed."""
    return {str(p.relative_to(folder)): None if p.is_dir() else p.lstat().st_mtime_ns for p in folder.rglob("*")}


def main(prepare=None):
    failed = 0
    if shutil.which("make") is None:
        print("1..0 # SKIP needs make")
        return 0
    print(f"1..{len(tests)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gpudl-install-") as name:
        place = Place(Path(name))
        if prepare:
            prepare(place)
        for i, function in enumerate(tests, 1):
            try:
                function(place)
                print(f"ok {i} - {function.__name__}", flush=True)
            except Skip as reason:
                print(f"ok {i} - {function.__name__} # SKIP {reason}", flush=True)
            except Exception as problem:
                failed += 1
                print(f"not ok {i} - {function.__name__}")
                for line in f"{type(problem).__name__}: {problem}".splitlines():
                    print(f"# {line}", flush=True)
    return failed > 0
