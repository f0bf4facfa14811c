#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: test-zoo.py: what make check-zoo makes of names and rows, without the packages it needs to run."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "models"))
import bounds
import names
import references
import summary

tap = references.Tap()


def same(name, found, expected):
    tap.result(found == expected, name, "" if found == expected else f"found {found!r}, expected {expected!r}")


def entry(name, module="resnet", stands_for=0):
    return {"name": name, "module": module, "family": names.family(name, module), "kind": names.kind(name), "parameters": 1e6,
            "stands_for": stands_for}


def row(net, form, verdict, **more):
    return {"net": net, "module": "resnet", "family": "convolutional", "form": form, "verdict": verdict, "text": "node 'x' (Op): no"} | more


for group in ("resnet18 resnet50 resnet152", "convnextv2_atto convnextv2_base convnextv2_huge", "vit_tiny_patch16_224 vit_base_patch32_384",
              "mobilenetv3_small_050 mobilenetv3_large_100", "tf_efficientnet_b0 tf_efficientnet_b7 tf_efficientnet_l2"):
    same(f"one kind: {group}", len({names.kind(name) for name in group.split()}), 1)
apart = """resnet50 resnet50d resnext50_32x4d seresnet50 resnetv2_50 resnetv2_50x1_bit resnet50_gn mobilenetv2_100 mobilenetv3_large_100
    efficientnet_b0 tf_efficientnet_b0 efficientnet_cc_b0_4e efficientnetv2_s test_resnet regnetx_002 regnety_002 nf_regnet_b0""".split()
same("others are apart", len({names.kind(name) for name in apart}), len(apart))
same("families", [names.family(*pair) for pair in (("resnet50", "resnet"), ("caformer_s18", "metaformer"), ("poolformer_s12", "metaformer"),
                                                   ("mobilenetv4_hybrid_medium", "mobilenetv3"), ("levit_128", "levit"), ("vit_wee", "eva"),
                                                   ("swin_t", "torchvision"), ("vgg11", "torchvision"))],
     ["convolutional", "hybrid", "convolutional", "hybrid", "hybrid", "transformer", "transformer", "convolutional"])

def sized(name, module, stands_for, parameters):
    return entry(name, module, stands_for) | {"parameters": parameters}


work = names.jobs([sized("vit_tiny", "eva", 2, 5e6), sized("levit_128", "levit", 1, 9e6), sized("vgg11", "vgg", 2, 133e6), sized("vgg13", "vgg", 0, 99e6),
                   sized("vgg19", "vgg", 0, 144e6), sized("resnet18", "resnet", 1, 12e6), sized("focalnet_huge", "focalnet", 1, 400e6)])
same("kinds first, other names last, transformers behind them; a large name is left to its kind", [(job["name"], *forms) for job, forms in work],
     [("resnet18", "torchscript"), ("vgg11", "torchscript"), ("levit_128", "torchscript"), ("resnet18", "dynamo", "pt2"), ("vgg11", "dynamo", "pt2"),
      ("levit_128", "dynamo", "pt2"), ("vgg13", "import"), ("vit_tiny", "torchscript"), ("vit_tiny", "dynamo", "pt2")])

same("a verdict by what others are off", [bounds.verdict(error, 1, *others)[0] for error, *others in (
    (1e-4, 0), (2e-4, 0), (2e-4, 5e-5), (2e-4, 4e-5), (2e-4, 4e-5, 5e-5), (4e-4, 1.1e-4), (5e-4, 9e-5), (5.7e-4, 9.5e-5), (9e-4, 2e-4),
    (float("inf"), 1e-2), (float("nan"), 1e-2), (5e-4, 4e-5, .5), (5e-4, 4e-5, float("inf")))],
     ["equal", "wrong", "equal", "wrong", "equal", "ill-conditioned", *7 * ["wrong"]])
same("the bound is less where the picture is hardly seen", [bounds.verdict(2e-5, reacts, 0)[0] for reacts in (1e-3, 2e-4, 1e-4)],
     ["equal", "equal", "wrong"])
same("what tells right from wrong", [bounds.tells(*figures) for figures in (
    (5, .3, 1e-6), (5, .3, 2e-2), (float("nan"), .3, 1e-6), (5, 1e-4, 1e-6), (5, 1e-4, 1e-5), (0, 0, 0))],
     [True, False, False, True, False, False])



