# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the scripts share: scripts run as from a fresh shell, Ctrl-C, a list of tests."""
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS, BUILD, TESTCARD = (Path(a).absolute() for a in sys.argv[1:4])
# what the build's environment sets, and what this machine's user may have set
SETTINGS = ("GST_PLUGIN_PATH", "GPUDL_BACKEND_PATH", "GPUDL_MODEL", "GPUDL_BUILD", "DISPLAY", "WAYLAND_DISPLAY")
tests = []


def net(dir):
    """The reference backend is there on every machine, and the network is small."""
    return "--backend", "ref", "--model", dir / "net.bin"


def test(function):
    tests.append(function)
    return function


def check(condition, text=""):
    if not condition:
        raise AssertionError(text)


def shell(**more):
    """The environment of a fresh shell."""
    env = {k: v for k, v in os.environ.items() if k not in SETTINGS}
    return {**env, "GST_REGISTRY": str(BUILD / "tests" / "pipelines" / "scripts.registry"), **{k: str(v) for k, v in more.items()}}


def script(name, *args, code=0, scripts=SCRIPTS, env=None, **more):
    done = subprocess.run([scripts / name, *map(str, args)], capture_output=True, text=True, timeout=120,
                          env=env or shell(GPUDL_BUILD=BUILD), **more)
    check(done.returncode == code, f"{name}: exit code {done.returncode}, expected {code}: {done.stdout}{done.stderr}")
    return done


class Running:
    """A script in a process group of its own, as a terminal has it."""

    def __init__(self, dir, name, *args, env=None, **more):
        self.name = name
        self.paths = dir / f"{name}.stdout", dir / f"{name}.stderr"
        with open(self.paths[0], "w") as out, open(self.paths[1], "w") as err:
            self.process = subprocess.Popen([SCRIPTS / name, *map(str, args)], stdout=out, stderr=err, start_new_session=True,
                                            env=env or shell(GPUDL_BUILD=BUILD), **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # the script ends what it started
        if self.process.poll() is None:
            for _ in range(2):
                self.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            self.process.wait(20)

    @property
    def stdout(self):
        return self.paths[0].read_text()

    @property
    def stderr(self):
        return self.paths[1].read_text()

    def wait_for(self, what, condition, seconds=20):
        """Until condition() holds; returns how long that took."""
        start = time.monotonic()
        while not condition():
            check(self.process.poll() is None, f"{self.name} ended before {what}: {self.stdout[-500:]}{self.stderr}")
            check(time.monotonic() - start < seconds, f"{self.name}: no {what} in {seconds} s: {self.stdout[-500:]}{self.stderr}")
            time.sleep(0.02)
        return time.monotonic() - start

    def ctrl_c(self, seconds=10):
        """SIGINT to the group; the exit code has to be 130, and nothing may look like a fault."""
        start = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(60)
        took = time.monotonic() - start
        # a program that SIGINT ended: 130 to a shell
        check(code in (130, -signal.SIGINT), f"{self.name}: exit code {code}: {self.stderr}")
        check(took < seconds, f"{self.name}: ended {took:.1f} s after Ctrl-C")
        for word in "Traceback", "ERROR", "rror:", "CRITICAL", "WARNING", "Killed":
            check(word not in self.stderr, f"{self.name}: {self.stderr}")


def stub(folder, name, text):
    """Stands in for a command; $real in it is the real one."""
    folder.mkdir(exist_ok=True)
    real = subprocess.run(["which", name], capture_output=True, text=True).stdout.strip()
    (folder / name).write_text(f"#!/bin/bash\nreal={real}\n{text}\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def on_no_gpu(folder, decoder='"avdec_${word:2:4}"'):
    """Where scripts for a GPU run as they are, their words with another decoder in its place, one of this machine's."""
    stub(folder, "gst-inspect-1.0", """case $1 in nv* | cuda*) exit 0 ;; gpudlinfer) echo memory:CUDAMemory ;; esac; exec "$real" "$@" """)
    return stub(folder, "gst-launch-1.0", f"""words=()
for word in "$@"; do case $word in nvh26[45]dec) words+=({decoder}) ;; cudadownload) words+=(identity) ;; backend=cuda) words+=(backend=ref) ;;
    'video/x-raw(memory:CUDAMemory)') words+=(video/x-raw) ;; *) words+=("$word") ;; esac; done
exec "$real" "${{words[@]}}" """)


def launch(description, **more):
    subprocess.run(["gst-launch-1.0", "-q", *description.split()], check=True, timeout=120, stdout=subprocess.DEVNULL, **more)


def make_net(dir):
    subprocess.run([BUILD / "tools" / "gpudl", "convert", TESTCARD / "testcard.onnx", "-o", dir / "net.bin", "--labels",
                    TESTCARD / "labels.txt", "--scale", "255", "--backend", "ref"], check=True, stdout=subprocess.DEVNULL)


def main(set_up):
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gpudl pipelines ") as name:
        dir = Path(name)
        make_net(dir)
        set_up(dir)
        for i, function in enumerate(tests, 1):
            start = time.monotonic()
            try:
                skip = function(dir)
                print(f"ok {i} - {function.__name__}{f' # SKIP {skip}' if skip else ''}", flush=True)
            except Exception as problem:
                failed += 1
                print(f"not ok {i} - {function.__name__}")
                for line in f"{type(problem).__name__}: {problem}".splitlines():
                    print(f"# {line}", flush=True)
            print(f"# {time.monotonic() - start:.1f} s", flush=True)
    return failed > 0
