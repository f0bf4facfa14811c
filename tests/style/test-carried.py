#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""scripts/carried.py on a build that is made up: what it lists, packs and runs, and that a packed folder runs elsewhere."""
import contextlib
import io
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
sys.dont_write_bytecode = True
import carried

SAY = """#!/bin/sh
echo 1..1
echo "ok 1 $* require=${GPUDL_REQUIRE_CUDA-} ptx=${CUDA_FORCE_PTX_JIT-} data=${DATA-}"
"""
FAIL = "#!/bin/sh\necho 1..2\necho ok 1 fine\necho not ok 2 broken\nexit 1\n"
DIE = "#!/bin/sh\necho 'Bail out! no device' >&2\nexit 1\n"
SLOW = "#!/bin/sh\necho ok 1 begun\nsleep 60\n"
SANITIZER = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/calls"
while [ "${1#-}" != "$1" ]; do shift; [ "${1#-}" != "$1" ] || shift; done
exec "$@"
"""
LOADER = "/lib64/ld-linux-x86-64.so.2"
REFUSED = "#!/bin/sh\necho '========= Error: Device not supported'\nexit 1\n"


class Made:
    """A source folder with the scripts and a build folder; tests are added by name and text."""

    def __init__(self, folder, archs=("75", "90a")):
        self.source = pathlib.Path(folder).resolve() / "source"
        self.build = self.source / "build"
        (self.build / "meson-info").mkdir(parents=True)
        (self.source / "tests").mkdir()
        self.tests, self.targets, self.archs, self.options = [], [], archs, {}

    def add(self, name, text, suites=("engine",), **more):
        path = self.build / name
        path.write_text(text)
        path.chmod(0o755)
        self.tests.append({"cmd": [str(path), str(self.source / "tests" / "data")], "name": name, "workdir": None,
                           "env": {"DATA": f"{self.build}/x:{self.source}/tests"}, "timeout": 60,
                           "suite": [f"gpudl:{s}" for s in suites], "is_parallel": True, "protocol": "tap", "depends": [],
                           **more})
        return path

    def have_scripts(self):
        (self.source / "scripts").mkdir()
        for name in "carried.py", "summary.py", "gpu":
            shutil.copy2(SCRIPTS / name, self.source / "scripts")

    def write(self):
        (self.source / "tests" / "data").write_text("data")
        for name, content in [("meson-info", {"directories": {"source": str(self.source)}}), ("intro-tests", self.tests),
                              ("intro-targets", self.targets),
                              ("intro-buildoptions", [{"name": name, "value": value} for name, value in
                                                      ({"gpu_archs": list(self.archs)} | self.options).items()])]:
            (self.build / "meson-info" / f"{name}.json").write_text(json.dumps(content))
        carried.HERE = self.source / "scripts"
        return carried.make_list(self.build)

    def run(self, part, limit=60, gst=None, only=None):
        self.write()
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = carried.run(self.build, part, gst, self.build / "logs", limit, only)
        return status, out.getvalue()

    def log(self, name):
        return (self.build / "logs" / f"{name}.log").read_text()


@contextlib.contextmanager
def path_before(folder):
    kept = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{kept}"
    try:
        yield
    finally:
        os.environ["PATH"] = kept


tests = []


def test(function):
    tests.append(function)


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


@test
def a_list_names_places_and_no_paths(made):
    made.add("say", SAY, env={"A": f"{made.build}/a:/usr/lib/x86_64-linux-gnu/gstreamer-1.0"})
    made.add("last", SAY, priority=-1)
    told = made.write()
    text = (made.build / "gpu-tests.json").read_text()
    check(str(made.source) not in text and told == json.loads(text), text)
    check(told["tests"][0]["cmd"] == ["@BUILD@/say", "@SOURCE@/tests/data"], told)
    check(told["tests"][0]["env"]["A"] == "@BUILD@/a:@GST@" and told["archs"] == ["75", "90a"], told)
    check([t["parallel"] for t in told["tests"]] == [True, False], told)  # Meson's last wants the machine for itself


@test
def slow_kernels_are_not_carried(made):
    made.options = {"gpu_fast_compile": True}
    try:
        made.write()
    except SystemExit as refused:
        check(f"meson configure {made.build} -Dgpu_fast_compile=false" in str(refused), refused)
    else:
        check(False, "a list was made")


@test
def a_suite_runs_all_that_can_be_carried(made):
    made.add("one", SAY)
    made.add("two", SAY, ["kernels", "gpu"], is_parallel=False)
    made.add("stays", DIE, ["style"])
    made.add("pipes", DIE, ["pipelines", "gpu"])
    status, out = made.run("suite")
    check(status == 0 and out.endswith("2 passed, 0 failed, 0 skipped\n"), out)
    # a device is asked for where one is needed, and only there
    check("require= " in made.log("one") and "require=1 " in made.log("two"), made.log("two"))
    check(f"data={made.build}/x:{made.source}/tests" in made.log("one"), made.log("one"))


@test
def what_fails_is_counted_and_named(made):
    made.add("fails", FAIL)
    made.add("dies", DIE)
    status, out = made.run("suite")
    check(status == 1 and out.endswith("1 passed, 2 failed, 0 skipped\n"), out)
    check("failed: fails broken" in out and "Bail out! no device" in out, out)


@test
def nothing_takes_longer_than_it_may(made):
    made.add("slow", SLOW, timeout=1, is_parallel=False)
    made.add("after", SAY, is_parallel=False)
    begin = time.monotonic()
    status, out = made.run("suite")
    check(status == 1 and "1 passed, 1 failed" not in out.splitlines()[0], out)
    check("failed: slow: timeout" in out or "timeout" in out, out)
    check(out.endswith("2 passed, 1 failed, 0 skipped\n") and time.monotonic() - begin < 30, out)
    made.tests[0]["timeout"] = 60  # the part's own limit
    status, out = made.run("suite", limit=2)
    check(status == 1 and "not reached within 2 s" in out and time.monotonic() - begin < 40, out)


@test
def nothing_run_is_a_failure(made):
    status, out = made.run("suite")
    check(status == 1 and out == "0 passed, 0 failed, 0 skipped\n", out)


@test
def ptx_alone_is_asked_of_the_driver(made):
    made.add("cpu", SAY)
    made.add("gpu", SAY, ["kernels", "gpu"])
    status, out = made.run("ptx")
    check(status == 0 and "compute_75" in out and out.endswith("1 passed, 0 failed, 0 skipped\n"), out)
    check("require=1 ptx=1" in made.log("gpu"), made.log("gpu"))
    made.archs = ["90a"]
    status, out = made.run("ptx")
    check(status == 0 and "skipped: ptx: this build has no PTX: gpu_archs is 90a" in out, out)


def with_sanitizer(made, text):
    folder = made.source / "tools"
    folder.mkdir()
    (folder / "compute-sanitizer").write_text(text)
    (folder / "compute-sanitizer").chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        return made.run("sanitizer")
    finally:
        os.environ["PATH"] = before


@test
def the_sanitizer_runs_kernel_checks_without_what_it_is_wrong_about(made):
    made.add("kernel", SAY, ["kernels", "gpu"])
    made.add("nets", DIE, ["engine", "gpu"])
    (made.source / "tests" / "kernels").mkdir()
    (made.source / carried.EXCLUSIONS).write_text("# why\nracecheck pool_sum: reads what one thread wrote\n")
    status, out = with_sanitizer(made, SANITIZER)
    check(status == 0 and out.endswith("2 passed, 0 failed, 0 skipped\n"), out)
    check("excluded from racecheck: pool_sum: reads what one thread wrote" in out, out)
    calls = (made.source / "tools" / "calls").read_text().splitlines()
    check(len(calls) == 3 and "--cases 12" in calls[1] and "--tool memcheck" in calls[1], calls)
    check("pool_sum" not in calls[1] and "--kernel-name-exclude kernel_name=pool_sum" in calls[2], calls)


@test
def a_sanitizer_that_is_refused_or_missing_is_a_named_skip(made):
    made.add("kernel", SAY, ["kernels", "gpu"])
    status, out = with_sanitizer(made, REFUSED)
    check(status == 0 and "refused here: ========= Error: Device not supported" in out, out)
    check(out.endswith("0 passed, 0 failed, 1 skipped\n"), out)
    if not shutil.which("compute-sanitizer") and not os.path.exists("/usr/local/cuda/bin/compute-sanitizer"):
        status, out = made.run("sanitizer")
        check("skipped: sanitizer: compute-sanitizer is not installed" in out, out)


@test
def what_is_not_there_is_a_named_skip(made):
    made.add("plugin", SAY, ["plugin"])
    status, out = made.run("pipelines")
    check(status == 0 and "skipped: pipelines: this build has no pipelines for a GPU" in out, out)
    status, out = made.run("suite", gst="1.26")
    check(status == 0 and "skipped: suite with GStreamer 1.26: " in out and "1 passed" not in out, out)


@test
def a_packed_folder_runs_elsewhere(made):
    made.add("say", SAY)
    made.add("stays", DIE, ["style"])
    made.add("names-the-build", DIE, ["engine", "tree"])
    made.add("opens-plugins", SAY, ["plugin"])
    (made.build / "x").mkdir()  # DATA names it
    for name in "libx.so.9", "module.so", "x.so.9.o":
        (made.build / "x" / name).write_text("no library\n")
    shutil.copy2("/bin/true", made.build / "true")
    made.tests.append({**made.tests[0], "name": "true", "cmd": [str(made.build / "true")], "protocol": "exitcode"})
    script = made.source / "tests" / "script.py"
    script.write_text("#!/usr/bin/env python3\nimport json\nfrom beside import LINE\nprint('1..1')\nprint(LINE)\n")
    script.chmod(0o755)
    (script.parent / "beside.py").write_text("import further\nLINE = further.LINE\n")
    (script.parent / "further.py").write_text("LINE = 'ok 1 - script'\n")
    made.tests.append({**made.tests[0], "name": "script", "cmd": [str(script)]})
    made.have_scripts()
    made.write()
    folder = made.source.parent / "carry"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        carried.pack(made.build, folder, None, "^true$")
        check([t["name"] for t in carried.read_list(folder / "build")["tests"]] == ["true"])
        carried.pack(made.build, folder, None)
    check("3 tests, " in out.getvalue(), out.getvalue())
    check(sorted(os.listdir(folder / "build/x")) == ["libx.so.9", "module.so"])
    check((made.source.parent / "carry.tar.xz").stat().st_size > 100)
    moved = made.source.parent / "moved"
    folder.rename(moved)
    shutil.rmtree(made.source)
    done = carried.subprocess.run(["bash", moved / "scripts" / "gpu", "check"], capture_output=True, text=True,
                                  env={**os.environ, "PART": "suite", "OUT": str(moved / "out")})
    check(done.returncode == 0 and done.stdout.endswith("3 passed, 0 failed, 0 skipped\n"), done.stdout + done.stderr)
    check(f"data={moved}/build/x:{moved}/tests" in (moved / "out/suite/say.log").read_text())


@test
def with_gstreamer_what_measures_pipelines_is_carried(made):
    made.add("say", SAY)
    made.write()
    names = ["bench/bench-pipe", "bench/clip.h264", "plugin/libgstgpudl.so"]
    for name in names:
        (made.build / name).parent.mkdir(exist_ok=True)
        (made.build / name).write_text("no program\n")
    plugins = made.source.parent / "plugins"
    plugins.mkdir()
    for name in "libgstapp.so", "libgstothers.so":
        shutil.copy2("/bin/true", plugins / name)
    programs = made.source.parent / "programs"
    programs.mkdir()
    (programs / "gst-launch-1.0").write_text("#!/bin/sh\necho ok 1 launched\n")
    (programs / "gst-launch-1.0").chmod(0o755)
    made.have_scripts()
    made.add("pipe", "#!/bin/sh\nexec gst-launch-1.0\n", suites=("plugin",))
    made.write()
    folder = made.source.parent / "carry"
    with contextlib.redirect_stdout(io.StringIO()):
        carried.pack(made.build, folder, None)
        check(not any((folder / "build" / name).exists() for name in names))
        err = io.StringIO()
        with path_before(programs), contextlib.redirect_stderr(err):
            carried.pack(made.build, folder, plugins)
    check(all((folder / "build" / name).exists() for name in [*names, "gpu-lib/gstreamer-1.0/libgstapp.so"]))
    check(not (folder / "build/gpu-lib/gstreamer-1.0/libgstothers.so").exists())
    check(f"{plugins}/libgstcoreelements.so is not there" in err.getvalue(), err.getvalue())
    done = carried.subprocess.run(["bash", folder / "scripts" / "gpu", "check"], capture_output=True, text=True,
                                  env={**os.environ, "PART": "suite", "ONLY": "^pipe$", "OUT": str(folder / "out")})
    check("ok 1 launched" in (folder / "out/suite/pipe.log").read_text(), done.stdout + done.stderr)


@test
def a_test_of_the_demo_s_network_has_it_and_the_photographs(made):
    demo, target = made.build / "demo", made.source.parent / "carried"
    (demo / "photos").mkdir(parents=True)
    for name in "efficientnet-lite0.onnx", "photos/cat.png", "efficientnet-lite0.bin":
        (demo / name).write_text(name)
    made.add("other", SAY)
    for carries in False, True:
        if carries:
            made.add("photographs", SAY)
            made.tests[-1]["cmd"].append(str(demo))
        made.write()
        with contextlib.redirect_stdout(io.StringIO()):
            carried.pack(made.build, target, None)
        found = sorted(str(p.relative_to(target)) for p in (target / "build" / "demo").rglob("*") if p.is_file())
        check(found == ["build/demo/efficientnet-lite0.onnx", "build/demo/photos/cat.png"] * carries, found)


@test
def a_folder_of_something_else_is_not_made_anew(made):
    made.add("say", SAY)
    made.write()
    folder = made.source.parent / "mine"
    (folder / "build").mkdir(parents=True)
    (folder / "letters").write_text("dear")
    for own in None, "build.ninja":  # the source folder itself has a list and a build
        if own:
            (folder / "build" / own).touch()
            shutil.copy2(made.build / carried.LIST, folder / "build")
        try:
            carried.pack(made.build, folder, None)
        except SystemExit as refused:
            check(f"{folder} is not empty and no folder that was packed" in str(refused), refused)
        else:
            check(False, "packed")
        check((folder / "letters").read_text() == "dear")
    check(not folder.with_name("mine.tar.xz").exists())


def add_program(made, name, program, *args):
    shutil.copy2(program, made.build / name)
    made.tests.append({"cmd": [str(made.build / name), *args], "name": name, "workdir": None, "env": {}, "timeout": 60,
                       "suite": ["gpudl:plugin"], "is_parallel": True, "protocol": "exitcode", "depends": []})


def carry_other(made, root):
    """Packed with a system's root alone, no GStreamer of this one."""
    made.write()
    folder = made.source.parent / "carry"
    with contextlib.redirect_stdout(io.StringIO()):
        carried.pack(made.build, folder, None, None, "9.9", root)
    return folder


