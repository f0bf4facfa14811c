/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

#include <cuda_runtime_api.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/half.h"

#define GUARD 256 /* keeps the alignment of what lies between */
#define GUARD_BYTE 0xa5
#define NO_DEVICE 77 /* exit status */
#define BENCH_RUNS 15

enum { PASSED, FAILED, SKIPPED };

typedef struct Memory {
    struct Memory *next;
    void *host;      /* of host memory alone */
    uint8_t *device; /* the allocation */
    size_t bytes, before, after;
} Memory;

static struct {
    uint64_t seed, state;
    int cases, bench, tap;
    const char *only;
    char text[2048];
    Memory *memory;
    jmp_buf ended; /* a check before its time: FAILED or SKIPPED */
    const char *reason;
    cudaStream_t stream;
    double copy_rate; /* bytes read and written, a second */
    int capability;
} self = {.seed = 1};

/* ---- cases ------------------------------------------------------------------------------------------------------- */

int device_cases(int usual)
{
    return self.cases > 0 && self.cases < usual ? self.cases : usual;
}

static void append(const char *format, va_list args)
{
    size_t length = strlen(self.text);

    vsnprintf(self.text + length, sizeof(self.text) - length, format, args);
}

static void cuda(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return;
    /* such an error stays with the process: nothing can be said of what follows */
    printf("Bail out! %s: %s: %s\n", self.text, what, cudaGetErrorString(error));
    exit(1);
}

/* Frees all memory of the case; returns where a guard band was written to, or 0. */
static long free_memory(void)
{
    long wrong = 0;

    while (self.memory != NULL) {
        Memory *m = self.memory;

        self.memory = m->next;
        if (m->before + m->after > 0 && m->device != NULL) {
            size_t total = m->before + m->bytes + m->after;
            uint8_t *copy = malloc(total);

            cuda(cudaMemcpy(copy, m->device, total, cudaMemcpyDeviceToHost), "reading guard bands");
            for (size_t i = 0; i < total && wrong == 0; i++)
                if ((i < m->before || i >= m->before + m->bytes) && copy[i] != GUARD_BYTE)
                    wrong = i < m->before ? (long)i - (long)m->before : (long)(i - m->before - m->bytes) + 1;
            free(copy);
        }
        if (m->device != NULL)
            cuda(cudaFree(m->device), "free");
        free(m->host);
        free(m);
    }
    return wrong;
}

static void end_case(void)
{
    const long wrong = free_memory();

    if (wrong < 0)
        device_fail("byte %ld before an output was written", -wrong);
    if (wrong > 0)
        device_fail("byte %ld behind an output was written", wrong);
}

void device_case(int number, const char *format, ...)
{
    va_list args;

    end_case();
    self.state = self.seed * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)number * UINT64_C(0xd1342543de82ef95);
    snprintf(self.text, sizeof(self.text), "--seed %llu, case %d: ", (unsigned long long)self.seed, number);
    va_start(args, format);
    append(format, args);
    va_end(args);
}

void device_note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    append(format, args);
    va_end(args);
}

void device_fail(const char *format, ...)
{
    va_list args;

    printf("# %s: ", self.text);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    longjmp(self.ended, FAILED);
}

void device_skip(const char *reason)
{
    self.reason = reason;
    longjmp(self.ended, SKIPPED);
}

