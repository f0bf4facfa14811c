#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""install.py movable|targets|stage|install|settings|uninstall: what make install does with what is built in build/.

movable: exit status 1 if the build is configured so that what it makes works in its own prefix alone.
targets: prints the files below build/ that are installed, for ninja.
stage: leaves in build/stage what Meson installs, if that is not there yet.
install: copies that to $DESTDIR$PREFIX (PREFIX: /usr/local unless set, never empty) and says what to set for it.
settings: says what has to be set for PREFIX, as install does at its end; nothing where the system looks there by itself.
uninstall: removes what the list in PREFIX/share/gpudl says that install put there, and folders that it made and that are empty.
"""
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
BUILD = SOURCE / "build"
STAGE = BUILD / "stage"
# beside what it lists; one line each: "f PATH" or "d PATH", relative to the prefix, folders before what is in them, and
# "u N": the prefix and N - 1 folders above it were made for it
MANIFEST = Path("share/gpudl/installed-by-make")


def fail(text, code=1):
    print(f"make {MODE}: {text}", file=sys.stderr)
    sys.exit(code)


def say_line(text):
    print(f"make {MODE}: {text}")


# ---- what Meson knows -------------------------------------------------------------------------------------------------

def introspect(what):
    try:
        return json.loads((BUILD / "meson-info" / f"intro-{what}.json").read_text())
    except (OSError, ValueError) as error:
        fail(f"{BUILD} is no build folder ({error}): run make")


def option(name):
    return next(o["value"] for o in introspect("buildoptions") if o["name"] == name)


def movable():
    sys.exit(0 if option("relocatable") and option("pkgconfig.relocatable") else 1)


def targets():
    installed = [Path(f).relative_to(BUILD.resolve()) for t in introspect("targets") if t["installed"] for f in t["filename"]]
    print("\n".join(map(str, installed)))


# ---- staging ------------------------------------------------------------------------------------------------------------

def is_staged():
    """Nothing that is installed, nor the build's configuration, is newer than what was staged last."""
    stamp = STAGE / ".stamp"
    try:
        staged = stamp.stat().st_mtime_ns
        # links have no path of their own there
        sources = [Path(f) for f in introspect("installed") if f.startswith("/")] + [BUILD / "meson-private" / "install.dat"]
        return all(f.stat().st_mtime_ns < staged for f in sources)
    except FileNotFoundError:
        return False


def stage():
    if is_staged():
        return
    if not os.access(BUILD, os.W_OK):
        fail(f"{STAGE} is not there or old, and {BUILD} can't be written to: run make as who owns it")
    with open(BUILD / "stage.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_staged():
            return
        fresh = Path(tempfile.mkdtemp(prefix="stage.", dir=BUILD))
        try:
            fresh.chmod(0o755)
            environment = {k: v for k, v in os.environ.items() if k != "DESTDIR"}
            # before the copying: what changes while it is copied is newer than this
            (fresh / ".stamp").touch()
            done = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", fresh / "root"],
                                  capture_output=True, text=True, env=environment)
            if done.returncode != 0:
                fail(f"meson install failed:\n{done.stdout}{done.stderr}")
            shutil.rmtree(STAGE, ignore_errors=True)
            fresh.rename(STAGE)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


# ---- where to ---------------------------------------------------------------------------------------------------------

def where():
    """The prefix as it will be known, and the folder that stands for it now."""
    prefix, destdir = os.environ.get("PREFIX", "/usr/local"), os.environ.get("DESTDIR") or ""
    if not prefix:
        fail("PREFIX is empty: expected a path that begins with /; without PREFIX= it is /usr/local", 2)
    for name, value in ("PREFIX", prefix), ("DESTDIR", destdir):
        if value and not value.startswith("/"):
            fail(f"{name}={value}: expected a path that begins with /", 2)
        if "\n" in value:
            fail(f"{name}: a line break in it can't be handled", 2)
    prefix = os.path.normpath(prefix)
    return Path(prefix), Path(os.path.normpath(destdir + prefix))


def read_manifest(root):
    """[(kind, path)]; refuses a list that leads out of the prefix."""
    try:
        lines = (root / MANIFEST).read_text().splitlines()
    except FileNotFoundError:
        return []
    entries = [(line[0], Path(line[2:])) for line in lines if line and not line.startswith("#")]
    for kind, path in entries:
        if kind == "u" and re.fullmatch("[0-9]+", str(path)):
            continue
        if kind not in "df" or path.is_absolute() or ".." in path.parts or path == Path("."):
            fail(f"{root / MANIFEST}: '{kind} {path}' is nothing that make install writes there; nothing is removed")
    return entries


def above(entries):
    return sum(int(str(n)) for kind, n in entries if kind == "u")


def write_manifest(root, entries):
    text = ["# what make install put here, for make uninstall", *(f"{kind} {path}" for kind, path in entries)]
    place(root / MANIFEST, lambda to: to.write_text("\n".join(text) + "\n"))


