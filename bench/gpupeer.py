#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: gpupeer.py eager|inductor|ort NET BATCH fp16|fp32 [ONNX]

A peer of bench-cuda with its interface: one object when it is ready, then for each line of standard input so many
replays, and the median of what each took on the device. All of it is captured in a CUDA graph first.
eager: PyTorch, channels last, cudnn.benchmark. inductor: torch.compile with freezing, batch norms folded. ort: ONNX Runtime
with its CUDA provider and its own CUDA graph, on the ONNX file that ours runs.
"""
import contextlib
import fcntl
import functools
import json
import os
import statistics
import sys
import time

import gpunets

kind, name, batch, precision = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
UNDER_WAY = 32
held = [0]
lock = open(os.environ["GPUDL_BENCH_LOCK"], "w") if "GPUDL_BENCH_LOCK" in os.environ else None


@contextlib.contextmanager
def device():
    """Nobody else builds on the device meanwhile; nests."""
    if lock and held[0] == 0:
        fcntl.flock(lock, fcntl.LOCK_EX)
    held[0] += 1
    try:
        yield
    finally:
        held[0] -= 1
        if lock and held[0] == 0:
            fcntl.flock(lock, fcntl.LOCK_UN)


def within_device(function):
    @functools.wraps(function)
    def wrapped(*args, **more):
        with device():
            return function(*args, **more)
    return wrapped


def guard_inductor():
    """What it measures and runs while it compiles needs the device for itself, compiling does not."""
    import torch._inductor.runtime.benchmarking as benchmarking
    import torch._inductor.output_code as output_code
    for owner in benchmarking.TritonBenchmarker, benchmarking.InductorBenchmarker:
        if "benchmark_gpu" in owner.__dict__:
            owner.benchmark_gpu = within_device(owner.__dict__["benchmark_gpu"])
    output_code.CompiledFxGraph.__call__ = within_device(output_code.CompiledFxGraph.__call__)


def build_torch():
    """A function that launches the graph, and what it is."""
    import torch
    torch.backends.cudnn.benchmark = True
    half = precision == "fp16"
    if not half:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    net = gpunets.make(name)
    if kind == "inductor":
        import torch._inductor.config
        import torch.fx.experimental.optimization as optimization
        torch._inductor.config.freezing = True
        with contextlib.suppress(Exception):  # some networks can't be traced; freezing folds them, too
            net = optimization.fuse(net)
        with contextlib.suppress(ImportError, AttributeError):
            guard_inductor()
    with device():
        net = (net.half() if half else net).cuda().to(memory_format=torch.channels_last)
        x = torch.randn(batch, 3, gpunets.SIDE, gpunets.SIDE, device="cuda", dtype=torch.half if half else torch.float)
        x = x.to(memory_format=torch.channels_last)
    run = torch.compile(net, dynamic=False) if kind == "inductor" else net
    with torch.inference_mode():
        if kind == "inductor":
            run(x)  # compiles, with the device for itself only now and then
        with device():
            for _ in range(3):
                run(x)
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    run(x)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                y = run(x)
            graph.replay()
            torch.cuda.synchronize()
            with torch.no_grad():
                finite = bool(torch.isfinite(y).all())
    what = f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return graph.replay, (graph, x, y), what, finite


def build_ort():
    import onnxruntime
    import torch
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        sys.exit(f"gpupeer: onnxruntime {onnxruntime.__version__} has no CUDA provider")
    with device():
        options = {"enable_cuda_graph": "1", "prefer_nhwc": "1", "cudnn_conv_algo_search": "EXHAUSTIVE"}
        stream = torch.cuda.Stream()
        options["user_compute_stream"] = str(stream.cuda_stream)
        session = onnxruntime.InferenceSession(sys.argv[5], providers=[("CUDAExecutionProvider", options)])
        x = torch.randn(batch, 3, gpunets.SIDE, gpunets.SIDE, device="cuda")
        y = torch.empty(batch, 1000, device="cuda")
        binding = session.io_binding()
        for bind, tensor, at in (binding.bind_input, x, "input"), (binding.bind_output, y, "output"):
            bind(at, "cuda", 0, "float32", list(tensor.shape), tensor.data_ptr())
        for _ in range(3):
            session.run_with_iobinding(binding)
        torch.cuda.synchronize()
    torch.cuda.set_stream(stream)
    return (lambda: session.run_with_iobinding(binding)), (session, x, y, stream), f"onnxruntime {onnxruntime.__version__}", True


def time_replays(replay, runs):
    """As engine/cuda/replay.c does it: some are queued before the first is waited for."""
    import torch
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(UNDER_WAY)]
    taken = []
    for i in range(runs + UNDER_WAY):
        begin, end = pairs[i % UNDER_WAY]
        if i >= UNDER_WAY:
            end.synchronize()
            taken.append(begin.elapsed_time(end))
        if i < runs:
            begin.record()
            replay()
            end.record()
    return taken


began = time.monotonic()
replay, keep, what, finite = build_ort() if kind == "ort" else build_torch()
print(json.dumps({"ready": what, "build_s": round(time.monotonic() - began, 1), "finite": finite}), flush=True)
for line in sys.stdin:
    taken = time_replays(replay, int(line))
    print(json.dumps({"runs": len(taken), "ns": round(statistics.median(taken) * 1e6), "min_ns": round(min(taken) * 1e6)}),
          flush=True)
os._exit(0)  # graphs and compiled code are not taken down in order
