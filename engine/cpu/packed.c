/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packed.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "program.h"

#define LARGE_PAGE ((uint64_t)1 << 21)

static uint32_t bucket_of(const CpuPackedTable *table, int32_t owner, int32_t part)
{
    uint32_t hash = ((uint32_t)owner * 31 + (uint32_t)part) * 2654435761u; /* 2^32 over the golden ratio */

    return (hash ^ hash >> 16) & (table->n_buckets - 1);
}

/* Room for one more with at most one entry a bucket on average; 0 if there is no memory. */
static int make_room(CpuPackedTable *table)
{
    CpuPackedTable larger = {NULL, table->n_buckets != 0 ? table->n_buckets * 2 : 64, table->n};

    if (table->n < table->n_buckets)
        return 1;
    larger.buckets = calloc(larger.n_buckets, sizeof *larger.buckets);
    if (larger.buckets == NULL)
        return 0;
    for (uint32_t i = 0; i < table->n_buckets; i++) {
        for (CpuPacked *p = table->buckets[i], *next; p != NULL; p = next) {
            CpuPacked **bucket = &larger.buckets[bucket_of(&larger, p->owner, p->part)];

            next = p->next;
            p->next = *bucket;
            *bucket = p;
        }
    }
    free(table->buckets);
    *table = larger;
    return 1;
}

CpuPacked *cpu_packed_find(const CpuPackedTable *table, int32_t owner, int32_t part, DnnMdRef md)
{
    CpuPacked *p = table->n > 0 ? table->buckets[bucket_of(table, owner, part)] : NULL;

    for (; p != NULL; p = p->next)
        if (p->owner == owner && p->part == part &&
            (md == NULL ? p->md == NULL : p->md != NULL && dnn_md_equal(p->md, md)))
            return p;
    return NULL;
}

CpuPacked *cpu_packed_add(CpuPackedTable *table, int32_t owner, int32_t part, DnnMdRef md, void *data, uint64_t bytes)
{
    CpuPacked *packed = make_room(table) ? calloc(1, sizeof *packed) : NULL;
    DnnMd copy = md != NULL ? dnn_md_copy(md) : NULL;
    CpuPacked **bucket;

    if (packed == NULL || (md != NULL && copy == NULL)) {
        free(packed);
        free(data);
        dnn_md_free(copy);
        return NULL;
    }
    bucket = &table->buckets[bucket_of(table, owner, part)];
    *packed = (CpuPacked){.next = *bucket, .owner = owner, .part = part, .md = copy, .bytes = bytes, .data = data};
    *bucket = packed;
    table->n++;
    return packed;
}

void cpu_packed_clear(CpuPackedTable *table)
{
    for (uint32_t i = 0; i < table->n_buckets; i++) {
        for (CpuPacked *p = table->buckets[i], *next; p != NULL; p = next) {
            next = p->next;
            dnn_md_free(p->md);
            free(p->data);
            free(p);
        }
    }
    free(table->buckets);
    *table = (CpuPackedTable){0};
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT * CPU_ALIGNMENT;
}

void *cpu_aligned_room(uint64_t bytes)
{
    const uint64_t alignment = bytes >= LARGE_PAGE ? LARGE_PAGE : CPU_ALIGNMENT, rounded = round_up(bytes);
    void *data = NULL;

    if (posix_memalign(&data, alignment, rounded != 0 ? rounded : CPU_ALIGNMENT) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE /* a fault for each 4096 bytes takes as long as packing what goes there */
    if (bytes >= LARGE_PAGE)
        madvise(data, rounded / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#endif
    return data;
}

void *cpu_aligned_bytes(uint64_t bytes)
{
    void *data = cpu_aligned_room(bytes);

    if (data != NULL)
        memset(data, 0, round_up(bytes));
    return data;
}

int cpu_reorder_now(dnnl_engine_t dnn, dnnl_stream_t stream, DnnMdRef from_md, const void *from, DnnMdRef to_md,
                    void *to)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_memory_t a = dnn_memory(dnn, from_md, (void *)from), b = dnn_memory(dnn, to_md, to);
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    int ok = a != NULL && b != NULL && dnnl_primitive_attr_create(&attr) == dnnl_success;

    if (ok) /* library's scratchpad: this happens once */
        pd = dnn_reorder(dnn, attr, from_md, to_md);
    ok = pd != NULL && dnnl_primitive_create(&primitive, pd) == dnnl_success;
    if (ok) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};

        ok = dnnl_primitive_execute(primitive, stream, 2, args) == dnnl_success &&
             dnnl_stream_wait(stream) == dnnl_success;
    }
    if (primitive != NULL)
        dnnl_primitive_destroy(primitive);
    if (pd != NULL)
        dnnl_primitive_desc_destroy(pd);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    if (a != NULL)
        dnnl_memory_destroy(a);
    if (b != NULL)
        dnnl_memory_destroy(b);
    return ok;
}
