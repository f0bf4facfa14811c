#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: PYTHON check-keras.py CAFFE-RUN [NAME ...]

keras.applications, with random weights and statistics, through TensorFlow Lite and as frozen graphs: scores before the
softmax against those of Keras itself, on the CPU backend in float32. Not a part of make check: PYTHON needs TensorFlow
(pip install tensorflow-cpu, 2.21 was measured), and GPUDL_BACKEND_PATH names the folder with gpudl-cpu.so. Prints a line for
each network: the largest error, by the range of the scores. Exit 1 where one is above 1e-4, or a file is refused.
"""
import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

NAMES = ("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0", "EfficientNetV2B0", "DenseNet121", "NASNetMobile", "ResNet50",
         "ResNet50V2", "InceptionV3", "Xception", "InceptionResNetV2", "ConvNeXtTiny", "VGG16")
BOUND = 1e-4
XLA = ("ConvNeXtTiny",)  # freezing leaves their depthwise convolutions as functions compiled by XLA, which is refused


def make(name):
    """A network whose normalisations do something, and a picture for it."""
    keras.utils.set_random_seed(5)
    build = getattr(keras.applications, name)
    network = build(weights=None, classifier_activation=None)
    if None in network.input_shape[1:]:  # a size that is free; the program here has no option for it
        network = build(weights=None, classifier_activation=None, input_shape=(224, 224, 3))
    rng = np.random.default_rng(5)
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            shapes = [v.shape for v in layer.weights]
            offsets = [rng.normal(0, .1, s) for s in shapes]
            for variable, offset in zip(layer.weights, offsets):
                one = variable.path.endswith(("gamma", "moving_variance"))
                variable.assign(np.clip(1 + offset, .5, 1.5) if one else offset)
    _, height, width, _ = network.input_shape
    inside = any(isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)) for layer in network._flatten_layers())
    x = rng.uniform(*((0, 255) if inside else (-1, 1)), (1, height, width, 3)).astype(np.float32)
    return network, x


def write(network, x, kind, path):
    if kind == "tflite":
        with contextlib.redirect_stdout(io.StringIO()):  # what Keras says of the folder in between
            path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())
        return
    function = tf.function(lambda x: network(x, training=False)).get_concrete_function(tf.TensorSpec(x.shape, tf.float32, "x"))
    graph = convert_variables_to_constants_v2(function).graph.as_graph_def()
    graph.library.Clear()
    path.write_bytes(graph.SerializeToString())


def main():
    program, names = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:] or NAMES
    failed = 0
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}")
    for name in names:
        network, x = make(name)
        want = np.asarray(network(x, training=False)).ravel()
        with tempfile.TemporaryDirectory(prefix="gpudl-keras-") as folder:
            folder = pathlib.Path(folder)
            x.transpose(0, 3, 1, 2).astype("<f4").tofile(folder / "in.f32")
            for kind in ("tflite",) if name in XLA else ("tflite", "graphdef"):
                path = folder / f"net.{'pb' if kind == 'graphdef' else kind}"
                write(network, x, kind, path)
                begin = time.monotonic()
                ran = subprocess.run([program, "cpu", path, "-", folder / "in.f32", folder / "out.f32"], capture_output=True, text=True, timeout=900)
                if ran.returncode != 0:
                    print(f"{name:20} {kind:9} refused: {ran.stderr.strip()}", flush=True)
                    failed += 1
                    continue
                got = np.fromfile(folder / "out.f32", "<f4")
                off = np.abs(got - want).max() / (want.max() - want.min()) if got.size == want.size else np.inf
                failed += not off <= BOUND
                print(f"{name:20} {kind:9} {path.stat().st_size / 1e6:6.1f} MB  {off:.1e} of the range{'' if off <= BOUND else '  WRONG'}, "
                      f"{time.monotonic() - begin:.1f} s", flush=True)
                path.unlink()
    sys.exit(1 if failed else 0)


main()
