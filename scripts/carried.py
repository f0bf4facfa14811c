#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage:
carried.py list BUILD: writes BUILD/gpu-tests.json, what the tests of a build are: commands, environment, limits, with
       places instead of paths, so that they run wherever the build is carried.
carried.py pack BUILD FOLDER [--gstreamer PLUGINS] [--only NAMES] [--gst RELEASE --gst-root ROOT]: what these tests need, stripped, in FOLDER (made anew) and FOLDER.tar.xz: the programs, the
       libraries they are linked with (not the C library, not NVIDIA's), their data, and the scripts that run them.
       --gstreamer: of that folder the plugins that the suites and pipelines are made of, and GStreamer's programs.
       --gst RELEASE --gst-root ROOT: also the GStreamer, C library and loader of another system's root, for run --gst.
carried.py run BUILD PART [--gst RELEASE] [--logs FOLDER] [--limit SECONDS] [--only NAMES]: runs a part of them:
       suite      all that a carried build can run; those that need a GPU fail without one
       ptx        those that need a GPU, once more with code that the driver compiles of PTX
       sanitizer  the kernels' checks under compute-sanitizer's memcheck and racecheck, with few cases
       pipelines  pipelines on the GPU's decoders
       Exit status 0: all passed, 1: something failed, or nothing ran. The last line counts.

Needs Python's standard library alone; pack needs ldd, strip and tar with xz, which unpacks where it is carried to: Python can, too.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import summary

HERE = pathlib.Path(__file__).resolve().parent
LIST = "gpu-tests.json"
# suites that need a compiler, the network, programs of GStreamer's or the source and build folders where they are ("tree"), or
# that measure by the clock
STAYS = {"style", "install", "storm", "slow", "recipes", "network", "tree"}
GSTREAMER = {"plugin", "tools", "video", "pipelines"}  # suites whose programs open GStreamer's plugins
SYSTEMS = re.compile(r"^(ld-linux|libc\.so|libm\.so|libdl\.so|libpthread\.so|librt\.so|libresolv\.so"
                     r"|libcuda|libcudnn|libcublas|libnv)")
ARCH = "x86_64-linux-gnu"
# what the plugin's suites and GPU pipelines are made of
PLUGINS = ["app", "coreelements", "typefindfunctions", "videotestsrc", "videoconvertscale", "videorate", "videoparsersbad",
           "nvcodec", "isomp4", "matroska", "rawparse", "pango", "multifile", "overlaycomposition", "coretracers", "jpeg", "png",
           "playback", "imagefreeze", "videofilter", "videocrop", "gdkpixbuf", "gio", "autodetect", "alpha", "avi", "audioparsers",
           "audioconvert", "audioresample", "audiotestsrc", "rtp", "rtpmanager", "rtsp", "udp", "tcp",
           "vpx", "y4mdec", "y4menc", "video4linux2"]
PROGRAMS = ["gst-launch-1.0", "gst-inspect-1.0"]  # what pipelines/*.sh start
EXCLUSIONS = "tests/kernels/sanitizer-exclusions"
KERNELS_AT_ONCE = 4


# ---- list ------------------------------------------------------------------------------------------------------------

def places(text, source, build):
    """Paths of this machine become places."""
    text = text.replace(str(build), "@BUILD@").replace(str(source), "@SOURCE@")
    text = re.sub(r"/usr/lib[^:]*/gst-plugin-scanner", "@SCANNER@", text)
    return re.sub(r"/usr/lib[^:]*/gstreamer-1\.0", "@GST@", text)


def make_list(build):
    info = build / "meson-info"
    source = pathlib.Path(json.loads((info / "meson-info.json").read_text())["directories"]["source"])
    options = {o["name"]: o["value"] for o in json.loads((info / "intro-buildoptions.json").read_text())}
    if options.get("gpu_fast_compile"):
        sys.exit(f"carried: {build} is built with -Dgpu_fast_compile=true, and on a GPU its kernels are several times as slow "
                 f"as they should be: meson configure {build} -Dgpu_fast_compile=false, and build again")
    outputs = {t["id"]: t["filename"] for t in json.loads((info / "intro-targets.json").read_text())}
    tests = []
    for test in json.loads((info / "intro-tests.json").read_text()):
        suites = sorted({s.split(":", 1)[-1] for s in test["suite"]})
        tests.append({
            "name": test["name"], "suites": suites, "timeout": test["timeout"],
            # what Meson runs last wants a machine that does nothing else
            "parallel": test["is_parallel"] and test.get("priority", 0) >= 0,
            "protocol": test["protocol"], "cmd": [places(c, source, build) for c in test["cmd"]],
            "env": {k: places(v, source, build) for k, v in test["env"].items()},
            "workdir": places(test["workdir"] or "@BUILD@", source, build),
            "needs": sorted({places(f, source, build) for d in test["depends"] for f in outputs.get(d, [])})})
    told = {"archs": options.get("gpu_archs", []), "tests": tests}
    (build / LIST).write_text(json.dumps(told, indent=1) + "\n")
    return told


def read_list(build):
    try:
        return json.loads((build / LIST).read_text())
    except OSError as error:
        sys.exit(f"carried: {error}: the build was not listed when it was made (scripts/carried.py list BUILD)")


# ---- pack ------------------------------------------------------------------------------------------------------------

def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


class Pack:
    def __init__(self, source, build, folder):
        self.source, self.build, self.folder = source, build, folder
        self.libraries, self.done = folder / "build" / "gpu-lib", set()

    def to(self, path):
        """Where a file of source or build belongs; None for others."""
        for root, at in (self.build, self.folder / "build"), (self.source, self.folder):
            if path == root or root in path.parents:
                return at / path.relative_to(root)
        return None

    def add(self, path):
        path = pathlib.Path(os.path.abspath(path))
        target = self.to(path)
        if path in self.done or target is None or not path.exists() or path in (self.source, self.build):
            return
        self.done.add(path)
        if path.is_dir():  # of the build: its libraries, and what stands for one; of the source: all of it
            for entry in sorted(path.iterdir()):
                inside = self.build in path.parents
                if re.search(r"\.so(\.\d+)*$", entry.name) if inside else entry.name != "__pycache__":
                    self.add(entry)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        if is_elf(path):
            self.add_libraries(path)
            self.strip(target)
        elif path.suffix == ".py":  # modules beside it
            for name in re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.MULTILINE):
                self.add(path.with_name(f"{name}.py"))

    def add_foreign(self, path, folder):
        """A program or library of the system, and what it is linked with."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, folder / path.name)
        self.add_libraries(path)
        if is_elf(path):
            self.strip(folder / path.name)

    def strip(self, target):
        target.chmod(target.stat().st_mode | 0o200)
        subprocess.run(["strip", "--strip-unneeded", target], check=True)

    def add_libraries(self, path):
        listed = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        for name, found in re.findall(r"^\s*(\S+) => (/\S+)", listed, re.MULTILINE):
            found = pathlib.Path(found)
            if self.to(pathlib.Path(os.path.abspath(found))):
                self.add(found)
            elif not SYSTEMS.match(name) and name not in self.done:
                self.done.add(name)
                self.libraries.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found.resolve(), self.libraries / name)
                self.strip(self.libraries / name)


    def add_pictures_and_fonts(self, libraries):
        """What gdk-pixbuf reads kinds of pictures with, but for SVG, and a font to draw with: they are found by files that name
        folders, which Runner writes. libraries: the folder of the system's."""
        pixbuf = libraries / "gdk-pixbuf-2.0" / "2.10.0"
        kept = []
        for block in (pixbuf / "loaders.cache").read_text().split("\n\n") if pixbuf.is_dir() else []:
            module = re.search(r'^"(/[^"]*/([^/"]+))"$', block, re.MULTILINE)
            if module and "svg" not in module.group(2):
                self.add_foreign(pathlib.Path(module.group(1)), self.libraries / "pixbuf")
                kept.append(block[module.start():].replace(module.group(1), f"@HERE@/{module.group(2)}"))
        if kept:
            (self.libraries / "pixbuf" / "loaders.cache").write_text("\n\n".join(kept) + "\n")
        asked = ["fc-match", "-f", "%{file}", "sans"]
        font = subprocess.run(asked, capture_output=True, text=True).stdout if shutil.which(asked[0]) else ""
        if font:
            self.add_foreign(pathlib.Path(font), self.libraries / "fonts")
            (self.libraries / "fonts" / "fonts.conf").write_text("<fontconfig><dir>@HERE@</dir></fontconfig>\n")