uint64_t device_bits(void)
{
    uint64_t z = self.state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int64_t device_int(int64_t low, int64_t high)
{
    return low + (int64_t)(device_bits() % ((uint64_t)(high - low) + 1));
}

double device_real(double low, double high)
{
    return low + (high - low) * ((double)(device_bits() >> 11) * 0x1p-53);
}

double device_get(GpudlDType dtype, const void *data, int64_t at)
{
    const size_t size = gpudl_dtype_size(dtype);
    uint16_t bits;
    float value;

    memcpy(dtype == GPUDL_DTYPE_F32 ? (void *)&value : &bits, (const uint8_t *)data + (size_t)at * size, size);
    return dtype == GPUDL_DTYPE_F32   ? (double)value
           : dtype == GPUDL_DTYPE_F16 ? (double)gpudl_f16_to_f32(bits)
                                      : (double)gpudl_bf16_to_f32(bits);
}

void device_set(GpudlDType dtype, void *data, int64_t at, double value)
{
    const size_t size = gpudl_dtype_size(dtype);
    const uint16_t bits = dtype == GPUDL_DTYPE_F16 ? gpudl_f64_to_f16(value) : gpudl_f64_to_bf16(value);
    const float single = (float)value;

    memcpy((uint8_t *)data + (size_t)at * size, dtype == GPUDL_DTYPE_F32 ? (const void *)&single : (const void *)&bits,
           size);
}

double device_rounded(GpudlDType dtype, double value)
{
    float room;

    device_set(dtype, &room, 0, value);
    return device_get(dtype, &room, 0);
}

double device_rounding(GpudlDType dtype, double value)
{
    return dtype == GPUDL_DTYPE_F32   ? 0
           : dtype == GPUDL_DTYPE_F16 ? fabs(value) * 0x1p-10 + 0x1p-24
                                      : fabs(value) * 0x1p-7 + 0x1p-133;
}

GpudlDType device_float_type(void)
{
    static const GpudlDType types[] = {GPUDL_DTYPE_F32, GPUDL_DTYPE_F16, GPUDL_DTYPE_BF16};

    return types[device_int(0, 2)];
}

void device_random(GpudlDType dtype, void *to, size_t n, double low, double high, int extremes)
{
    const double large = dtype == GPUDL_DTYPE_F16 ? 65504 : 0x1p118, small = dtype == GPUDL_DTYPE_F16    ? 0x1p-24
                                                                             : dtype == GPUDL_DTYPE_BF16 ? 0x1p-133
                                                                                                         : 0x1p-149;
    const double rare[] = {INFINITY, -INFINITY, NAN, large, -large, small, -small, -0.};

    for (size_t i = 0; i < n; i++)
        device_set(dtype, to, (int64_t)i,
                   extremes && device_int(0, 15) == 0 ? rare[device_int(0, 7)] : device_real(low, high));
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static Memory *add_memory(void)
{
    Memory *m = calloc(1, sizeof(*m));

    m->next = self.memory;
    return self.memory = m;
}

void *device_host(size_t bytes)
{
    Memory *m = add_memory();

    return m->host = calloc(bytes > 0 ? bytes : 1, 1);
}

void *device_input(const void *from, size_t bytes, size_t offset)
{
    Memory *m = add_memory();

    cuda(cudaMalloc((void **)&m->device, offset + bytes > 0 ? offset + bytes : 1), "allocating an input");
    if (bytes > 0)
        cuda(cudaMemcpy(m->device + offset, from, bytes, cudaMemcpyHostToDevice), "writing an input");
    return m->device + offset;
}

void *device_output(size_t bytes, size_t offset)
{
    Memory *m = add_memory();

    m->before = GUARD + offset;
    m->after = GUARD;
    m->bytes = bytes;
    cuda(cudaMalloc((void **)&m->device, m->before + bytes + m->after), "allocating an output");
    cuda(cudaMemset(m->device, GUARD_BYTE, m->before + bytes + m->after), "filling guard bands");
    if (bytes > 0)
        cuda(cudaMemset(m->device + m->before, 0xff, bytes), "filling an output");
    return m->device + m->before;
}

void device_done(int status)
{
    if (status < 0)
        device_fail("the launcher returned %d: %s", status, gpudl_kernel_status_text(status));
    cuda((cudaError_t)status, "launch");
    cuda(cudaDeviceSynchronize(), "run");
}

void *device_fetch(const void *output, size_t bytes)
{
    void *copy = device_host(bytes);

    if (bytes > 0)
        cuda(cudaMemcpy(copy, output, bytes, cudaMemcpyDeviceToHost), "reading an output");
    return copy;
}

int device_capability(void)
{
    return self.capability;
}

/* ---- benches ----------------------------------------------------------------------------------------------------- */

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* median milliseconds of one launch of the graph */
static double time_graph(cudaGraph_t graph)
{
    cudaGraphExec_t exec;
    cudaEvent_t begin, end;
    float ms[BENCH_RUNS];

    cuda(cudaGraphInstantiate(&exec, graph, 0), "graph");
    cuda(cudaEventCreate(&begin), "event");
    cuda(cudaEventCreate(&end), "event");
    for (int i = -3; i < BENCH_RUNS; i++) {
        cuda(cudaEventRecord(begin, self.stream), "event");
        cuda(cudaGraphLaunch(exec, self.stream), "graph");
        cuda(cudaEventRecord(end, self.stream), "event");
        cuda(cudaStreamSynchronize(self.stream), "run");
        if (i >= 0)
            cuda(cudaEventElapsedTime(&ms[i], begin, end), "event");
    }
    qsort(ms, BENCH_RUNS, sizeof(*ms), compare_floats);
    cuda(cudaEventDestroy(begin), "event");
    cuda(cudaEventDestroy(end), "event");
    cuda(cudaGraphExecDestroy(exec), "graph");
    return ms[BENCH_RUNS / 2];
}

double device_time(DeviceLaunch *launch, void *data, int launches)
{
    cudaGraph_t graph;
    double ms;

    cuda(cudaStreamBeginCapture(self.stream, cudaStreamCaptureModeThreadLocal), "capture");
    for (int i = 0; i < launches; i++) {
        const int status = launch(data, i, self.stream);

        if (status != 0)
            device_fail("the launcher returned %d", status);
    }
    cuda(cudaStreamEndCapture(self.stream, &graph), "capture");
    ms = time_graph(graph);
    cuda(cudaGraphDestroy(graph), "graph");
    return ms * 1e-3 / launches;
}

void device_bench(const char *name, DeviceLaunch *launch, void *data, int launches, double bytes)
{
    const double seconds = device_time(launch, data, launches);

    printf("# bench %-46s %9.2f us  %8.2f MB  %6.0f GB/s  %.2f of copy\n", name, seconds * 1e6, bytes / 1e6,
           bytes / seconds / 1e9, bytes / seconds / self.copy_rate);
    fflush(stdout);
}

void *device_noise(size_t bytes)
{
    Memory *m = add_memory();
    const size_t words = bytes / 8 + 1;
    uint64_t *host = malloc(words * 8);

    for (size_t i = 0; i < words; i++)
        host[i] = device_bits() & UINT64_C(0xbfffbfffbfffbfff); /* exponents of halfs below 16 */
    cuda(cudaMalloc((void **)&m->device, bytes), "allocating");
    cuda(cudaMemcpy(m->device, host, bytes, cudaMemcpyHostToDevice), "writing");
    free(host);
    return m->device;
}

/* Copies as large as the device's caches are not, on the stream: in a graph they are nodes of another engine, which is
 * slower. */
static void measure_copy(void)
{
    size_t bytes = (size_t)2 << 30;
    uint8_t *from = NULL, *to = NULL;
    cudaEvent_t begin, end;
    float ms[BENCH_RUNS];

    for (; bytes > (size_t)64 << 20; bytes /= 2) {
        if (cudaMalloc((void **)&from, 2 * bytes) == cudaSuccess)
            break;
        (void)cudaGetLastError(); /* a device with less memory */
    }
    if (from == NULL)
        cuda(cudaMalloc((void **)&from, 2 * bytes), "allocating");
    to = from + bytes;
    cuda(cudaMemset(from, 1, 2 * bytes), "filling");
    cuda(cudaEventCreate(&begin), "event");
    cuda(cudaEventCreate(&end), "event");
    for (int i = -3; i < BENCH_RUNS; i++) {
        cuda(cudaEventRecord(begin, self.stream), "event");
        cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, self.stream), "copy");
        cuda(cudaEventRecord(end, self.stream), "event");
        cuda(cudaStreamSynchronize(self.stream), "copy");
        if (i >= 0)
            cuda(cudaEventElapsedTime(&ms[i], begin, end), "event");
    }
    qsort(ms, BENCH_RUNS, sizeof(*ms), compare_floats);
    self.copy_rate = 2. * (double)bytes / (ms[BENCH_RUNS / 2] * 1e-3);
    printf("# bench copy of %zu MB, device to device: %.0f GB/s read and written\n", bytes >> 20, self.copy_rate / 1e9);
    cuda(cudaEventDestroy(begin), "event");
    cuda(cudaEventDestroy(end), "event");
    cuda(cudaFree(from), "free");
}

