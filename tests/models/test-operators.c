/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operators that are lowered to others, folded, or taken in some forms alone: what becomes of them, beyond what the
 * node suite has cases of. Inputs are 0, 1, 2, ...; expected values are worked by hand.
 */
#include "tests/models/onnx-cases.h"

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
};

static const OnnxBad bad[] = {
    {"batch-statistics",
     {15, "x:f32:1x1x1", "s:f32:1=1", "BatchNormalization x s s s s -> y {training_mode=1}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'BatchNormalization_0' (BatchNormalization, opset 15): training mode, on values that depend on the "
     "network's "
     "input"},
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    onnx_cases_add("/operators", good, G_N_ELEMENTS(good), bad, G_N_ELEMENTS(bad));
    return g_test_run();
}