def error_of(exporter):
    if exporter not in errors:
        raise RuntimeError(f"{exporter} can't")
    return errors[exporter]


errors = {"torchscript": 1e-4, "dynamo": 3e-4}
same("an ONNX file has ONNX Runtime's error of itself, a .pt2 that of the same program", [bounds.theirs_of(form, error_of) for form in (
    "torchscript", "dynamo", "pt2")], [(1e-4, ""), (3e-4, ""), (3e-4, "")])
same("so it is 4 times that what a .pt2 may be off", bounds.verdict(5.7e-4, 1, 9.5e-5, bounds.theirs_of("pt2", error_of)[0])[0], "equal")
del errors["dynamo"]
same("or that of the other exporter, for a .pt2 alone", [bounds.theirs_of(form, error_of) for form in ("dynamo", "pt2")],
     [(None, "dynamo can't"), (1e-4, "")])
errors.clear()
same("or none", bounds.theirs_of("pt2", error_of), (None, "dynamo can't"))

catalogue = [entry("resnet18", stands_for=3), entry("resnet50"), entry("resnet101"), entry("resnet50d", stands_for=1)]
fine = [row("resnet18", "torchscript", "equal"), row("resnet18", "dynamo", "ill-conditioned", error=2e-4, torch=2e-4, onnxruntime=None),
        row("resnet50d", "torchscript", "exporter fails"), row("resnet50d", "dynamo", "equal")]
verdicts = {e["name"]: (verdict, own) for e, verdict, own in summary.by_name(catalogue, fine)}
same("a name without a row has its kind's verdict", verdicts["resnet101"], ("ill-conditioned", False))
same("what one exporter can't write another may", verdicts["resnet50d"], ("equal", True))
rows = [*fine, row("resnet50", "import", "refused")]
verdicts = {e["name"]: (verdict, own) for e, verdict, own in summary.by_name(catalogue, rows)}
same("a name's own row comes first", verdicts["resnet50"], ("refused", True))
lines, good = summary.complete(catalogue, fine)
same("all fine is good", good, True)
same("the share of names", [line[:65] for line in lines if line.startswith("convolutional:")],
     ["convolutional: 4 of timm's 4 names are fine (100.0 %), 2 of them "])
same("the table counts files", [line for line in lines if "| dynamo |" in line], ["| convolutional | dynamo | 1 | 1 | 0 |"])
lines, good = summary.complete(catalogue, [row("resnet18", "dynamo", "equal", batch1="x"), row("resnet18", "torchscript", "equal", batch1=""), rows[-1]])
same("files for batch 1 are counted", lines[-3], "1 of 2 files that were taken hold for batch 1 alone")
lines, good = summary.complete(catalogue, rows)
same("one refused of four is not", good, False)
same("a refusal is told with its node", [line for line in lines if line.startswith("refused:")], ["refused: resnet50, import: node 'x' (Op): no"])
large = [entry(f"resnet{18 + i}") for i in range(1000)] + catalogue
for verdict in ("wrong", "crashed"):
    same(f"{verdict}: one of a thousand is not good", summary.complete(large, [*fine, row("resnet50", "import", verdict)])[1], False)
same("refused: one of a thousand is", summary.complete(large, rows)[1], True)
blind = [row("resnet50d", "torchscript", "exporter fails"), row("resnet50d", "dynamo", "not judged"), row("resnet50d", "pt2", "not judged")]
same("what can't be judged is neither fine nor wrong", [verdict for e, verdict, _ in summary.by_name(catalogue, blind) if e["name"] == "resnet50d"],
     ["not judged"])
lines, good = summary.complete(large, [*fine[:2], *blind])
same("one of a thousand that can't be judged is good", good, True)
same("it is counted apart, and told", [line.split(";")[-1] for line in lines if line.startswith(("convolutional:", "not judged:"))],
     [" 0 not seen yet, 1 can't be judged", "not judged: resnet50d, dynamo: node 'x' (Op): no", "not judged: resnet50d, pt2: node 'x' (Op): no"])
same("one of four is not: what is not judged can hide what is wrong", summary.complete(catalogue, [*fine[:2], *blind])[1], False)
same("what is not seen does not count against", summary.complete([*catalogue, entry("resnext50_32x4d", stands_for=1)], fine)[1], True)
tap.finish()
