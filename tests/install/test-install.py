#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-install.py SOURCE BUILD: make install and make uninstall as a user without root meets them, and what they install."""
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

from place import SOURCE, Skip, check, main, test, tree

COMMANDS = "convert", "info", "run", "profile", "bench", "tune", "doctor"
ANSWER = "red"


def only(folder, pattern):
    found = list(folder.rglob(pattern))
    check(len(found) == 1, f"{pattern} in {folder}: {found}")
    return found[0]


def check_works(place, root):
    """The tool, its backend, and the element, with no more said than where the plugin is."""
    plugin, library = only(root, "libgstgpudl.so"), only(root, "libgpudl.so.0")
    env = {"GST_PLUGIN_PATH": str(plugin.parent)}
    testcard = root / "share/gpudl/testcard"
    for binary in root / "bin/gpudl", plugin:
        linked = re.search(r"libgpudl\.so\.0 => (\S.*) \(", place.run("ldd", binary).stdout)
        check(linked and os.path.samefile(linked.group(1), library), f"{binary} takes {linked and linked.group(1)}, not {library}")
    doctor = place.run(root / "bin/gpudl", "doctor", env=env).stdout
    without = place.run(root / "bin/gpudl", "doctor", env={**env, "GST_PLUGIN_PATH": ""}).stdout
    check(f"{plugin} is not where GStreamer looks" in without and "mend it: export GST_PLUGIN_PATH=" in without, without)
    check(re.search(r"ok +cpu +usable", doctor) and f"({plugin})" in doctor, doctor)
    place.run("gst-launch-1.0", "-q", "videotestsrc", f"pattern={ANSWER}", "num-buffers=1", "!", "pngenc", "!", "filesink",
              "location=red.png", cwd=place.home)
    shown = place.run(root / "bin/gpudl", "run", "--backend=cpu", f"--labels-file={testcard}/labels.txt",
                      testcard / "testcard.onnx", "red.png", cwd=place.home).stdout
    check(shown.splitlines()[1].endswith(f" {ANSWER}"), shown)
    shown = place.run(root / "share/gpudl/pipelines/json-lines.sh", "--backend", "cpu", "--model", testcard / "testcard.onnx", "red.png",
                      cwd=place.home, env={**env, "PATH": f"{root}/bin:{place.env['PATH']}"}).stdout
    check(shown.startswith('{"file"'), shown)
    shown = place.run("gst-launch-1.0", "-m", "videotestsrc", f"pattern={ANSWER}", "num-buffers=2", "!", "gpudlinfer", "backend=cpu",
                      "post-messages=all", "top-k=1", f"model={testcard}/testcard.onnx", f"labels-file={testcard}/labels.txt", "!",
                      "gpudloverlay", "!", "videoconvert", "!", "fakesink", env=env).stdout
    check(shown.count(f"label=(string){ANSWER}") == 2, shown)


@test
def what_was_there_is_there_afterwards_and_nothing_else(place):
    prefix = place.home / "my apps" / "gpudl's"
    for name in "bin/other", "share/man/man1/other.1", "lib/other.so":
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_text("other")
    if place.drop:
        subprocess.run(["chown", "-R", "--reference", place.home, place.home], check=True)
    before = tree(place.home)
    place.make("install", prefix)
    check_works(place, prefix)
    (place.home / "red.png").unlink()
    shutil.rmtree(place.home / ".cache", ignore_errors=True)
    check(len(tree(place.home)) > len(before) + 15)
    place.make("uninstall", prefix)
    check(tree(place.home) == before, set(tree(place.home).items()) ^ set(before.items()))
    done = place.make("uninstall", prefix, code=2)
    check("nothing was installed there by make install" in done.stderr, done.stderr)


@test
def folders_made_for_it_go_with_it(place):
    place.make("install", place.home / "a/b/c")
    place.make("install", place.home / "a/b/c")
    place.make("uninstall", place.home / "a/b/c")
    check(not (place.home / "a").exists(), list((place.home / "a").rglob("*")))


