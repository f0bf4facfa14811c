#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-toolkit.py SOURCE DRIVER: scripts/toolkit, which fetches a CUDA toolkit where a GPU is and none is installed, and what
make demo and make gpu-check do with it. Nothing is downloaded here: pip, the real one, finds small wheels in a folder. DRIVER is the folder
of a driver that does as it is told (tests/driver)."""
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SOURCE, DRIVER = (Path(a) for a in sys.argv[1:3])
ARCH = platform.machine()
WHEELS = {
    "nvidia_cuda_nvcc": {"nvidia/cu13/bin/nvcc": b"#!/bin/sh\necho compiles\n", "nvidia/cu13/nvvm/bin/cicc": b"cicc"},
    "nvidia_cuda_runtime": {"nvidia/cu13/include/cuda.h": b"", "nvidia/cu13/lib/libcudart_static.a": b"runtime"},
    "nvidia_cudnn_cu13": {"nvidia/cudnn/include/cudnn_graph.h": b"", "nvidia/cudnn/lib/libcudnn.so.9": b"cudnn"},
}
tests = []


def test(function):
    tests.append(function)
    return function


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


def file_name(package):
    return f"{package}-13.0.1-py3-none-manylinux2014_{ARCH}.manylinux_2_17_{ARCH}.whl"


def write_wheel(path, package, files):
    info = f"{package}-13.0.1.dist-info"
    files = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 13.0.1\n".encode(),
             f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-manylinux2014_{ARCH}\n".encode(),
             f"{info}/licenses/License.txt": f"{package}'s licence".encode(), f"{info}/RECORD": b""}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


class Case:
    """folder/tree has the scripts, folder/index the wheels. Nothing of this machine's CUDA is seen: its folder is another one,
    the compiler looks into the folder that it is told, and a driver is there only if one is asked for."""

    def __init__(self, folder):
        self.folder, self.tree, self.index = folder, folder / "tree", folder / "index"
        self.cuda, self.tools, self.calls = folder / "usr local cuda", folder / "tools", folder / "calls"
        for name in "toolkit", "toolkit.py", "downloads.sh", "configure.sh", "venv", "demo", "gpu":
            (self.tree / "scripts").mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / "scripts" / name, self.tree / "scripts" / name)
        script = self.tree / "scripts/toolkit"
        text = script.read_text()
        check("/usr/local/cuda/bin/nvcc" in text)
        script.write_text(text.replace("/usr/local/cuda/bin/nvcc", f'"{self.cuda}/bin/nvcc"'))
        write_program(self.tools / "cc", '[ -e "$3/cudnn_graph.h" ]')  # cc -E -isystem FOLDER -
        (folder / "no driver").mkdir()
        (folder / "no driver/libcuda.so.1").write_text("the loader looks no further")

    def fresh(self):
        for path in self.index, self.cuda, self.tree / "build/cuda", self.folder / "home":
            shutil.rmtree(path, ignore_errors=True)
        self.index.mkdir()
        self.calls.write_text("")
        write_program(self.tree / "scripts/setup", 'echo "setup $*" >>"$calls"')
        pins = "# a comment\nmips " + "0" * 64 + " 7 other-1-py3-none-any.whl\n"
        for package, files in WHEELS.items():
            path = self.index / file_name(package)
            write_wheel(path, package, files)
            data = path.read_bytes()
            pins += f"{ARCH} {hashlib.sha256(data).hexdigest()} {len(data)} {path.name}\n"
        self.pins = self.tree / "scripts/toolkit.wheels"
        self.pins.write_text(pins)

    def run(self, *command, driver=None, code=0, **env):
        """What was said on stderr."""
        variables = {"PATH": f"{self.tools}:/usr/bin:/bin", "HOME": str(self.folder / "home"), "PIP_NO_INDEX": "1",
                     "PIP_FIND_LINKS": str(self.index), "LD_LIBRARY_PATH": str(DRIVER if driver else self.folder / "no driver"),
                     "GPUDL_TEST_DRIVER": driver or "", "calls": str(self.calls), **env}
        done = subprocess.run([self.tree / "scripts" / command[0], *command[1:]], capture_output=True, text=True, timeout=100, env=variables)
        check(done.returncode == code, f"exit status {done.returncode}, expected {code}: {done.stdout}{done.stderr}")
        self.out = done.stdout
        return done.stderr

    def fetched(self):
        return (self.tree / "build/cuda").exists()

    def cached(self):
        return sorted(p.name for p in (self.folder / "home/.cache/gpudl/downloads").glob("*.whl"))

    def install_toolkit(self, root, cudnn=True):
        write_program(root / "bin/nvcc", "")
        if cudnn:
            (root / "include").mkdir()
            (root / "include/cudnn_graph.h").touch()


@test
def on_request_it_is_fetched_without_a_gpu(case):
    said = case.run("toolkit", "fetch")
    place = case.tree / "build/cuda"
    for files in WHEELS.values():
        for name, data in files.items():
            path = place.joinpath(*name.split("/")[2:])
            check(path.read_bytes() == data, path)
            check(os.access(path, os.X_OK) == ("/bin/" in name), path)
    check((place / "lib64/libcudnn.so.9").exists() and (place / "licenses/nvidia_cudnn_cu13.txt").exists())
    size = sum(int(line.split()[2]) for line in case.pins.read_text().splitlines() if line.startswith(ARCH))
    for part in f"{size / 1e6:.0f} MB", "driver 580 or newer", "licences are NVIDIA's", f"{place} is there":
        check(part in said, f"'{part}' is not in: {said}")
    check("is there already" in case.run("toolkit", "fetch", PIP_FIND_LINKS="/nowhere"))


@test
def on_request_what_fetching_needs_is_installed_before(case):
    """On a system with nothing but make; without a compiler one that is installed would not be seen to have cuDNN."""
    case.run("toolkit", "auto", driver="card", PIP_FIND_LINKS="/nowhere", code=1)
    check(case.calls.read_text() == "", case.calls.read_text())
    case.install_toolkit(case.cuda)
    case.run("toolkit", "fetch")
    check(case.calls.read_text() == "setup build\n", case.calls.read_text())
    shutil.rmtree(case.cuda)
    write_program(case.tree / "scripts/setup", "echo no packages >&2; exit 1")
    check(case.run("toolkit", "fetch", code=1) == "no packages\n" and not case.fetched())


@test
def a_second_clone_downloads_nothing(case):
    case.run("toolkit", "fetch")
    shutil.rmtree(case.tree / "build/cuda")
    said = case.run("toolkit", "fetch", PIP_FIND_LINKS="/nowhere")
    check(case.fetched() and "downloading" not in said, said)


@test
def with_a_gpu_it_is_fetched_and_the_card_is_named(case):
    said = case.run("toolkit", "auto", driver="card")
    check(case.fetched(), said)
    check("NVIDIA Test 0 is there (driver for CUDA 13.0), and no CUDA toolkit" in said and "GPUDL_CUDA=off skips this" in said, said)
    check(case.run("toolkit", "auto", driver="card") == "", "the second time")


@test
def without_a_driver_nothing_is_fetched_or_said(case):
    check(case.run("toolkit", "auto") == "" and not case.fetched())


@test
def a_driver_that_is_of_no_use_is_one_line(case):
    for driver, part in {"old": "is for CUDA 11.4, expected 13.0, which is driver 580, or newer", "none": "finds no GPU",
                         "fails": "can't be started: cuInit() fails with error 999", "weak": "capability 6.1, expected 7.5"}.items():
        said = case.run("toolkit", "auto", driver=driver)
        check(part in said and said.startswith("toolkit: on the CPU: ") and said.count("\n") == 1 and not case.fetched(), said)


@test
def a_driver_that_hangs_is_given_up(case):
    script = case.tree / "scripts/toolkit"
    text = script.read_text()
    script.write_text(text.replace("timeout -k 1 20 ", "timeout -k 1 1 "))
    said = case.run("toolkit", "auto", driver="hangs")
    script.write_text(text)
    check("does not answer" in said and said.count("\n") == 1 and not case.fetched(), said)


@test
def off_skips_it(case):
    check(case.run("toolkit", "auto", driver="card", GPUDL_CUDA="off") == "" and not case.fetched())
    check("expected off or nothing" in case.run("toolkit", "auto", driver="card", GPUDL_CUDA="no", code=1) and not case.fetched())


@test
def a_toolkit_that_is_there_wins(case):
    other = case.folder / "my toolkit"
    case.install_toolkit(other)
    for env in {"CUDA_HOME": str(other)}, {"PATH": f"{other}/bin:{case.tools}:/usr/bin:/bin"}:
        check(case.run("toolkit", "auto", driver="card", **env) == "" and not case.fetched(), env)
        check(f"{other} is a CUDA toolkit" in case.run("toolkit", "fetch", **env) and not case.fetched(), env)
    case.install_toolkit(case.cuda)
    check(case.run("toolkit", "auto", driver="card") == "" and not case.fetched())


@test
def one_without_cudnn_is_not_enough(case):
    case.install_toolkit(case.cuda, cudnn=False)
    said = case.run("toolkit", "auto", driver="card")
    check(case.fetched() and f"and {case.cuda} has no cuDNN headers" in said, said)


@test
def without_network_it_is_one_clear_error(case):
    said = case.run("toolkit", "auto", driver="card", PIP_FIND_LINKS="/nowhere", code=1)
    check(said.splitlines()[-1].startswith(f"toolkit: {file_name('nvidia_cuda_nvcc')} can't be had: the Python package registry") and
          not case.fetched(), said)


@test
def what_is_not_what_is_pinned_is_refused(case):
    path = case.index / file_name("nvidia_cuda_runtime")
    write_wheel(path, "nvidia_cuda_runtime", {"nvidia/cu13/lib/libcudart_static.a": b"another"})
    said = case.run("toolkit", "fetch", code=1)
    check("or does not have what is pinned in scripts/toolkit.wheels" in said and not case.fetched(), said)
    check(case.cached() == [file_name("nvidia_cuda_nvcc")], case.cached())


@test
def what_was_interrupted_goes_on(case):
    """Wheels that are there whole are kept; a folder that was half unpacked is not taken for a toolkit."""
    (case.index / file_name("nvidia_cudnn_cu13")).rename(case.folder / "kept back")
    case.run("toolkit", "fetch", code=1)
    check(len(case.cached()) == 2 and not case.fetched(), case.cached())
    for path in case.index.iterdir():
        path.unlink()
    (case.folder / "kept back").rename(case.index / file_name("nvidia_cudnn_cu13"))
    half = case.tree / "build/cuda/bin"
    half.mkdir(parents=True)
    (half / "nvcc").write_text("half")
    case.run("toolkit", "fetch")
    check((half / "nvcc").read_bytes() == WHEELS["nvidia_cuda_nvcc"]["nvidia/cu13/bin/nvcc"])


@test
def another_pin_is_another_toolkit(case):
    case.run("toolkit", "fetch")
    path = case.index / file_name("nvidia_cuda_nvcc")
    old = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
    write_wheel(path, "nvidia_cuda_nvcc", {"nvidia/cu13/bin/nvcc": b"newer"})
    case.pins.write_text(case.pins.read_text().replace("%s %d" % old, f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_size}"))
    case.run("toolkit", "fetch")
    check((case.tree / "build/cuda/bin/nvcc").read_bytes() == b"newer" and not (case.tree / "build/cuda/nvvm").exists())


@test
def a_processor_without_pins_is_told(case):
    case.pins.write_text("mips 00 7 other-1-py3-none-any.whl\n")
    check(f"no CUDA toolkit is pinned for {ARCH}" in case.run("toolkit", "fetch", code=1))


# ---- the demo

def stub_demo(case):
    """All that scripts/demo calls but scripts/toolkit; gpudl-demo tells the backends' folders."""
    recipe = case.tree / "models/recipes/efficientnet-lite0"
    for path in case.tree / "scripts/setup", recipe / "obtain", recipe / "convert":
        write_program(path, "")
    write_program(case.tree / "build/tools/demo/gpudl-demo", 'echo "folders $GPUDL_BACKEND_PATH"')
    write_program(case.tools / "meson", 'echo "meson $*" >>"$calls"; touch build/build.ninja')
    write_program(case.tools / "ninja", '[ "$3" = -t ] || echo "ninja $*" >>"$calls"; [ "$3" != -t ] || [ -e build/cuda ]')
    (case.tree / "build/build.ninja").unlink(missing_ok=True)