/* ---- main -------------------------------------------------------------------------------------------------------- */

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s [--seed N] [--cases N] [--only NAME] [--bench] [--tap]\n", program);
    return 2;
}

static int parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--bench") == 0) {
            self.bench = 1;
        } else if (strcmp(argv[i], "--tap") == 0) {
            self.tap = 1;
        } else if (value != NULL && strcmp(argv[i], "--seed") == 0) {
            self.seed = strtoull(argv[++i], NULL, 0);
        } else if (value != NULL && strcmp(argv[i], "--cases") == 0) {
            self.cases = atoi(argv[++i]);
        } else if (value != NULL && strcmp(argv[i], "--only") == 0) {
            self.only = argv[++i];
        } else {
            return 0;
        }
    }
    return 1;
}

static int no_device(cudaError_t error)
{
    const char *required = getenv("GPUDL_REQUIRE_CUDA");

    if (required != NULL && strcmp(required, "1") == 0) {
        printf("Bail out! GPUDL_REQUIRE_CUDA=1 and no CUDA device: %s\n", cudaGetErrorString(error));
        return 1;
    }
    printf("1..0 # SKIP no CUDA device: %s\n", cudaGetErrorString(error));
    return self.tap ? 0 : NO_DEVICE;
}

/* 1 if it passed */
static int run_one(const DeviceCheck *check)
{
    const int ended = setjmp(self.ended);

    /* what was in use then is freed without a word */
    if (ended != PASSED) {
        free_memory();
        return ended;
    }
    snprintf(self.text, sizeof(self.text), "%s", check->name);
    self.state = self.seed;
    check->run();
    end_case();
    return PASSED;
}