def pack_other_system(release, root, folder, programs):
    """programs: of the packed folder, and the libraries of this build that they are linked with."""
    target, loader = folder / "build" / f"gst-{release}", root / "lib64" / "ld-linux-x86-64.so.2"
    at = root / "usr" / "lib" / ARCH
    plugins = [p for p in (at / "gstreamer-1.0" / f"libgst{name}.so" for name in PLUGINS) if p.exists()]
    if not loader.exists():
        sys.exit(f"carried: {loader} is not there: expected the root of a system, as scripts/compat makes it")
    (target / "lib").mkdir(parents=True)
    (target / "gstreamer-1.0").mkdir()
    shutil.copy2(loader.resolve(), target / "ld.so")
    path = ":".join(str(d) for d in (root / "lib" / ARCH, at, folder / "build"))
    missing = set()
    for file in [*programs, *plugins]:
        listed = subprocess.run([loader, "--library-path", path, "--list", file], capture_output=True, text=True).stdout
        for name, found in re.findall(r"^\s*(\S+) => (/\S+)", listed, re.MULTILINE):
            found = pathlib.Path(os.path.abspath(found))
            # what that system lacks is this one's, which is older: oneDNN of the release that the CPU module is built with
            if folder not in found.parents and not (target / "lib" / name).exists():
                shutil.copy2(found.resolve(), target / "lib" / name)
        missing |= set(re.findall(r"^\s*(\S+) => not found", listed, re.MULTILINE))
    for file in plugins:
        shutil.copy2(file, target / "gstreamer-1.0" / file.name)
    if missing:
        sys.exit(f"carried: {root} lacks {', '.join(sorted(missing))}")