def place(path, write):
    """Writes a file beside and renames it: a program that has the old one mapped goes on with that."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    write(part)
    if not part.is_symlink():
        part.chmod(0o755 if part.stat().st_mode & 0o100 else 0o644)
    part.rename(path)


def make_folder(path, made):
    """Makes it and its parents; made gets those that were not there."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir()
        folder.chmod(0o755)
        made.append(folder)


def remove(root, entries):
    for path in [p for kind, p in entries if kind == "f"]:
        (root / path).unlink(missing_ok=True)
    for path in reversed([p for kind, p in entries if kind == "d"]):
        try:
            (root / path).rmdir()
        except OSError:
            pass  # somebody else's files are in it, or it is gone


def remove_prefix(root, levels):
    for folder in [root, *root.parents][:levels]:
        try:
            folder.rmdir()
        except OSError:
            break


def run_ldconfig(prefix):
    """For root only: programs of others find the library in the folders that the system's configuration names."""
    if os.geteuid() == 0 and not os.environ.get("DESTDIR"):
        subprocess.run([ldconfig()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ldconfig():
    return shutil.which("ldconfig") or shutil.which("ldconfig", path="/usr/sbin:/sbin") or "true"


# ---- what to set ------------------------------------------------------------------------------------------------------

def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""


def same(a, b):
    return os.path.realpath(a) == os.path.realpath(b)


def settings(prefix):
    """[(variable, folder)] that this prefix needs: not what the system looks into by itself, nor what is set already."""
    bindir, libdir = prefix / option("bindir"), prefix / option("libdir")
    plugins = output_of("pkg-config", "--variable=pluginsdir", "gstreamer-1.0")
    package_path = output_of("pkg-config", "--variable=pc_path", "pkg-config").split(":")
    # what the loader searches without its cache, and what is in that
    loader = [f"{r}/lib{d}" for r in ("", "/usr") for d in ("", "64", "/" + output_of("cc", "-print-multiarch"))]
    loader += re.findall(r"=> (.*)/libgpudl\.so", output_of(ldconfig(), "-p"))
    wanted = [
        ("PATH", bindir, ["/usr/bin", "/bin", "/usr/local/bin"]),
        ("GST_PLUGIN_PATH", libdir / "gstreamer-1.0", [plugins] if plugins else []),
        ("LD_LIBRARY_PATH", libdir, loader),
        ("PKG_CONFIG_PATH", libdir / "pkgconfig", package_path),
    ]
    return [(name, folder) for name, folder, known in wanted
            if not any(k and same(folder, k) for k in known + os.environ.get(name, "").split(":"))]


def say_settings(prefix):
    words = [f"{name}={shlex.quote(str(folder))}" + (':"$PATH"' if name == "PATH" else f'"${{{name}:+:${name}}}"')
             for name, folder in settings(prefix)]
    if words:
        print(f"export {' '.join(words)}  # for what is installed in {prefix}")


# ---- install and uninstall --------------------------------------------------------------------------------------------

def check_writable(root):
    there = root
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        fail(f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        fail(f"{there} can't be written to: as root, or through sudo, it can; or choose a folder of yours, as PREFIX=$HOME/.local")


def install():
    prefix, root = where()
    check_writable(root)
    if not is_staged():
        fail("what is built is not what is staged: run make")
    staged = STAGE / "root" / option("prefix").lstrip("/")
    files = sorted(p.relative_to(staged) for p in staged.rglob("*") if p.is_symlink() or not p.is_dir())
    before = read_manifest(root)
    made = []
    make_folder((root / MANIFEST).parent, made)
    for path in files:
        make_folder((root / path).parent, made)
    folders = [p for kind, p in before if kind == "d"]
    folders += [p.relative_to(root) for p in made if root in p.parents]
    levels = above(before) or sum(p == root or p in root.parents for p in made)
    lines = [("u", levels)] + [("d", p) for p in sorted(set(folders))] + [("f", p) for p in files + [MANIFEST]]
    old = [("f", p) for kind, p in before if kind == "f" and ("f", p) not in lines]
    # first the list, then the files: what breaks off in between can be removed
    write_manifest(root, lines + old)
    for path in files:
        place(root / path, lambda to, path=path: shutil.copy2(staged / path, to, follow_symlinks=False))
    remove(root, old)
    write_manifest(root, lines)
    run_ldconfig(prefix)
    say_line(f"installed {len(files)} files in {root}")
    if not os.environ.get("DESTDIR"):
        say_settings(prefix)


def uninstall():
    _, root = where()
    entries = read_manifest(root)
    if not entries:
        fail(f"{root / MANIFEST} is not there: nothing was installed there by make install")
    check_writable(root / MANIFEST.parent)
    remove(root, entries)
    remove_prefix(root, above(entries))
    run_ldconfig(root)
    say_line(f"removed {sum(kind == 'f' for kind, _ in entries) - 1} files from {root}")


MODE = sys.argv[1] if len(sys.argv) == 2 else ""
ACTIONS = {"movable": movable, "targets": targets, "stage": stage, "install": install, "settings": lambda: say_settings(where()[0]),
           "uninstall": uninstall}
if MODE not in ACTIONS:
    sys.exit(__doc__)
try:
    ACTIONS[MODE]()
except OSError as problem:
    fail(f"{problem.filename or ''}: {problem.strerror}")
