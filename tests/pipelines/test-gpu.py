#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-gpu.py SCRIPTS BUILD TESTCARD FOLDER: pipelines/gpu-*.sh on an NVIDIA GPU's decoder, whose frames stay in its memory,
against the same scripts on the reference backend, and on libav's decoder where that is installed. FOLDER has the clips, and
harness.py. Without GPU, decoder or CUDA memory in the plugin all is skipped; without GPU it fails where GPUDL_REQUIRE_CUDA is 1."""
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from harness import BUILD, SCRIPTS, check, main, net, on_no_gpu, script, shell, test

FOLDER = Path(sys.argv[4]).absolute()
CLIPS = {FOLDER / "turned.mp4": 10, FOLDER / "camera.h264": None}
# H.265 with 8 and with 10 bits, in what nvh265dec hands over: two frames of each pattern of videotestsrc, by x265enc qp=30
FILMS = {FOLDER / "film.h265": "NV12", FOLDER / "film-ten-bits.h265": "P010_10LE"}
PATTERNS = [pattern for pattern in ("smpte", "red", "gradient", "pinwheel", "white", "green") for _ in range(2)]
ATOL = 0.02  # of a confidence: float16 against float32, and what two decoders' chroma may differ by
NEAR = 1e-3  # the same frames: rows of another pitch may go through another kernel, which rounds otherwise


why_not = []  # what set_up() found missing, or None


def gpu_test(function):
    @test
    @functools.wraps(function)
    def run(dir):
        return why_not[0] or function(dir)


@functools.cache
def has_libav():
    return all(subprocess.run(["gst-inspect-1.0", f"avdec_{codec}"], capture_output=True).returncode == 0 for codec in ("h264", "h265"))


def frames(text):
    """(whose, class, confidence) of each line that gpu-file.sh and gpu-many.sh print."""
    found = []
    for line in text.splitlines():
        _, confidence, rest = line.split(maxsplit=2)
        label, rest = rest.split(" (", 1)
        id, whose = rest.split(")", 1)
        found.append((whose.strip(), label, int(id), float(confidence)))
    return found


def compare(gpu, cpu):
    check(len(gpu) == len(cpu) > 0, f"{len(gpu)} frames, expected {len(cpu)}")
    for i, (mine, reference) in enumerate(zip(gpu, cpu)):
        check(mine[:3] == reference[:3] and abs(mine[3] - reference[3]) <= ATOL, f"frame {i}: GPU {mine}, CPU {reference}")


def both(dir, name, *args):
    """What a script says here and on the reference; and where the decoder's frames were on the way."""
    model = "--model", dir / "net.bin"
    gpu = script(name, *model, *args, env=shell(GPUDL_BUILD=BUILD))
    other = on_no_gpu(dir / "no gpu") if has_libav() else on_no_gpu(dir / "no gpu", '"$word" ! cudadownload')
    cpu = script(name, *model, *args, env=shell(GPUDL_BUILD=BUILD, **other))
    return gpu, cpu


@gpu_test
def a_file_s_frames_have_the_classes_of_the_cpu(dir):
    for clip, n in CLIPS.items():
        gpu, cpu = both(dir, "gpu-file.sh", clip)
        compare(frames(gpu.stdout), frames(cpu.stdout))
        check(n is None or len(frames(gpu.stdout)) == n, f"{clip.name}: {gpu.stdout}")
        check("nvh264dec ! video/x-raw\\(memory:CUDAMemory\\) ! gpudlinfer" in gpu.stderr, gpu.stderr)


@gpu_test
def films_in_h265_have_the_classes_of_the_cpu(dir):
    for film in FILMS:
        gpu, cpu = both(dir, "gpu-file.sh", "--codec=h265", film)
        compare(frames(gpu.stdout), frames(cpu.stdout))
        check([label for _, label, _, _ in frames(gpu.stdout)] == PATTERNS, f"{film.name}: {gpu.stdout}")
        check("nvh265dec ! video/x-raw\\(memory:CUDAMemory\\) ! gpudlinfer" in gpu.stderr, gpu.stderr)