@test
def a_moved_tree_works(place):
    place.make("install", place.home / "one")
    place.run("mv", place.home / "one", place.home / "an other")
    check_works(place, place.home / "an other")


@test
def a_staged_tree_works_and_says_nothing_to_set(place):
    done = place.make("install", "/opt/gpudl", DESTDIR=place.home / "root of it")
    check("export" not in done.stdout, done.stdout)
    check_works(place, place.home / "root of it/opt/gpudl")
    place.make("uninstall", "/opt/gpudl", DESTDIR=place.home / "root of it")
    check(not (place.home / "root of it").exists())


@test
def an_older_install_is_replaced(place):
    prefix = place.home / "again"
    place.make("install", prefix)
    manifest = prefix / "share/gpudl/installed-by-make"
    for name in "share/gpudl/old", "share/gpudl/foreign":
        place.run("touch", prefix / name)
    place.run("sh", "-c", f"echo 'f share/gpudl/old' >>'{manifest}'")
    place.make("install", prefix)
    check(not (prefix / "share/gpudl/old").exists() and (prefix / "share/gpudl/foreign").exists())
    place.run("sh", "-c", f"echo 'f ../home-of-somebody' >>'{manifest}'")
    done = place.make("uninstall", prefix, code=2)
    check("nothing is removed" in done.stderr and (prefix / "bin/gpudl").exists(), done.stderr)


@test
def the_last_line_says_what_to_set(place):
    prefix = place.home / "with $dollar"
    line = place.make("install", prefix.as_posix().replace("$", "$$")).stdout.splitlines()[-1]
    check(line.startswith("export PATH="), line)
    for shell in "sh", "bash":
        place.run(shell, "-c", f"{line}\ngpudl --version && pkg-config --exists gpudl-1.0 &&"
                  " gst-inspect-1.0 gpudlinfer | grep -q 'Doc-uri  *file://.*/share/doc/gpudl/' &&"
                  " gst-inspect-1.0 videotestsrc >/dev/null && pkg-config --exists gstreamer-1.0")
        # whatever is set already, the scripts find what they need
        shown = place.run("sh", "-c", f"{line}\nexec \"$1\" --model \"$2\" --sink fakesink", "sh", prefix / "share/gpudl/pipelines/display.sh",
                          prefix / "share/gpudl/testcard/testcard.onnx")
        check("gst-launch-1.0" in shown.stderr, shown.stderr)
        again = place.run("sh", "-c", f"{line}\nexec make install PREFIX='{prefix.as_posix().replace('$', '$$')}'").stdout
    check("export" not in again, f"all is set: {again}")
    check(place.run("scripts/install.py", "settings", env={"PREFIX": "/usr"}).stdout == "")
    check("GST_PLUGIN_PATH=/usr/local/" in place.run("scripts/install.py", "settings", env={"PREFIX": "/usr/local"}).stdout)


@test
def a_program_builds_with_pkg_config_alone(place):
    prefix = place.home / "develop"
    line = place.make("install", prefix).stdout.splitlines()[-1]
    # of what libgpudl is made of no .pc file is wanted: those of GLib and what it needs are enough
    path = place.home / "pc"
    path.mkdir()
    for folder in place.run("pkg-config", "--variable=pc_path", "pkg-config").stdout.strip().split(":"):
        for file in Path(folder).glob("*.pc"):
            if not re.match("libprotobuf|json-glib|libxxhash|gst|pango|cairo", file.name):
                shutil.copy(file, path)
    place.run("sh", "-ec", f"{line}\nexport PKG_CONFIG_LIBDIR='{path}'\n"
              f"cc -std=c11 -Wall -Wextra -Werror {prefix}/share/gpudl/examples/classify.c -o classify $(pkg-config --cflags --libs gpudl-1.0)", cwd=place.home)
    shown = place.run("sh", "-c", f"{line}\nexec ./classify {prefix}/share/gpudl/testcard/testcard.onnx", cwd=place.home).stdout
    check(re.fullmatch(r"\d+\.\d+\.\d+ cpu 4\n", shown), shown)