def run_other(folder, gst="9.9"):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = carried.run(folder / "build", "suite", gst, folder / "logs", 60, None)
    return status, out.getvalue()


@test
def another_system_is_carried_with_its_loader(made):
    # this one stands for it: what counts is who loads what
    if not os.path.exists(LOADER):
        return
    # as programs of GLib's tests do: bash starts itself again, by the name that it was started by
    again = 'mapfile -t maps </proc/self/maps; [[ "${maps[*]}" == *build/gst-9.9/lib/libc.so.6* ]]'
    add_program(made, "again", shutil.which("bash"), "-c", f"\"$BASH\" -c '{again}'")
    made.add("script", DIE, ["plugin"])
    made.add("else", SAY, ["engine"])
    folder = carry_other(made, pathlib.Path("/"))
    other = folder / "build" / "gst-9.9"
    check((other / "ld.so").exists() and (other / "lib" / "libc.so.6").exists(), list(other.rglob("*")))
    status, out = run_other(folder)
    check(status == 0 and out.endswith("1 passed, 0 failed, 0 skipped\n"), out)
    start = (folder / "logs" / "again.start").read_text()
    check(f"exec {other}/ld.so --library-path {other}/lib " in start, start)
    # plugins of this system's GStreamer were not packed: what opens them is not run
    status, out = run_other(folder, None)
    check(status == 0 and out.endswith("1 passed, 0 failed, 0 skipped\n") and out.startswith("else "), out)


@test
def what_another_system_lacks_is_this_one_s(made):
    if not os.path.exists(LOADER):
        return
    add_program(made, "ls", "/bin/ls", "/")
    root = made.source.parent / "root"
    for path in LOADER, f"/lib/{carried.ARCH}/libc.so.6":
        (root / path[1:]).parent.mkdir(parents=True)
        shutil.copy2(path, root / path[1:])
    listed = carried.subprocess.run(["ldd", "/bin/ls"], capture_output=True, text=True).stdout
    wanted = {line.split()[0] for line in listed.splitlines() if " => /" in line}
    folder = carry_other(made, root)
    found = set(os.listdir(folder / "build" / "gst-9.9" / "lib"))
    check(wanted == found and "libc.so.6" in wanted, f"{wanted} {found}")


failed = 0
print(f"1..{len(tests)}")
for i, function in enumerate(tests, 1):
    with tempfile.TemporaryDirectory() as name:
        try:
            function(Made(name))
            print(f"ok {i} - {function.__name__}", flush=True)
        except Exception as problem:
            failed += 1
            print(f"not ok {i} - {function.__name__}")
            for line in f"{type(problem).__name__}: {problem}".splitlines():
                print(f"# {line}", flush=True)
sys.exit(failed > 0)
