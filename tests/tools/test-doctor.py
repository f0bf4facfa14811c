#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-doctor.py GPUDL PLUGIN LIBRARY NVDEC DRIVER INSTALLED: gpudl doctor on a plugin that GStreamer can't have: why, and
whether the command that it names mends that; and on NVIDIA's parts, there and missing. PLUGIN and LIBRARY are libgstgpudl.so
and libgpudl.so.0, from a build whose plugin looks for the library one folder up; NVDEC is a plugin with elements called as
those on a GPU; DRIVER and INSTALLED are folders of libcuda.so.1 and of cuDNN, cuBLASLt and NVDEC's library (tests/driver)."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GPUDL, PLUGIN, LIBRARY, NVDEC, DRIVER, INSTALLED = (Path(a).resolve() for a in sys.argv[1:7])
tests = []


def test(function):
    tests.append(function)
    return function


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


class Case:
    """A folder with plugin/libgstgpudl.so, libgpudl.so.0 and a registry of its own; no other plugin is looked at."""

    def __init__(self, folder):
        self.folder, self.plugin, self.library = folder, folder / "plugin" / "libgstgpudl.so", folder / "libgpudl.so.0"
        self.plugin.parent.mkdir(parents=True)
        shutil.copy(PLUGIN, self.plugin)
        self.library.symlink_to(LIBRARY)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("GST_") and k != "LD_LIBRARY_PATH"}
        self.env.update(GST_PLUGIN_SYSTEM_PATH_1_0="", GST_PLUGIN_PATH=str(self.plugin.parent),
                        GST_REGISTRY=str(folder / "the registry.bin"), HOME=str(folder))

    def change(self, function):
        self.plugin.write_bytes(function(self.plugin.read_bytes()))

    def doctor(self, before="", gpudl=GPUDL):
        done = subprocess.run(["sh", "-c", f"{before}\nexec '{gpudl}' doctor"], capture_output=True, text=True, timeout=60, env=self.env)
        lines = done.stdout.splitlines()
        found = [i for i, line in enumerate(lines) if line.split()[1:2] == ["gpudlinfer"]]
        check(len(found) == 1, done.stdout + done.stderr)
        line, after = lines[found[0]], lines[found[0] + 1]
        mend = after.split("mend it: ")[1] if "mend it: " in after else None
        other = next(line for line in lines if line.split()[1:2] == ["gpudloverlay"])
        check(other.split()[0] == line.split()[0], lines)
        return line.split()[0], line[36:], mend


def replaced(old, new):
    def change(data):
        check(data.count(old) >= 1 and len(old) == len(new), f"{old} is not in the plugin")
        return data.replace(old, new)
    return change


@test
def a_plugin_that_is_well_is_ok(case):
    state, detail, mend = case.doctor()
    check(state == "ok" and str(case.plugin) in detail and mend is None, detail)


@test
def a_library_that_is_missing_is_named(case):
    case.change(replaced(b"\0libpangocairo-1.0.so.0\0", b"\0libpangocairo-9.9.so.9\0"))
    for _ in range(2):  # GStreamer has tried it, then remembers
        state, detail, mend = case.doctor()
        check(state == "missing" and detail == f"{case.plugin} can't be loaded: libpangocairo-9.9.so.9: cannot open shared object "
              "file: No such file or directory", detail)
        check("install the package that has libpangocairo-9.9.so.9" in mend and mend.endswith(f"rm '{case.folder}/the registry.bin'"), mend)


@test
def a_missing_symbol_is_named(case):
    case.change(replaced(b"\0gpudl_session_acquire\0", b"\0gpudl_session_of_2099\0"))
    state, detail, mend = case.doctor()
    check(state == "missing" and "can't be loaded: undefined symbol: gpudl_session_of_2099" in detail, detail)
    check("of the same version as gpudl" in mend, mend)


@test
def a_file_cut_short_is_told(case):
    whole = case.plugin.read_bytes()
    for length in 0, 40, 1000, 30000, 60000:  # beyond that lies what only debuggers read
        case.change(lambda data, n=length: whole[:n])
        state, detail, mend = case.doctor()
        check(state == "missing" and detail.startswith(f"{case.plugin} can't be loaded: "), f"{length} bytes: {detail}")
        check(mend.startswith("install the plugin again"), mend)


@test
def another_processor_is_told(case):
    case.change(lambda data: data[:18] + bytes([243, 0]) + data[20:])  # RISC-V
    state, detail, mend = case.doctor()
    check(state == "missing" and "is for another processor: ELF machine 243, 64 bits; this one is " in detail, detail)
    check(mend.startswith("install the plugin again"), mend)


