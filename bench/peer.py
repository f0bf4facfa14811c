#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: peer.py onnxruntime|openvino MODEL THREADS fp32|bf16|auto

Another runtime on a network, with the interface of `bench-cpu net`: frames on standard input, JSON on standard output. One
frame at a time on THREADS threads, the runtime's own settings else; precision auto is what it takes by itself. Exit status 3: it
isn't installed, or can't do that precision."""
import json
import sys
import time


def refuse(text):
    print(f"peer.py: {text}", file=sys.stderr)
    sys.exit(3)


def numbers(shape):
    import numpy
    return numpy.random.default_rng(1).uniform(-2, 2, shape).astype(numpy.float32)


def onnxruntime(model, threads, precision):
    try:
        import onnxruntime as ort
    except ImportError as error:
        refuse(error)
    if precision not in ("fp32", "auto"):
        refuse(f"ONNX Runtime's CPU provider computes such a network in fp32, not in {precision}")
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    shape = [d if isinstance(d, int) else 1 for d in session.get_inputs()[0].shape]
    feed = {session.get_inputs()[0].name: numbers(shape)}
    return f"ONNX Runtime {ort.__version__}", "fp32", lambda: session.run(None, feed)


def openvino(model, threads, precision):
    try:
        import openvino as ov
    except ImportError as error:
        refuse(error)
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    if precision != "auto":
        settings["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "bf16": "bf16"}[precision]
    core = ov.Core()
    network = core.read_model(model)
    network.reshape([d.get_length() if d.is_static else 1 for d in network.inputs[0].get_partial_shape()])
    compiled = core.compile_model(network, "CPU", settings)
    took = {"float": "fp32", "f32": "fp32"}.get(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(), "bf16")
    if precision not in ("auto", took):
        refuse(f"OpenVINO computes in {took} here, not in {precision}")
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(numbers(list(network.inputs[0].shape))))
    return f"OpenVINO {ov.__version__.split('-')[0]}", took, request.infer


def main():
    if len(sys.argv) != 5 or sys.argv[1] not in PEERS or sys.argv[4] not in ("fp32", "bf16", "auto"):
        print(__doc__.split("\n\n")[0], file=sys.stderr)
        return 2
    name, took, run = PEERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4])
    print(json.dumps({"ready": name, "precision": took}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter_ns()
        for _ in range(int(line)):
            run()
        print(json.dumps({"frames": int(line), "ns": time.perf_counter_ns() - start}), flush=True)
    return 0


PEERS = {"onnxruntime": onnxruntime, "openvino": openvino}

if __name__ == "__main__":
    sys.exit(main())
