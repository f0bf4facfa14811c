/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "matmul_cuda.h"
#include "strided.cuh"

namespace
{

enum { Y = 0, A, B, C, OPERANDS };

/* A block of 256 threads makes a tile, each thread ROWS x ROWS of its results, spread over the tile. */
enum { TILE = 64, DEPTH = 16, SIDE = 16, ROWS = TILE / SIDE };

struct Operand {
    void *data;
    GpudlDType dtype;
    int64_t row, column;
};

struct Problem {
    Operand operands[OPERANDS];
    GpudlPlaces<OPERANDS> batch;
    int32_t m, n, k;
    uint32_t tiles;
    float alpha, beta;
    GpudlAct act;
};

__device__ __forceinline__ float get(const Operand &o, int64_t at)
{
    return gpudl_get_float(o.data, o.dtype, at);
}

/* A tile of rows x DEPTH, or DEPTH x columns, of which what is beyond the matrix is 0. tile[depth][line] lies at line
 * first + line and depth from + depth; neighbouring threads read along what lies next to one another. */
__device__ __forceinline__ void load_tile(float (*tile)[TILE + 1], const Operand &o, int64_t at, int32_t first,
                                          int32_t lines, int64_t line_stride, int32_t from, int32_t depth,
                                          int64_t depth_stride)
{
    const bool along_depth = depth_stride < line_stride;

#pragma unroll
    for (int i = 0; i < TILE * DEPTH / 256; i++) {
        const int index = i * 256 + (int)threadIdx.x;
        const int line = along_depth ? index / DEPTH : index % TILE, d = along_depth ? index % DEPTH : index / TILE;
        const bool inside = first + line < lines && from + d < depth;

        tile[d][line] =
            inside ? get(o, at + (int64_t)(first + line) * line_stride + (int64_t)(from + d) * depth_stride) : 0.f;
    }
}

__global__ void __launch_bounds__(256) multiply(const __grid_constant__ Problem p)
{
    gpudl_begin();

    __shared__ float a[DEPTH][TILE + 1], b[DEPTH][TILE + 1];
    const int column = (int)threadIdx.x % SIDE, row = (int)threadIdx.x / SIDE;
    const uint32_t across = (uint32_t)((p.n + TILE - 1) / TILE), down = (uint32_t)((p.m + TILE - 1) / TILE);

    for (uint32_t tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
        const uint32_t matrix = tile / (across * down), inside = tile - matrix * (across * down);
        const int32_t m0 = (int32_t)(inside / across) * TILE, n0 = (int32_t)(inside % across) * TILE;
        float sums[ROWS][ROWS] = {};
        int64_t at[OPERANDS];

        p.batch.locate(matrix, at);
        for (int32_t k0 = 0; k0 < p.k; k0 += DEPTH) {
            load_tile(a, p.operands[A], at[A], m0, p.m, p.operands[A].row, k0, p.k, p.operands[A].column);
            load_tile(b, p.operands[B], at[B], n0, p.n, p.operands[B].column, k0, p.k, p.operands[B].row);
            __syncthreads();
#pragma unroll
            for (int d = 0; d < DEPTH; d++) {
                float rows[ROWS], columns[ROWS];

#pragma unroll
                for (int i = 0; i < ROWS; i++) {
                    rows[i] = a[d][row + i * SIDE];
                    columns[i] = b[d][column + i * SIDE];
                }
#pragma unroll
                for (int i = 0; i < ROWS; i++)
#pragma unroll
                    for (int j = 0; j < ROWS; j++)
                        sums[i][j] = fmaf(rows[i], columns[j], sums[i][j]);
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < ROWS; j++) {
                const int32_t m = m0 + row + i * SIDE, n = n0 + column + j * SIDE;
                float value = p.alpha * sums[i][j];

                if (m >= p.m || n >= p.n)
                    continue;
                if (p.operands[C].data)
                    value += p.beta * get(p.operands[C], at[C] + m * p.operands[C].row + n * p.operands[C].column);
                gpudl_put_float(p.operands[Y].data, p.operands[Y].dtype,
                                at[Y] + m * p.operands[Y].row + n * p.operands[Y].column,
                                gpudl_activate_f32(p.act, value));
            }
    }
}

/* A thread for each result; tiles are results here. */
__global__ void __launch_bounds__(256) multiply_integers(const __grid_constant__ Problem p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x, results = (uint32_t)p.m * (uint32_t)p.n;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.tiles; i += step) {
        const uint32_t matrix = i / results, inside = i - matrix * results;
        const int32_t m = (int32_t)(inside / (uint32_t)p.n), n = (int32_t)(inside % (uint32_t)p.n);
        const Operand &a = p.operands[A], &b = p.operands[B], &c = p.operands[C], &y = p.operands[Y];
        int64_t at[OPERANDS];
        uint64_t sum = 0;

        p.batch.locate(matrix, at);
        for (int32_t k = 0; k < p.k; k++)
            sum += (uint64_t)gpudl_get_integer(a.data, a.dtype, at[A] + m * a.row + k * a.column) *
                   (uint64_t)gpudl_get_integer(b.data, b.dtype, at[B] + k * b.row + n * b.column);
        if (c.data)
            sum += (uint64_t)gpudl_get_integer(c.data, c.dtype, at[C] + m * c.row + n * c.column);
        gpudl_put_integer(y.data, y.dtype, at[Y] + m * y.row + n * y.column, (int64_t)sum);
    }
}

/* 0 or a status. */
int check(const GpudlShape *shape, int32_t k, const GpudlStrided *const *operands, const GpudlGemm *params,
          bool *integers)
{
    const GpudlDType type = operands[Y]->dtype;

    *integers = gpudl_is_computed_integer(type);
    for (int o = 0; o < OPERANDS; o++)
        if (operands[o] && (*integers ? operands[o]->dtype != type : !gpudl_is_picture_type(operands[o]->dtype)))
            return GPUDL_KERNEL_DTYPE;
    if (*integers && (params->alpha != 1 || (operands[C] && params->beta != 1) || params->act.kind != GPUDL_ACT_NONE))
        return GPUDL_KERNEL_DTYPE;
    if (shape->rank < 2 || shape->rank > GPUDL_MAX_RANK || k < 0 || k > INT32_MAX - TILE ||
        gpudl_shape_elements(shape) < 0 || gpudl_shape_elements(shape) > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    for (int d = shape->rank - 2; d < shape->rank; d++) /* rows and columns are counted to the end of a tile */
        if (shape->dims[d] > INT32_MAX - TILE)
            return GPUDL_KERNEL_SHAPE;
    return GPUDL_KERNEL_OK;
}

} // namespace

extern "C" int gpudl_matmul_cuda(const GpudlShape *shape, int32_t k, const GpudlStrided *a, const GpudlStrided *b,
                                 const GpudlStrided *c, const GpudlGemm *params, const GpudlStrided *y,
                                 GpudlKernelStream stream)
{
    const GpudlStrided *const operands[OPERANDS] = {y, a, b, c}, *const batch[OPERANDS] = {y, a, b, c ? c : y};
    const int matrix = shape->rank - 2;
    GpudlShape batches = {};
    Problem p = {};
    bool integers;
    int status = check(shape, k, operands, params, &integers);

    if (status != GPUDL_KERNEL_OK)
        return status;
    for (int o = 0; o < OPERANDS; o++)
        if (operands[o])
            p.operands[o] = {operands[o]->data, operands[o]->dtype, operands[o]->strides[matrix],
                             operands[o]->strides[matrix + 1]};
    batches.rank = matrix;
    for (int d = 0; d < matrix; d++)
        batches.dims[d] = shape->dims[d];
    status = gpudl_places_begin(&p.batch, &batches, batch);
    if (status != GPUDL_KERNEL_OK || gpudl_shape_elements(shape) == 0)
        return status;
    p.batch.simplify();
    p.m = (int32_t)shape->dims[matrix];
    p.n = (int32_t)shape->dims[matrix + 1];
    p.k = k;
    p.alpha = params->alpha;
    p.beta = params->beta;
    p.act = params->act;
    if (integers) {
        p.tiles = (uint32_t)gpudl_shape_elements(shape);
        gpudl_launch(multiply_integers, gpudl_blocks(p.tiles), 256, 0, stream, p);
    } else {
        p.tiles = p.batch.elements * (uint32_t)gpudl_divide_up(p.m, TILE) * (uint32_t)gpudl_divide_up(p.n, TILE);
        const unsigned blocks = p.tiles < 1u << 20 ? p.tiles : 1u << 20;

        gpudl_launch(multiply, blocks, 256, 0, stream, p);
    }
    return (int)cudaGetLastError();
}