@test
def a_wrong_place_is_one_line(place):
    # as of a variable that a script has not set: never the whole system's
    for prefix, code, says in ("", 2, "PREFIX is empty: expected a path that begins with /"), \
            ("apps", 2, "PREFIX=apps: expected a path that begins with /"), \
            ("~/apps", 2, "PREFIX=~/apps: expected a path that begins with /"), \
            (place.source / "Makefile", 2, "Makefile is no folder"):
        done = place.make("install", prefix, code=code)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
        check(len(lines) == 1 and lines[0].startswith("make install: ") and says in lines[0], done.stderr)
    if os.geteuid() == 0 and not place.drop:
        raise Skip("root can write everywhere")
    done = place.make("install", "/usr/gpudl-of-nobody", code=2)
    check("make install: /usr can't be written to: as root" in done.stderr, done.stderr)


@test
def every_script_of_pipelines_is_installed(place):
    prefix = place.home / "scripts"
    place.make("install", prefix)
    installed, wanted = ({p.name: p.stat().st_mode & 0o111 for p in f.iterdir() if p.name != "meson.build"}
                         for f in (prefix / "share/gpudl/pipelines", SOURCE / "pipelines"))
    check(installed == wanted, f"{installed}, expected {wanted}")
    # the demo's network is none of what is installed
    shown = place.run(prefix / "share/gpudl/pipelines/pictures.sh", "red.png", code=1).stderr
    check(shown.startswith("pictures.sh: no model: name one with --model or in GPUDL_MODEL") and str(prefix) not in shown, shown)


@test
def every_page_is_installed_with_what_it_links_to(place):
    prefix = place.home / "pages"
    place.make("install", prefix)
    folder = only(prefix, "applications.md").parent
    installed, wanted = ({p.name for p in f.glob("*.md")} for f in (folder, SOURCE / "docs"))
    check(installed == wanted, f"{sorted(installed)}, expected {sorted(wanted)}")
    for page in folder.glob("*.md"):
        for target in re.findall(r"\]\(([^):]+\.(?:md|jpg))\)", page.read_text()):
            check((folder / target).exists(), f"{page.name} links to {target}, which is not there")


@test
def the_manual_page_has_all_of_help(place):
    prefix = place.home / "manual"
    place.make("install", prefix)
    page = prefix / "share/man/man1/gpudl.1"
    # as it is read: without hyphens' and blanks' ways of being written
    text = re.sub(r"\\f.|\\&|\\", "", page.read_text())
    for command in COMMANDS:
        check(f".SH GPUDL {command.upper()}\n" in text, command)
        for option in re.findall(r"^ +(?:-\w, )?(--[\w-]+)", place.run(prefix / "bin/gpudl", command, "--help").stdout, re.MULTILINE):
            check(option in text.split(f".SH GPUDL {command.upper()}\n")[1].split(".SH ")[0], f"{command} {option}")
    if shutil.which("mandoc") is None:
        raise Skip("mandoc is not installed")
    lint = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True)
    check(lint.returncode == 0 and lint.stdout == "", lint.stdout)


