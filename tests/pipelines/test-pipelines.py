#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-pipelines.py SCRIPTS BUILD TESTCARD: runs the scripts of pipelines/ that need no camera and no display, as a
user would, on the testcard network, and checks what comes out. The others are checked up to where the camera begins."""
import json
import os
import shutil
import subprocess
import sys

from harness import BUILD, Running, SCRIPTS, check, launch, main, net, on_no_gpu, script, shell, stub, test

ALL = ["file.sh", "camera.sh", "rtsp.sh", "pictures.sh", "json-lines.sh", "display.sh", "gpu-file.sh", "gpu-many.sh", "gpu-rtsp.sh"]
GPU = ["gpu-file.sh", "gpu-many.sh", "gpu-rtsp.sh"]
CLIPS = SCRIPTS.parent / "tests" / "pipelines"
TURNED = CLIPS / "turned.mp4"


@test
def every_script_has_help_and_refuses_nonsense(dir):
    for name in ALL:
        check(script(name, "--help").stdout.startswith(f"Usage: {name} "), name)
        result = script(name, "--nonsense", code=2)
        check(result.stderr.startswith(f"{name}: unknown option --nonsense\n"), result.stderr)
        result = script(name, "--model", code=2)
        check(result.stderr.startswith(f"{name}: --model needs a file\n"), result.stderr)


@test
def file_writes_every_frame(dir):
    script("file.sh", *net(dir), dir / "smpte.avi", cwd=dir)
    written = [p for p in dir.iterdir() if p.name.startswith("annotated.")]
    check(len(written) == 1, written)
    lines = script("json-lines.sh", *net(dir), written[0]).stdout.splitlines()
    check(len(lines) == 30, f"{len(lines)} frames of 30 came out")


@test
def file_takes_names_with_blanks(dir):
    shutil.copy(dir / "smpte.avi", dir / "a b#c%20.avi")
    suffix = next(p for p in dir.iterdir() if p.name.startswith("annotated.")).suffix
    script("file.sh", *net(dir), dir / "a b#c%20.avi", dir / f"out put{suffix}")
    check((dir / f"out put{suffix}").stat().st_size > 1000)


@test
def file_takes_names_of_any_characters(dir):
    suffix = next(p for p in dir.iterdir() if p.name.startswith("annotated.")).suffix
    odd = dir / "odd"
    odd.mkdir()
    for name in "back\\slash", 'a "quoted" name', '"quoted"', 'one" quote', "a=b,c;d!e?f:g'h", "\u00fcml\u00e4ut", "new\nline":
        video, model, out = odd / f"{name}.avi", odd / f"{name}.bin", odd / f"{name}{suffix}"
        shutil.copy(dir / "smpte.avi", video)
        shutil.copy(dir / "net.bin", model)
        script("file.sh", "--backend", "ref", "--model", model, video, out)
        check(out.stat().st_size > 1000, name)
    # what a URI can say and gst-launch-1.0 can't
    latin1 = str(odd) + os.fsdecode(b"/latin1-\xe9")
    shutil.copy(dir / "smpte.avi", f"{latin1}.avi")
    shutil.copy(dir / "net.bin", f"{latin1}.bin")
    script("file.sh", *net(dir), f"{latin1}.avi", dir / f"latin1{suffix}", errors="replace")
    check((dir / f"latin1{suffix}").stat().st_size > 1000)
    for args in [*net(dir), dir / "smpte.avi", f"{latin1}{suffix}"], ["--model", f"{latin1}.bin", dir / "smpte.avi"]:
        result = script("file.sh", *args, code=1, errors="replace")
        check("the name is no UTF-8" in result.stderr and result.stderr.count("\n") == 1, result.stderr)


@test
def json_lines_are_json_and_right(dir):
    out = script("json-lines.sh", *net(dir), dir / "smpte.avi", dir / "snow.png").stdout
    lines = [json.loads(line) for line in out.splitlines()]
    check(len(lines) == 31, out)
    labels = [line["results"][0]["label"] for line in lines]
    check(labels[:30].count("smpte") >= 27 and labels[30] == "snow", labels)


@test
def pictures_are_told(dir):
    lines = script("pictures.sh", *net(dir), dir / "snow.png").stdout.splitlines()
    check(lines[0] == str(dir / "snow.png") and len(lines) == 4 and lines[1].endswith("snow"), lines)


@test
def display_plays_into_any_sink(dir):
    script("display.sh", *net(dir), "--sink", "fakesink", dir / "smpte.avi")
    result = script("display.sh", *net(dir), dir / "smpte.avi", code=1)
    check(result.stderr.startswith("display.sh: no display"), result.stderr)


@test
def what_is_missing_is_said_in_one_line(dir):
    for args, code, says in [
        (["file.sh", "--model", dir / "none.bin", dir / "smpte.avi"], 1, f"{dir}/none.bin: no such model"),
        (["file.sh", *net(dir), dir / "none.avi"], 1, f"{dir}/none.avi: no such file"),
        (["file.sh", *net(dir), dir / "smpte.avi", "out.xyz"], 2, "out.xyz: the output's name"),
        (["file.sh"], 2, "no video given"),
        (["file.sh", *net(dir), dir], 1, f"{dir}: is a folder"),
        (["file.sh", "--model", dir, dir / "smpte.avi"], 1, f"{dir}: is no file; expected a model"),
        (["display.sh", *net(dir), "--sink", "fakesink", dir / "none.avi"], 1, f"{dir}/none.avi: no such file"),
        (["display.sh", *net(dir), "--sink", "nosink", dir / "smpte.avi"], 1, "GStreamer's element nosink is missing"),
        (["pictures.sh"], 2, "no picture given"),
        (["json-lines.sh"], 2, "no picture or video given"),
        (["camera.sh", *net(dir), "/dev/video-none"], 1, "/dev/video-none: no such camera"),
        (["camera.sh", *net(dir), dir / "smpte.avi"], 1, f"{dir}/smpte.avi: is no camera but a file"),
        (["file.sh", *net(dir), "--backend", "abacus", dir / "smpte.avi"], 2, "--backend: found 'abacus'"),
        (["rtsp.sh"], 2, "no address given"),
        (["rtsp.sh", "http://x"], 2, "http://x: expected an address"),
        (["rtsp.sh", "rtsp://x", "a.webm", "b.webm"], 2, "one address and one output at a time"),
        (["rtsp.sh", *net(dir), "rtsp://x", "out.xyz"], 2, "out.xyz: the output's name"),
        (["rtsp.sh", "--model", dir / "none.bin", "rtsp://x"], 1, f"{dir}/none.bin: no such model"),
        (["rtsp.sh", "--latency", "soon", "rtsp://x"], 2, "--latency: found 'soon'"),
    ]:
        result = script(*args, code=code)
        check(result.stderr.startswith(f"{args[0]}: {says}"), result.stderr)
        check(result.stderr.count("\n") == (1 if code == 1 else 2), result.stderr)


@test
def the_output_is_not_the_input(dir):
    suffix = next(p for p in dir.iterdir() if p.name.startswith("annotated.")).suffix
    video = dir / f"kept{suffix}"
    shutil.copy(dir / f"annotated{suffix}", video)
    (dir / f"link{suffix}").symlink_to(video)
    before = video.read_bytes()
    for name, source in (f"kept{suffix}", video), (f"./link{suffix}", video), (f"kept{suffix}", f"file://{video}"):
        result = script("file.sh", *net(dir), source, name, code=2, cwd=dir)
        check(result.stderr.startswith(f"file.sh: {name}: is the input"), result.stderr)
    check(video.read_bytes() == before)
    result = script("file.sh", *net(dir), video, dir / "none" / f"out{suffix}", code=1)
    check(f": there is no folder {dir}/none" in result.stderr and result.stderr.count("\n") == 1, result.stderr)


@test
def an_output_stays_until_another_is_finished(dir):
    folder = dir / "stays"
    folder.mkdir()
    suffix = next(p for p in dir.iterdir() if p.name.startswith("annotated.")).suffix
    (folder / "noise.avi").write_bytes(bytes(range(256)) * 64)
    (folder / f"target{suffix}").write_bytes(b"an hour's work")
    (folder / f"target{suffix}").chmod(0o640)
    (folder / f"out{suffix}").symlink_to(f"target{suffix}")
    there = sorted(folder.iterdir())
    gpu = shell(GPUDL_BUILD=BUILD, **on_no_gpu(dir / "gpu"))
    for name, args, env in ("file.sh", net(dir), None), ("gpu-file.sh", ["--model", dir / "net.bin"], gpu):
        result = script(name, *args, "noise.avi", f"out{suffix}", code=1, env=env, cwd=folder)
        check((folder / f"target{suffix}").read_bytes() == b"an hour's work", result.stderr)
        check(result.stderr.endswith(f"{name}: out{suffix} is as it was before\n"), result.stderr)
        check(sorted(folder.iterdir()) == there, there)
    result = script("file.sh", *net(dir), dir / "smpte.avi", f"out{suffix}", cwd=folder)
    check(f"filesink location=out{suffix}\n" in result.stderr and "as it was" not in result.stderr, result.stderr)
    check((folder / f"target{suffix}").stat().st_size > 1000)
    check((folder / f"target{suffix}").stat().st_mode & 0o777 == 0o640)
    check(sorted(folder.iterdir()) == there and (folder / f"out{suffix}").is_symlink(), there)
    # what can't take another's place, a mounted file's, is written into it
    (folder / f"target{suffix}").write_bytes(b"an hour's work")
    mounted = shell(GPUDL_BUILD=BUILD, **stub(dir / "mounted", "mv", "exit 1"))
    script("file.sh", *net(dir), dir / "smpte.avi", f"out{suffix}", cwd=folder, env=mounted)
    check((folder / f"target{suffix}").stat().st_size > 1000)
    check(sorted(folder.iterdir()) == there, there)
    # what is ended is finished, and takes its place; the other one's is as before while it is not
    (folder / f"target{suffix}").write_bytes(b"an hour's work")
    with Running(dir, "file.sh", *net(dir), make_long(dir), f"out{suffix}", cwd=folder) as run:
        run.wait_for("output", lambda: any(p.stat().st_size > 10000 for p in folder.glob(f"target{suffix}.*")))
        check((folder / f"target{suffix}").read_bytes() == b"an hour's work")
        run.ctrl_c()
    lines = script("json-lines.sh", *net(dir), folder / f"target{suffix}").stdout.splitlines()
    check(0 < len(lines) < 4000, len(lines))
    check(sorted(folder.iterdir()) == there, there)


@test
def missing_tools_are_said_in_one_line(dir):
    without = stub(dir / "no-vp8", "gst-inspect-1.0", '[[ $1 != vp8enc ]] || exit 1; exec "$real" "$@"')
    script("file.sh", *net(dir), dir / "smpte.avi", dir / "out.avi", env=shell(GPUDL_BUILD=BUILD, **without))
    check((dir / "out.avi").read_bytes().startswith(b"RIFF"))
    without = stub(dir / "no-encoder", "gst-inspect-1.0", '[[ $1 != vp8enc && $1 != avimux ]] || exit 1; exec "$real" "$@"')
    result = script("file.sh", *net(dir), dir / "smpte.avi", code=1, env=shell(GPUDL_BUILD=BUILD, **without))
    check(result.stderr.startswith("file.sh: no encoder") and result.stderr.count("\n") == 1, result.stderr)
    without = stub(dir / "no-flip", "gst-inspect-1.0", '[[ $1 != videoflip ]] || exit 1; exec "$real" "$@"')
    result = script("file.sh", *net(dir), dir / "smpte.avi", code=1, env=shell(GPUDL_BUILD=BUILD, **without))
    check(result.stderr.startswith("file.sh: GStreamer's element videoflip is missing"), result.stderr)
    tools = dir / "no-gst"
    tools.mkdir()
    for name in "bash", "dirname", "realpath", "env":
        (tools / name).symlink_to(shutil.which(name))
    result = script("file.sh", *net(dir), dir / "smpte.avi", code=1, env=shell(GPUDL_BUILD=BUILD, PATH=tools))
    check(result.stderr == "file.sh: gst-launch-1.0 is missing: install gstreamer1.0-tools (Debian)\n", result.stderr)


def gpu_input(name, dir):
    return "rtsp://127.0.0.1:1/x" if name == "gpu-rtsp.sh" else TURNED


@test
def gpu_scripts_say_what_is_missing_in_one_line(dir):
    """Whether or not this machine has a GPU."""
    model = "--model", dir / "net.bin"
    for folder, without, says in [
        ("no-nvdec", "nvh264dec", "GStreamer's element nvh264dec is missing: it is in gstreamer1.0-plugins-bad (Debian), and there where an NVIDIA"),
        ("no-download", "cudadownload", "GStreamer's element cudadownload is missing: it is in"),
        ("no-infer", "gpudlinfer", "GStreamer's element gpudlinfer is missing"),
    ]:
        env = shell(GPUDL_BUILD=BUILD, **stub(dir / folder, "gst-inspect-1.0", f"""case $1 in {without}) exit 1 ;;
    nv* | cuda*) exit 0 ;; esac; exec "$real" "$@" """))
        for name in GPU:
            result = script(name, *model, gpu_input(name, dir), code=1, env=env)
            check(result.stderr.startswith(f"{name}: {says}"), result.stderr)
            check(result.stderr.count("\n") == 1, result.stderr)
    env = shell(GPUDL_BUILD=BUILD, **stub(dir / "no-memory", "gst-inspect-1.0", """case $1 in nv* | cuda*) exit 0 ;;
    gpudlinfer) "$real" "$1" | grep -v CUDAMemory; exit ;; esac; exec "$real" "$@" """))
    for name in GPU:
        result = script(name, *model, gpu_input(name, dir), code=1, env=env)
        check(result.stderr.startswith(f"{name}: this gpudlinfer takes no frames in the GPU's memory"), result.stderr)
        check(result.stderr.count("\n") == 1, result.stderr)
        for option, says in (("--backend=cpu", "--backend: found 'cpu', expected cuda"), ("--codec=mpeg", "--codec: found 'mpeg', expected h264"),
                             ("--codec", "--codec needs h264 or h265")):
            result = script(name, *model, *([gpu_input(name, dir), option] if option == "--codec" else [option, gpu_input(name, dir)]), code=2)
            check(result.stderr.startswith(f"{name}: {says}"), result.stderr)


def can_decode(codec="h264"):
    return subprocess.run(["gst-inspect-1.0", f"avdec_{codec}"], capture_output=True).returncode == 0


@test
def gpu_file_tells_or_draws_every_frame(dir):
    if not can_decode():
        return "needs avdec_h264"
    env = shell(GPUDL_BUILD=BUILD, **on_no_gpu(dir / "gpu"))
    result = script("gpu-file.sh", "--model", dir / "net.bin", TURNED, env=env)
    lines = result.stdout.splitlines()
    check(len(lines) == 10, f"{len(lines)} frames of 10: {result.stdout[-300:]}")
    for line in lines:
        time, confidence, label, id = line.split()
        check(len(time) == 8 and 0 < float(confidence) <= 1 and id.startswith("("), line)
    check("nvh264dec ! video/x-raw\\(memory:CUDAMemory\\) ! gpudlinfer" in result.stderr, result.stderr)
    check("videoconvert" not in result.stderr and "cudadownload" not in result.stderr, result.stderr)
    result = script("gpu-file.sh", "--model", dir / "net.bin", dir / "smpte.avi", env=env, code=1)
    check(result.stderr.splitlines()[-1].startswith("gpu-file.sh: no video in h264 is there for nvh264dec: name"), result.stderr)
    suffix = next(p for p in dir.iterdir() if p.name.startswith("annotated.")).suffix
    result = script("gpu-file.sh", "--model", dir / "net.bin", TURNED, dir / f"drawn{suffix}", env=env)
    check("! cudadownload ! gpudloverlay !" in result.stderr, result.stderr)
    check(len(script("json-lines.sh", *net(dir), dir / f"drawn{suffix}").stdout.splitlines()) == 10)


@test
def gpu_file_takes_h265_of_eight_and_ten_bits(dir):
    if not can_decode("h265"):
        return "needs avdec_h265"
    env = shell(GPUDL_BUILD=BUILD, **on_no_gpu(dir / "gpu"))
    for film in "film.h265", "film-ten-bits.h265":
        result = script("gpu-file.sh", "--model", dir / "net.bin", "--codec", "h265", CLIPS / film, env=env)
        labels = [line.split()[2] for line in result.stdout.splitlines()]
        wanted = [pattern for pattern in ("smpte", "red", "gradient", "pinwheel", "white", "green") for _ in range(2)]
        check(labels == wanted, f"{film}: {labels}, expected {wanted}")
        check("h265parse ! nvh265dec ! video/x-raw\\(memory:CUDAMemory\\) ! gpudlinfer" in result.stderr, result.stderr)


@test
def gpu_many_tells_whose_frame_it_is(dir):
    if not can_decode():
        return "needs avdec_h264"
    env = shell(GPUDL_BUILD=BUILD, **on_no_gpu(dir / "gpu"))
    other = dir / "other clip.mp4"
    shutil.copy(TURNED, other)
    lines = script("gpu-many.sh", "--model", dir / "net.bin", TURNED, other, env=env).stdout.splitlines()
    for file in TURNED, other:
        mine = [line for line in lines if line.endswith(f"  {file}")]
        check(len(mine) == 10, f"{len(mine)} of 10 frames of {file}")
    result = script("gpu-many.sh", "--model", dir / "net.bin", TURNED, dir / "none.mp4", env=env, code=1)
    check(result.stderr == f"gpu-many.sh: {dir}/none.mp4: no such file\n", result.stderr)


@test
def phone_videos_are_upright(dir):
    """320 x 240 in the file, to be turned by a quarter: green and white, below them red and blue."""
    if not can_decode():
        return "needs avdec_h264"
    folder = dir / "upright"
    folder.mkdir()
    script("file.sh", *net(dir), TURNED, cwd=folder)
    written, = folder.iterdir()
    written.rename(folder / "video")
    launch("filesrc location=video ! decodebin ! videoconvert ! video/x-raw,format=RGB ! pngenc snapshot=true ! "
           "filesink location=first.png", cwd=folder)
    launch("filesrc location=first.png ! pngdec ! video/x-raw,width=240,height=320 ! videoconvert ! videoscale ! "
           "video/x-raw,format=RGBx,width=2,height=2 ! filesink location=quarters", cwd=folder)
    pixels = (folder / "quarters").read_bytes()[:16]
    colours = [tuple(value > 128 for value in pixels[i:i + 3]) for i in range(0, 16, 4)]
    check(colours == [(False, True, False), (True, True, True), (True, False, False), (False, False, True)], list(pixels))
    shown = script("display.sh", *net(dir), "--sink", "fakesink", TURNED).stderr
    check("videoflip video-direction=auto ! gpudlinfer" in shown, shown)


@test
def the_command_shown_works_in_any_shell(dir):
    shown = script("display.sh", *net(dir), "--sink", "fakesink", dir / "smpte.avi").stderr.splitlines()[0]
    done = subprocess.run(["bash", "-c", shown], env=shell(), capture_output=True, text=True, timeout=60)
    check(done.returncode == 0, shown + done.stdout + done.stderr)


@test
def scripts_find_what_is_beside_them(dir):
    tree, prefix, alone = dir / "tree", dir / "prefix", dir / "alone"
    shutil.copytree(SCRIPTS, tree / "pipelines")
    (tree / "build").symlink_to(BUILD)
    shutil.copytree(SCRIPTS, prefix / "share" / "gpudl" / "pipelines")
    (prefix / "lib" / "anywhere" / "gstreamer-1.0").mkdir(parents=True)
    (prefix / "lib" / "anywhere" / "gstreamer-1.0" / "libgstgpudl.so").symlink_to(BUILD / "plugin" / "libgstgpudl.so")
    (prefix / "bin").mkdir()
    (prefix / "bin" / "gpudl").symlink_to(BUILD / "tools" / "gpudl")
    shutil.copytree(SCRIPTS, alone / "pipelines")
    # what is built looks for its library beside itself
    env = shell(LD_LIBRARY_PATH=BUILD)
    for place in tree / "pipelines", prefix / "share" / "gpudl" / "pipelines":
        script("display.sh", *net(dir), "--sink", "fakesink", dir / "smpte.avi", scripts=place, env=env)
        lines = script("pictures.sh", *net(dir), dir / "snow.png", scripts=place, env=env).stdout.splitlines()
        check(lines[1].endswith("snow"), lines)
    # GPUDL_BUILD says which build, and no other is taken in its place
    result = script("display.sh", *net(dir), "--sink", "fakesink", scripts=tree / "pipelines", env=shell(GPUDL_BUILD=dir), code=1)
    check(result.stderr.startswith(f"display.sh: GPUDL_BUILD: {dir}/plugin/libgstgpudl.so is not there"), result.stderr)
    if subprocess.run(["gst-inspect-1.0", "gpudlinfer"], env=shell(), capture_output=True).returncode == 0 or shutil.which("gpudl"):
        return
    for name, what, args in [("display.sh", "gpudlinfer", ["--sink", "fakesink"]), ("file.sh", "gpudlinfer", [dir / "smpte.avi"]),
                             ("pictures.sh", "gpudl", [dir / "snow.png"])]:
        result = script(name, *net(dir), *args, scripts=alone / "pipelines", env=shell(), code=1)
        check(result.stderr.startswith(f"{name}: {what} is neither built in {alone}/build nor installed: "), result.stderr)
        check(result.stderr.count("\n") == 1, result.stderr)


def make_long(dir):
    """Minutes of work for the scripts."""
    if not (dir / "long.avi").exists():
        launch("videotestsrc num-buffers=4000 ! video/x-raw,width=128,height=96,framerate=25/1 ! jpegenc ! avimux ! "
               "filesink location=long.avi", cwd=dir)
    return dir / "long.avi"


@test
def ctrl_c_finishes_the_file(dir):
    folder = dir / "cut"
    folder.mkdir()
    with Running(dir, "file.sh", *net(dir), make_long(dir), cwd=folder) as run:
        run.wait_for("output", lambda: any(p.stat().st_size > 10000 for p in folder.iterdir()))
        run.ctrl_c()
    written, = folder.iterdir()
    lines = script("json-lines.sh", *net(dir), written).stdout.splitlines()
    check(0 < len(lines) < 4000, len(lines))
    # the index that comes last
    check(written.suffix != ".webm" or b"\x1c\x53\xbb\x6b" in written.read_bytes()[4096:])


@test
def ctrl_c_ends_every_script(dir):
    for name, *args in ["pictures.sh"], ["json-lines.sh"], ["display.sh", "--sink", "fakesink"]:
        with Running(dir, name, *net(dir), *args, make_long(dir)) as run:
            run.wait_for("output", lambda: "frame" in run.stdout or "#" in run.stdout or "PLAYING" in run.stdout)
            run.ctrl_c()
        if name == "json-lines.sh":
            for line in run.stdout.splitlines():
                json.loads(line)


@test
def a_signal_to_the_script_alone_is_enough(dir):
    """As from kill or a service manager: nothing is left behind."""
    folder = dir / "term"
    folder.mkdir()
    with Running(dir, "file.sh", *net(dir), make_long(dir), cwd=folder) as run:
        run.wait_for("output", lambda: any(p.stat().st_size > 10000 for p in folder.iterdir()))
        run.process.terminate()
        check(run.process.wait(20) == 143, run.process.returncode)
    written, = folder.iterdir()
    size = written.stat().st_size
    check(0 < len(script("json-lines.sh", *net(dir), written).stdout.splitlines()) < 4000)
    check(written.stat().st_size == size)


@test
def a_camera_is_told_as_text(dir):
    """A test picture stands in for the camera."""
    env = shell(GPUDL_BUILD=BUILD, **stub(dir / "camera", "gst-launch-1.0", """words=()
for word in "$@"; do case $word in v4l2src) words+=(videotestsrc is-live=true) ;; device=*) ;; decodebin) words+=(identity) ;;
    *) words+=("$word") ;; esac; done
exec "$real" "${words[@]}" """))
    with Running(dir, "camera.sh", *net(dir), "/dev/null", env=env) as run:
        run.wait_for("labels", lambda: run.stdout.count("\n") >= 10)
        run.ctrl_c(2)
    for line in run.stdout.splitlines():
        time, confidence, label, id = line.split()
        check(len(time) == 8 and 0 < float(confidence) <= 1 and label == "smpte" and id == "(0)", line)


def set_up(dir):
    launch("videotestsrc num-buffers=30 ! video/x-raw,width=128,height=96,framerate=25/1 ! jpegenc ! avimux ! "
           "filesink location=smpte.avi", cwd=dir)
    launch("videotestsrc num-buffers=1 pattern=snow ! video/x-raw,width=128,height=96 ! pngenc ! filesink location=snow.png", cwd=dir)


if shutil.which("gst-launch-1.0") is None:
    print("1..0 # SKIP needs gst-launch-1.0")
    sys.exit(0)
sys.exit(main(set_up))
