/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The importer: older forms of operators that the node suite has no cases of any more, what is folded, what is refused
 * and with which words. Inputs are 0, 1, 2, ...; expected values are worked by hand.
 */
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include "engine/gpudl.h"
#include "engine/limits.h"
#include "engine/ref/ref.h"
#include "models/onnx/onnx-internal.h"
#include "models/onnx/onnx.h"
#include "tests/models/onnx-cases.h"
#include "tests/models/onnx-writer.h"

/* ---- what is taken ----------------------------------------------------------------------------------------------- */

static const OnnxGood good[] = {
    {"clip-attributes", {7, "x:f32:5", NULL, "Clip x -> y {min=1.0 max=3.0}", "y"}, "5", "1 1 2 3 3"},
    {"clip-one-attribute", {10, "x:f32:3", NULL, "Clip x -> y {min=1.5}", "y"}, "3", "1.5 1.5 2"},
    {"clip-inputs", {11, "x:f32:5", "lo:f32:=1 hi:f32:=2", "Clip x lo hi -> y", "y"}, "5", "1 1 2 2 2"},
    {"clip-no-lower", {11, "x:f32:4", "hi:f32:=2", "Clip x - hi -> y", "y"}, "4", "0 1 2 2"},
    {"clip-crossed", {13, "x:f32:3", "lo:f32:=2 hi:f32:=1", "Clip x lo hi -> y", "y"}, "3", "1 1 1"},
    {"clip-computed-bound", {13, "x:f32:4", "a:f32:=1 b:f32:=1", "Add a b -> c; Clip x - c -> y", "y"}, "4", "0 1 2 2"},
    {"softmax-flat", {12, "x:f32:1x2x2", NULL, "Mul x z -> w; Softmax w -> y", "y"}, "1x2x2", ".25 .25 .25 .25"},
    {"softmax-axis", {13, "x:f32:1x2x2", NULL, "Mul x z -> w; Softmax w -> y", "y"}, "1x2x2", ".5 .5 .5 .5"},
    {"slice-attributes", {9, "x:f32:2x4", NULL, "Slice x -> y {starts=1,-2 ends=2,9 axes=0,1}", "y"}, "1x2", "6 7"},
    {"slice-no-axes", {9, "x:f32:2x4", NULL, "Slice x -> y {starts=1,3 ends=2,4}", "y"}, "1x1", "7"},
    {"slice-backwards",
     {10, "x:f32:4", "s:i64:1=-1 e:i64:1=-9 a:i64:1=0 t:i64:1=-2", "Slice x s e a t -> y", "y"},
     "2",
     "3 1"},
    {"slice-int32", {10, "x:f32:4", "s:i32:1=1 e:i32:1=-1", "Slice x s e -> y", "y"}, "2", "1 2"},
    {"pad-attributes", {10, "x:f32:1x2", NULL, "Pad x -> y {pads=0,1,0,0 value=9.0}", "y"}, "1x3", "9 0 1"},
    {"pad-reflect", {10, "x:f32:3", NULL, "Pad x -> y {mode=reflect pads=2,0}", "y"}, "5", "2 1 0 1 2"},
    {"pad-inputs", {11, "x:f32:2", "p:i64:2=1,1 v:f32:=7", "Pad x p v -> y {mode=constant}", "y"}, "4", "7 0 1 7"},
    {"pad-axes", {18, "x:f32:1x2", "p:i64:2=1,0 a:i64:1=-1", "Pad x p - a -> y", "y"}, "1x3", "0 0 1"},
    {"split-attribute", {12, "x:f32:1x4", NULL, "Split x -> a y {axis=1 split=1,3}", "y"}, "1x3", "1 2 3"},
    {"split-equal", {12, "x:f32:1x4", NULL, "Split x -> a y {axis=-1}", "y"}, "1x2", "2 3"},
    {"split-input", {13, "x:f32:1x4", "s:i64:2=3,1", "Split x s -> a y {axis=1}", "y"}, "1x1", "3"},
    {"split-uneven", {18, "x:f32:5", NULL, "Split x -> a y {num_outputs=2}", "y"}, "2", "3 4"},
    {"squeeze-attribute", {12, "x:f32:1x1x3", NULL, "Squeeze x -> y {axes=-2,}", "y"}, "1x3", "0 1 2"},
    {"squeeze-input", {13, "x:f32:1x1x3", "a:i64:1=1", "Squeeze x a -> y", "y"}, "1x3", NULL},
    {"squeeze-all", {13, "x:f32:1x1x3", NULL, "Squeeze x -> y", "y"}, "3", NULL},
    {"unsqueeze-attribute", {12, "x:f32:2x3", NULL, "Unsqueeze x -> y {axes=0,-1}", "y"}, "1x2x3x1", NULL},
    {"unsqueeze-input", {13, "x:f32:2x3", "a:i64:1=1", "Unsqueeze x a -> y", "y"}, "2x1x3", NULL},
    {"reduce-attribute", {17, "x:f32:2x3", NULL, "ReduceMean x -> y {axes=1, keepdims=0}", "y"}, "2", "1 4"},
    {"reduce-input", {18, "x:f32:2x3", "a:i64:1=-1", "ReduceMax x a -> y {keepdims=1}", "y"}, "2x1", "2 5"},
    {"reduce-all", {13, "x:f32:2x3", NULL, "ReduceSum x -> y {keepdims=0}", "y"}, "scalar", "15"},
    {"reduce-nothing", {13, "x:f32:2", "a:i64:0", "ReduceSum x a -> y {noop_with_empty_axes=1}", "y"}, "2", "0 1"},
    {"reduce-l2", {13, "x:f32:2x2", NULL, "ReduceL2 x -> y {axes=0, keepdims=0}", "y"}, "2", "2 3.16227766"},
    {"dropout-7", {7, "x:f32:2", NULL, "Dropout x -> y mask {ratio=0.5}", "y"}, "2", "0 1"},
    {"dropout-12", {12, "x:f32:2", "r:f32:=0.5 t:bool:=0", "Dropout x r t -> y", "y"}, "2", "0 1"},
    {"dropout-0", {13, "x:f32:2", "r:f32:=0 t:bool:=1", "Dropout x r t -> y", "y"}, "2", "0 1"},
    {"dropout-0-mask",
     {13, "x:f32:2", "r:f32:=0 t:bool:=1", "Dropout x r t -> d m; Cast m -> y {to=1}", "y"},
     "2",
     "1 1"},
    {"batch-norm-14-outputs", /* training_mode tells from here on */
     {14, "x:f32:1x1x1", "s:f32:1=1 b:f32:1=0", "BatchNormalization x s b b s -> y m v {epsilon=0.0}", "y"},
     "1x1x1",
     "0"},
    {"dropout-mask", {12, "x:f32:2", NULL, "Dropout x -> d m; Cast m -> y {to=1}", "y"}, "2", "1 1"},
    {"batch-norm-7",
     {7, "x:f32:1x2x1", "s:f32:2=1,2 b:f32:2=0,1 m:f32:2=0,1 v:f32:2=1,4",
      "BatchNormalization x s b m v -> y {epsilon=0.0 spatial=1}", "y"},
     "1x2x1",
     "0 1"},
    {"gemm-no-c", {11, "x:f32:1x2", "w:f32:2x2=1,2,3,4", "Gemm x w -> y {transB=1}", "y"}, "1x2", "2 4"},
    {"flatten-0", {9, "x:f32:2x3", NULL, "Flatten x -> y {axis=0}", "y"}, "1x6", NULL},
    {"flatten-1", {9, "x:f32:2x3x2", NULL, "Flatten x -> y", "y"}, "2x6", NULL},
    {"flatten-2", {9, "x:f32:2x3x2", NULL, "Flatten x -> y {axis=-1}", "y"}, "6x2", NULL},
    {"flatten-rank", {9, "x:f32:2x3", NULL, "Flatten x -> y {axis=2}", "y"}, "6x1", NULL},
    {"same-upper",
     {7, "x:f32:1x1x1x4", "w:f32:1x1x1x2=1,1", "Conv x w -> y {auto_pad=SAME_UPPER strides=1,1}", "y"},
     "1x1x1x4",
     "1 3 5 3"},
    {"same-lower",
     {7, "x:f32:1x1x1x4", "w:f32:1x1x1x2=1,1", "Conv x w -> y {auto_pad=SAME_LOWER}", "y"},
     "1x1x1x4",
     "0 1 3 5"},
    {"same-strided",
     {7, "x:f32:1x1x5", "w:f32:1x1x3=1", "Conv x w -> y {auto_pad=SAME_UPPER strides=2,}", "y"},
     "1x1x3",
     "1 6 7"},
    {"same-ceil", /* the padding already makes ceil(5 / 2) outputs: rounding up must not add one */
     {10, "x:f32:1x1x5", NULL, "MaxPool x -> y {auto_pad=SAME_UPPER kernel_shape=1, strides=2, ceil_mode=1}", "y"},
     "1x1x3",
     "0 2 4"},
    {"valid",
     {7, "x:f32:1x1x5", NULL, "MaxPool x -> y {auto_pad=VALID kernel_shape=2, strides=2,}", "y"},
     "1x1x2",
     "1 3"},
    {"ceil-mode",
     {10, "x:f32:1x1x5", NULL, "AveragePool x -> y {kernel_shape=2, strides=2, ceil_mode=1}", "y"},
     "1x1x3",
     "0.5 2.5 4"},
    {"pool-dilations",
     {19, "x:f32:1x1x5", NULL, "AveragePool x -> y {kernel_shape=2, dilations=3,}", "y"},
     "1x1x2",
     "1.5 2.5"},
    {"pool-unused-indices", {8, "x:f32:1x1x4", NULL, "MaxPool x -> y i {kernel_shape=2,}", "y"}, "1x1x3", "1 2 3"},
    {"pool-indices",
     {8, "x:f32:1x2x3", NULL, "MaxPool x -> y i {kernel_shape=2, pads=1,0}; Cast i -> f {to=1}", "f"},
     "1x2x3",
     "0 1 2 3 4 5"},
    {"pool-indices-column-major",
     {8, "x:f32:1x1x2x3", NULL, "MaxPool x -> y i {kernel_shape=1,2 storage_order=1}; Cast i -> f {to=1}", "f"},
     "1x1x2x2",
     "2 4 3 5"},
    {"cast-saturated",
     {25, "x:f32:2", "k:f32:2=1,1000", "Mul x k -> z; Cast z -> n {to=17}; Cast n -> y {to=1}", "y"},
     "2",
     "0 448"},
    {"cast-round",
     {25, "x:f32:3", "k:f32:=1.4", "Mul x k -> z; Cast z -> n {to=24 round_mode=down}; Cast n -> y {to=1}", "y"},
     "3",
     "0 1 2"},
    {"move-float4",
     {25, "x:f32:2x3", "s:i64:1=2 e:i64:1=3",
      "Cast x -> n {to=23}; Transpose n -> t; Slice t s e -> u; Concat u t -> c {axis=0}; Cast c -> y {to=1}", "y"},
     "4x2",
     "2 4 0 3 1 4 2 4"},
    {"pads-asymmetric",
     {7, "x:f32:1x1x2x2", "w:f32:1x1x1x1=1", "Conv x w -> y {pads=1,0,0,2}", "y"},
     "1x1x3x4",
     "0 0 0 0 0 1 0 0 2 3 0 0"},
    {"sum-three", {8, "x:f32:2", "c:f32:2=1 d:f32:1=1", "Sum x c d -> y", "y"}, "2", "2 3"},
    {"sum-one", {8, "x:f32:2", NULL, "Sum x -> y", "y"}, "2", "0 1"},
    {"mean", {8, "x:f32:2", "c:f32:2=4", "Mean x c -> y", "y"}, "2", "2 2.5"},
    {"constant-ints", {12, "x:f32:4", NULL, "Constant -> s {value_ints=2,2}; Reshape x s -> y", "y"}, "2x2", NULL},
    {"constant-float", {12, "x:f32:2", NULL, "Constant -> c {value_float=0.5}; Add x c -> y", "y"}, "2", ".5 1.5"},
    {"constant-of-shape", {9, "x:f32:2x2", "s:i64:2=2,1", "ConstantOfShape s -> c; Add x c -> y", "y"}, "2x2", NULL},
    {"expand-fewer", {8, "x:f32:2x1", "s:i64:1=3", "Expand x s -> y", "y"}, "2x3", "0 0 0 1 1 1"},
    {"expand-more", {8, "x:f32:2", "s:i64:2=2,1", "Expand x s -> y", "y"}, "2x2", "0 1 0 1"},
    {"range", {11, "x:f32:3", "a:f32:=0 b:f32:=3 d:f32:=1", "Range a b d -> r; Add x r -> y", "y"}, "3", "0 2 4"},
    {"pow-integer-exponent", {12, "x:f32:3", "e:i64:=2", "Pow x e -> y", "y"}, "3", "0 1 4"},
    {"hard-sigmoid", {6 + 1, "x:f32:3", NULL, "HardSigmoid x -> y", "y"}, "3", ".5 .7 .9"},
    {"leaky-relu", {7, "x:f32:2", "m:f32:=-1", "Mul x m -> z; LeakyRelu z -> y", "y"}, "2", "0 -.01"},
    {"lrn-defaults", {7, "x:f32:1x1x2", NULL, "LRN x -> y {size=1}", "y"}, "1x1x2", "0 .999925007"},
    {"transpose-default", {7, "x:f32:2x3", NULL, "Transpose x -> y", "y"}, "3x2", "0 3 1 4 2 5"},
    {"gather-negative", {11, "x:f32:2x3", "i:i64:=-1", "Gather x i -> y {axis=1}", "y"}, "2", "2 5"},
    {"domain", {13, "x:f32:2", NULL, "Relu.ai.onnx x -> y", "y"}, "2", "0 1"},
    {"tile", {13, "x:f32:1x2", "r:i64:2=2,2", "Tile x r -> y", "y"}, "2x4", "0 1 0 1 0 1 0 1"},

    /* shape arithmetic, folded as far as attributes need it */
    {"flatten-by-shape",
     {13, "x:f32:1x2x3", "i:i64:=0 a:i64:1=0 m:i64:1=-1",
      "Shape x -> s; Gather s i -> n; Unsqueeze n a -> u; Concat u m -> t {axis=0}; Reshape x t -> y", "y"},
     "1x6",
     NULL},
    {"shuffle-by-shape",
     {11, "x:f32:1x4x1x1", "two:i64:=2 one:i64:=1",
      "Shape x -> s; Gather s one -> c; Div c two -> h; Constant -> k {value_ints=1,2}; Unsqueeze h -> hu {axes=0,}; "
      "Concat k hu -> t {axis=0}; Reshape x t -> y",
      "y"},
     "1x2x2",
     NULL},
    {"pad-by-shape", /* what TensorFlow's SAME becomes in an exported file */
     {13, "x:f32:1x1x5", "two:i64:1=2 one:i64:1=1 e:i64:1=9 z:i64:1=0 three:f32:=2",
      "Shape x -> s; Slice s two e z -> w; Cast w -> f {to=1}; Div f three -> g; Ceil g -> h; Cast h -> i {to=7}; "
      "Sub i one -> p; Concat z z z -> b {axis=0}; Concat z z p -> q {axis=0}; Concat b q -> t {axis=0}; "
      "Pad x t -> y",
      "y"},
     "1x1x7",
     "0 1 2 3 4 0 0"},
    {"where-by-shape", /* torch's expand: where(shape == -1, ones, shape) */
     {13, "x:f32:1x2", "want:i64:2=3,-1 m:i64:=-1 r:i64:1=2",
      "ConstantOfShape r -> z; Constant -> o {value_int=1}; Cast z -> zi {to=7}; Add zi o -> ones; "
      "Equal want m -> q; Where q ones want -> t; Expand x t -> y",
      "y"},
     "3x2",
     NULL},
    {"size", {13, "x:f32:2x3", "a:i64:1=0", "Size x -> n; Unsqueeze n a -> t; Reshape x t -> y", "y"}, "6", NULL},
    {"shape-part",
     {15, "x:f32:2x3x4", "m:i64:1=-1", "Shape x -> s {start=-1}; Concat m s -> t {axis=0}; Reshape x t -> y", "y"},
     "6x4",
     NULL},
    {"range-gather",
     {11, "x:f32:4", "a:i64:=3 b:i64:=-1 d:i64:=-1", "Range a b d -> r; Gather x r -> y", "y"},
     "4",
     "3 2 1 0"},

    /* inputs */
    {"free-batch", {13, "x:f32:Nx2", NULL, "Relu x -> y", "y"}, "1x2", NULL},
    {"batch-0", {13, "x:f32:0x2", NULL, "Relu x -> y", "y"}, "1x2", NULL},
    {"batch-minus-1", {13, "x:f32:-1x2", NULL, "Relu x -> y", "y"}, "1x2", NULL},
    {"batch-unset", {13, "x:f32:?x2", NULL, "Relu x -> y", "y"}, "1x2", NULL},
    {"initializer-as-input", {7, "x:f32:2 w:f32:2", "w:f32:2=1", "Add x w -> y", "y"}, "2", "1 2"},
    {"f64-constant", {13, "x:f32:2", "w:f64:2=1.5", "Cast w -> v {to=1}; Add x v -> y", "y"}, "2", "1.5 2.5"},
    {"bool-constant", {13, "x:f32:2", "w:bool:2=7,0 z:f32:=-1", "Where w x z -> y", "y"}, "2", "0 -1"},
};

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static const OnnxBad bad[] = {
    {"unknown-operator",
     {13, "x:f32:2", NULL, "NonMaxSuppression x -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'NonMaxSuppression_0' (NonMaxSuppression, opset 13): this operator is not taken"},
    {"foreign-domain",
     {13, "x:f32:2", NULL, "Relu.org.example x -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'Relu_0' (org.example.Relu): operators of this domain are not taken"},
    {"unknown-operator-of-microsoft",
     {13, "x:f32:2", NULL, "BiasGelu.com.microsoft x x -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'BiasGelu_0' (com.microsoft.BiasGelu): this operator is not taken"},
    {"written-for-one-machine",
     {13, "x:f32:2", NULL, "Conv.com.microsoft.nchwc x x -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "(com.microsoft.nchwc.Conv): ONNX Runtime wrote this file for one machine; use the file that it was made of"},
    {"operator-too-new",
     {13, "x:f32:2", NULL, "HardSwish x -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "(HardSwish, opset 13): the operator does not exist in this opset"},
    {"opset-old", {6, "x:f32:2", NULL, "Relu x -> y", "y"}, GPUDL_ERROR_UNSUPPORTED, "opset 6, 7 to"},
    {"opset-new", {99, "x:f32:2", NULL, "Relu x -> y", "y"}, GPUDL_ERROR_UNSUPPORTED, "opset 99, 7 to"},
    {"unknown-attribute",
     {13, "x:f32:2", NULL, "Relu x -> y {slope=1}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "attribute 'slope' is not known"},
    {"attribute-type",
     {13, "x:f32:2", NULL, "Softmax x -> y {axis=0.5}", "y"},
     GPUDL_ERROR_FORMAT,
     "attribute 'axis' has another type"},
    {"attribute-twice",
     {13, "x:f32:2", NULL, "Softmax x -> y {axis=0 axis=0}", "y"},
     GPUDL_ERROR_FORMAT,
     "attribute 'axis' is there twice"},
    {"input-missing", {13, "x:f32:2", NULL, "Add x -> y", "y"}, GPUDL_ERROR_FORMAT, "1 inputs, expected 2"},
    {"input-absent", {13, "x:f32:2", NULL, "Add - x -> y", "y"}, GPUDL_ERROR_FORMAT, "input 0 is missing"},
    {"too-many-inputs", {13, "x:f32:2", NULL, "Relu x x -> y", "y"}, GPUDL_ERROR_FORMAT, "2 inputs, expected 1"},
    {"too-many-outputs", {13, "x:f32:2", NULL, "Relu x -> y z", "y"}, GPUDL_ERROR_FORMAT, "2 outputs, expected 1 to 1"},
    {"unknown-name",
     {13, "x:f32:2", NULL, "Relu q -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "input 0, 'q', is made by no node before it"},
    {"unsorted",
     {13, "x:f32:2", NULL, "Relu z -> y; Relu x -> z", "y"},
     GPUDL_ERROR_FORMAT,
     "'z', is made by no node before it"},
    {"cycle", {13, "x:f32:2", NULL, "Add x y -> y", "y"}, GPUDL_ERROR_FORMAT, "'y', is made by no node before it"},
    {"defined-twice",
     {13, "x:f32:2", NULL, "Relu x -> y; Relu x -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "the name 'y' is defined twice"},
    {"constant-twice",
     {13, "x:f32:2", "w:f32:1=1 w:f32:1=1", "Add x w -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "the name 'w' is defined twice"},
    {"output-unknown", {13, "x:f32:2", NULL, "Relu x -> y", "q"}, GPUDL_ERROR_FORMAT, "output 'q' is made by no node"},
    {"no-outputs", {13, "x:f32:2", NULL, "Relu x -> y", NULL}, GPUDL_ERROR_FORMAT, "the graph has no outputs"},
    {"free-height",
     {13, "x:f32:1x3xhx8", NULL, "Relu x -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "dimension 2 ('h') of input 'x' is free; give its height and width: --input-size HxW"},
    {"free-width-channels-last",
     {13, "x:f32:1x8xwx3", NULL, "Relu x -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "dimension 2 ('w') of input 'x' is free; give its height and width"},
    {"free-height-no-utf8", /* \xc3 begins a character that does not follow */
     {13, "x:f32:1x3xh\xc3x8", NULL, "Relu x -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "dimension 2 ('h\xef\xbf\xbd') of input 'x' is free"},
    {"free-channels",
     {13, "x:f32:1x?x8x8", NULL, "Relu x -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "dimension 1 of input 'x' is free; an input's height and width can be given, nothing else"},
    {"no-shape", {13, "x:f32", NULL, "Relu x -> y", "y"}, GPUDL_ERROR_FORMAT, "input 'x' has no shape"},
    {"rank-7", {13, "x:f32:1x1x1x1x1x1x1", NULL, "Relu x -> y", "y"}, GPUDL_ERROR_UNSUPPORTED, "has rank 7, at most 6"},
    {"string-input", {13, "x:str:2", NULL, "Identity x -> y", "y"}, GPUDL_ERROR_UNSUPPORTED, "input 'x' is string"},
    {"float6-constant",
     {13, "x:f32:2", "w:f6:2=1", "Add x w -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "initializer 'w': element type 27 (float6e2m3) is not taken"},
    {"float8-arithmetic",
     {25, "x:f8:2", NULL, "Add x x -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "input 0, 'x', is float8e4m3fn, expected a number type"},
    {"cast-round-mode",
     {25, "x:f32:2", NULL, "Cast x -> y {to=24 round_mode=even}", "y"},
     GPUDL_ERROR_FORMAT,
     "round_mode is 'even', expected up, down or nearest"},
    {"cast-to-float6",
     {25, "x:f32:2", NULL, "Cast x -> y {to=28}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "to element type 28 (float6e3m2)"},
    {"constant-size",
     {13, "x:f32:2", "w:f32:2", "Add x w -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "initializer 'w': 0 bytes of data, the shape says 8"},
    {"constant-huge",
     {13, "x:f32:2", "w:f32:1000000x1000000", "Add x w -> y", "y"},
     GPUDL_ERROR_LIMIT,
     "initializer 'w': larger than"},
    {"constant-dimension",
     {13, "x:f32:2", "w:f32:0x4611686018427387904", "Identity w -> y", "y"},
     GPUDL_ERROR_LIMIT,
     "initializer 'w': dimension 1 is 4611686018427387904"},
    {"input-dimension",
     {13, "x:f32:1x1x4611686018427387904", NULL, "MaxPool x -> y {kernel_shape=2, pads=9,9}", "y"},
     GPUDL_ERROR_LIMIT,
     "dimension 2 of input 'x' is 4611686018427387904"},
    {"flatten-empty",
     {13, "x:f32:2", "w:f32:0x1073741824x1073741824x1073741824", "Flatten w -> y {axis=1}", "y"},
     GPUDL_ERROR_LIMIT,
     "more elements than can be counted"},
    {"constant-overflow",
     {13, "x:f32:2", "w:f32:1073741824x1073741824x1073741824", "Add x w -> y", "y"},
     GPUDL_ERROR_LIMIT,
     "initializer 'w': larger than"},
    {"constant-negative", {13, "x:f32:2", "w:f32:-1", "Add x w -> y", "y"}, GPUDL_ERROR_FORMAT, "dimension 0 is -1"},
    {"output-huge",
     {13, "x:f32:2", "s:i64:2=1000000,1000000 c:f32:=1", "Expand c s -> y", "y"},
     GPUDL_ERROR_LIMIT,
     "(Expand, opset 13)"},
    {"shape-mismatch",
     {13, "x:f32:2x3", "w:f32:4=1", "Add x w -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "node 'Add_0' (Add, opset 13): "},
    {"dynamic-shape",
     {13, "x:i64:2", NULL, "Cast x -> s {to=7}; Reshape x s -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "input 1 ('s') depends on the network's input values"},
    {"dynamic-range",
     {13, "x:i64:", "a:i64:=0 d:i64:=1", "Range a x d -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "so the output's size does"},
    {"float-shape",
     {13, "x:f32:4", "s:f32:1=4", "Reshape x s -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "input 1 ('s') is float32, expected int64"},
    {"reshape-elements",
     {13, "x:f32:4", "s:i64:1=5", "Reshape x s -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "(Reshape, opset 13): 4 cannot become 5"},
    {"reshape-rank-7", {13, "x:f32:1", "s:i64:7=1", "Reshape x s -> y", "y"}, GPUDL_ERROR_UNSUPPORTED, "rank 7"},
    {"training-batch-norm",
     {15, "x:f32:1x1x1", "s:f32:1=1", "BatchNormalization x s s s s -> y {training_mode=1}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "training mode"},
    {"training-batch-norm-9",
     {9, "x:f32:1x1x1", "s:f32:1=1", "BatchNormalization x s s s s -> y m; Add y m -> z", "z"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'BatchNormalization_0' (BatchNormalization, opset 9): training mode"},
    {"training-batch-norm-13", /* nobody reads them */
     {13, "x:f32:1x1x1", "s:f32:1=1", "BatchNormalization x s s s s -> y m v sm sv", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'BatchNormalization_0' (BatchNormalization, opset 13): training mode"},
    {"training-batch-norm-14",
     {14, "x:f32:1x1x1", "s:f32:1=1", "BatchNormalization x s s s s -> y m; Add y m -> z", "z"},
     GPUDL_ERROR_UNSUPPORTED,
     "its output 1 is used, which training alone computes"},
    {"training-dropout",
     {12, "x:f32:2", "r:f32:=0.5 t:bool:=1", "Dropout x r t -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "training mode"},
    {"training-dropout-default-ratio",
     {13, "x:f32:2", "t:bool:=1", "Dropout x - t -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "training mode"},
    {"training-dropout-free-ratio",
     {13, "x:f32:2 r:f32:", "t:bool:=1", "Dropout x r t -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "training mode"},
    {"training-dropout-free",
     {13, "x:f32:2 t:bool:", "r:f32:=0.5", "Dropout x r t -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "training mode"},
    {"pool-no-kernel", {8, "x:f32:1x1x4", NULL, "MaxPool x -> y", "y"}, GPUDL_ERROR_FORMAT, "no kernel_shape"},
    {"conv-kernel",
     {7, "x:f32:1x1x4", "w:f32:1x1x2=1", "Conv x w -> y {kernel_shape=3,}", "y"},
     GPUDL_ERROR_FORMAT,
     "kernel_shape says 3, the weights are 2"},
    {"conv-stride-0",
     {7, "x:f32:1x1x4", "w:f32:1x1x2=1", "Conv x w -> y {strides=0,}", "y"},
     GPUDL_ERROR_FORMAT,
     "strides[0] is 0, expected 1 to 32767"},
    {"conv-pads",
     {7, "x:f32:1x1x4", "w:f32:1x1x2=1", "Conv x w -> y {pads=1,}", "y"},
     GPUDL_ERROR_FORMAT,
     "pads has 1 values, expected 2"},
    {"conv-auto-pad",
     {7, "x:f32:1x1x4", "w:f32:1x1x2=1", "Conv x w -> y {auto_pad=SOME}", "y"},
     GPUDL_ERROR_FORMAT,
     "auto_pad is 'SOME'"},
    {"conv-rank",
     {7, "x:f32:1x1x1x1x1x1", "w:f32:1x1x1x1x1x1=1", "Conv x w -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "an input of rank 6, expected 3 to 5"},
    {"axis", {13, "x:f32:2", NULL, "Softmax x -> y {axis=1}", "y"}, GPUDL_ERROR_FORMAT, "axis 1 of a tensor of rank 1"},
    {"axis-far",
     {13, "x:f32:2", NULL, "Softmax x -> y {axis=-9223372036854775808}", "y"},
     GPUDL_ERROR_FORMAT,
     "axis -9223372036854775808"},
    {"concat-no-axis", {13, "x:f32:2", NULL, "Concat x x -> y", "y"}, GPUDL_ERROR_FORMAT, "no axis"},
    {"split-sizes", {13, "x:f32:4", "s:i64:2=1,2", "Split x s -> a b", "a"}, GPUDL_ERROR_FORMAT, "(Split, opset 13): "},
    {"split-unequal",
     {13, "x:f32:5", NULL, "Split x -> a b", "a"},
     GPUDL_ERROR_FORMAT,
     "5 can't be split into 2 equal pieces"},
    {"squeeze-not-1",
     {13, "x:f32:2", "a:i64:1=0", "Squeeze x a -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "dimension 0 is 2, expected 1"},
    {"unsqueeze-twice",
     {13, "x:f32:2", "a:i64:2=0,-3", "Unsqueeze x a -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "axis 0 is named twice"},
    {"slice-lengths",
     {13, "x:f32:2", "a:i64:1=0 b:i64:2=0,1", "Slice x a b -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "1 starts, 2 ends"},
    {"range-0",
     {13, "x:f32:2", "a:i64:=0 b:i64:=1", "Range a b a -> r; Add x r -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "in steps of 0"},
    {"range-endless",
     {13, "x:f32:2", "a:i64:=0 b:i64:=9223372036854775807 d:i64:=1", "Range a b d -> r; Add x r -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "(Range, opset 13)"},
    {"cast-string",
     {13, "x:f32:2", NULL, "Cast x -> y {to=8}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "to element type 8 (string)"},
    {"constant-empty",
     {13, "x:f32:2", NULL, "Constant -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "0 attributes, expected one value"},
    {"fold-heavy",
     {13, "x:f32:2", "a:f32:1x1=2 s:i64:1=1", "MatMul a a -> m; Cast m -> i {to=7}; Reshape i s -> t; Reshape x t -> y",
      "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "it would take computing node 'MatMul_0' (MatMul) at load time"},
    {"fold-large",
     {13, "x:f32:2", "s:i64:1=99999999 o:i64:1=0 e:i64:1=1",
      "ConstantOfShape s -> c; Cast c -> i {to=7}; Slice i o e -> t; Reshape x t -> y", "y"},
     GPUDL_ERROR_LIMIT,
     "would have to be computed at load time"},
};

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void test_table(void)
{
    guint n;
    const OnnxOp *ops = onnx_ops(&n);

    for (guint i = 1; i < n; i++) {
        const gint order = strcmp(ops[i - 1].name, ops[i].name);

        /* ordered, and the rows of one operator follow each other without a gap or an overlap */
        g_assert_cmpint(order, <=, 0);
        if (order == 0)
            g_assert_cmpint(ops[i - 1].until + 1, ==, ops[i].since);
        else
            g_assert_cmpint(ops[i - 1].until, ==, 0);
    }
    g_assert_null(onnx_op_find("relu", 13, NULL));
    g_assert_cmpint(onnx_op_find("Clip", 10, NULL)->until, ==, 10);
    g_assert_cmpint(onnx_op_find("Clip", 11, NULL)->since, ==, 11);
}

static void test_long_message(void)
{
    g_autofree gchar *name = g_strnfill(100000, 'h'), *input = g_strconcat("x:f32:1x3x", name, "x8", NULL);
    const OnnxText text = {13, input, NULL, "Relu x -> y", "y"};
    g_autoptr(GBytes) file = onnx_write_bytes(&text);
    g_autoptr(GError) error = NULL;

    g_assert_null(gpudl_onnx_import(file, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_true(g_str_has_prefix(error->message, "dimension 2 ('hhh"));
    g_assert_true(g_str_has_suffix(error->message, "hhh..."));
    g_assert_cmpuint(strlen(error->message), ==, ONNX_MESSAGE_BYTES + 3);
}

static void test_info(void)
{
    const OnnxText text = {13, "x:f32:2", NULL, "Relu x -> y", "y"};
    GByteArray *model = onnx_write(&text), *entry = g_byte_array_new();
    g_autoptr(GBytes) file = NULL;
    g_autoptr(GpudlGraph) graph = NULL;
    g_auto(GpudlSourceInfo) info = {0};

    pb_string(model, 3, "1.2");
    pb_string(entry, 1, "author");
    pb_string(entry, 2, "somebody");
    pb_message(model, 14, entry);
    file = g_byte_array_free_to_bytes(model);
    graph = gpudl_onnx_import(file, NULL, &info, NULL);
    g_assert_nonnull(graph);
    g_assert_cmpstr(info.producer, ==, "test 1.2");
    g_assert_cmpstr(info.graph_name, ==, "g");
    g_assert_null(info.doc);
    g_assert_cmpint(info.ir_version, ==, 8);
    g_assert_cmpint(info.opset, ==, 13);
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "author"), ==, "somebody");
    g_assert_cmpstr(info.external_content, ==, "");
    g_assert_false(info.size_chosen);
}

static void test_input_size(void)
{
    const OnnxText text = {13, "x:f32:Nx3xhxw", NULL, "Relu x -> y", "y"};
    const OnnxText last = {13, "x:f32:Nxhxwx3", NULL, "Relu x -> y", "y"};
    const OnnxText fixed = {13, "x:f32:1x3x8x8", NULL, "Relu x -> y", "y"};
    const GpudlSourceOptions options = {.input_height = 4, .input_width = 6}, wrong = {.input_width = 9999};
    g_autoptr(GBytes) file = onnx_write_bytes(&text), file_last = onnx_write_bytes(&last);
    g_autoptr(GBytes) file_fixed = onnx_write_bytes(&fixed);
    g_autoptr(GpudlGraph) graph = NULL, graph_last = NULL;
    g_autofree gchar *shape = NULL, *shape_last = NULL;
    g_auto(GpudlSourceInfo) info = {0};
    g_autoptr(GError) error = NULL;

    graph = gpudl_onnx_import(file, &options, &info, &error);
    g_assert_no_error(error);
    shape = gpudl_shape_to_string(&((GpudlTensor *)graph->outputs->pdata[0])->shape);
    g_assert_cmpstr(shape, ==, "1x3x4x6");
    g_assert_true(info.size_chosen);
    graph_last = gpudl_onnx_import(file_last, &options, NULL, &error);
    g_assert_no_error(error);
    shape_last = gpudl_shape_to_string(&((GpudlTensor *)graph_last->outputs->pdata[0])->shape);
    g_assert_cmpstr(shape_last, ==, "1x4x6x3");
    g_assert_null(gpudl_onnx_import(file_fixed, &options, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "fixed height of 8, it can't be 4"));
    g_clear_error(&error);
    g_assert_null(gpudl_onnx_import(file, &wrong, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
}

/* The same values in each of the fields that may hold them. */
static void test_typed_data(void)
{
    static const struct {
        gint type;
        guint field, wire; /* where the values lie */
        const gchar *expect;
    } rows[] = {{1, 4, 5, NULL},   {6, 5, 0, NULL},   {7, 7, 0, NULL},   {3, 5, 0, NULL}, {2, 5, 0, NULL},
                {11, 10, 1, NULL}, {12, 11, 0, NULL}, {13, 11, 0, NULL}, {10, 5, 0, NULL}};
    static const double values[] = {1, 2, 5};

    for (guint r = 0; r < G_N_ELEMENTS(rows); r++) {
        GByteArray *tensor = g_byte_array_new(), *graph = g_byte_array_new(), *output = g_byte_array_new();
        g_autoptr(GBytes) file = NULL;
        g_autoptr(GpudlGraph) imported = NULL;
        g_autoptr(GError) error = NULL;
        const GpudlTensor *constant;

        pb_int(tensor, 1, 3);
        pb_int(tensor, 2, rows[r].type);
        pb_string(tensor, 8, "w");
        for (guint i = 0; i < 3; i++) {
            guint16 half = 0;

            if (rows[r].type == 10)
                onnx_store_number(GPUDL_DTYPE_F16, &half, 0, values[i]);
            pb_tag(tensor, rows[r].field, rows[r].wire);
            if (rows[r].wire == 5) {
                const float single = (float)values[i];

                g_byte_array_append(tensor, (const guint8 *)&single, 4);
            } else if (rows[r].wire == 1) {
                g_byte_array_append(tensor, (const guint8 *)&values[i], 8);
            } else {
                pb_varint(tensor, rows[r].type == 10 ? half : (guint64)values[i]);
            }
        }
        pb_message(graph, 5, tensor);
        pb_string(output, 1, "w");
        pb_message(graph, 12, output);
        file = g_byte_array_free_to_bytes(onnx_write_model(13, graph));
        imported = gpudl_onnx_import(file, NULL, NULL, &error);
        g_assert_no_error(error);
        constant = imported->outputs->pdata[0];
        g_assert_nonnull(constant->data);
        for (guint i = 0; i < 3; i++)
            g_assert_cmpfloat(onnx_number(constant->dtype, g_bytes_get_data(constant->data, NULL), i), ==, values[i]);
    }
}

/* Elements below a byte, packed, in each of the fields they may lie in; and with bytes too few and too many. */
static void test_packed_data(void)
{
    static const struct {
        gint type; /* ONNX's */
        gsize n, n_bytes;
        guint8 bytes[3]; /* what lies above the last element is no zero */
        double values[5];
    } rows[] = {
        {22, 5, 3, {0x8f, 0x70, 0xf1}, {-1, -8, 0, 7, 1}},
        {21, 5, 3, {0x8f, 0x70, 0xf1}, {15, 8, 0, 7, 1}},
        {23, 3, 2, {0xa7, 0xf1}, {6, -1, .5}},
        {25, 5, 2, {0xe4, 0xfe}, {0, 1, 2, 3, 2}},
        {26, 5, 2, {0xe4, 0xfe}, {0, 1, -2, -1, -2}},
        {17, 3, 3, {0x38, 0xc4, 0x7e}, {1, -3, 448}},
        {24, 3, 3, {0x7f, 0x80, 0x00}, {1, 2, 0x1p-127}},
    };

    for (guint r = 0; r < G_N_ELEMENTS(rows) * 6; r++) {
        const guint row = r / 6;
        const gboolean typed = r % 2 != 0;
        const gsize n_bytes = rows[row].n_bytes + r / 2 % 3 - 1;
        GByteArray *tensor = g_byte_array_new(), *graph = g_byte_array_new(), *output = g_byte_array_new();
        g_autoptr(GBytes) file = NULL;
        g_autoptr(GpudlGraph) imported = NULL;
        g_autoptr(GError) error = NULL;
        const guint8 bytes[4] = {rows[row].bytes[0], rows[row].bytes[1], rows[row].bytes[2]};
        const GpudlTensor *constant;

        pb_int(tensor, 1, (gint64)rows[row].n);
        pb_int(tensor, 2, rows[row].type);
        pb_string(tensor, 8, "w");
        for (guint i = 0; typed && i < n_bytes; i++)
            pb_int(tensor, 5, bytes[i]);
        if (!typed)
            pb_data(tensor, 9, bytes, n_bytes);
        pb_message(graph, 5, tensor);
        pb_string(output, 1, "w");
        pb_message(graph, 12, output);
        file = g_byte_array_free_to_bytes(onnx_write_model(25, graph));
        imported = gpudl_onnx_import(file, NULL, NULL, &error);
        if (n_bytes != rows[row].n_bytes) {
            g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
            g_assert_nonnull(strstr(error->message, "the shape says"));
            continue;
        }
        g_assert_no_error(error);
        constant = imported->outputs->pdata[0];
        g_assert_cmpuint(g_bytes_get_size(constant->data), ==, rows[row].n);
        for (guint i = 0; i < rows[row].n; i++)
            g_assert_cmpfloat(onnx_number(constant->dtype, g_bytes_get_data(constant->data, NULL), i), ==,
                              rows[row].values[i]);
    }
}

static void test_store_narrow(void)
{
    static const struct {
        GpudlDType dtype;
        double value, expected;
    } rows[] = {
        {GPUDL_DTYPE_I4, -9, -8},         {GPUDL_DTYPE_I4, 6.6, 7},     {GPUDL_DTYPE_U4, 99, 15},
        {GPUDL_DTYPE_I2, 2, 1},           {GPUDL_DTYPE_U2, -1, 0},      {GPUDL_DTYPE_F8E4M3FN, 1e9, 448},
        {GPUDL_DTYPE_F8E5M2FNUZ, -3, -3}, {GPUDL_DTYPE_F4E2M1, 2.6, 3}, {GPUDL_DTYPE_F8E8M0, 3, 4},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint8 codes[3] = {0xaa, 0xaa, 0xaa};

        onnx_store_number(rows[i].dtype, codes, 1, rows[i].value);
        g_assert_cmpfloat(onnx_number(rows[i].dtype, codes, 1), ==, rows[i].expected);
        g_assert_cmphex(codes[0], ==, 0xaa);
        g_assert_cmphex(codes[2], ==, 0xaa);
    }
}

/* ---- external data ----------------------------------------------------------------------------------------------- */

static gboolean import_external(const gchar *directory, const gchar *location, const gchar *offset, const gchar *length,
                                gchar **digest, GError **error)
{
    const GpudlSourceOptions options = {.directory = directory};
    const gchar *const entries[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    GByteArray *tensor = g_byte_array_new(), *graph = g_byte_array_new(), *output = g_byte_array_new();
    g_autoptr(GBytes) file = NULL;
    g_autoptr(GpudlGraph) imported = NULL;
    g_auto(GpudlSourceInfo) info = {0};

    pb_int(tensor, 1, 2);
    pb_int(tensor, 2, 1);
    pb_string(tensor, 8, "w");
    pb_int(tensor, 14, 1);
    for (guint i = 0; i < G_N_ELEMENTS(entries); i++) {
        GByteArray *entry = g_byte_array_new();

        if (entries[i][1] != NULL) {
            pb_string(entry, 1, entries[i][0]);
            pb_string(entry, 2, entries[i][1]);
        }
        pb_message(tensor, 13, entry);
    }
    pb_message(graph, 5, tensor);
    pb_string(output, 1, "w");
    pb_message(graph, 12, output);
    file = g_byte_array_free_to_bytes(onnx_write_model(13, graph));
    imported = gpudl_onnx_import(file, &options, &info, error);
    if (imported != NULL) {
        const GpudlTensor *constant = imported->outputs->pdata[0];

        g_assert_cmpfloat(onnx_number(GPUDL_DTYPE_F32, g_bytes_get_data(constant->data, NULL), 1), ==, 2.5);
        *digest = g_strdup(info.external_content);
    }
    return imported != NULL;
}

static void test_external(void)
{
    static const float values[] = {7, 1.5f, 2.5f};
    static const struct {
        const gchar *location, *offset, *length, *says;
        GpudlError code;
    } rows[] = {
        {"w.bin", "4", "7", "7 bytes, the shape says 8", GPUDL_ERROR_FORMAT},
        {"w.bin", "8", "8", "8 bytes at offset 8 of a file of 12", GPUDL_ERROR_FORMAT},
        {"w.bin", "18446744073709551608", NULL, "offset is '18446744073709551608'", GPUDL_ERROR_FORMAT},
        {"w.bin", "9223372036854775807", NULL, "of a file of 12", GPUDL_ERROR_FORMAT},
        {"w.bin", "four", NULL, "offset is 'four', expected a number", GPUDL_ERROR_FORMAT},
        {"none.bin", NULL, NULL, "external data 'none.bin'", GPUDL_ERROR_NOT_FOUND},
        {"../w.bin", NULL, NULL, "must be relative and stay", GPUDL_ERROR_FORMAT},
        {"sub/../../w.bin", NULL, NULL, "must be relative and stay", GPUDL_ERROR_FORMAT},
        {"/etc/hostname", NULL, NULL, "must be relative and stay", GPUDL_ERROR_FORMAT},
        {"..\\w.bin", NULL, NULL, "must be relative and stay", GPUDL_ERROR_FORMAT},
        {"link.bin", NULL, NULL, "leads out of the model's directory", GPUDL_ERROR_FORMAT},
        {"sub", NULL, NULL, "is no regular file", GPUDL_ERROR_OPEN_READ},
        {NULL, NULL, NULL, "without a location", GPUDL_ERROR_FORMAT},
    };
    g_autofree gchar *top = g_dir_make_tmp("gpudl-external-XXXXXX", NULL);
    g_autofree gchar *directory = g_build_filename(top, "model", NULL), *sub = g_build_filename(directory, "sub", NULL);
    g_autofree gchar *path = g_build_filename(directory, "w.bin", NULL),
                     *link = g_build_filename(directory, "link.bin", NULL);
    g_autofree gchar *outside = g_build_filename(top, "w.bin", NULL), *digest = NULL;
    g_autoptr(GFile) link_file = g_file_new_for_path(link);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(g_mkdir_with_parents(sub, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, (const gchar *)values, sizeof values, NULL));
    g_assert_true(g_file_set_contents(outside, (const gchar *)values, sizeof values, NULL));
    g_assert_true(g_file_make_symbolic_link(link_file, "../w.bin", NULL, NULL));
    g_assert_true(import_external(directory, "w.bin", "4", "8", &digest, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(strlen(digest), ==, 32);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_false(import_external(directory, rows[i].location, rows[i].offset, rows[i].length, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, (gint)rows[i].code);
        if (strstr(error->message, rows[i].says) == NULL)
            g_error("'%s' does not say '%s'", error->message, rows[i].says);
        g_clear_error(&error);
    }
    g_assert_false(import_external(NULL, "w.bin", "4", "8", NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_unlink(link);
    g_unlink(path);
    g_unlink(outside);
    g_rmdir(sub);
    g_rmdir(directory);
    g_rmdir(top);
}

/* ---- hostile ----------------------------------------------------------------------------------------------------- */

static const OnnxText hostile = {
    13, "x:f32:1x3x4x4", "w:f32:2x3x3x3=0.5 s:i64:2=1,-1",
    "Conv x w -> c {pads=1,1,1,1}; Relu c -> r; Shape r -> h; Reshape r s -> f; Softmax f -> y {axis=1}", "y"};

/* Cut anywhere, or with any bit flipped, a model is an error or a model: never a crash (valgrind, sanitizers). */
static void test_truncation(void)
{
    g_autoptr(GByteArray) model = onnx_write(&hostile);

    for (guint n = 0; n < model->len; n++) {
        g_autoptr(GBytes) file = g_bytes_new(model->data, n);
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlGraph) graph = gpudl_onnx_import(file, NULL, NULL, &error);

        /* cut in or before the graph; the opsets stand behind it and the model's name in front */
        g_assert_null(graph);
        g_assert_nonnull(error);
    }
}

static void test_flips(void)
{
    g_autoptr(GByteArray) model = onnx_write(&hostile);
    const guint step = g_test_slow() ? 1 : 3;

    for (guint bit = 0; bit < model->len * 8; bit += step) {
        g_autofree guint8 *copy = g_memdup2(model->data, model->len);
        g_autoptr(GBytes) file = NULL;
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlGraph) graph = NULL;

        copy[bit / 8] ^= (guint8)(1u << (bit % 8));
        file = g_bytes_new_take(g_steal_pointer(&copy), model->len);
        graph = gpudl_onnx_import(file, NULL, NULL, &error);
        g_assert_true((graph == NULL) == (error != NULL));
    }
}

/* Every model above with a few bytes changed: what imports has to run, too, as far as it is small. */
static void test_mutations(void)
{
    const guint rounds = g_test_slow() ? 3000 : 30;

    for (guint i = 0; i < G_N_ELEMENTS(good) * rounds; i++) {
        GByteArray *model = onnx_write(&good[i / rounds].text);
        g_autoptr(GBytes) file = NULL;
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlGraph) graph = NULL;

        for (gint k = g_test_rand_int_range(1, 4); k > 0; k--)
            model->data[g_test_rand_int_range(0, (gint)model->len)] = (guint8)g_test_rand_int_range(0, 256);
        file = g_byte_array_free_to_bytes(model);
        graph = gpudl_onnx_import(file, NULL, NULL, &error);
        g_assert_true((graph == NULL) == (error != NULL));
        if (graph != NULL && graph->inputs->len == 1 &&
            gpudl_shape_elements(&((GpudlTensor *)graph->inputs->pdata[0])->shape) < 4096 &&
            gpudl_shape_elements(&((GpudlTensor *)graph->outputs->pdata[0])->shape) < 4096) {
            g_autoptr(GBytes) input = onnx_counting(graph->inputs->pdata[0]);
            g_autoptr(GPtrArray) outputs = gpudl_ref_run(graph, &input, NULL, &error);

            g_assert_true((outputs == NULL) == (error != NULL));
        }
    }
}

/* A chain of shape arithmetic as long as a graph may be: computed without recursion. */
static void test_long_chain(void)
{
    g_autoptr(GString) nodes = g_string_new("Identity s -> n0");
    OnnxText text = {13, "x:f32:1x6", "s:i64:2=2,3", NULL, "y"};
    g_autoptr(GBytes) file = NULL;
    g_autoptr(GpudlGraph) graph = NULL;
    g_autoptr(GError) error = NULL;

    for (guint i = 1; i < 20000; i++)
        g_string_append_printf(nodes, ";Identity n%u -> n%u", i - 1, i);
    g_string_append(nodes, ";Reshape x n19999 -> y");
    text.nodes = nodes->str;
    file = onnx_write_bytes(&text);
    graph = gpudl_onnx_import(file, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(graph->nodes->len, ==, 1);
}

static void test_too_many_nodes(void)
{
    GByteArray *graph = g_byte_array_new(), *output = g_byte_array_new();
    g_autoptr(GBytes) file = NULL;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i <= GPUDL_LIMIT_NODES; i++)
        pb_message(graph, 1, onnx_write_node("Relu x -> y"));
    pb_string(output, 1, "y");
    pb_message(graph, 12, output);
    file = g_byte_array_free_to_bytes(onnx_write_model(13, graph));
    g_assert_null(gpudl_onnx_import(file, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
}

static void test_sniff(void)
{
    g_autoptr(GByteArray) model = onnx_write(&hostile);
    static const struct {
        const gchar *data;
        gsize size;
    } others[] = {{"", 0},
                  {"BzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzB", 38},
                  {"PK\3\4\x14\0\0\0\0\0", 10},
                  {"name: \"net\"\nlayer {\n", 20},
                  {"\x0a\x05lenet\x12\x03"
                   "abc",
                   12},
                  {"\x08\x00", 2},
                  {"\x18\0\0\0TFL3", 8}};

    g_assert_true(gpudl_onnx_sniff(model->data, model->len));
    /* cut, but what is there says what it was */
    g_assert_true(gpudl_onnx_sniff(model->data, model->len / 2));
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        g_assert_false(gpudl_onnx_sniff((const guint8 *)others[i].data, others[i].size));
}

static void test_functions(void)
{
    const OnnxText text = {13, "x:f32:2", NULL, "Twice.local x -> y", "y"};
    GByteArray *model = onnx_write(&text), *function = g_byte_array_new();
    g_autoptr(GBytes) file = NULL;
    g_autoptr(GError) error = NULL;

    pb_string(function, 1, "Twice");
    pb_string(function, 10, "local");
    pb_message(model, 25, function);
    file = g_byte_array_free_to_bytes(model);
    g_assert_null(gpudl_onnx_import(file, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, "functions of the file are not taken"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    onnx_cases_add("/onnx", good, G_N_ELEMENTS(good), bad, G_N_ELEMENTS(bad));
    g_test_add_func("/onnx/table", test_table);
    g_test_add_func("/onnx/info", test_info);
    g_test_add_func("/onnx/long-message", test_long_message);
    g_test_add_func("/onnx/input-size", test_input_size);
    g_test_add_func("/onnx/typed-data", test_typed_data);
    g_test_add_func("/onnx/packed-data", test_packed_data);
    g_test_add_func("/onnx/store-narrow", test_store_narrow);
    g_test_add_func("/onnx/external", test_external);
    g_test_add_func("/onnx/truncation", test_truncation);
    g_test_add_func("/onnx/flips", test_flips);
    g_test_add_func("/onnx/mutations", test_mutations);
    g_test_add_func("/onnx/long-chain", test_long_chain);
    g_test_add_func("/onnx/too-many-nodes", test_too_many_nodes);
    g_test_add_func("/onnx/sniff", test_sniff);
    g_test_add_func("/onnx/functions", test_functions);
    return g_test_run();
}
