# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which networks make check-zoo looks at, and of what class each is."""
import json
import re

# timm's modules by what their networks are made of; all others are transformers, MLPs and LSTMs
CONVOLUTIONAL = """byobnet convmixer convnext csatv2 cspnet cspnext densenet dla dpn efficientnet fasternet focalnet ghostnet hardcorenas hgnet
    hrnet inception_next inception_resnet_v2 inception_v3 inception_v4 lcnetv2 mambaout metaformer mobilenetv3 mobilenetv5 nasnet nfnet
    pnasnet rdnet regnet repghost repvit res2net resnest resnet resnetv2 rexnet selecsls senet sknet starnet tresnet vgg vovnet xception
    xception_aligned""".split()
HYBRID = """byoanet coat cpubone edgenext efficientformer efficientformer_v2 efficientvim efficientvit_mit efficientvit_msra fastvit gcvit
    iformer levit lowformer maxxvit mobilevit nextvit shvit swiftformer tiny_vit visformer vision_transformer_hybrid vitamin""".split()
ATTENTION = ("caformer", "mobilenetv4_hybrid")  # in modules of the convolutional ones
LARGEST = 100e6  # parameters: what is larger is left to its kind's representative
LARGEST_KIND = 300e6  # parameters of a representative: a larger kind is not looked at

TORCHVISION = """alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5 mobilenet_v2
    mobilenet_v3_large mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d shufflenet_v2_x0_5 squeezenet1_0
    squeezenet1_1 swin_t swin_v2_t vgg11 vgg11_bn vit_b_16 wide_resnet50_2""".split()

# what a part of a name says of a size, a picture or a repetition, and not of a kind
SIZES = re.compile(r"""x*(tiny|mini|zepto|atto|femto|pico|nano|small|medium|base|large|huge|giant|gigantic|enormous|kobe|little)[2d]?|
    [dp]*(wee|betwixt)|so\d*m2?|giantopt|x*[tsmlbhe]|xx?s|xl|ti|[a-f]|x+|cls|[a-z]{0,2}\d+[a-z]?|\d+[a-z]\d*[a-z]*|p\d+x\d+|window.*|patch.*|
    clip|quickgelu|plus|minimal|mf|siglip|distilled|miil|\d+to\d+|e[lms]|short|tall|wide|b2pt5""", re.VERBOSE)
KEPT = {"v2", "v3", "v4"}


def kind(name):
    """What networks that differ by size alone have in common."""
    first, *rest = name.split("_")
    kept = [re.sub(r"(?<![v\d])\d{2,}|(?<=lite)\d|(?<=mci)\d|(?<=reg)\d", "", token) for token in rest if token in KEPT or not SIZES.fullmatch(token)]
    return "_".join([re.sub(r"(?<![v\d])\d{2,}", "", first), *kept])


def family(name, module):
    if module == "torchvision":
        transformer = name.startswith(("swin", "vit"))
        return "transformer" if transformer else "hybrid" if name.startswith("maxvit") else "convolutional"
    if module in HYBRID or name.startswith(ATTENTION):
        return "hybrid"
    return "convolutional" if module in CONVOLUTIONAL else "transformer"


def parameters(name):
    """How many a network of timm has; none is made."""
    import timm
    import torch
    try:
        with torch.device("meta"):
            net = timm.create_model(name)
    except Exception:  # those that look at values when they are made
        net = timm.create_model(name)
    return sum(p.numel() for p in net.parameters())


def catalogue(path):
    """All names: [{"name", "module", "family", "kind", "parameters", "stands_for"}], kept in a file, since counting takes minutes.
    stands_for: how many names a representative answers for, itself among them; 0: it is one of the others."""
    import timm
    import torchvision
    versions = f"timm {timm.__version__}, torchvision {torchvision.__version__}"
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["versions"] == versions:
            return kept["names"]
    names = [{"name": "tv:" + name, "module": "torchvision", "family": family(name, "torchvision"), "kind": "tv:" + name, "parameters": 0,
              "stands_for": 1} for name in TORCHVISION]
    kinds = {}
    for module in timm.list_modules():
        for name in timm.list_models(module=module):
            entry = {"name": name, "module": module, "family": family(name, module), "kind": kind(name), "parameters": parameters(name),
                     "stands_for": 0}
            names.append(entry)
            kinds.setdefault((module, entry["family"], entry["kind"]), []).append(entry)
    for group in kinds.values():
        min(group, key=lambda entry: entry["parameters"])["stands_for"] = len(group)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"versions": versions, "names": names}))
    return names


def jobs(catalogue):
    """(entry, forms) in the order of what says most: kinds first, by TorchScript's exporter first, the other names last, the
    small ones first; transformers behind all else."""
    found = []
    for entry in catalogue:
        if entry["parameters"] > (LARGEST_KIND if entry["stands_for"] else LARGEST):
            continue
        for stage, forms in [(0, ["torchscript"]), (1, ["dynamo", "pt2"])] if entry["stands_for"] else [(2, ["import"])]:
            rank = entry["family"] == "transformer", stage, entry["family"] == "hybrid"
            found.append(((*rank, entry["parameters"], entry["name"]), entry, forms))
    return [(entry, forms) for _, entry, forms in sorted(found, key=lambda job: job[0])]