@test
def what_the_registry_remembers_wrongly_is_mended_by_the_command(case):
    case.library.unlink()
    state, detail, mend = case.doctor()
    check(state == "missing" and "libgpudl.so.0: cannot open shared object file" in detail, detail)
    check(mend.startswith("export LD_LIBRARY_PATH="), mend)
    case.library.symlink_to(LIBRARY)
    state, detail, mend = case.doctor()
    check(state == "missing" and detail == f"{case.plugin} can be loaded, but GStreamer's registry has it as one that can't", detail)
    check(mend == f"rm '{case.folder}/the registry.bin'", mend)
    check(case.doctor(before=mend)[0] == "ok", mend)


@test
def a_library_elsewhere_is_mended_by_the_command(case):
    case.library.unlink()
    _, _, mend = case.doctor()
    check(case.doctor(before=mend)[0] == "ok", mend)


@test
def the_user_s_own_registry_is_named_as_people_write_it(case):
    del case.env["GST_REGISTRY"]
    case.library.unlink()
    case.env.pop("XDG_CACHE_HOME", None)
    check(case.doctor()[2].endswith("; rm ~/.cache/gstreamer-1.0/registry.*.bin"), case.doctor())
    case.library.symlink_to(LIBRARY)
    mend = case.doctor()[2]
    check(mend == "rm ~/.cache/gstreamer-1.0/registry.*.bin" and case.doctor(before=mend)[0] == "ok", mend)


@test
def a_plugin_beside_the_library_is_found_and_mended_by_the_command(case):
    del case.env["GST_PLUGIN_PATH"]
    state, detail, mend = case.doctor()
    check(state == "missing" and detail.endswith("libgstgpudl.so is not where GStreamer looks"), detail)
    check(re.match(r"export GST_PLUGIN_PATH=\S+\"", mend) and case.doctor(before=mend)[0] == "ok", mend)


@test
def what_opens_a_window_is_looked_for(case):
    """autovideosink alone, which is in another package, shows nothing."""
    shown = subprocess.run([GPUDL, "doctor"], capture_output=True, text=True, timeout=60, env=case.env).stdout
    check(re.search(r"^ +missing ximagesink +install gstreamer1\.0-x \(Debian\)$", shown, re.MULTILINE), shown)


# ---- NVIDIA's parts

def gpu_section(case, driver=None, folders=(), code=0):
    """What the section has by what it is about, and its lines. Parts that are not in folders are not there (a text of its name
    is no library, and the loader looks no further), or, as they may be in the toolkit that this was built with, useless."""
    hidden = case.folder / "hidden"
    hidden.mkdir(exist_ok=True)
    for name in "libcuda.so.1", "libnvcuvid.so.1":
        (hidden / name).write_text("text")
    for name in "libcudnn.so.9", "libcublasLt.so.13":
        shutil.copy(DRIVER / "libcudnn.so.9", hidden / name)  # which has no functions
    env = {**case.env, "LD_LIBRARY_PATH": ":".join(map(str, [*folders, hidden])), "GPUDL_TEST_DRIVER": driver or ""}
    done = subprocess.run([GPUDL, "doctor"], capture_output=True, text=True, timeout=100, env=env)
    check(done.returncode == code, done.stdout + done.stderr)
    case.shown = done.stdout
    lines = done.stdout.split("\nNVIDIA GPU\n")[1].split("\n\n")[0].splitlines()
    return {" ".join(line[10:36].split()): (line[:10].strip(), line[36:]) for line in lines if line[10:36].strip()}, lines


@test
def a_gpu_and_all_of_its_parts_are_named(case):
    shutil.copy(NVDEC, case.plugin.parent)
    shutil.copy(DRIVER / "libcuda.so.1", case.folder)
    found, _ = gpu_section(case, "card", [INSTALLED, case.folder])
    check(found["NVIDIA driver"][0] == "ok" and f"for CUDA 13.0 ({case.folder}/libcuda.so.1)" in found["NVIDIA driver"][1], found)
    check(found["GPU 0"] == ("ok", "NVIDIA Test 0, compute capability 9.0, 80.0 GB"), found)
    check(found["cuDNN"] == ("ok", f"9.19.0 ({INSTALLED}/libcudnn.so.9)"), found)
    check(found["cuBLASLt"] == ("ok", f"13.1.2 ({INSTALLED}/libcublasLt.so.13)"), found)
    check(found["NVDEC"] == ("ok", "nvsoftdec, nvtestdec") and found["CUDA memory"] == ("ok", "cudatestsrc, nvtestdec"), found)


@test
def without_a_gpu_each_part_is_one_line(case):
    found, lines = gpu_section(case)
    check(found["NVIDIA driver"][1].startswith("not here, networks run on the CPU"), found)
    for what, part in {"cuDNN": "only the CUDA backend needs it (libcudnn9-cuda-13): ", "cuBLASLt": "needs it (libcublas-13-0): ",
                       "NVDEC": "videos are decoded on the CPU", "CUDA memory": "they come in system memory"}.items():
        check(found[what][0] == "-" and part in found[what][1], found)
    check(len(lines) == 5, lines)


