/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operators that are lowered to others, folded, or taken in some forms alone: what becomes of them, beyond what the
 * node suite has cases of. Inputs are 0, 1, 2, ...; expected values are worked by hand.
 */
#include <string.h>

#include "engine/passes/passes.h"
#include "models/onnx/onnx.h"
#include "tests/models/onnx-cases.h"

/* x is written to where rows a and columns b meet */
#define BOX                                                                                                            \
    "Expand a s -> ea; Expand b s -> eb; Unsqueeze ea m -> ua; Unsqueeze eb m -> ub; Concat ua ub -> i {axis=-1}; "    \
    "ScatterND x i u -> y"

static const OnnxGood good[] = {
    /* weights standardised by a batch norm in training mode: mean 2, variance 1; the channels' gains are 2 and 3 */
    {"weights-standardised",
     {17, "x:f32:1x1x1x2", "w:f32:1x2x2=1,3,3,1 g:f32:2=2,3 b:f32:2=0 s:i64:4=2,1,1,2",
      "BatchNormalization w g b b b -> n m v {training_mode=1 epsilon=0.0}; Reshape n s -> k; Conv x k -> y", "y"},
     "1x2x1x1",
     "2 -3"},
    {"weights-standardised-13", /* before opset 14 five outputs say it */
     {13, "x:f32:1x1x1x2", "w:f32:1x2x2=1,3,3,1 g:f32:2=2,3 b:f32:2=0 s:i64:4=2,1,1,2",
      "BatchNormalization w g b b b -> n m v sm sv {epsilon=0.0}; Reshape n s -> k; Conv x k -> y", "y"},
     "1x2x1x1",
     "2 -3"},
    {"running-mean",
     {15, "x:f32:1", "w:f32:1x1x2=1,3 g:f32:1=1 m:f32:1=4",
      "BatchNormalization w g g m g -> n r v {training_mode=1 momentum=0.75}; Add x r -> y", "y"},
     "1",
     "3.5"},
    {"running-variance",
     {15, "x:f32:1", "w:f32:1x1x2=1,5 g:f32:1=1 m:f32:1=8",
      "BatchNormalization w g g m m -> n r v {training_mode=1 momentum=0.75}; Add x v -> y", "y"},
     "1",
     "7"},

    /* the forms of Resize that the node suite has no cases of any more */
    {"upsample-9", {9, "x:f32:1x1x1x2", "s:f32:4=1,1,1,2", "Upsample x s -> y", "y"}, "1x1x1x4", "0 0 1 1"},
    {"upsample-linear",
     {9, "x:f32:1x1x1x2", "s:f32:4=1,1,1,2", "Upsample x s -> y {mode=linear}", "y"},
     "1x1x1x4",
     "0 .5 1 1"},
    {"upsample-bilinear",
     {9, "x:f32:1x1x1x2", "s:f32:4=1,1,1,2", "Upsample x s -> y {mode=bilinear}", "y"},
     "1x1x1x4",
     "0 .5 1 1"},
    {"resize-10", {10, "x:f32:1x1x1x2", "s:f32:4=1,1,1,2", "Resize x s -> y", "y"}, "1x1x1x4", "0 0 1 1"},
    {"resize-10-smaller", {10, "x:f32:1x1x1x4", "s:f32:4=1,1,1,.6", "Resize x s -> y", "y"}, "1x1x1x2", "0 2"},
    {"resize-sizes-by-shape", /* as ghostnetv2 says them */
     {17, "x:f32:1x1x1x2", "i:i64:1=0 j:i64:1=2 o:i64:1=4 t:i64:2=1,4",
      "Shape x -> s; Slice s i j -> b; Concat b t -> n {axis=0}; "
      "Resize x - - n -> y {coordinate_transformation_mode=asymmetric mode=nearest nearest_mode=floor}",
      "y"},
     "1x1x1x4",
     "0 0 1 1"},
    {"resize-bytes", {13, "x:u8:1x1x1x2", "s:f32:4=1,1,1,2", "Resize x - s -> y", "y"}, "1x1x1x4", "0 0 1 1"},
    {"resize-bytes-linear",
     {13, "x:u8:1x1x1x3", "s:f32:4=1,1,1,2", "Resize x - s -> y {mode=linear}", "y"},
     "1x1x1x6",
     "0 0 0 1 1 2"},
    {"resize-axes",
     {18, "x:f32:1x2x1x1", "s:f32:1=2", "Resize x - s -> y {axes=-1, mode=linear}", "y"},
     "1x2x1x2",
     "0 0 1 1"},

    /* quantised */
    {"dequantize", {13, "x:u8:3", "s:f32:=0.5 z:u8:=1", "DequantizeLinear x s z -> y", "y"}, "3", "-.5 0 .5"},
    {"dequantize-channels",
     {13, "x:i8:1x2x1", "s:f32:2=1,3 z:i8:2=0,-1", "DequantizeLinear x s z -> y", "y"},
     "1x2x1",
     "0 6"},
    {"quantize", {13, "x:f32:4", "s:f32:=2 z:u8:=1", "QuantizeLinear x s z -> y", "y"}, "4", "1 1 2 3"},
    {"quantize-int32", {13, "x:i32:4", "s:f32:=2", "QuantizeLinear x s -> y", "y"}, "4", "0 0 1 2"},
    {"not-rounded-between", /* there and back with one scale */
     {13, "x:f32:3", "s:f32:=2 z:u8:=7", "QuantizeLinear x s z -> q; DequantizeLinear q s z -> y", "y"},
     "3",
     "0 1 2"},
    {"relu-of-a-zero-point",
     {13, "x:f32:3", "s:f32:=0.005 z:u8:=0 one:f32:=1",
      "Sub x one -> d; QuantizeLinear d s z -> q; DequantizeLinear q s z -> y", "y"},
     "3",
     "0 0 1"},
    {"relu6-of-a-zero-point",
     {13, "x:f32:3", "s:f32:=0.005 z:i8:=-128", "QuantizeLinear x s z -> q; DequantizeLinear q s z -> y", "y"},
     "3",
     "0 1 1.275"},
    {"rounded-by-another-scale",
     {13, "x:f32:3", "s:f32:=2 t:f32:=1 z:u8:=0", "QuantizeLinear x s z -> q; DequantizeLinear q t z -> y", "y"},
     "3",
     "0 0 1"},
    {"weights-rounded",
     {13, "x:f32:1", "w:f32:1=0.6 s:f32:=1", "QuantizeLinear w s -> q; DequantizeLinear q s -> v; Add x v -> y", "y"},
     "1",
     "1"},
    {"moved-while-quantised",
     {13, "x:f32:1x2", "s:f32:=2 z:u8:=7 n:i64:1=-1",
      "QuantizeLinear x s z -> q; Reshape q n -> r; DequantizeLinear r s z -> y", "y"},
     "2",
     "0 1"},
    {"qlinear-conv",
     {13, "x:u8:1x1x2", "s:f32:=2 z:u8:=1 w:i8:2x1x1=3,5 ws:f32:2=.5,1 wz:i8:2=1,1 t:f32:=1 tz:u8:=9 b:i32:2=1,-1",
      "QLinearConv x s z w ws wz t tz b -> y", "y"},
     "1x2x2",
     "8 10 0 7"},
    {"qlinear-add",
     {13, "x:u8:2", "s:f32:=2 c:u8:2=4,6 d:f32:=.5 z:u8:=0 t:f32:=1", "QLinearAdd.com.microsoft x s z c d z t z -> y",
      "y"},
     "2",
     "2 5"},
    {"qlinear-mul",
     {13, "x:u8:2", "s:f32:=2 c:u8:2=4,6 d:f32:=.5 z:u8:=0 t:f32:=1", "QLinearMul.com.microsoft x s z c d z t z -> y",
      "y"},
     "2",
     "0 6"},
    {"qlinear-global-average",
     {13, "x:u8:1x1x3x1", "s:f32:=2 z:u8:=0 t:f32:=1", "QLinearGlobalAveragePool.com.microsoft x s z t z -> y", "y"},
     "1x1x1x1",
     "2"},
    {"qlinear-average",
     {13, "x:u8:1x1x3", "s:f32:=2 z:u8:=0 t:f32:=1",
      "QLinearAveragePool.com.microsoft x s z t z -> y {kernel_shape=2,}", "y"},
     "1x1x2",
     "1 3"},
    {"qlinear-global-average-last",
     {13, "x:u8:1x3x1x2", "s:f32:=2 z:u8:=0 t:f32:=1",
      "QLinearGlobalAveragePool.com.microsoft x s z t z -> y {channels_last=1}", "y"},
     "1x1x1x2",
     "4 6"},
    {"qlinear-average-last",
     {13, "x:u8:1x3x2x2", "s:f32:=2 z:u8:=0 t:f32:=1",
      "QLinearAveragePool.com.microsoft x s z t z -> y {kernel_shape=2,1 channels_last=1}", "y"},
     "1x2x2x2",
     "4 6 8 10 12 14 16 18"},
    {"qlinear-average-last-of-lines",
     {13, "x:u8:1x3x2", "s:f32:=2 z:u8:=0 t:f32:=1",
      "QLinearAveragePool.com.microsoft x s z t z -> y {kernel_shape=2, channels_last=1}", "y"},
     "1x2x2",
     "2 4 6 8"},
    {"qlinear-leaky",
     {13, "x:u8:2", "s:f32:=2 z:u8:=1 t:f32:=1 u:u8:=9", "QLinearLeakyRelu.com.microsoft x s z t u -> y {alpha=0.5}",
      "y"},
     "2",
     "8 9"},
    {"qlinear-sigmoid",
     {13, "x:u8:2", "s:f32:=2 z:u8:=0 t:f32:=.1", "QLinearSigmoid.com.microsoft x s z t z -> y", "y"},
     "2",
     "5 9"},
    {"qlinear-softmax",
     {13, "x:u8:1x2", "s:f32:=0.5 z:u8:=0 t:f32:=.1", "QLinearSoftmax.com.microsoft x s z t z -> y {axis=-1 opset=13}",
      "y"},
     "1x2",
     "4 6"},
    {"qlinear-concat",
     {13, "x:u8:1x2", "s:f32:=2 z:u8:=0 t:f32:=1 c:u8:1x1=3",
      "QLinearConcat.com.microsoft t z x s z c t z -> y {axis=1}", "y"},
     "1x3",
     "0 2 3"},
    {"qgemm",
     {13, "x:u8:1x2", "s:f32:=2 z:u8:=0 w:i8:1x2=1,3 v:f32:=.5 o:i8:=1 b:i32:1=4",
      "QGemm.com.microsoft x s z w v o b -> y {transB=1}", "y"},
     "1x1",
     "6"},
    {"fused-conv",
     {13, "x:f32:1x1x3", "w:f32:1x1x1=2 b:f32:1=-3 r:f32:1x1x3=0,0,4",
      "FusedConv.com.microsoft x w b r -> y {activation=Relu}", "y"},
     "1x1x3",
     "0 0 5"},
    {"fused-conv-tanh",
     {13, "x:f32:1x1x2", "w:f32:1x1x1=2", "FusedConv.com.microsoft x w -> y {activation=Tanh}", "y"},
     "1x1x2",
     "0 .96402758"},

    /* what is computed at once */
    {"sine", {13, "x:f32:2", "w:f32:2=0,1.5707963", "Sin w -> s; Add x s -> y", "y"}, "2", "0 2"},
    {"cosine", {13, "x:f32:2", "w:f32:2=0,3.1415927", "Cos w -> s; Add x s -> y", "y"}, "2", "1 0"},
    {"cumulated", {13, "x:f32:3", "w:f32:3=1,2,3 a:i64:=0", "CumSum w a -> s; Add x s -> y", "y"}, "3", "1 4 8"},
    {"cumulated-after",
     {13, "x:f32:2x2", "w:i64:2x2=1,2,3,4 a:i64:=-2",
      "CumSum w a -> s {exclusive=1 reverse=1}; Cast s -> f {to=1}; Add x f -> y", "y"},
     "2x2",
     "3 5 2 3"},
    {"eye", {13, "x:f32:2x2", NULL, "EyeLike x -> e {k=1}; Add x e -> y", "y"}, "2x2", "0 2 2 3"},
    {"trilu", {14, "x:f32:2x2", "k:i64:=0", "Trilu x k -> y {upper=0}", "y"}, "2x2", "0 0 2 3"},
    {"sequence",
     {13, "x:f32:1x5", "s:i64:=2 i:i64:=-2", "SplitToSequence x s -> q {axis=1}; SequenceAt q i -> y", "y"},
     "1x2",
     "2 3"},
    {"sequence-sizes",
     {13, "x:f32:1x5", "s:i64:2=4,1 i:i64:=0 j:i64:=1",
      "SplitToSequence x s -> q {axis=1}; SequenceAt q i -> a; SequenceAt q j -> b; Add a b -> y", "y"},
     "1x4",
     "4 5 6 7"},
    {"sequence-of-one", /* of pieces that are longer than all there is */
     {13, "x:f32:1x5", "s:i64:=9223372036854775807 i:i64:=0", "SplitToSequence x s -> q {axis=1}; SequenceAt q i -> y",
      "y"},
     "1x5",
     "0 1 2 3 4"},
    {"sequence-of-rows",
     {13, "x:f32:2x3", "i:i64:=1", "SplitToSequence x -> q {keepdims=0}; SequenceAt q i -> y", "y"},
     "3",
     "3 4 5"},
    {"gathered-whole",
     {13, "x:f32:2x2", "m:i64:1=-1 i:i64:2x1x2=0,1,2,3", "Reshape x m -> r; Gather r i -> y", "y"},
     "2x1x2",
     "0 1 2 3"},
    {"gathered-in-another-order",
     {13, "x:f32:2x2", "m:i64:1=-1 i:i64:2x2=0,2,1,3", "Reshape x m -> r; Gather r i -> y", "y"},
     "2x2",
     "0 2 1 3"},

    /* by tuples of indices */
    {"gathered-elements", {13, "x:f32:2x3", "i:i64:2x2=1,2,-2,0", "GatherND x i -> y", "y"}, "2", "5 0"},
    {"gathered-rows", {13, "x:f32:3x2", "i:i64:2x1=2,0", "GatherND x i -> y", "y"}, "2x2", "4 5 0 1"},
    {"gathered-in-batches",
     {13, "x:f32:2x2x2", "i:i64:2x1=1,0", "GatherND x i -> y {batch_dims=1}", "y"},
     "2x2",
     "2 3 4 5"},
    {"gathered-table",
     {13, "x:f32:2", "w:f32:2x2=5,6,7,8 i:i64:2x2=0,1,1,0", "GatherND w i -> g; Add x g -> y", "y"},
     "2",
     "6 8"},
    {"scattered-elements",
     {13, "x:f32:2x3", "i:i64:3x2=1,2,0,-3,1,2 u:f32:3=10,20,30", "ScatterND x i u -> y", "y"},
     "2x3",
     "20 1 2 3 4 30"},
    {"scattered-rows",
     {13, "x:f32:3x2", "i:i64:1x1=1 u:f32:1x2=8,9", "ScatterND x i u -> y", "y"},
     "3x2",
     "0 1 8 9 4 5"},
    {"scattered-sums",
     {16, "x:f32:3", "i:i64:4x1=1,2,1,1 u:f32:4=10,20,30,40", "ScatterND x i u -> y {reduction=add}", "y"},
     "3",
     "0 81 22"},
    {"scattered-maxima",
     {18, "x:f32:3", "i:i64:2x1=1,2 u:f32:2=-5,7", "ScatterND x i u -> y {reduction=max}", "y"},
     "3",
     "0 1 7"},
    {"scattered-box",
     {13, "x:f32:3x4", "a:i64:2x1=0,1 b:i64:2=1,2 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2=10,20,30,40", BOX, "y"},
     "3x4",
     "0 10 20 3 4 30 40 7 8 9 10 11"},
    {"scattered-box-at-the-end",
     {13, "x:f32:3x4", "a:i64:2x1=-2,-1 b:i64:2=2,3 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2=10,20,30,40", BOX, "y"},
     "3x4",
     "0 1 2 3 4 5 10 20 8 9 30 40"},
    {"scattered-box-of-rows",
     {13, "x:f32:3x2x2", "a:i64:2x1=1,2 b:i64:2=0,1 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2x2=10,20,30,40,50,60,70,80", BOX,
      "y"},
     "3x2x2",
     "0 1 2 3 10 20 30 40 50 60 70 80"},
    {"scattered-box-whole",
     {13, "x:f32:2x2", "a:i64:2x1=0,1 b:i64:2=0,1 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2=10,20,30,40", BOX, "y"},
     "2x2",
     "10 20 30 40"},
    {"scattered-box-backwards",
     /* no box */ {13, "x:f32:3x4", "a:i64:2x1=0,1 b:i64:2=2,1 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2=10,20,30,40", BOX, "y"},
     "3x4", "0 20 10 3 4 40 30 7 8 9 10 11"},
    {"scattered-box-apart",
     /* no box */ {13, "x:f32:3x4", "a:i64:2x1=0,2 b:i64:2=0,1 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2=10,20,30,40", BOX, "y"},
     "3x4", "10 20 2 3 4 5 6 7 30 40 10 11"},
    {"scattered-box-twice", /* no box: one row, twice */
     {13, "x:f32:3x4", "a:i64:1=1 b:i64:2=1,2 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2=10,20,30,40", BOX, "y"},
     "3x4",
     "0 1 2 3 4 30 40 7 8 9 10 11"},
    {"scattered-box-turned", /* no box: columns lie in rows */
     {13, "x:f32:4x4", "a:i64:2=0,1 b:i64:2x1=1,2 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2=10,20,30,40", BOX, "y"},
     "4x4",
     "0 10 30 3 4 20 40 7 8 9 10 11 12 13 14 15"},
    {"scattered-box-of-one",
     {13, "x:f32:3x4", "a:i64:1=1 b:i64:1=2 s:i64:2=1,1 m:i64:1=-1 u:f32:1x1=10", BOX, "y"},
     "3x4",
     "0 1 2 3 4 5 10 7 8 9 10 11"},
    {"scattered-box-no-list", /* no box */
     {13, "x:f32:3x4", "a:i64:2x2=0,1,1,2 b:i64:2=1,2 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2=10,20,30,40", BOX, "y"},
     "3x4",
     "0 10 2 3 4 30 20 7 8 9 40 11"},
    {"scattered-box-diagonal", /* no box: all in a row go to one column */
     {13, "x:f32:3x4", "a:i64:2x1=0,1 b:i64:2x1=1,2 s:i64:2=2,2 m:i64:1=-1 u:f32:2x2=10,20,30,40", BOX, "y"},
     "3x4",
     "0 20 2 3 4 5 40 7 8 9 10 11"},
    {"scattered-box-in-another-shape", /* no box: what is repeated becomes other rows */
     {13, "x:f32:4x3x3",
      "a:i64:4x1x1=0,1,2,3 b:i64:1x3x1=0,1,2 c:i64:3=0,1,2 s:i64:3=4,3,3 t:i64:3=2,3,6 m:i64:1=-1 "
      "u:f32:4x3x3=100,101,102,200,201,202,300,301,302,400,401,402,500,501,502,600,601,602,700,701,702,800,801,802,900,"
      "901,902,1000,1001,1002,1100,1101,1102,1200,1201,1202",
      "Expand a s -> ea; Expand b t -> eb; Reshape eb s -> rb; Expand c s -> ec; Unsqueeze ea m -> ua; "
      "Unsqueeze rb m -> ub; Unsqueeze ec m -> uc; Concat ua ub uc -> i {axis=-1}; ScatterND x i u -> y",
      "y"},
     "4x3x3",
     "200 201 202 300 301 302 6 7 8 9 10 11 400 401 402 600 601 602 800 801 802 900 901 902 24 25 26 27 28 29 1000 "
     "1001 1002 1200 1201 1202"},
    {"scattered-box-large", /* a table of 24 MB */
     {13, "x:f32:1x1000x1000",
      "o:i64:1x1x1=0 s:i64:3=1,1000,1000 m:i64:1=-1 f:i64:=-1000 n:i64:=1000 z:i64:=0 d:i64:=1 c:i64:2=1000,1 t:f32:=2",
      "Range z n d -> l; Range f z d -> k; Reshape k c -> lc; Expand o s -> e0; Expand lc s -> e1; Expand l s -> e2; "
      "Unsqueeze e0 m -> u0; Unsqueeze e1 m -> u1; Unsqueeze e2 m -> u2; Concat u0 u1 u2 -> i {axis=-1}; "
      "Mul x t -> u; ScatterND x i u -> v; ReduceMax v -> y {keepdims=0}",
      "y"},
     "scalar",
     "1999998"},

    /* blocks put at their places: of 2x2, side by side; of 1x2, which overlap, in a row with a border */
    {"columns-side-by-side",
     {18, "x:f32:1x4x2", "p:i64:2=2,4 b:i64:2=2,2", "Col2Im x p b -> y {strides=2,2}", "y"},
     "1x1x2x4",
     "0 2 1 3 4 6 5 7"},
    {"columns-that-overlap",
     {18, "x:f32:1x2x4", "p:i64:2=1,3 b:i64:2=1,2", "Col2Im x p b -> y {pads=0,1,0,1}", "y"},
     "1x1x1x3",
     "5 7 9"},

    /* transposed convolutions: 0, 1, 2 by 1, 10, 100 */
    {"transposed",
     {11, "x:f32:1x1x3", "w:f32:1x1x3=1,10,100", "ConvTranspose x w -> y", "y"},
     "1x1x5",
     "0 1 12 120 200"},
    {"transposed-bias",
     {11, "x:f32:1x1x3", "w:f32:1x2x1=1,10 b:f32:2=5,6", "ConvTranspose x w b -> y", "y"},
     "1x2x3",
     "5 6 7 6 16 26"},
    {"transposed-strided",
     {11, "x:f32:1x1x3", "w:f32:1x1x3=1,10,100", "ConvTranspose x w -> y {strides=2, pads=1,0 output_padding=1,}", "y"},
     "1x1x7",
     "0 1 10 102 20 200 0"},
    {"transposed-dilated",
     {11, "x:f32:1x1x2", "w:f32:1x1x2=1,10", "ConvTranspose x w -> y {dilations=2,}", "y"},
     "1x1x4",
     "0 1 0 10"},
    {"transposed-groups",
     {11, "x:f32:1x2x2", "w:f32:2x1x1=10,100", "ConvTranspose x w -> y {group=2}", "y"},
     "1x2x2",
     "0 10 200 300"},
    {"transposed-same-upper",
     {11, "x:f32:1x1x2", "w:f32:1x1x3=1,10,100", "ConvTranspose x w -> y {auto_pad=SAME_UPPER strides=2,}", "y"},
     "1x1x4",
     "0 0 1 10"},
    {"transposed-same-lower",
     {11, "x:f32:1x1x2", "w:f32:1x1x3=1,10,100", "ConvTranspose x w -> y {auto_pad=SAME_LOWER strides=2,}", "y"},
     "1x1x4",
     "0 1 10 100"},
    {"transposed-output-shape",
     {11, "x:f32:1x1x2", "w:f32:1x1x2=1,10", "ConvTranspose x w -> y {output_shape=5,}", "y"},
     "1x1x5",
     "0 1 10 0 0"},
};

