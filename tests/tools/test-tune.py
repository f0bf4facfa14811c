#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-tune.py GPUDL MAKE-MODEL TESTCARD STEPS: gpudl tune as a user meets it, on a backend that keeps a file for each
choice."""
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from cli import GPUDL, STEPS, TESTCARD, Skip, check, check_run, gpudl, main, test


def tune(dir, *args, cache="cache", **more):
    folder = dir / cache
    if cache == "cache":
        folder.mkdir(exist_ok=True)
    return gpudl("tune", *args, dir / "net.bin", env={**STEPS, "GPUDL_CACHE_DIR": str(folder), **more})


def kept(dir):
    return sorted(path.name for path in (dir / "cache").iterdir())


def forget(dir):
    (dir / "cache").mkdir(exist_ok=True)
    for path in (dir / "cache").iterdir():
        path.unlink()


@test
def wrong_usage_is_exit_code_2(dir):
    for args, says in [
        (["tune"], "gpudl: tune: no model given"),
        (["tune", "a", "b"], "gpudl: tune: one model at a time; found 'b'"),
        (["tune", "--nonsense", "m"], "gpudl: tune: Unknown option"),
        (["tune", "--device=-1", "m"], "gpudl: tune: --device: found '-1', expected 0 to"),
        (["tune", "--batch-size=4097", "m"], "gpudl: tune: --batch-size: found '4097', expected 0 (the backend's"),
        (["tune", "--precision=fp7", "m"], "gpudl: tune: --precision: found 'fp7'"),
        (["tune", "--backend=abacus", "m"], "gpudl: tune: --backend: found 'abacus'"),
    ]:
        check_run(gpudl(*args), 2, says)


@test
def check_says_what_is_missing_and_tunes_nothing(dir):
    forget(dir)
    result = tune(dir, "--check", "--backend=cuda", "--batch-size=2")
    check_run(result, 3)
    check(result.stdout == "three colours on cuda, fp32, batches up to 2: not warm, 2 of 2 choices are not known\n"
                           "  batch 1: step \ufffd[31m<1>\n  batch 2: step \ufffd[31m<1>\n", repr(result.stdout))
    check(kept(dir) == [], kept(dir))


@test
def what_was_tuned_makes_the_start_warm(dir):
    forget(dir)
    result = tune(dir, "--backend=cuda", "--batch-size=2")
    check_run(result, 0)
    check(result.stdout.startswith("three colours on cuda, fp32, batches up to 2: 2 of 2 choices tuned in ")
          and result.stdout.endswith(f" s, kept in {dir}/cache\n"), result.stdout)
    check(kept(dir) == ["steps-1-1", "steps-1-2"], kept(dir))
    for args in ["--check"], []:  # a second time there is nothing to do
        result = tune(dir, "--backend=cuda", "--batch-size=2", *args)
        check_run(result, 0)
        check(result.stdout == "three colours on cuda, fp32, batches up to 2: warm, all 2 choices are known\n",
              result.stdout)
    # another precision or batch size is something else; what is known of it is not tuned again
    check_run(tune(dir, "--check", "--backend=cuda", "--batch-size=2", "--precision=fp16"), 3)
    check_run(tune(dir, "--check", "--backend=cuda"), 3)
    check("2 of 4 choices tuned" in tune(dir, "--backend=cuda").stdout)


@test
def the_cpu_s_choices_are_kept(dir):
    if not os.path.exists(Path(os.environ["GPUDL_BACKEND_PATH"]) / "gpudl-cpu.so"):
        raise Skip("built without the CPU backend")

    def tune(*args, cache="for the cpu", isa="AVX2"):
        return gpudl("tune", "--backend=cpu", "--precision=fp32", *args, TESTCARD / "testcard.onnx",
                     env={**os.environ, "GPUDL_CACHE_DIR": str(dir / cache), "ONEDNN_MAX_CPU_ISA": isa})

    result = tune("--check")
    check_run(result, 3)
    check(" on cpu, fp32, batches up to 1: not warm, " in result.stdout and "\n  conv f32 to f32 x 1x3x" in result.stdout,
          result.stdout)
    check(not (dir / "for the cpu").exists(), "a check has written something")
    result = tune()
    check_run(result, 0)
    check(" choices tuned in " in result.stdout, result.stdout)
    for args in ["--check"], []:
        result = tune(*args)
        check_run(result, 0)
        check("warm, all " in result.stdout, result.stdout)
    told = json.loads(tune("--check", "--json").stdout)
    check(told["warm"] is True and told["choices"] == told["known"] > 0 and told["cache"] == f"{dir}/for the cpu", told)
    # a file that something else has written is as if it were not there, and is replaced
    entries = sorted((dir / "for the cpu" / "cpu-1").iterdir())
    entries[0].write_text("nonsense\n")
    check_run(tune("--check"), 3)
    check("1 of " in tune().stdout)
    check_run(tune("--check"), 0)
    (dir / "file").touch()
    check_run(tune(cache="file/cache"), 1, f"gpudl: tune: what was tuned can't be kept in {dir}/file/cache: ")


@test
def a_backend_without_choices_is_always_warm(dir):
    for args in [], ["--check"]:
        result = tune(dir, "--backend=ref", *args)
        check_run(result, 0)
        check("nothing to tune, every start is warm" in result.stdout, result.stdout)


@test
def a_gpu_that_was_asked_for_is_no_cpu(dir):
    """Else a machine without it would be warm."""
    for args in [], ["--check"]:
        result = tune(dir, "--backend=ref", "--device=1", *args)
        check_run(result, 1, "gpudl: tune: --device: GPU 1 was asked for, but the network would run on backend 'ref'; --backend=cuda says why\n")
        check(result.stdout == "", result.stdout)
    forget(dir)
    check_run(tune(dir, "--check", "--backend=cuda", "--device=1"), 3)


@test
def json_has_it_all(dir):
    forget(dir)
    before = tune(dir, "--check", "--json", "--backend=cuda", "--batch-size=2")
    check_run(before, 3)
    told = json.loads(before.stdout)
    check(list(told) == ["gpudl", "date", "command", "model", "backend", "precision", "batch_size", "warm", "choices",
                         "known", "missing", "cache", "not_kept", "tuned", "seconds", "weight_bytes", "work_bytes"], told)
    check((told["warm"], told["choices"], told["known"], told["tuned"]) == (False, 2, 0, 0), told)
    check(told["missing"] == ["batch 1: step \x1b[31m<1>", "batch 2: step \x1b[31m<1>"], told)
    check(told["cache"] == str(dir / "cache") and told["not_kept"] is None, told)
    check((told["weight_bytes"], told["work_bytes"]) == (1000000, 4000000), told)
    told = json.loads(tune(dir, "--json", "--backend=cuda", "--batch-size=2").stdout)
    check((told["warm"], told["choices"], told["known"], told["tuned"]) == (True, 2, 2, 2), told)
    check(told["missing"] == [] and told["seconds"] > 0, told)
    told = json.loads(tune(dir, "--json", "--check", "--backend=ref").stdout)
    check(told["warm"] is True and told["choices"] == 0 and told["weight_bytes"] is None, told)


@test
def where_nothing_can_be_kept_nothing_is_tuned(dir):
    forget(dir)
    (dir / "file").touch()
    begin = time.monotonic()
    # it would never end
    result = tune(dir, "--backend=cuda", cache="file/cache", STEPS_SLOW="1")
    check_run(result, 1, f"gpudl: tune: nothing can be kept in {dir}/file/cache: Not a directory\n")
    check(result.stdout == "" and result.stderr.count("\n") == 1 and time.monotonic() - begin < 20, result)
    told = json.loads(tune(dir, "--check", "--json", "--backend=cuda", cache="file/cache").stdout)
    check(told["not_kept"] == f"nothing can be kept in {dir}/file/cache: Not a directory", told)


@test
def a_shipped_cache_needs_not_be_written(dir):
    """All is known, in a folder that can't be written to: no error."""
    forget(dir)
    check_run(tune(dir, "--backend=cuda"), 0)
    (dir / "cache").chmod(0o555)
    try:
        for args in ["--check"], []:
            check_run(tune(dir, "--backend=cuda", *args), 0)
    finally:
        (dir / "cache").chmod(0o755)