def carried_tests(told, with_gstreamer):
    kept = []
    for test in told["tests"]:
        suites = set(test["suites"])
        if not suites & STAYS and (with_gstreamer or not suites & GSTREAMER):
            kept.append(test)
    return kept


def make_empty(folder):
    """Of what is there already, only what was packed goes."""
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / "build" / LIST).is_file() or (folder / "build" / "build.ninja").exists():
            sys.exit(f"carried: {folder} is not empty and no folder that was packed: expected one that can be made anew")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def pack(build, folder, gstreamer, only=None, gst=None, gst_root=None):
    source, told = HERE.parent, make_list(build)
    packed = Pack(source, build, folder)
    make_empty(folder)
    kept = carried_tests(told, gstreamer is not None or gst is not None)
    told["tests"] = [t for t in kept if not only or re.search(only, t["name"])]

    def real(text):
        return pathlib.Path(text.replace("@BUILD@", str(build)).replace("@SOURCE@", str(source)))

    for test in told["tests"]:
        for text in [*test["cmd"], *test["needs"], *(p for v in test["env"].values() for p in v.split(":"))]:
            if "@GST@" not in text and text:
                at = real(text)
                packed.add(at if at.is_absolute() else build / at)
    for name in ["scripts/gpu", "scripts/carried.py", "scripts/summary.py", "bench", EXCLUSIONS, "Makefile",
                 "models/recipes/testcard/testcard.onnx"]:
        packed.add(source / name)
    if any("tools" in t["suites"] for t in told["tests"]):
        packed.add(source / "tests/tools/media")
    demo = source / "build" / "demo"  # as models/recipes/efficientnet-lite0/obtain leaves it
    if any(real(text) == demo for t in told["tests"] for text in t["cmd"]):
        for file in [demo / "efficientnet-lite0.onnx", *sorted(demo.glob("photos/*"))]:
            packed.add(file)
    for name in ["tools/gpudl", "bench/bench-cuda", "engine/cuda/gpudl-cuda.so"]:
        packed.add(build / name)
    if gstreamer is not None:
        for name in ["bench/bench-pipe", "bench/clip.h264", "plugin/libgstgpudl.so"]:
            packed.add(build / name)
        plugins = folder / "build" / "gpu-lib" / "gstreamer-1.0"
        plugins.mkdir(parents=True)
        for file in (gstreamer / f"libgst{name}.so" for name in PLUGINS):
            if file.exists():
                packed.add_foreign(file, plugins)
            else:
                print(f"carried: note: {file} is not there: what needs it will fail where this is carried to", file=sys.stderr)
        for program in filter(None, map(shutil.which, PROGRAMS)):
            packed.add_foreign(pathlib.Path(program), packed.libraries / "bin")
        packed.add_pictures_and_fonts(gstreamer.parent)
    if gst:
        programs = [p for p in map(packed.to, sorted(p for p in packed.done if isinstance(p, pathlib.Path)))
                    if p.is_file() and is_elf(p)]
        pack_other_system(gst, gst_root.resolve(), folder, programs)
    (folder / "build").mkdir(exist_ok=True)
    (folder / "build" / LIST).write_text(json.dumps(told, indent=1) + "\n")
    told_of = [str(f.relative_to(folder)) for f in sorted(folder.rglob("*"))
               if f.is_file() and str(source).encode() in f.read_bytes()]
    for name in told_of:
        print(f"carried: note: {name} names {source}", file=sys.stderr)
    archive = folder.with_name(folder.name + ".tar.xz")
    subprocess.run(["tar", "--xz", "-cf", archive, "-C", folder.parent, folder.name], check=True,
                   env={**os.environ, "XZ_DEFAULTS": "--threads=0 --lzma2=preset=3,dict=64MiB"})  # programs are alike
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{len(told['tests'])} tests, {size / 1e6:.1f} MB in {folder}, {archive.stat().st_size / 1e6:.1f} MB as {archive}")


