#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""read-results.py PIPELINE: plays what gst-launch-1.0 would, and prints what the frames show that arrive at its element
"out", and what the bus says of it. Debian's python3-gi and gir1.2-gstreamer-1.0 are all that it needs."""
import sys
import warnings

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst

warnings.simplefilter("ignore", DeprecationWarning)  # of GObject.ValueArray, which get_array() returns


def classifications(buffer):
    info = Gst.Meta.get_info("GpudlClassificationMeta")
    metas = buffer.copy_region(Gst.BufferCopyFlags.META, 0, 0)
    for _ in range(metas.get_n_meta(info.api) if info else 0):
        meta = metas.get_custom_meta("GpudlClassificationMeta")
        yield meta.get_structure().copy()
        metas.remove_meta(meta.meta)


def read_results(buffer):
    for fields in classifications(buffer):
        if fields.has_field("label"):
            print(f"{fields.get_value('model')}: {fields.get_value('label')} {fields.get_value('confidence'):.2f}")
        else:
            print(f"{fields.get_value('model')}: no class above the threshold")


def classes(fields):
    labels, confidences = fields.get_array("labels")[1], fields.get_array("confidences")[1]
    return [(labels.get_nth(i), confidences.get_nth(i)) for i in range(labels.n_values)]


def on_buffer(pad, info):
    buffer = info.get_buffer()
    read_results(buffer)
    for fields in list(classifications(buffer))[:1]:
        for label, confidence in classes(fields):
            print(f"    {label} {confidence:.2f}")
    return Gst.PadProbeReturn.OK


def read_message(pipeline, message):
    fields = message.get_structure()
    if message.type == Gst.MessageType.ELEMENT and message.has_name("gpudlinfer-result"):  # with post-messages=all
        best = fields.get_value("label") if fields.has_field("label") else "no class"
        print(f"message of {message.src.get_name()}: {best}")
    elif message.type == Gst.MessageType.LATENCY:
        pipeline.recalculate_latency()
    elif message.type == Gst.MessageType.WARNING:
        error, details = message.parse_warning()[0], message.parse_warning_details()
        print(f"warning: {error.domain} {error.code}: {error.message}", file=sys.stderr)
        if details and details.has_name("gpudlinfer-behind"):
            print(f"behind, because of the {details.get_value('limited-by')}: {details.get_value('rate-reached'):.0f} frames/s",
                  file=sys.stderr)
    elif message.type == Gst.MessageType.ERROR:
        error = message.parse_error()[0]
        print(f"error: {error.domain} {error.code}: {error.message}", file=sys.stderr)


def main():
    Gst.init(None)
    try:
        pipeline = Gst.parse_launch(sys.argv[1] if len(sys.argv) > 1 else "")
        out = pipeline.get_by_name("out").get_static_pad("sink")
    except (GLib.Error, AttributeError) as problem:
        print(getattr(problem, "message", "expected a pipeline that ends in a sink name=out"), file=sys.stderr)
        return 2
    out.add_probe(Gst.PadProbeType.BUFFER, on_buffer)
    bus, last = pipeline.get_bus(), None
    pipeline.set_state(Gst.State.PLAYING)
    while last not in (Gst.MessageType.EOS, Gst.MessageType.ERROR):
        message = bus.timed_pop(Gst.CLOCK_TIME_NONE)
        read_message(pipeline, message)
        last = message.type
    pipeline.set_state(Gst.State.NULL)
    return 0 if last == Gst.MessageType.EOS else 1


if __name__ == "__main__":
    sys.exit(main())