@gpu_test
def frames_say_the_same_in_either_memory_and_on_the_cpu(dir):
    """One decoder's frames, in its memory and downloaded, on the GPU, and downloaded, on the CPU."""
    env = shell(GPUDL_BACKEND_PATH=f"{BUILD}/engine/cuda:{BUILD}/engine/cpu", GST_PLUGIN_PATH=BUILD / "plugin")
    infer = "gpudlinfer model=NET post-messages=all batch-size=1 autotune=off"
    for film, format in FILMS.items():
        line = f"""filesrc location=FILM ! parsebin ! h265parse ! nvh265dec ! video/x-raw(memory:CUDAMemory),format={format} ! tee name=t
            t. ! queue ! {infer} backend=cuda name=there ! fakesink t. ! queue ! cudadownload ! video/x-raw,format={format} ! tee name=d
            d. ! queue ! {infer} backend=cuda name=here ! fakesink d. ! queue ! {infer} backend=ref name=cpu ! fakesink"""
        words = [word.replace("NET", f"{dir}/net.bin").replace("FILM", str(film)) for word in line.split()]
        done = subprocess.run(["gst-launch-1.0", "-m", *words], capture_output=True, text=True, timeout=120, env=env)
        check(done.returncode == 0, done.stderr)
        told = {name: [(int(id), float(confidence)) for id, confidence in re.findall(
            rf'from element "{name}".* gpudlinfer-result, .*? id=\(int\)(\d+), confidence=\(double\)([^,]+),', done.stdout)]
            for name in ("there", "here", "cpu")}
        check([len(found) for found in told.values()] == [len(PATTERNS)] * 3, f"{film.name}: {told}")
        for other, atol in ("here", NEAR), ("cpu", ATOL):
            for i, (mine, reference) in enumerate(zip(told["there"], told[other])):
                check(mine[0] == reference[0] and abs(mine[1] - reference[1]) <= atol,
                      f"{film.name} frame {i}: {mine} in CUDA memory, {reference} {other}")


@gpu_test
def files_side_by_side_have_the_classes_of_the_cpu(dir):
    other = dir / "other.mp4"
    shutil.copy(FOLDER / "turned.mp4", other)
    gpu, cpu = both(dir, "gpu-many.sh", FOLDER / "turned.mp4", other)
    for file in FOLDER / "turned.mp4", other:
        compare(*([f for f in frames(done.stdout) if f[0] == str(file)] for done in (gpu, cpu)))


@gpu_test
def what_was_drawn_on_is_a_video_of_all_frames(dir):
    for suffix in ".webm", ".avi":
        result = subprocess.run([SCRIPTS / "gpu-file.sh", "--model", dir / "net.bin", FOLDER / "turned.mp4",
                                 dir / f"drawn{suffix}"], capture_output=True, text=True, timeout=120, env=shell(GPUDL_BUILD=BUILD))
        if result.returncode != 2:  # another one is written here
            break
    check(result.returncode == 0, result.stderr)
    lines = script("json-lines.sh", *net(dir), dir / f"drawn{suffix}").stdout.splitlines()
    check(len(lines) == 10 and all(json.loads(line) for line in lines), lines)


def lacks(dir):
    """Why nothing can be run here, and whether a GPU is what is missing."""
    for program in "gst-launch-1.0", "gst-inspect-1.0":
        if shutil.which(program) is None:
            return f"needs {program}", False
    env = shell(GPUDL_BACKEND_PATH=f"{BUILD}/engine/cuda:{BUILD}/engine/cpu", GPUDL_CACHE_DIR=dir, GST_PLUGIN_PATH=BUILD / "plugin")
    tried = subprocess.run([BUILD / "tools" / "gpudl", "bench", "--json", "--backend=cuda", "--batch=1", "--seconds=0.01", "--warmup=0",
                            dir / "net.bin"], capture_output=True, text=True, timeout=120, env=env)
    if tried.returncode != 0:
        told = json.loads(tried.stdout)["results"][0]["reason"] if tried.stdout else tried.stderr
        return f"needs an NVIDIA GPU: {told}", True
    for codec in "h264", "h265":
        if subprocess.run(["gst-inspect-1.0", f"nv{codec}dec"], capture_output=True).returncode != 0:
            return f"needs nv{codec}dec (gstreamer1.0-plugins-bad, and the driver's libnvcuvid.so.1)", False
    if "memory:CUDAMemory" not in subprocess.run(["gst-inspect-1.0", "gpudlinfer"], capture_output=True, text=True, env=env).stdout:
        return "needs a plugin that takes CUDA memory (libgstreamer-plugins-bad1.0-dev when it is built)", False
    return None, False


def set_up(dir):
    why, gpu = lacks(dir)
    if why and gpu and os.environ.get("GPUDL_REQUIRE_CUDA") == "1":
        print(f"Bail out! {why}", flush=True)
        sys.exit(1)
    why_not.append(why)


sys.exit(main(set_up))