# ---- run -------------------------------------------------------------------------------------------------------------

class Runner:
    def __init__(self, build, logs, limit, root=None):
        """root: of another system's GStreamer, loader and C library."""
        self.build, self.logs, self.root = build, logs, root
        self.end = time.monotonic() + limit
        self.limit = limit
        self.libraries = root or build / "gpu-lib"
        self.count = {"passed": 0, "failed": 0, "skipped": 0}
        logs.mkdir(parents=True, exist_ok=True)
        self.places = {}
        for name, file in (("GDK_PIXBUF_MODULE_FILE", "pixbuf/loaders.cache"), ("FONTCONFIG_FILE", "fonts/fonts.conf")):
            carried = self.libraries / file
            if carried.is_file():
                here = logs.resolve() / carried.name
                here.write_text(carried.read_text().replace("@HERE@", str(carried.parent)))
                self.places[name] = str(here)

    def real(self, text):
        gst = self.libraries / "gstreamer-1.0"
        carried = gst.is_dir()
        text = text.replace("@BUILD@", str(self.build)).replace("@SOURCE@", str(HERE.parent))
        text = text.replace("@SCANNER@", "" if carried else scanner())
        return text.replace("@GST@", str(gst) if carried else system_plugins())

    def environment(self, test, more):
        env = {**os.environ, **self.places, **{k: self.real(v) for k, v in test["env"].items()}, **more}
        if (self.libraries / "gstreamer-1.0").is_dir():
            env["GST_REGISTRY_FORK"] = "no"  # what is carried has no scanner
            env["PATH"] = f"{self.libraries / 'bin'}:{env.get('PATH', os.defpath)}"
        if not self.root and self.libraries.is_dir():
            env["LD_LIBRARY_PATH"] = ":".join(p for p in (env.get("LD_LIBRARY_PATH"), str(self.libraries)) if p)
        return env

    def command(self, test, label):
        """With the other system's loader by a script that takes the program's place: tests start themselves again, by the
        name that they were started by."""
        command = [self.real(c) for c in test["cmd"]]
        if not self.root:
            return command
        path = [str(self.root / "lib"), *self.real(test["env"].get("LD_LIBRARY_PATH", "")).split(":")]
        start = [str(self.root / "ld.so"), "--library-path", ":".join(p for p in path if p)]
        script = self.logs.resolve() / f"{label}.start"
        script.write_text(f"#!/bin/sh\nexec {shlex.join(start)} --argv0 \"$0\" {shlex.quote(command[0])} \"$@\"\n")
        script.chmod(0o755)
        return [str(script), *command[1:]]

    def skip(self, name, reason):
        self.count["skipped"] += 1
        print(f"skipped: {name}: {reason}", flush=True)

    def run(self, test, label=None, more=None, wrap=(), arguments=()):
        """One test; tells of it in a line."""
        label = label or test["name"]
        command = [*wrap, *self.command(test, label), *arguments]
        begin = time.monotonic()
        left = self.end - begin
        entry = {"name": label, "result": "TIMEOUT", "stdout": "", "stderr": "", "returncode": None}
        if left > 1:
            entry = execute(entry, command, self.environment(test, more or {}), self.real(test["workdir"]),
                            min(left, test["timeout"]))
        (self.logs / f"{label}.log").write_text(f"{' '.join(map(str, command))}\n{entry['stdout']}\n{entry['stderr']}")
        count = {"passed": 0, "failed": 0, "skipped": 0}
        lines = []
        for name, outcome, reason in summary.outcomes(entry):
            count[outcome] += 1
            if outcome != "passed":
                lines.append(f"  {outcome}: {name}" + (f": {reason}" if reason else ""))
        for outcome in count:
            self.count[outcome] += count[outcome]
        late = "" if left > 1 else f"  not reached within {self.limit:.0f} s"
        print(f"{label:40} {count['passed']:4} passed {count['failed']:3} failed {count['skipped']:3} skipped "
              f"{time.monotonic() - begin:6.1f} s{late}", flush=True)
        if count["failed"] == len(lines) == 1 and summary.last_line(entry):
            lines.append(f"    {summary.last_line(entry)}")
        for line in lines[:12] if count["failed"] else []:
            print(line, flush=True)

    def run_all(self, tests, **options):
        """Those that may run side by side first."""
        self.run_some([t for t in tests if t["parallel"]], max(1, len(os.sched_getaffinity(0))), **options)
        self.run_some([t for t in tests if not t["parallel"]], 1, **options)

    def run_some(self, tests, at_once, **options):
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda t: self.run(t, **options), tests))


