#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a Python script reads with python3-gi alone, GStreamer's own overrides (python3-gst-1.0) being left out."""
import os
import sys
import warnings

sys.modules["gi.overrides.Gst"] = None
try:
    import gi
    gi.require_version("Gst", "1.0")
    from gi.repository import GLib, Gst
except (ImportError, ValueError) as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

warnings.simplefilter("ignore", DeprecationWarning)  # GObject.ValueArray, which get_array() returns
Gst.init(None)
MODEL = os.environ["GPUDL_TEST_MODEL"]
NAME = "GpudlClassificationMeta"
SOURCE = "videotestsrc num-buffers=2 pattern=green ! video/x-raw,format=RGB,width=16,height=16"
INFER = f"gpudlinfer model={MODEL} backend=ref activation=none"


def plain(array):
    return [array.get_nth(i) for i in range(array.n_values)]


def run(line):
    """The pipeline, its element messages, and the sink's last buffer."""
    pipeline = Gst.parse_launch(line)
    pipeline.set_state(Gst.State.PLAYING)
    messages = []
    while True:
        message = pipeline.get_bus().timed_pop_filtered(
            20 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.ELEMENT)
        if message.type != Gst.MessageType.ELEMENT:
            assert message.type == Gst.MessageType.EOS, message.parse_error()
            return pipeline, messages, pipeline.get_by_name("sink").get_property("last-sample").get_buffer()
        messages.append(message.get_structure().copy())


def classifications(buffer):
    metas = buffer.copy_region(Gst.BufferCopyFlags.META, 0, 0)
    for _ in range(metas.get_n_meta(Gst.Meta.get_info(NAME).api)):
        meta = metas.get_custom_meta(NAME)
        yield meta.get_structure().copy()
        metas.remove_meta(meta.meta)


def overrides_are_left_out():
    try:
        Gst.Structure.new_from_string("x,a=<1>").get_value("a")
    except TypeError:
        return
    raise AssertionError("GStreamer's overrides are in use")


def metadata():
    pipeline, _, buffer = run(f"{SOURCE} ! {INFER} ! fakesink name=sink")
    fields = buffer.get_custom_meta(NAME).get_structure()
    assert fields.get_value("label") == "green"
    assert fields.get_value("id") == 1
    assert abs(fields.get_value("confidence") - 1) < 1e-3
    assert fields.get_value("fresh") is True
    assert fields.get_value("source-pts") == buffer.pts
    for name, first, count in (("labels", "green", 3), ("ids", 1, 3), ("region", 0, 4)):
        ok, array = fields.get_array(name)
        assert ok and array.n_values == count and plain(array)[0] == first, name
    ok, array = fields.get_array("confidences")
    assert ok and plain(array) == sorted(plain(array), reverse=True)
    pipeline.set_state(Gst.State.NULL)


def messages():
    pipeline, seen, _ = run(f"{SOURCE} ! {INFER} post-messages=all ! fakesink name=sink")
    assert len(seen) == 2
    assert seen[0].get_value("label") == "green"
    ok, results = seen[0].get_list("results")
    assert ok and [r.get_value("label") for r in plain(results)][0] == "green" and results.n_values == 3
    pipeline.set_state(Gst.State.NULL)


def properties():
    pipeline, _, _ = run(f"{SOURCE} ! {INFER} name=infer mean=\"<0.1,0.2,0.3>\" ! fakesink name=sink")
    infer = pipeline.get_by_name("infer")
    assert infer.get_property("labels") == ["red", "green", "blue"], infer.get_property("labels")
    assert infer.get_property("model-info").get_value("classes") == 3
    assert infer.get_property("stats").get_value("frames") == 2
    ok, mean = Gst.util_get_object_array(infer, "mean")
    assert ok and plain(mean) == [0.1, 0.2, 0.3]
    pipeline.set_state(Gst.State.NULL)
    Gst.util_set_object_arg(infer, "mean", "<4,5,6>")
    assert plain(Gst.util_get_object_array(infer, "mean")[1]) == [4, 5, 6]
    assert infer.get_property("labels") == []


def several_elements():
    pipeline, _, buffer = run(f"{SOURCE} ! {INFER} top-k=1 ! {INFER} top-k=2 ! fakesink name=sink")
    for _ in range(2):  # the buffer is as it was
        counts = [c.get_array("labels")[1].n_values for c in classifications(buffer)]
        assert counts == [1, 2], counts
    pipeline.set_state(Gst.State.NULL)


CASES = (overrides_are_left_out, metadata, messages, properties, several_elements)
print(f"1..{len(CASES)}")
failed = False
for number, case in enumerate(CASES, 1):
    try:
        case()
        print("ok", number, case.__name__, flush=True)
    except (AssertionError, AttributeError, TypeError, GLib.Error) as error:
        failed = True
        print("not ok", number, case.__name__, "#", repr(error), flush=True)
os._exit(failed)  # pipelines of cases that failed are still there