@test
def a_disk_that_becomes_full_is_one_error(dir):
    forget(dir)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    process = subprocess.run([GPUDL, "tune", "--backend=cuda", "--batch-size=2", dir / "net.bin"], timeout=60, text=True,
                             env={**STEPS, "GPUDL_CACHE_DIR": str(dir / "cache")}, preexec_fn=limit,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check_run(process, 1, f"gpudl: tune: 2 of 2 choices could not be kept in {dir}/cache (the first: batch 1: step ")
    check(process.stderr.count("\n") == 1 and process.stdout == "", process)


@test
def what_a_backend_refuses_is_an_error(dir):
    check_run(tune(dir, "--backend=cuda", "--precision=bf16"), 1,
              "gpudl: tune: backend 'cuda' can't compute in bf16, it can in fp32, fp16\n")
    check_run(tune(dir, "--backend=cuda", "--batch-size=5"), 1,
              "gpudl: tune: backend 'cuda' refuses model 'three colours': 4 is the largest batch of steps\n")
    check_run(tune(dir, "--backend=cuda", STEPS_REFUSE="1"), 1,
              "gpudl: tune: backend 'cuda' refuses model 'three colours': asked to foresee nothing\n")
    check_run(gpudl("tune", dir / "none.bin"), 1, f"gpudl: tune: {dir}/none.bin: ")


@test
def an_interrupt_keeps_what_was_tuned(dir):
    forget(dir)
    process = subprocess.Popen([GPUDL, "tune", "--backend=cuda", "--batch-size=2", dir / "net.bin"], text=True,
                               env={**STEPS, "GPUDL_CACHE_DIR": str(dir / "cache"), "STEPS_SLOW": "1"},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 30
    while not kept(dir) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    check(process.returncode == 130 and err == "gpudl: tune: interrupted: what was tuned so far is kept\n", (out, err))
    check("steps-1-1" in kept(dir), kept(dir))


@test
def info_tells_of_a_gpu_s_memory(dir):
    env = {**STEPS, "GPUDL_CACHE_DIR": str(dir / "cache")}
    forget(dir)
    told = json.loads(gpudl("info", "--json", dir / "net.bin", env=env).stdout)
    check(told["cuda_session"] == {"precision": "fp32", "largest_batch": 4, "weight_bytes": 1000000,
                                   "work_bytes": 8000000, "total_bytes": 9000000, "tuned": False}, told["cuda_session"])
    readable = gpudl("info", dir / "net.bin", env=env)
    check_run(readable, 0)
    check("\nCuda session\n" in readable.stdout and "  total bytes       9.0 MB\n" in readable.stdout, readable.stdout)
    check_run(tune(dir, "--backend=cuda"), 0)
    check(json.loads(gpudl("info", "--json", dir / "net.bin", env=env).stdout)["cuda_session"]["tuned"] is True)
    # the rest is what it says without a device
    none = {**os.environ, "GPUDL_BACKEND_PATH": str(dir)}
    without = json.loads(gpudl("info", "--json", dir / "net.bin", env=none).stdout)
    del told["cuda_session"]
    check(told == without, (told, without))
    # a network that the device can't run
    refused = json.loads(gpudl("info", "--json", dir / "net.bin", env={**env, "STEPS_REFUSE": "1"}).stdout)
    check(list(refused["cuda_session"]) == ["refused"] and "asked to foresee" in refused["cuda_session"]["refused"],
          refused)


sys.exit(main())