static const OnnxBad bad[] = {
    {"batch-statistics",
     {15, "x:f32:1x1x1", "s:f32:1=1", "BatchNormalization x s s s s -> y {training_mode=1}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'BatchNormalization_0' (BatchNormalization, opset 15): training mode, on values that depend on the "
     "network's "
     "input"},
    {"quantize-scales",
     {13, "x:f32:1x3", "s:f32:2=1", "QuantizeLinear x s -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "(QuantizeLinear, opset 13): 's' has shape 2, expected one number, or one for each of 3 along axis 1"},
    {"quantize-blocks",
     {21, "x:f32:1x5", "s:f32:1x2=1", "QuantizeLinear x s -> y {block_size=2}", "y"},
     GPUDL_ERROR_FORMAT,
     "2 blocks of 2 for 5 elements of axis 1"},
    {"quantize-scale-type",
     {13, "x:f32:3", "s:i32:=1", "QuantizeLinear x s -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "scale 's' is int32, expected a float type"},
    {"qlinear-channels-last",
     {13, "x:u8:1x3", "s:f32:=2 z:u8:=0", "QLinearGlobalAveragePool.com.microsoft x s z s z -> y {channels_last=1}",
      "y"},
     GPUDL_ERROR_FORMAT,
     "(com.microsoft.QLinearGlobalAveragePool, opset 13): channels_last = 1 of rank 2, expected at least 3"},
    {"fused-conv-activation",
     {13, "x:f32:1x1x3", "w:f32:1x1x1=2", "FusedConv.com.microsoft x w -> y {activation=Mish}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "activation 'Mish' is not known"},
    {"fused-conv-parameters",
     {13, "x:f32:1x1x3", "w:f32:1x1x1=2", "FusedConv.com.microsoft x w -> y {activation=Clip}", "y"},
     GPUDL_ERROR_FORMAT,
     "activation Clip needs 2 activation_params"},
    {"sine-of-the-input",
     {13, "x:f32:2", NULL, "Sin x -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'Sin_0' (Sin, opset 13): input 0 ('x') depends on the network's input values; this operator is taken on "
     "constants alone"},
    {"cumulated-input",
     {13, "x:f32:2", "a:i64:=0", "CumSum x a -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'CumSum_0' (CumSum, opset 13): input 0 ('x') depends"},
    {"gathered-beyond",
     {13, "x:f32:2x3", "i:i64:1x2=1,3", "GatherND x i -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "node 'GatherND_0' (GatherND, opset 13): index 3 of dimension 1, which has 3 elements"},
    {"gathered-by-numbers",
     {13, "x:f32:2x3", "i:f32:1x2=1", "GatherND x i -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "input 1 ('i') is float32, expected int64"},
    {"gathered-tuples",
     {13, "x:f32:2x3", "i:i64:1x3=0,0,0", "GatherND x i -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "tuples of 3 indices behind 0 batch dimensions into a tensor of rank 2"},
    {"gathered-batches",
     {13, "x:f32:2x3", "i:i64:3x1=0", "GatherND x i -> y {batch_dims=1}", "y"},
     GPUDL_ERROR_FORMAT,
     "batch dimension 0 is 2 of input 0 and 3 of the indices"},
    {"gathered-by-the-input",
     {13, "x:f32:1x1", "w:f32:2=1", "Cast x -> i {to=7}; GatherND w i -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "input 1 ('i'): the indices depend on the network's input values"},
    {"scattered-updates",
     {13, "x:f32:3x2", "i:i64:1x1=1 u:f32:2=8", "ScatterND x i u -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "updates of 2, expected 1x2"},
    {"scattered-how",
     {16, "x:f32:3", "i:i64:1x1=1 u:f32:1=8", "ScatterND x i u -> y {reduction=mean}", "y"},
     GPUDL_ERROR_FORMAT,
     "reduction 'mean', expected none, add, mul, max or min"},
    {"scattered-over-much",
     {13, "x:f32:100000000", "i:i64:1x1=1 u:f32:1=8", "ScatterND x i u -> y", "y"},
     GPUDL_ERROR_LIMIT,
     "node 'ScatterND_0' (ScatterND, opset 13): it would take 800000000 bytes at load time, at most 268435456 are"},
    {"scattered-often",
     {16, "x:f32:4000000", "i:i64:9x1=0 u:f32:9=8", "ScatterND x i u -> y {reduction=add}", "y"},
     GPUDL_ERROR_LIMIT,
     "at load time, at most 268435456 are taken for all"},
    {"ones-of-much",
     {13, "x:f32:10000x10000", NULL, "EyeLike x -> y", "y"},
     GPUDL_ERROR_LIMIT,
     "it would take 400000000 bytes at load time"},
    {"gathered-far-beyond",
     {13, "x:f32:2x3", "i:i64:1x2=1,9223372036854775807", "GatherND x i -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "index 9223372036854775807 of dimension 1, which has 3 elements"},
    {"sequence-read",
     {13, "x:f32:4", NULL, "SplitToSequence x -> q; Relu q -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "(Relu, opset 13): input 0, 'q', is a sequence"},
    {"sequence-put-out",
     {13, "x:f32:4", NULL, "SplitToSequence x -> q", "q"},
     GPUDL_ERROR_UNSUPPORTED,
     "output 'q' is a sequence"},
    {"sequence-element",
     {13, "x:f32:4", "i:i64:=4", "SplitToSequence x -> q; SequenceAt q i -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "element 4 of a sequence of 4"},
    {"no-sequence",
     {13, "x:f32:4", "i:i64:=0", "SequenceAt x i -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "input 0 ('x') is no sequence"},
    {"sequence-sizes-far-off",
     {13, "x:f32:4", "s:i64:2=-9223372036854775808,9223372036854775807 i:i64:=0",
      "SplitToSequence x s -> q; SequenceAt q i -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "sizes[0] is -9223372036854775808, expected 0 to"},
    {"columns-of-others",
     {18, "x:f32:1x4x3", "p:i64:2=2,4 b:i64:2=2,2", "Col2Im x p b -> y {strides=2,2}", "y"},
     GPUDL_ERROR_FORMAT,
     "2 windows of 4 elements of each channel are no input of 4 by 3"},
    {"columns-beyond-the-picture",
     {18, "x:f32:1x4x1", "p:i64:2=2,4 b:i64:2=2,2", "Col2Im x p b -> y {dilations=1,4}", "y"},
     GPUDL_ERROR_FORMAT,
     "blocks that reach over 5 along a dimension of 4"},
    {"columns-beyond-counting",
     {18, "x:f32:1x1x2097152", "p:i64:3=2097152,2097152,2097152 b:i64:3=1,1,1", "Col2Im x p b -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "windows of 1 elements of each channel are no input of 1 by 2097152"},
    {"columns-of-too-much",
     {18, "x:f32:1x16384x1", "p:i64:2=128,128 b:i64:2=128,128", "Col2Im x p b -> y", "y"},
     GPUDL_ERROR_LIMIT,
     "it would take 1073741824 bytes at load time"},
    {"sequence-long",
     {13, "x:f32:65", NULL, "SplitToSequence x -> q; Relu q -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "65 pieces of 65 elements, 1 to 64 are taken"},
    {"transposed-channels",
     {11, "x:f32:1x2x2", "w:f32:3x1x1=1", "ConvTranspose x w -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "weights for 3 channels in 1 groups, the input has 2"},
    {"transposed-kernel",
     {11, "x:f32:1x1x2", "w:f32:1x1x2=1", "ConvTranspose x w -> y {kernel_shape=3,}", "y"},
     GPUDL_ERROR_FORMAT,
     "kernel_shape says 3, the weights are 2"},
    {"transposed-cut-off",
     {11, "x:f32:1x1x2", "w:f32:1x1x2=1", "ConvTranspose x w -> y {pads=9,9}", "y"},
     GPUDL_ERROR_FORMAT,
     "(ConvTranspose, opset 11): "},
    {"resize-region",
     {13, "x:f32:1x1x2x2", "r:f32:8=0,0,0,0,1,1,1,1 s:f32:4=1,1,2,2",
      "Resize x r s -> y {coordinate_transformation_mode=tf_crop_and_resize}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'Resize_0' (Resize, opset 13): coordinate_transformation_mode is 'tf_crop_and_resize', expected one of"},
    {"resize-by-values",
     {13, "x:f32:4", NULL, "Resize x - x -> y", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "(Resize, opset 13): input 2 ('x'), the scales, depends on the network's input values"},
    {"resize-neither", {13, "x:f32:4", NULL, "Resize x -> y", "y"}, GPUDL_ERROR_FORMAT, "neither scales nor sizes"},
    {"resize-scales",
     {13, "x:f32:1x4", "s:f32:1=2", "Resize x - s -> y", "y"},
     GPUDL_ERROR_FORMAT,
     "1 scales for 2 axes"},
    {"resize-scale", {13, "x:f32:4", "s:f32:1=-2", "Resize x - s -> y", "y"}, GPUDL_ERROR_FORMAT, "scale -2"},
    {"resize-to-nothing", {13, "x:f32:4", "s:f32:1=.1", "Resize x - s -> y", "y"}, GPUDL_ERROR_FORMAT, "becomes 0"},
    {"resize-mode",
     {13, "x:f32:4", "s:f32:1=2", "Resize x - s -> y {mode=area}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "mode is 'area', expected one of nearest, linear, cubic"},
};

/* The shape of an as_strided of torch's holds for the batch that was exported alone; as a reshape, for any. */
static void test_gathered_batch(void)
{
    const OnnxText text = {13, "x:f32:1x2x1x1", "m:i64:1=-1 i:i64:1x2x1x1=0,1",
                           "Reshape x m -> r; Gather r i -> g; Relu g -> y", "y"};
    g_autoptr(GBytes) file = onnx_write_bytes(&text);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlGraph) graph = gpudl_onnx_import(file, NULL, NULL, &error);

    g_assert_no_error(error);
    g_assert_true(gpudl_graph_prove_batch(graph, NULL, &error));
    g_assert_cmpstr(graph->batch_reason, ==, NULL);
    g_assert_true(graph->symbolic_batch);
}

/* One scale for all that it is given: frames of a batch would share it, so the network runs frame by frame. */
static void test_dynamic_batch(void)
{
    const OnnxText text = {13, "x:f32:1x4", NULL, "DynamicQuantizeLinear x -> q s z; DequantizeLinear q s z -> y", "y"};
    g_autoptr(GBytes) file = onnx_write_bytes(&text);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlGraph) graph = gpudl_onnx_import(file, NULL, NULL, &error);

    g_assert_no_error(error);
    g_assert_true(gpudl_graph_prove_batch(graph, NULL, &error));
    g_assert_no_error(error);
    g_assert_nonnull(graph->batch_reason);
    g_assert_false(graph->symbolic_batch);
}

/* ---- Einsum: its equations are no words of the tables' language -------------------------------------------------- */

/* x is 0, 1, 2, ...; w, if there, 1, 2, 3, ... */
static const struct {
    const gchar *equation, *x, *w, *shape, *values;
} einsums[] = {
    {"ij->ji", "x:f32:2x3", NULL, "3x2", "0 3 1 4 2 5"},
    {"ij->", "x:f32:2x3", NULL, "scalar", "15"},
    {"ij->i", "x:f32:2x3", NULL, "2", "3 12"},
    {"ji", "x:f32:2x3", NULL, "3x2", "0 3 1 4 2 5"},
    {"ii->i", "x:f32:2x2", NULL, "2", "0 3"},
    {"...ii->...", "x:f32:2x2x2", NULL, "2", "3 11"},
    {"ik,kj->ij", "x:f32:2x2", "w:f32:2x2=1,2,3,4", "2x2", "3 4 11 16"},
    {"ik,jk->ij", "x:f32:2x2", "w:f32:2x2=1,2,3,4", "2x2", "2 4 8 18"},
    {"ik,jk->ji", "x:f32:2x2", "w:f32:2x2=1,2,3,4", "2x2", "2 8 4 18"},
    {"ik, k -> i", "x:f32:2x2", "w:f32:2=1,2", "2", "2 8"},
    {"i,i->", "x:f32:3", "w:f32:3=1,2,3", "scalar", "8"},
    {"i,j->ij", "x:f32:2", "w:f32:3=1,2,3", "2x3", "0 0 0 1 2 3"},
    {"ij,ij->ij", "x:f32:1x3", "w:f32:1x3=1,2,3", "1x3", "0 2 6"},
    {"bij,bjk->bik", "x:f32:2x1x2", "w:f32:2x2x1=1,2,3,4", "2x1x1", "2 18"},
    {"...ij,...jk->...ik", "x:f32:2x1x2", "w:f32:1x2x1=1,2", "2x1x1", "2 8"},
    {"bhwc,hkc->bhwk", "x:f32:1x2x1x2", "w:f32:2x1x2=1,2,3,4", "1x2x1x1", "2 18"},
    {"bchw,dc->bdhw", "x:f32:1x2x1x2", "w:f32:1x2=1,2", "1x1x1x2", "4 7"},
    {"ij,kj->ik", "x:f32:1x2", "w:f32:1x2=1,2", "1x1", "2"},
    {"ij,k->i", "x:f32:2x2", "w:f32:2=1,2", "2", "3 15"},
};

static GBytes *write_einsum(const gchar *equation, const gchar *x, const gchar *w)
{
    GByteArray *graph = g_byte_array_new(), *node = onnx_write_node(w != NULL ? "Einsum x w -> y" : "Einsum x -> y");
    GByteArray *attribute = g_byte_array_new(), *info = g_byte_array_new();

    pb_string(attribute, 1, "equation");
    pb_string(attribute, 4, equation);
    pb_int(attribute, 20, 3);
    pb_message(node, 5, attribute);
    pb_message(graph, 1, node);
    if (w != NULL)
        pb_message(graph, 5, onnx_write_constant(w));
    pb_message(graph, 11, onnx_write_value_info(x));
    pb_string(info, 1, "y");
    pb_message(graph, 12, info);
    return g_byte_array_free_to_bytes(onnx_write_model(13, graph));
}

static void test_einsum(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(einsums); i++) {
        g_autoptr(GBytes) file = write_einsum(einsums[i].equation, einsums[i].x, einsums[i].w);

        g_test_message("%s", einsums[i].equation);
        onnx_case_check(file, einsums[i].shape, einsums[i].values);
    }
}

static void test_einsum_refused(void)
{
    const struct {
        const gchar *equation, *x, *w, *says;
    } rows[] = {
        {"ij->ijk", "x:f32:2x3", NULL, "a letter of the result that no operand has"},
        {"ij->ii", "x:f32:2x3", NULL, "a letter twice in the result"},
        {"i1->i", "x:f32:2x3", NULL, "what is no letter"},
        {"ijk->i", "x:f32:2x3", NULL, "equation 'ijk->i': operand 0 has rank 2"},
        {"ii->i", "x:f32:2x3", NULL, "the diagonal of 2 by 3"},
        {"ij,k->i", "x:f32:2x3", NULL, "equation 'ij,k->i' for 1 inputs"},
        {"ij->i->j", "x:f32:2x3", NULL, "for 1 inputs"},
        {"ik,kj->ij", "x:f32:2x2", "w:f32:3x1=1", "'k' is 2 and 3"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GBytes) file = write_einsum(rows[i].equation, rows[i].x, rows[i].w);
        g_autoptr(GError) error = NULL;

        g_assert_null(gpudl_onnx_import(file, NULL, NULL, &error));
        if (strstr(error->message, rows[i].says) == NULL || strstr(error->message, "'Einsum_0' (Einsum") == NULL)
            g_error("'%s' does not say '%s'", error->message, rows[i].says);
    }
}

/* ---- If ---------------------------------------------------------------------------------------------------------- */

static GByteArray *write_branch(const gchar *name, const gchar *node)
{
    GByteArray *attribute = g_byte_array_new(), *graph = g_byte_array_new(), *info = g_byte_array_new();

    pb_message(graph, 1, onnx_write_node(node));
    pb_string(graph, 2, name);
    pb_string(info, 1, "inner");
    pb_message(graph, 12, info);
    pb_string(attribute, 1, name);
    pb_message(attribute, 6, graph);
    pb_int(attribute, 20, 5);
    return attribute;
}

/* x read by the branch alone */
static GBytes *write_if(const gchar *condition)
{
    g_autofree gchar *text = g_strdup_printf("If %s -> y", condition);
    GByteArray *graph = g_byte_array_new(), *node = onnx_write_node(text), *info = g_byte_array_new();

    pb_message(node, 5, write_branch("then_branch", "Neg z -> inner"));
    pb_message(node, 5, write_branch("else_branch", "Identity z -> inner"));
    pb_message(graph, 1, onnx_write_node("Add x x -> z"));
    pb_message(graph, 1, node);
    pb_message(graph, 5, onnx_write_constant("yes:bool:=1"));
    pb_message(graph, 5, onnx_write_constant("no:bool:=0"));
    pb_message(graph, 11, onnx_write_value_info("x:f32:1"));
    pb_message(graph, 11, onnx_write_value_info("c:bool:"));
    pb_string(info, 1, "y");
    pb_message(graph, 12, info);
    return g_byte_array_free_to_bytes(onnx_write_model(13, graph));
}

static void test_if(void)
{
    const struct {
        const gchar *condition;
        GpudlOp op;
    } rows[] = {{"yes", GPUDL_OP_NEG}, {"no", GPUDL_OP_IDENTITY}};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GBytes) file = write_if(rows[i].condition);
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlGraph) graph = gpudl_onnx_import(file, NULL, NULL, &error);
        GpudlTensor *y;

        g_assert_no_error(error);
        y = graph->outputs->pdata[0];
        g_assert_cmpstr(y->name, ==, "y");
        g_assert_cmpint(y->producer->inputs[0]->producer->op, ==, rows[i].op);
    }
}

/* What a branch reads of the graph around it is needed by what is cut off behind the If. */
static void test_if_before_a_head(void)
{
    const GpudlSourceOptions options = {.picture = TRUE};
    GByteArray *graph = g_byte_array_new(), *node = onnx_write_node("If yes -> s"), *info = g_byte_array_new();
    g_autoptr(GBytes) file = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlGraph) imported = NULL;
    GpudlTensor *scores;

    pb_message(node, 5, write_branch("then_branch", "Neg z -> inner"));
    pb_message(node, 5, write_branch("else_branch", "Frob z -> inner"));
    pb_message(graph, 1, onnx_write_node("GlobalAveragePool x -> p"));
    pb_message(graph, 1, onnx_write_node("Flatten p -> z"));
    pb_message(graph, 1, node);
    pb_message(graph, 1, onnx_write_node("ArgMax s -> label {axis=1}"));
    pb_message(graph, 5, onnx_write_constant("yes:bool:=1"));
    pb_message(graph, 11, onnx_write_value_info("x:f32:1x3x2x4"));
    pb_string(info, 1, "label");
    pb_message(graph, 12, info);
    file = g_byte_array_free_to_bytes(onnx_write_model(13, graph));
    imported = gpudl_onnx_import(file, &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(imported->outputs->len, ==, 1);
    scores = imported->outputs->pdata[0];
    g_assert_cmpstr(scores->name, ==, "s");
    g_assert_cmpint(scores->producer->inputs[0]->producer->op, ==, GPUDL_OP_NEG);
}

static void test_if_unknown(void)
{
    g_autoptr(GBytes) file = write_if("c");
    g_autoptr(GError) error = NULL;

    g_assert_null(gpudl_onnx_import(file, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_assert_cmpstr(error->message, ==,
                    "node 'If_1' (If, opset 13): input 0 ('c'), the condition, depends on the network's input values");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    onnx_cases_add("/operators", good, G_N_ELEMENTS(good), bad, G_N_ELEMENTS(bad));
    g_test_add_func("/operators/gathered-batch", test_gathered_batch);
    g_test_add_func("/operators/dynamic-batch", test_dynamic_batch);
    g_test_add_func("/operators/einsum", test_einsum);
    g_test_add_func("/operators/einsum-refused", test_einsum_refused);
    g_test_add_func("/operators/if", test_if);
    g_test_add_func("/operators/if-before-a-head", test_if_before_a_head);
    g_test_add_func("/operators/if-unknown", test_if_unknown);
    return g_test_run();
}