int device_main(int argc, char **argv, const DeviceCheck *checks, const DeviceCheck *benches)
{
    int devices = 0, number = 0, failures = 0;
    const DeviceCheck *list;
    struct cudaDeviceProp properties;
    cudaError_t error;

    if (!parse(argc, argv))
        return usage(argv[0]);
    error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0)
        return no_device(error);
    cuda(cudaGetDeviceProperties(&properties, 0), "properties");
    self.capability = properties.major;
    printf("# %s, compute capability %d.%d\n", properties.name, properties.major, properties.minor);
    cuda(cudaStreamCreateWithFlags(&self.stream, cudaStreamNonBlocking), "stream");
    if (self.bench)
        measure_copy();
    list = self.bench ? benches : checks;
    for (const DeviceCheck *check = list; check->name != NULL; check++) {
        int ended;

        if (self.only != NULL && strcmp(self.only, check->name) != 0)
            continue;
        ended = run_one(check);
        failures += ended == FAILED;
        printf("%s %d - %s", ended == FAILED ? "not ok" : "ok", ++number, check->name);
        if (ended == SKIPPED)
            printf(" # SKIP %s", self.reason);
        printf("\n");
        fflush(stdout);
    }
    printf("1..%d\n", number);
    if (number == 0) {
        fprintf(stderr, "no check is called %s\n", self.only);
        return 2;
    }
    return failures > 0;
}