@test
def a_gpu_without_libraries_is_told_what_to_install(case):
    found, lines = gpu_section(case, "card", [DRIVER])
    check(found["cuDNN"] == ("missing", f"{DRIVER}/libcudnn.so.9 has no cudnnGetVersion()"), found)
    state, detail = found["cuBLASLt"]  # the driver's folder has one where it was built with cuBLASLt
    check(state == "missing" and detail.endswith("/libcublasLt.so.13 has no cublasLtGetVersion()"), found)
    mends = [line.split("mend it: ")[1].split(" (")[0] for line in lines if "mend it: " in line]
    check(mends == ["install libcudnn9-cuda-13", "install libcublas-13-0"], lines)


@test
def own_kernels_need_no_libraries(case):
    case.env["GPUDL_CUDA_LIBS"] = "0"
    found, lines = gpu_section(case, "card", [DRIVER])
    check(found["GPUDL_CUDA_LIBS"][0] == "-" and found["GPUDL_CUDA_LIBS"][1].startswith("is 0: networks run on own kernels"), found)
    check(found["cuDNN"][0] == found["cuBLASLt"][0] == "-", found)
    check(not any("mend it" in line for line in lines), lines)


@test
def what_is_no_wish_for_libraries_is_told(case):
    case.env["GPUDL_CUDA_LIBS"] = "no"
    found, lines = gpu_section(case, "card", [DRIVER])
    check(found["GPUDL_CUDA_LIBS"] == ("missing", "is 'no', expected 0 (without cuDNN and cuBLASLt), 1 or nothing"), found)
    check(found["cuDNN"][0] == "missing" and any("mend it: unset GPUDL_CUDA_LIBS" in line for line in lines), lines)


@test
def nvdec_without_decoders_is_told(case):
    found, lines = gpu_section(case, "card", [INSTALLED, DRIVER])
    check(found["NVDEC"] == ("missing", f"{INSTALLED}/libnvcuvid.so.1 is here, but GStreamer has no decoder on it"), found)
    check(any("mend it: install gstreamer1.0-plugins-bad" in line for line in lines), lines)


@test
def a_driver_that_does_not_start_is_told(case):
    for driver, part in {"fails": "it can't be started: cuInit(): CUDA_ERROR_UNKNOWN (999)", "none": "it finds no GPU"}.items():
        found, _ = gpu_section(case, driver, [DRIVER])
        check(found["NVIDIA driver"][0] == "missing" and f"{part}" in found["NVIDIA driver"][1] and "GPU 0" not in found, found)


@test
def a_driver_that_is_too_old_is_told_as_such(case):
    found, lines = gpu_section(case, "old", [DRIVER])
    state, detail = found["NVIDIA driver"]
    check(state == "missing" and detail.startswith("too old: ") and f"for CUDA 11.4 ({DRIVER}/libcuda.so.1), expected " in detail, found)
    check(re.search(r", expected 1[23]\.0 or newer, which is driver (525|580) or newer; networks run on the CPU$", detail), detail)
    mends = [line.split("mend it: ")[1] for line in lines if "mend it: " in line]
    # libraries would not help
    check(len(mends) == 1 and mends[0].startswith("install a newer driver"), lines)


@test
def a_gpu_that_is_too_old_is_told_as_such(case):
    found, lines = gpu_section(case, "weak", [DRIVER])
    check(found["NVIDIA driver"][0] == "ok" and found["GPU 0"] == (
        "missing", "too old: NVIDIA Test 0, compute capability 6.1, expected 7.5 or newer; networks run on the CPU, or another GPU"), found)
    check(not any("mend it" in line for line in lines), lines)


@test
def a_driver_that_hangs_does_not_hang_doctor(case):
    """Nor is a module or a plugin asked that would call it."""
    engine = GPUDL.parent.parent / "engine"
    case.env["GPUDL_BACKEND_PATH"] = f"{engine}/cuda:{case.env['GPUDL_BACKEND_PATH']}"
    begin = time.monotonic()
    found, _ = gpu_section(case, "hangs", [DRIVER])
    check(time.monotonic() - begin < 30, "too long")
    check(found["NVIDIA driver"][0] == "missing" and "cuInit() has not returned after 10 s" in found["NVIDIA driver"][1], found)
    check(re.search(r"missing +cuda +not asked", case.shown) and re.search(r"ok +cpu +usable", case.shown), case.shown)


def main():
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for i, function in enumerate(tests, 1):
        with tempfile.TemporaryDirectory(prefix="gpudl-doctor-") as name:
            try:
                function(Case(Path(name).resolve()))
                print(f"ok {i} - {function.__name__}", flush=True)
            except Exception as problem:
                failed += 1
                print(f"not ok {i} - {function.__name__}")
                for line in f"{type(problem).__name__}: {problem}".splitlines():
                    print(f"# {line}", flush=True)
    return failed > 0


sys.exit(main())
