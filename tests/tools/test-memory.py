#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: test-memory.py GPUDL BUILD FLATC SCHEMA [FORMAT FOLDER]

How much memory gpudl convert takes: at most 2.5 times the file's bytes, beside what the program takes to start, of a
network of 67 MB in each format that can be written here. FLATC "" leaves TensorFlow Lite out. With FORMAT it writes that network: in a process of its own, since
what a process has used before it becomes another counts as that one's.
"""
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "models"))
import references

gpudl, build, flatc, schema = sys.argv[1:5]
references.enter(build)

MOST = 2.5
CHANNELS, LAYERS, SIDE = 2048, 4, 4
BEHIND = 65536  # bytes of a TensorFlow Lite file before its weights


def caffe(folder, weights):
    import caffefile as cf

    text = f'name: "net" layer {{ name: "in" type: "Input" top: "x0" input_param {{ shape {{ dim: 1 dim: 3 dim: {SIDE} dim: {SIDE} }} }} }} '
    for i in range(LAYERS + 1):
        text += (f'layer {{ name: "c{i}" type: "Convolution" bottom: "x{i}" top: "x{i + 1}" convolution_param {{ num_output: {CHANNELS} '
                 "kernel_size: 1 bias_term: false } } ")
    text += f'layer {{ name: "p" type: "Pooling" bottom: "x{LAYERS + 1}" top: "p" pooling_param {{ pool: AVE global_pooling: true }} }} '
    (folder / "net.prototxt").write_text(text + 'layer { name: "f" type: "Flatten" bottom: "p" top: "f" }')
    layers = [cf.layer(f"c{i}", "Convolution", blobs=[cf.blob(w.T.reshape(CHANNELS, -1, 1, 1))]) for i, w in enumerate(weights)]
    (folder / "net.caffemodel").write_bytes(cf.net(layers))


def graphdef(folder, weights):
    import graphdeffile

    net = graphdeffile.Net()
    x = net.input((1, SIDE, SIDE, 3))
    for w in weights:
        x = net.op("Conv2D", x, net.constant(w.reshape(1, 1, *w.shape)), strides=[1, 1, 1, 1], padding="SAME")
    net.op("Mean", x, net.constant([1, 2], "int32"), keep_dims=False)
    (folder / "net.pb").write_bytes(net.bytes)


def onnx_half(folder, weights):
    """As half floats, which become twice as many bytes; in matrices of a quarter, since one is packed at a time."""
    import numpy as np

    parts = [weights[0][:, :CHANNELS // 2]] + [m for w in weights[1:] for half in np.split(w, 2) for m in np.split(half, 2, 1)]
    onnx(folder, [(2 * w).astype(np.float16) for w in parts], 10)


def onnx(folder, weights, element_type=1):
    import onnx

    n, channels = len(weights), weights[-1].shape[1]
    nodes = [onnx.helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(n)]
    nodes += [onnx.helper.make_node("GlobalAveragePool", [f"x{n}"], ["p"]), onnx.helper.make_node("Flatten", ["p"], ["y"])]
    values = [onnx.numpy_helper.from_array(w.T.reshape(channels, -1, 1, 1), f"w{i}") for i, w in enumerate(weights)]
    graph = onnx.helper.make_graph(nodes, "net", [onnx.helper.make_tensor_value_info("x0", element_type, [1, 3, SIDE, SIDE])],
                                   [onnx.helper.make_tensor_value_info("y", element_type, [1, channels])], values)
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 13)]), folder / "net.onnx")


def aligned(path, members):
    """A ZIP archive as PyTorch writes them: stored, what each has begins at a multiple of 64."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo("net/" + name)
            begin = archive.fp.tell() + 30 + len(info.filename) + 4
            info.extra = b"FB" + struct.pack("<H", -begin % 64) + bytes(-begin % 64)
            archive.writestr(info, data)


def pt2(folder, weights):
    def sizes(shape):
        return [{"as_int": v} for v in shape]

    def meta(shape):
        strides = [math.prod(shape[i + 1:]) for i in range(len(shape))]
        return {"dtype": 7, "sizes": sizes(shape), "strides": sizes(strides), "storage_offset": {"as_int": 0}, "layout": 7}

    def node(target, name, *inputs, **more):
        inputs = [{"name": "", "arg": {"as_tensor": {"name": i}}} for i in inputs] + [{"name": k, "arg": v} for k, v in more.items()]
        return {"name": name, "target": "torch.ops.aten." + target, "inputs": inputs, "outputs": [{"as_tensor": {"name": name}}]}

    # a convolution, products of the channels as transformers have them, and one behind the pool
    half = 1
    nodes = [node("conv2d.default", f"x{i + 1}", f"x{i}", f"w{i}") for i in range(half)]
    nodes += [node("permute.default", "last", f"x{half}", dims={"as_ints": [0, 2, 3, 1]})]
    nodes += [node("linear.default", f"x{i + 1}", "last" if i == half else f"x{i}", f"w{i}") for i in range(half, LAYERS)]
    nodes += [node("mean.dim", "m", f"x{LAYERS}", dim={"as_ints": [1, 2]}, keepdim={"as_bool": False}),
              node("linear.default", f"x{LAYERS + 1}", "m", f"w{LAYERS}")]
    shapes = [(CHANNELS, w.shape[0], 1, 1) if i < half else (CHANNELS, w.shape[0]) for i, w in enumerate(weights)]
    specs = [{"parameter": {"arg": {"name": f"w{i}"}, "parameter_name": f"p{i}"}} for i in range(LAYERS + 1)]
    signature = {"input_specs": specs + [{"user_input": {"arg": {"as_tensor": {"name": "x0"}}}}],
                 "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": f"x{LAYERS + 1}"}}}}]}
    graph = {"nodes": nodes, "tensor_values": {"x0": meta((1, 3, SIDE, SIDE))}}
    config = {f"p{i}": {"path_name": f"weight_{i}", "use_pickle": False, "tensor_meta": meta(shape)} for i, shape in enumerate(shapes)}
    members = {"archive_format": b"pt2", "byteorder": b"little", "data/weights/model_weights_config.json": json.dumps({"config": config}),
               "models/model.json": json.dumps({"schema_version": {"major": 8}, "graph_module": {"graph": graph, "signature": signature}})}
    aligned(folder / "net.pt2", members | {f"data/weights/weight_{i}": w.T.tobytes() for i, w in enumerate(weights)})


