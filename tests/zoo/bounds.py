# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an error of make check-zoo may be; errors are parts of the range of the scores."""
import math

BOUND = 1e-4
MARGIN = 4  # times what others are off
REACTS = 10  # times the bound is what another picture has to change at least; else the bound is less
TOO_MUCH = 1e-2  # what float32 itself may be off


def tight(reacts):
    """The bound where float32 has no errors: less where the picture is hardly seen in the scores."""
    return min(BOUND, reacts / REACTS)


def tells(span, reacts, torch_error):
    """Whether a network's scores tell right from wrong: their range, what another picture changes, what float32 is off."""
    return math.isfinite(span) and (reacts >= REACTS * BOUND or MARGIN * torch_error < tight(reacts)) and torch_error <= TOO_MUCH


def verdict(error, reacts, torch_error, theirs=None):
    """A verdict on an error, and the bound. torch_error: PyTorch's in float32; theirs: ONNX Runtime's, which counts unless it is so
    large that it is no rounding."""
    bound = max(tight(reacts), MARGIN * max(torch_error, theirs if theirs is not None and theirs <= TOO_MUCH else 0))
    if not error <= bound:
        return "wrong", bound
    return "equal" if torch_error <= BOUND else "ill-conditioned", bound


def theirs_of(form, error_of):
    """ONNX Runtime's error on what a network is as that form, or None, and why it has none. It does not read .pt2: the same network
    and weights as ONNX stand for it, of the same program or by the other exporter. error_of(form of ONNX) raises where there is none."""
    why = ""
    for exporter in [form] if form != "pt2" else ["dynamo", "torchscript"]:
        try:
            return error_of(exporter), ""
        except Exception as error:
            why = why or str(error)[:300]
    return None, why
