/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Writes the net.bin that test-real.c runs: three classes, the means of red, green and blue.
 * make-model OUT.bin
 */
#include "engine/model.h"
#include "models/gpudl-import.h"

static const gchar *const labels[] = { "red", "green", "blue", NULL };

int
main (int argc, char **argv)
{
  const GpudlPreproc preproc = {
    .width = 8,.height = 6,.channels = 3,
    .channel_order = GPUDL_CHANNELS_RGB,
    .resize_mode = GPUDL_RESIZE_STRETCH,
    .scale_method = GPUDL_SCALE_BILINEAR,
    .crop_fraction = 1,.pixel_scale = 255,
    .std = {1, 1, 1}
  };
  const GpudlShape shape = { 4, {1, 3, 6, 8} };
  g_autoptr (GError) error = NULL;
  g_autoptr (GpudlModel) model = NULL;
  GpudlGraph *graph = gpudl_graph_new ();
  GpudlTensor *input;
  GpudlNode *node;

  if (argc != 2) {
    g_printerr ("usage: make-model OUT.bin\n");
    return 2;
  }
  input = gpudl_graph_add_input (graph, "pixels", GPUDL_DTYPE_F32, &shape);
  node = gpudl_graph_add_node (graph, GPUDL_OP_GLOBAL_AVERAGE_POOL, "mean",
      &input, 1, NULL, 1);
  node = gpudl_graph_add_node (graph, GPUDL_OP_RESHAPE, "flat",
      &node->outputs[0], 1, NULL, 1);
  node->attrs.shape.rank = 2;
  node->attrs.shape.dims[0] = 0;
  node->attrs.shape.dims[1] = -1;
  gpudl_graph_add_output (graph, node->outputs[0]);

  model = gpudl_model_new (graph, "mean-colour", &preproc, &error);
  if (model == NULL || !gpudl_model_set_labels (model, labels, &error)
      || !gpudl_model_save (model, argv[1], &error)) {
    g_printerr ("make-model: %s\n", error->message);
    return 1;
  }
  return 0;
}