def tflite(folder, weights):
    """The weights lie behind the message, as large files have them."""
    tensors, buffers, operators, at = [{"shape": [1, SIDE, SIDE, 3], "name": "x0"}], [{}], [], BEHIND
    for i, w in enumerate(weights):
        tensors += [{"shape": [CHANNELS, 1, 1, w.shape[0]], "name": f"w{i}", "buffer": i + 1}, {"shape": [1, SIDE, SIDE, CHANNELS], "name": f"x{i + 1}"}]
        buffers.append({"offset": at, "size": w.nbytes})
        at += w.nbytes
        operators.append({"inputs": [2 * i, 2 * i + 1], "outputs": [2 * i + 2], "builtin_options_type": "Conv2DOptions",
                          "builtin_options": {"padding": "VALID", "stride_h": 1, "stride_w": 1}})
    last = len(tensors) - 1
    tensors += [{"shape": [2], "type": "INT32", "name": "axes", "buffer": len(buffers)}, {"shape": [1, CHANNELS], "name": "y"}]
    buffers.append({"data": [1, 0, 0, 0, 2, 0, 0, 0]})
    operators.append({"opcode_index": 1, "inputs": [last, last + 1], "outputs": [last + 2], "builtin_options_type": "ReducerOptions", "builtin_options": {}})
    model = {"version": 3, "operator_codes": [{"builtin_code": c, "deprecated_builtin_code": 0} for c in ("CONV_2D", "MEAN")], "buffers": buffers,
             "subgraphs": [{"tensors": tensors, "inputs": [0], "outputs": [last + 2], "operators": operators}]}
    tensors.append({"shape": [CHANNELS], "name": "bias", "buffer": len(buffers)})  # stays as the file has it
    buffers.append({"data": [0, 0, 0, 63] * CHANNELS})
    operators[0]["inputs"].append(last + 3)
    (folder / "net.json").write_text(json.dumps(model))
    subprocess.run([flatc, "-b", "-o", folder, schema, folder / "net.json"], check=True)
    with open(folder / "net.tflite", "r+b") as file:
        file.seek(BEHIND)
        for w in weights:
            file.write(w.T.tobytes())


def peak(*args):
    """Exit status and most resident bytes of a run."""
    # Meson sets a variable by which malloc() writes to all it hands out: memory would be there long before it is needed
    env = {name: value for name, value in os.environ.items() if name != "MALLOC_PERTURB_"}
    pid = os.posix_spawn(gpudl, [gpudl, *map(str, args)], env, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024


def write(name, folder):
    import numpy as np

    rng = np.random.default_rng(1)
    FORMATS[name][0](folder, [(rng.standard_normal((3 if i == 0 else CHANNELS, CHANNELS)) / CHANNELS**.5).astype(np.float32) for i in range(LAYERS + 1)])


def main():
    tap = references.Tap()
    base = peak("--version")[1]
    for name, (_, *files) in FORMATS.items():
        with tempfile.TemporaryDirectory(prefix="gpudl-memory-") as folder:
            subprocess.run([sys.executable, __file__, *sys.argv[1:5], name, folder], check=True)
            files = [pathlib.Path(folder) / f for f in files]
            size = sum(f.stat().st_size for f in files)
            code, most = peak("convert", *files, "-o", pathlib.Path(folder) / "out.bin")
            times = (most - base) / size
            tap.result(code == 0 and times <= MOST, f"converting {name}",
                       f"exit status {code}, {times:.2f} times the file's {size} bytes, at most {MOST}")
    tap.finish()


FORMATS = {"caffe": (caffe, "net.prototxt", "net.caffemodel"), "graphdef": (graphdef, "net.pb"), "onnx": (onnx, "net.onnx"), "onnx-half": (onnx_half, "net.onnx"),
           "pt2": (pt2, "net.pt2")}
if flatc:
    FORMATS["tflite"] = (tflite, "net.tflite")
if len(sys.argv) > 5:
    write(sys.argv[5], pathlib.Path(sys.argv[6]))
else:
    main()
