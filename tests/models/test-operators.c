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
};

static const OnnxBad bad[] = {
    {"batch-statistics",
     {15, "x:f32:1x1x1", "s:f32:1=1", "BatchNormalization x s s s s -> y {training_mode=1}", "y"},
     GPUDL_ERROR_UNSUPPORTED,
     "node 'BatchNormalization_0' (BatchNormalization, opset 15): training mode, on values that depend on the "
     "network's "
     "input"},
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    onnx_cases_add("/operators", good, G_N_ELEMENTS(good), bad, G_N_ELEMENTS(bad));
    return g_test_run();
}
