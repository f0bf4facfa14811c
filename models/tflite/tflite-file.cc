/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The only place that sees FlatBuffers: the verifier goes over everything before the first field is read. */
#include "models/tflite/tflite-file.h"

#include <cstring>

#include "engine/gpudl.h"
#include "engine/graph/attrs.h"
#include "engine/limits.h"
#include "metadata_schema_generated.h"
#include "schema_generated.h"

namespace
{

const flatbuffers::uoffset_t max_depth = GPUDL_LIMIT_NESTING;
const flatbuffers::uoffset_t max_tables = 4 * GPUDL_LIMIT_TENSORS;
const gsize max_values = 65536; /* of one vector of numbers */

gboolean fail(GError **error, GpudlError code, const gchar *format, ...) G_GNUC_PRINTF(3, 4);

gboolean fail(GError **error, GpudlError code, const gchar *format, ...)
{
    va_list args;

    va_start(args, format);
    if (error != nullptr)
        *error = g_error_new_valist(GPUDL_ERROR, (gint)code, format, args);
    va_end(args);
    return FALSE;
}

gchar *text(const flatbuffers::String *string)
{
    return string != nullptr && string->size() > 0 ? g_utf8_make_valid(string->c_str(), (gssize)string->size())
                                                   : nullptr;
}

template <typename T> void values(const flatbuffers::Vector<T> *vector, const T **data, gsize *n)
{
    *data = vector != nullptr ? vector->data() : nullptr;
    *n = vector != nullptr ? vector->size() : 0;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

GpudlDType dtype_of(tflite::TensorType type)
{
    switch (type) {
    case tflite::TensorType_FLOAT32:
        return GPUDL_DTYPE_F32;
    case tflite::TensorType_FLOAT16:
        return GPUDL_DTYPE_F16;
    case tflite::TensorType_FLOAT64:
        return GPUDL_DTYPE_F64;
    case tflite::TensorType_INT8:
        return GPUDL_DTYPE_I8;
    case tflite::TensorType_UINT8:
        return GPUDL_DTYPE_U8;
    case tflite::TensorType_INT16:
        return GPUDL_DTYPE_I16;
    case tflite::TensorType_UINT16:
        return GPUDL_DTYPE_U16;
    case tflite::TensorType_INT32:
        return GPUDL_DTYPE_I32;
    case tflite::TensorType_UINT32:
        return GPUDL_DTYPE_U32;
    case tflite::TensorType_INT64:
        return GPUDL_DTYPE_I64;
    case tflite::TensorType_UINT64:
        return GPUDL_DTYPE_U64;
    case tflite::TensorType_BOOL:
        return GPUDL_DTYPE_BOOL;
    default:
        return GPUDL_DTYPE_NONE;
    }
}

/* The bytes of a buffer: inside of the message, or behind it in the file. */
gboolean read_buffer(const tflite::Model *model, const guint8 *data, gsize size, guint index, TfliteTensor *tensor,
                     GError **error)
{
    const auto *buffers = model->buffers();
    const tflite::Buffer *buffer;

    if (index == 0 || buffers == nullptr)
        return TRUE;
    if (index >= buffers->size())
        return fail(error, GPUDL_ERROR_FORMAT, "tensor '%s' is in buffer %u, the file has %u", tensor->name, index,
                    buffers->size());
    buffer = buffers->Get(index);
    if (buffer->data() != nullptr && buffer->data()->size() > 0) {
        tensor->data = buffer->data()->data();
        tensor->size = buffer->data()->size();
    } else if (buffer->offset() > 1) { /* 1 marks one that was not placed */
        if (buffer->offset() > size || buffer->size() > size - buffer->offset())
            return fail(error, GPUDL_ERROR_FORMAT,
                        "tensor '%s' lies at %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
                        " bytes, past the end of the file of %" G_GSIZE_FORMAT " bytes",
                        tensor->name, (guint64)buffer->offset(), (guint64)buffer->size(), size);
        tensor->data = data + buffer->offset();
        tensor->size = (gsize)buffer->size();
    }
    return TRUE;
}

gboolean read_tensor(const tflite::Model *model, const guint8 *data, gsize size, const tflite::Tensor *from, guint i,
                     TfliteTensor *tensor, GError **error)
{
    const auto *dims = from->shape_signature() != nullptr && from->shape_signature()->size() > 0
                           ? from->shape_signature()
                           : from->shape();
    const tflite::QuantizationParameters *quantisation = from->quantization();

    tensor->name = text(from->name());
    if (tensor->name == nullptr)
        tensor->name = g_strdup_printf("tensor_%u", i);
    if (strlen(tensor->name) > GPUDL_LIMIT_NAME_BYTES)
        return fail(error, GPUDL_ERROR_LIMIT, "tensor %u has a name of %" G_GSIZE_FORMAT " bytes, at most %u are taken",
                    i, strlen(tensor->name), GPUDL_LIMIT_NAME_BYTES);
    tensor->dtype = dtype_of(from->type());
    tensor->type_name = tflite::EnumNameTensorType(from->type());
    if (dims != nullptr && dims->size() > GPUDL_MAX_RANK)
        return fail(error, GPUDL_ERROR_UNSUPPORTED, "tensor '%s' has rank %u, at most %d is taken", tensor->name,
                    dims->size(), GPUDL_MAX_RANK);
    tensor->shape.rank = dims != nullptr ? (gint32)dims->size() : 0;
    for (gint k = 0; k < tensor->shape.rank; k++)
        tensor->shape.dims[k] = dims->Get((guint)k);
    tensor->refused = from->is_variable() || from->sparsity() != nullptr;
    if (quantisation != nullptr) {
        tensor->refused = tensor->refused || quantisation->details_type() != tflite::QuantizationDetails_NONE;
        values(quantisation->scale(), &tensor->scales, &tensor->n_scales);
        if (quantisation->zero_point() != nullptr) {
            tensor->zeros = quantisation->zero_point()->Data();
            tensor->n_zeros = quantisation->zero_point()->size();
        }
        tensor->dimension = quantisation->quantized_dimension();
    }
    return read_buffer(model, data, size, from->buffer(), tensor, error);
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

template <typename T> void read_window(const T *from, TfliteOptions *to)
{
    to->valid = from->padding() == tflite::Padding_VALID;
    to->stride_h = from->stride_h();
    to->stride_w = from->stride_w();
    to->activation = from->fused_activation_function();
}

template <typename T> void read_dilated(const T *from, TfliteOptions *to)
{
    read_window(from, to);
    to->dilation_h = from->dilation_h_factor();
    to->dilation_w = from->dilation_w_factor();
}

void read_slice(const tflite::StridedSliceOptions *from, TfliteOptions *to)
{
    to->begin_mask = from->begin_mask();
    to->end_mask = from->end_mask();
    to->ellipsis_mask = from->ellipsis_mask();
    to->new_axis_mask = from->new_axis_mask();
    to->shrink_axis_mask = from->shrink_axis_mask();
    to->offset = from->offset();
}

void read_pool(const tflite::Pool2DOptions *from, TfliteOptions *to)
{
    read_window(from, to);
    to->filter_h = from->filter_height();
    to->filter_w = from->filter_width();
}

void read_dense(const tflite::FullyConnectedOptions *from, TfliteOptions *to)
{
    to->activation = from->fused_activation_function();
    to->keep_dims = from->keep_num_dims();
    to->shuffled = from->weights_format() != tflite::FullyConnectedOptionsWeightsFormat_DEFAULT;
}

void read_concat(const tflite::ConcatenationOptions *from, TfliteOptions *to)
{
    to->axis = from->axis();
    to->activation = from->fused_activation_function();
}

template <typename T> void read_resize(const T *from, TfliteOptions *to)
{
    to->align_corners = from->align_corners();
    to->half_pixel_centers = from->half_pixel_centers();
}

void read_transposed(const tflite::TransposeConvOptions *from, TfliteOptions *to)
{
    read_window(from, to);
    to->dilation_h = to->dilation_w = 1;
}

void read_response(const tflite::LocalResponseNormalizationOptions *from, TfliteOptions *to)
{
    to->radius = from->radius();
    to->bias = from->bias();
    to->alpha = from->alpha();
    to->beta = from->beta();
}

void read_fake_quant(const tflite::FakeQuantOptions *from, TfliteOptions *to)
{
    to->low = from->min();
    to->high = from->max();
    to->bits = from->num_bits();
    to->narrow = from->narrow_range();
}

/* FALSE if the operator has none, or some that are not known here. */
gboolean read_options(const tflite::Operator *op, TfliteOptions *to)
{
    const void *options = op->builtin_options();

    if (options == nullptr)
        return FALSE;
#define AS(type) (static_cast<const tflite::type *>(options))
    switch (op->builtin_options_type()) {
    case tflite::BuiltinOptions_Conv2DOptions:
        read_dilated(AS(Conv2DOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_DepthwiseConv2DOptions:
        read_dilated(AS(DepthwiseConv2DOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_Pool2DOptions:
        read_pool(AS(Pool2DOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_FullyConnectedOptions:
        read_dense(AS(FullyConnectedOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_AddOptions:
        to->activation = AS(AddOptions)->fused_activation_function();
        return TRUE;
    case tflite::BuiltinOptions_SubOptions:
        to->activation = AS(SubOptions)->fused_activation_function();
        return TRUE;
    case tflite::BuiltinOptions_MulOptions:
        to->activation = AS(MulOptions)->fused_activation_function();
        return TRUE;
    case tflite::BuiltinOptions_DivOptions:
        to->activation = AS(DivOptions)->fused_activation_function();
        return TRUE;
    case tflite::BuiltinOptions_ConcatenationOptions:
        read_concat(AS(ConcatenationOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_SoftmaxOptions:
        to->beta = AS(SoftmaxOptions)->beta();
        return TRUE;
    case tflite::BuiltinOptions_ReshapeOptions:
        values(AS(ReshapeOptions)->new_shape(), &to->dims, &to->n_dims);
        return TRUE;
    case tflite::BuiltinOptions_SqueezeOptions:
        values(AS(SqueezeOptions)->squeeze_dims(), &to->dims, &to->n_dims);
        return TRUE;
    case tflite::BuiltinOptions_ReducerOptions:
        to->keep_dims = AS(ReducerOptions)->keep_dims();
        return TRUE;
    case tflite::BuiltinOptions_PackOptions:
        to->axis = AS(PackOptions)->axis();
        to->count = AS(PackOptions)->values_count();
        return TRUE;
    case tflite::BuiltinOptions_UnpackOptions:
        to->axis = AS(UnpackOptions)->axis();
        to->count = AS(UnpackOptions)->num();
        return TRUE;
    case tflite::BuiltinOptions_SplitOptions:
        to->count = AS(SplitOptions)->num_splits();
        return TRUE;
    case tflite::BuiltinOptions_SplitVOptions:
        to->count = AS(SplitVOptions)->num_splits();
        return TRUE;
    case tflite::BuiltinOptions_GatherOptions:
        to->axis = AS(GatherOptions)->axis();
        to->batch_dims = AS(GatherOptions)->batch_dims();
        return TRUE;
    case tflite::BuiltinOptions_StridedSliceOptions:
        read_slice(AS(StridedSliceOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_LeakyReluOptions:
        to->alpha = AS(LeakyReluOptions)->alpha();
        return TRUE;
    case tflite::BuiltinOptions_GeluOptions:
        to->approximate = AS(GeluOptions)->approximate();
        return TRUE;
    case tflite::BuiltinOptions_CastOptions:
        to->to = dtype_of(AS(CastOptions)->out_data_type());
        return TRUE;
    case tflite::BuiltinOptions_ShapeOptions:
        to->to = dtype_of(AS(ShapeOptions)->out_type());
        return TRUE;
    case tflite::BuiltinOptions_BatchMatMulOptions:
        to->adj_x = AS(BatchMatMulOptions)->adj_x();
        to->adj_y = AS(BatchMatMulOptions)->adj_y();
        return TRUE;
    case tflite::BuiltinOptions_MirrorPadOptions:
        to->symmetric = AS(MirrorPadOptions)->mode() == tflite::MirrorPadMode_SYMMETRIC;
        return TRUE;
    case tflite::BuiltinOptions_ResizeBilinearOptions:
        read_resize(AS(ResizeBilinearOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_ResizeNearestNeighborOptions:
        read_resize(AS(ResizeNearestNeighborOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_TransposeConvOptions:
        read_transposed(AS(TransposeConvOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_SpaceToDepthOptions:
        to->block = AS(SpaceToDepthOptions)->block_size();
        return TRUE;
    case tflite::BuiltinOptions_DepthToSpaceOptions:
        to->block = AS(DepthToSpaceOptions)->block_size();
        return TRUE;
    case tflite::BuiltinOptions_LocalResponseNormalizationOptions:
        read_response(AS(LocalResponseNormalizationOptions), to);
        return TRUE;
    case tflite::BuiltinOptions_FakeQuantOptions:
        read_fake_quant(AS(FakeQuantOptions), to);
        return TRUE;
    default:
        return FALSE;
    }
#undef AS
}

gboolean read_operator(const tflite::Model *model, const tflite::Operator *from, guint i, gsize n_tensors,
                       TfliteOperator *op, GError **error)
{
    const auto *codes = model->operator_codes();
    const tflite::OperatorCode *code;

    if (codes == nullptr || from->opcode_index() >= codes->size())
        return fail(error, GPUDL_ERROR_FORMAT, "operator %u has code %u, the file has %u", i, from->opcode_index(),
                    codes != nullptr ? codes->size() : 0);
    code = codes->Get(from->opcode_index());
    /* older files have the code in a byte of its own */
    op->code = MAX((gint)code->builtin_code(), (gint)code->deprecated_builtin_code());
    op->name = tflite::EnumNameBuiltinOperator((tflite::BuiltinOperator)op->code);
    if (op->code == tflite::BuiltinOperator_CUSTOM && code->custom_code() != nullptr)
        op->name = code->custom_code()->c_str();
    values(from->inputs(), &op->inputs, &op->n_inputs);
    values(from->outputs(), &op->outputs, &op->n_outputs);
    for (gsize k = 0; k < op->n_inputs; k++)
        if (op->inputs[k] < -1 || op->inputs[k] >= (gint64)n_tensors)
            return fail(error, GPUDL_ERROR_FORMAT, "operator %u reads tensor %d, the file has %" G_GSIZE_FORMAT, i,
                        op->inputs[k], n_tensors);
    for (gsize k = 0; k < op->n_outputs; k++)
        if (op->outputs[k] < 0 || op->outputs[k] >= (gint64)n_tensors)
            return fail(error, GPUDL_ERROR_FORMAT, "operator %u writes tensor %d, the file has %" G_GSIZE_FORMAT, i,
                        op->outputs[k], n_tensors);
    if (op->n_inputs > max_values || op->n_outputs > GPUDL_MAX_OUTPUTS || op->n_outputs == 0)
        return fail(error, GPUDL_ERROR_LIMIT,
                    "operator %u has %" G_GSIZE_FORMAT " inputs and %" G_GSIZE_FORMAT " outputs", i, op->n_inputs,
                    op->n_outputs);
    op->has_options = read_options(from, &op->options);
    return TRUE;
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

void read_input_metadata(const tflite::TensorMetadata *metadata, TfliteFile *file)
{
    const tflite::ImageProperties *image = nullptr;

    if (metadata != nullptr && metadata->content() != nullptr)
        image = metadata->content()->content_properties_as_ImageProperties();
    if (image != nullptr && image->default_size() != nullptr) {
        file->default_height = image->default_size()->height();
        file->default_width = image->default_size()->width();
    }
    if (metadata == nullptr || metadata->process_units() == nullptr)
        return;
    for (const tflite::ProcessUnit *unit : *metadata->process_units()) {
        const tflite::NormalizationOptions *options = unit->options_as_NormalizationOptions();

        if (options == nullptr)
            continue;
        values(options->mean(), &file->mean, &file->n_mean);
        values(options->std(), &file->std, &file->n_std);
    }
}

void read_output_metadata(const tflite::TensorMetadata *metadata, TfliteFile *file)
{
    if (metadata == nullptr || metadata->associated_files() == nullptr)
        return;
    for (const tflite::AssociatedFile *associated : *metadata->associated_files())
        if (file->labels_file == nullptr && associated->name() != nullptr &&
            (associated->type() == tflite::AssociatedFileType_TENSOR_AXIS_LABELS ||
             associated->type() == tflite::AssociatedFileType_TENSOR_VALUE_LABELS))
            file->labels_file = associated->name()->c_str();
}

void read_metadata(const guint8 *data, gsize size, TfliteFile *file)
{
    flatbuffers::Verifier verifier(data, size, max_depth, max_tables);
    const tflite::ModelMetadata *metadata;
    const tflite::SubGraphMetadata *graph;

    if (size < 8 || !tflite::VerifyModelMetadataBuffer(verifier)) {
        file->metadata_damaged = TRUE;
        return;
    }
    metadata = tflite::GetModelMetadata(data);
    file->name = text(metadata->name());
    file->author = text(metadata->author());
    file->licence = text(metadata->license());
    if (metadata->subgraph_metadata() == nullptr || metadata->subgraph_metadata()->size() == 0)
        return;
    graph = metadata->subgraph_metadata()->Get(0);
    if (graph->input_tensor_metadata() != nullptr && graph->input_tensor_metadata()->size() == 1)
        read_input_metadata(graph->input_tensor_metadata()->Get(0), file);
    if (graph->output_tensor_metadata() != nullptr && graph->output_tensor_metadata()->size() > 0)
        read_output_metadata(graph->output_tensor_metadata()->Get(0), file);
}

/* The bytes of an entry of the model's metadata, or NULL. */
const flatbuffers::Vector<uint8_t> *bytes_of(const tflite::Model *model, const tflite::Metadata *entry)
{
    if (model->buffers() == nullptr || entry->buffer() >= model->buffers()->size())
        return nullptr;
    return model->buffers()->Get(entry->buffer())->data();
}

/* The first entry of the name counts. Writers lay its bytes anywhere: fields are read in place, of a copy then. */
void find_metadata(const tflite::Model *model, TfliteFile *file)
{
    if (model->metadata() == nullptr)
        return;
    for (const tflite::Metadata *entry : *model->metadata()) {
        if (entry->name() == nullptr || strcmp(entry->name()->c_str(), "TFLITE_METADATA") != 0)
            continue;
        const auto *bytes = bytes_of(model, entry);
        const guint8 *data = bytes != nullptr ? bytes->data() : nullptr;

        if (((guintptr)data & 7) != 0)
            data = (const guint8 *)(file->metadata_copy = g_memdup2(data, bytes->size()));
        if (data != nullptr)
            read_metadata(data, bytes->size(), file);
        else
            file->metadata_damaged = TRUE;
        return;
    }
}

gboolean read_graph(const tflite::Model *model, const guint8 *data, gsize size, TfliteFile *file, GError **error)
{
    const tflite::SubGraph *graph = model->subgraphs()->Get(0);
    const auto *tensors = graph->tensors();
    const auto *operators = graph->operators();

    file->n_tensors = tensors != nullptr ? tensors->size() : 0;
    file->n_operators = operators != nullptr ? operators->size() : 0;
    if (file->n_tensors > GPUDL_LIMIT_TENSORS || file->n_operators > GPUDL_LIMIT_NODES)
        return fail(error, GPUDL_ERROR_LIMIT,
                    "%" G_GSIZE_FORMAT " tensors and %" G_GSIZE_FORMAT " operators, at most %u and %u are taken",
                    file->n_tensors, file->n_operators, GPUDL_LIMIT_TENSORS, GPUDL_LIMIT_NODES);
    file->tensors = g_new0(TfliteTensor, file->n_tensors + 1);
    file->operators = g_new0(TfliteOperator, file->n_operators + 1);
    for (guint i = 0; i < file->n_tensors; i++)
        if (!read_tensor(model, data, size, tensors->Get(i), i, &file->tensors[i], error))
            return FALSE;
    for (guint i = 0; i < file->n_operators; i++)
        if (!read_operator(model, operators->Get(i), i, file->n_tensors, &file->operators[i], error))
            return FALSE;
    values(graph->inputs(), &file->inputs, &file->n_inputs);
    values(graph->outputs(), &file->outputs, &file->n_outputs);
    for (gsize i = 0; i < file->n_inputs + file->n_outputs; i++) {
        const gint32 tensor = i < file->n_inputs ? file->inputs[i] : file->outputs[i - file->n_inputs];

        if (tensor < 0 || tensor >= (gint64)file->n_tensors)
            return fail(error, GPUDL_ERROR_FORMAT,
                        "the graph's inputs or outputs name tensor %d, the file has %" G_GSIZE_FORMAT, tensor,
                        file->n_tensors);
    }
    return TRUE;
}

} // namespace

gboolean tflite_file_read(TfliteFile *file, const guint8 *data, gsize size, GError **error)
{
    const tflite::Model *model;

    memset(file, 0, sizeof *file);
    if (size >= FLATBUFFERS_MAX_BUFFER_SIZE)
        return fail(error, GPUDL_ERROR_LIMIT, "a TensorFlow Lite file of %" G_GSIZE_FORMAT " bytes", size);
    if (size < 16)
        return fail(error, GPUDL_ERROR_FORMAT, "a damaged TensorFlow Lite file: %" G_GSIZE_FORMAT " bytes", size);
    flatbuffers::Verifier verifier(data, size, max_depth, max_tables);
    if (!tflite::VerifyModelBuffer(verifier))
        return fail(error, GPUDL_ERROR_FORMAT,
                    "a damaged TensorFlow Lite file: what FlatBuffers verifies before reading does not hold");
    model = tflite::GetModel(data);
    file->version = model->version();
    file->n_subgraphs = model->subgraphs() != nullptr ? model->subgraphs()->size() : 0;
    if (file->version != 3)
        return fail(error, GPUDL_ERROR_UNSUPPORTED, "TensorFlow Lite schema version %u, 3 is taken", file->version);
    if (file->n_subgraphs < 1)
        return fail(error, GPUDL_ERROR_FORMAT, "the file holds no graph");
    file->description = text(model->description());
    find_metadata(model, file);
    return read_graph(model, data, size, file, error);
}

void tflite_file_clear(TfliteFile *file)
{
    for (gsize i = 0; file->tensors != nullptr && i < file->n_tensors; i++)
        g_free(file->tensors[i].name);
    g_free(file->tensors);
    g_free(file->operators);
    g_free(file->description);
    g_free(file->name);
    g_free(file->author);
    g_free(file->licence);
    g_free(file->metadata_copy);
    memset(file, 0, sizeof *file);
}