@test
def the_demo_fetches_builds_and_takes_cuda_where_a_gpu_is(case):
    stub_demo(case)
    case.run("demo")
    folders = [f"{case.tree}/build/engine/{name}" for name in ("cuda", "cpu")]
    check(case.out == f"folders {folders[1]}\n" and not case.fetched(), case.out)
    os.utime(case.tree / "build/build.ninja", (1, 1))  # configured before there was a toolkit
    case.calls.write_text("")
    case.run("demo", driver="card")
    calls = case.calls.read_text().splitlines()
    check(case.out == f"folders {':'.join(folders)}\n", case.out)
    check(calls[0] == "meson setup --reconfigure build" and "engine/cuda/gpudl-cuda.so" in calls[-1].split(), calls)
    case.calls.write_text("")
    case.run("demo", driver="card")
    check("meson" not in case.calls.read_text(), case.calls.read_text())


@test
def the_demo_goes_on_without_a_toolkit(case):
    stub_demo(case)
    said = case.run("demo", driver="card", PIP_FIND_LINKS="/nowhere")
    check("can't be had" in said and case.out == f"folders {case.tree}/build/engine/cpu\n", said + case.out)
    check("on the CPU: " in case.run("demo", driver="old"))


# ---- the tests on a GPU

def stub_gpu(case, has_cuda='[ -e build/cuda ]'):
    """All that scripts/gpu calls but scripts/toolkit; the build has a CUDA backend where has_cuda says so."""
    stub_demo(case)
    write_program(case.tree / "scripts/carried.py", 'echo "carried $*"')
    write_program(case.tools / "ninja", f'{has_cuda} && mkdir -p build/engine/cuda && touch build/engine/cuda/gpudl-cuda.so; true')
    shutil.rmtree(case.tree / "build/engine", ignore_errors=True)