@test
def completion_knows_commands_options_values_and_files(place):
    prefix = place.home / "completion"
    place.make("install", prefix)
    for name in "net work.bin", "network.onnx":
        place.run("touch", place.home / name)
    script = only(prefix, "gpudl.bash")

    def complete(*words):
        array = " ".join(f"'{w}'" for w in words)
        shown = place.run("bash", "-c", f". '{script}'; COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; _gpudl 2>/dev/null;"
                          " printf '%s\\n' \"${COMPREPLY[@]}\"", cwd=place.home).stdout
        return sorted(shown.splitlines()) if shown.strip() else []

    for words, wanted in [
        (["gpudl", "pro"], ["profile"]), (["gpudl", "help", "do"], ["doctor"]), (["gpudl", "--v"], ["--version"]),
        (["gpudl", "convert", "--lab"], ["--labels="]), (["gpudl", "info", "--"], ["--help", "--input-size=", "--json", "--layers"]),
        (["gpudl", "run", "--backend", "=", "c"], ["cpu", "cuda"]), (["gpudl", "run", "--backend", "=", ], ["auto", "cpu", "cuda", "ref"]),
        (["gpudl", "run", "--backend=c"], ["cpu", "cuda"]), (["gpudl", "convert", "--backend", "r"], ["ref"]),
        (["gpudl", "convert", "--resize-mode", "=", "c"], ["center-crop"]), (["gpudl", "profile", "--sort", "=", ""], ["run", "time"]),
        (["gpudl", "run", "--threads", ""], []), (["gpudl", "run", "net"], ["net work.bin", "network.onnx"]),
        (["gpudl", "convert", "-o", "net"], ["net work.bin", "network.onnx"]),
        (["gpudl", "run", "--labels-file", "=", "network"], ["network.onnx"]), (["gpudl", "nonsense", ""], []),
    ]:
        check(complete(*words) == wanted, f"{words}: {complete(*words)}, expected {wanted}")
    for command in COMMANDS:
        check(command in complete("gpudl", ""), command)


@test
def root_leaves_nothing_of_its_own_in_somebody_else_s_tree(place):
    """sudo make install in a tree that a user has built: what is missing is built, by the user."""
    if not place.drop:
        raise Skip("needs root, and a tree that others can read")
    build = (place.source / "build").resolve()
    if build != SOURCE / "build":
        raise Skip("a build folder fits a copy of its source only where it is build/ in that")
    clone = place.folder / "of a user"
    shutil.copytree(place.source, clone, symlinks=True,
                    ignore=lambda where, names: ["build"] if Path(where) == place.source else [])
    shutil.copytree(build, clone / "build", symlinks=True, ignore=lambda folder, names: [
        n for n in names if Path(folder) == build and n not in ("build.ninja", "engine", "gpudl-config.h", "kernels", "meson-info",
                            "meson-private", "models", "plugin", "tools", "video", ".ninja_log", ".ninja_deps")
        and not n.startswith("libgpudl")])
    for info in (clone / "build/meson-info").glob("*.json"):
        info.write_text(info.read_text().replace(f'"{build}/', f'"{clone}/build/'))
    (clone / "build/meson-logs").mkdir()
    # to be linked anew
    (clone / "build/tools/gpudl").unlink()
    subprocess.run(["chown", "-Rh", "--reference", place.home, clone], check=True)
    # ccache, where the build was set up with it, has nowhere to write for this user
    done = subprocess.run(["make", "install", f"DESTDIR={place.folder / 'of root'}"], cwd=clone,
                          env={**place.env, "CCACHE_DISABLE": "1"}, timeout=200, capture_output=True, text=True)
    check(done.returncode == 0, done.stdout + done.stderr)
    check((place.folder / "of root/usr/local/bin/gpudl").stat().st_uid == 0)
    mine = [p for p in clone.rglob("*") if p.lstat().st_uid == 0]
    check(not mine and (clone / "build/stage/root").exists(), mine[:10])
    # one whom this system does not know
    known = {user.pw_uid for user in pwd.getpwall()}
    nameless = next(uid for uid in range(54321, 60000) if uid not in known)
    subprocess.run(["chown", "-Rh", f"{nameless}:{nameless}", clone], check=True)
    done = subprocess.run(["make", "install", f"DESTDIR={place.folder / 'of root'}"], cwd=clone,
                          env={**place.env, "CCACHE_DISABLE": "1"}, timeout=200, capture_output=True, text=True)
    check(done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}")


sys.exit(main())