def scanner():
    found = sorted(pathlib.Path("/usr/lib").glob("*/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner"))
    return str(found[0]) if found else ""


def system_plugins():
    found = sorted(pathlib.Path("/usr/lib").glob("*/gstreamer-1.0"))
    return str(found[0]) if found else "/usr/lib/gstreamer-1.0"


def execute(entry, command, env, workdir, limit):
    try:
        process = subprocess.Popen(command, env=env, cwd=workdir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        return {**entry, "result": "FAIL", "stderr": str(error)}
    try:
        out, err = process.communicate(timeout=limit)
        code = process.returncode
        result = "OK" if code == 0 else "SKIP" if code == 77 else "FAIL"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        code, result = process.returncode, "TIMEOUT"
    return {**entry, "result": result, "returncode": code, "stdout": out.decode(errors="replace"),
            "stderr": err.decode(errors="replace")}


def is_program(path):
    return os.path.isfile(path) and is_elf(path)


def needs_gpu(test):
    return "gpu" in test["suites"]


def run_on_gpu(runner, tests, more):
    """Kernels' checks compute what they compare with on a processor for most of their time: some share the device."""
    more = {"GPUDL_REQUIRE_CUDA": "1", **more}
    runner.run_some([t for t in tests if "kernels" in t["suites"]], KERNELS_AT_ONCE, more=more)
    runner.run_all([t for t in tests if "kernels" not in t["suites"]], more=more)


def run_suite(runner, told):
    tests = carried_tests(told, True)
    runner.run_all([t for t in tests if not needs_gpu(t)])
    run_on_gpu(runner, [t for t in tests if needs_gpu(t) and "pipelines" not in t["suites"]], {})


def run_ptx(runner, told):
    """The driver takes none of the device code in the file then, and compiles its PTX. NVIDIA's libraries bring code
    without PTX, so networks run on own kernels alone, and the suite of what looks at the libraries as well is left out."""
    plain = [a for a in told["archs"] if not a.endswith("a")]
    if not plain:
        runner.skip("ptx", f"this build has no PTX: gpu_archs is {','.join(told['archs']) or 'empty'}, expected one "
                           "without 'a', as 75")
        return
    print(f"PTX of compute_{plain[0]}, compiled by the driver")
    with tempfile.TemporaryDirectory() as cache:  # a device that is opened anew would have all compiled anew
        run_on_gpu(runner, [t for t in told["tests"] if needs_gpu(t) and not {"pipelines", "libraries"} & set(t["suites"])],
                   {"CUDA_FORCE_PTX_JIT": "1", "CUDA_CACHE_PATH": cache, "CUDA_CACHE_MAXSIZE": "4000000000",
                    "GPUDL_CUDA_LIBS": "0"})


def read_exclusions(path):
    """Lines "TOOL KERNEL: reason"; others are comments that begin with #."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        if not line.strip() or line.startswith("#"):
            continue
        match = re.match(r"^(memcheck|racecheck) (\w+): (\S.*)$", line)
        if not match:
            sys.exit(f"carried: {path}: found '{line}', expected 'memcheck|racecheck KERNEL: reason'")
        found.append(match.groups())
    return found


def run_sanitizer(runner, told):
    found = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not os.access(found, os.X_OK):
        runner.skip("sanitizer", "compute-sanitizer is not installed")
        return
    tests = [t for t in told["tests"] if needs_gpu(t) and "kernels" in t["suites"]]
    excluded = read_exclusions(HERE.parent / EXCLUSIONS)
    refused = why_refused(runner, found, tests)
    if refused:
        runner.skip("sanitizer", f"compute-sanitizer is refused here: {refused}")
        return
    for tool in "memcheck", "racecheck":
        wrap = [found, "--tool", tool, "--error-exitcode", "9"]
        for of, kernel, reason in excluded:
            if of == tool:
                wrap += ["--kernel-name-exclude", f"kernel_name={kernel}"]
                print(f"excluded from {tool}: {kernel}: {reason}")
        for test in tests:
            runner.run(test, label=f"{test['name']}-{tool}", more={"GPUDL_REQUIRE_CUDA": "1"}, wrap=wrap,
                       arguments=["--cases", "12"])


def why_refused(runner, sanitizer, tests):
    """A message where a program that runs alone does not run under it at all."""
    if not tests:
        return "no kernel check is in this build"
    test = {**tests[0], "timeout": 60}
    command = [sanitizer, "--tool", "memcheck", *(runner.real(c) for c in test["cmd"]), "--cases", "1"]
    entry = execute({"name": "probe"}, command, runner.environment(test, {}), runner.real(test["workdir"]), 60)
    if entry["result"] in ("OK", "SKIP") or re.search(r"^(not )?ok ", entry["stdout"], re.MULTILINE):
        return None
    lines = [l for l in (entry["stdout"] + entry["stderr"]).splitlines() if l.startswith("=========") and "Error" in l]
    return (lines or [summary.last_line(entry) or f"exit status {entry['returncode']}"])[0]


def run_pipelines(runner, told):
    tests = [t for t in told["tests"] if "pipelines" in t["suites"] and (needs_gpu(t) or "gpu" in t["name"])]
    if not tests:
        runner.skip("pipelines", "this build has no pipelines for a GPU")
    runner.run_all(tests, more={"GPUDL_REQUIRE_CUDA": "1"})


PARTS = {"suite": run_suite, "ptx": run_ptx, "sanitizer": run_sanitizer, "pipelines": run_pipelines}


def run(build, part, gst, logs, limit, only):
    told = read_list(build)
    root = build / f"gst-{gst}" if gst else None
    runner = Runner(build, logs, limit, root)
    if only:
        told["tests"] = [t for t in told["tests"] if re.search(only, t["name"])]
    if root and not (root / "ld.so").exists():
        runner.skip(f"{part} with GStreamer {gst}", f"{root} was not carried here")
    else:
        if root:  # programs: a script's children would have this system's loader
            told["tests"] = [t for t in told["tests"] if "plugin" in t["suites"] and is_program(runner.real(t["cmd"][0]))]
        elif any((build / "gpu-lib").glob("*.so*")) and not (build / "gpu-lib" / "gstreamer-1.0").is_dir():
            # packed for another GStreamer alone
            told["tests"] = carried_tests(told, False)
        PARTS[part](runner, told)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**runner.count))
    return 1 if runner.count["failed"] or not sum(runner.count.values()) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    listing, packing, running = (commands.add_parser(name) for name in ("list", "pack", "run"))
    for command in listing, packing, running:
        command.add_argument("build", type=pathlib.Path)
    packing.add_argument("folder", type=pathlib.Path)
    packing.add_argument("--gst", metavar="RELEASE")
    packing.add_argument("--gst-root", type=pathlib.Path, metavar="ROOT")
    packing.add_argument("--gstreamer", type=pathlib.Path, help="folder of GStreamer's plugins that travel as well")
    running.add_argument("part", choices=PARTS)
    running.add_argument("--gst")
    running.add_argument("--logs", type=pathlib.Path)
    running.add_argument("--limit", type=float, default=470)
    for command in packing, running:
        command.add_argument("--only", metavar="NAMES", help="tests whose names this regular expression finds")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    if arguments.command == "list":
        make_list(build)
    elif arguments.command == "pack":
        if bool(arguments.gst) != bool(arguments.gst_root):
            parser.error("--gst and --gst-root belong together")
        pack(build, arguments.folder.resolve(), arguments.gstreamer, arguments.only, arguments.gst, arguments.gst_root)
    else:
        return run(build, arguments.part, arguments.gst, (arguments.logs or build / "gpu").resolve(), arguments.limit,
                   arguments.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