@test
def the_tests_on_a_gpu_fetch_a_toolkit_as_the_demo_does(case):
    stub_gpu(case)
    (case.tree / "build/build.ninja").touch()
    os.utime(case.tree / "build/build.ninja", (1, 1))  # configured before there was a toolkit
    said = case.run("gpu", "check", driver="card", PART="suite")
    check("NVIDIA Test 0 is there" in said and case.fetched(), said)
    check(case.calls.read_text() == "meson setup --reconfigure build\n", case.calls.read_text())
    check("carried run build suite" in case.out, case.out)


@test
def without_cuda_there_is_nothing_to_test_on_a_gpu(case):
    """Else all that needs none would pass, and it would look as if the GPU had been tested."""
    stub_gpu(case)
    for driver, env, part in (None, {}, ""), ("card", {"GPUDL_CUDA": "off"}, ""), ("card", {"PIP_FIND_LINKS": "/nowhere"}, "can't be had"):
        for what in "check", "bench", "kernels", "pack":
            said = case.run("gpu", what, driver=driver, code=1, **env)
            check(part in said and said.splitlines()[-1].startswith(f"gpu: build/ has no CUDA backend, and nothing to {what}: 'make cuda'"), said)
            check(case.out == "" and not case.fetched(), case.out)


def main():
    if Path("/usr/bin/nvcc").exists() or subprocess.run(["/usr/bin/python3", "-c", "import ensurepip"], capture_output=True).returncode != 0:
        print("1..0 # SKIP needs python3-venv, and no /usr/bin/nvcc")
        return 0
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gpudl-toolkit-") as name:
        case = Case(Path(name).resolve())
        for i, function in enumerate(tests, 1):
            try:
                case.fresh()
                function(case)
                print(f"ok {i} - {function.__name__}", flush=True)
            except Exception as problem:
                failed += 1
                print(f"not ok {i} - {function.__name__}")
                for line in f"{type(problem).__name__}: {problem}".splitlines():
                    print(f"# {line}", flush=True)
    return failed > 0


sys.exit(main())
