/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packed.h"

#include <stdlib.h>
#include <string.h>

#include "program.h"

CpuPacked *cpu_packed_find(const CpuShared *shared, int32_t owner, int32_t part, DnnMdRef md)
{
    for (CpuPacked *p = shared->packed; p != NULL; p = p->next)
        if (p->owner == owner && p->part == part &&
            (md == NULL ? p->md == NULL : p->md != NULL && dnn_md_equal(p->md, md)))
            return p;
    return NULL;
}

CpuPacked *cpu_packed_add(CpuShared *shared, int32_t owner, int32_t part, DnnMdRef md, void *data, uint64_t bytes)
{
    CpuPacked *packed = calloc(1, sizeof *packed);
    DnnMd copy = md != NULL ? dnn_md_copy(md) : NULL;

    if (packed == NULL || (md != NULL && copy == NULL)) {
        free(packed);
        free(data);
        dnn_md_free(copy);
        return NULL;
    }
    *packed = (CpuPacked){shared->packed, owner, part, copy, bytes, data};
    shared->packed = packed;
    shared->packed_bytes += bytes;
    return packed;
}

void cpu_packed_free(CpuPacked *packed)
{
    while (packed != NULL) {
        CpuPacked *next = packed->next;

        dnn_md_free(packed->md);
        free(packed->data);
        free(packed);
        packed = next;
    }
}

void *cpu_aligned_bytes(uint64_t bytes)
{
    uint64_t rounded = (bytes + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT * CPU_ALIGNMENT;
    void *data = aligned_alloc(CPU_ALIGNMENT, rounded != 0 ? rounded : CPU_ALIGNMENT);

    if (data != NULL)
        memset(data, 0, rounded);
    return data;
}

int cpu_reorder_now(const CpuShared *shared, DnnMdRef from_md, const void *from, DnnMdRef to_md, void *to)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_memory_t a = dnn_memory(shared->dnn, from_md, (void *)from), b = dnn_memory(shared->dnn, to_md, to);
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    int ok = a != NULL && b != NULL && dnnl_primitive_attr_create(&attr) == dnnl_success;

    if (ok) /* library's scratchpad: this happens once */
        pd = dnn_reorder(shared->dnn, attr, from_md, to_md);
    ok = pd != NULL && dnnl_primitive_create(&primitive, pd) == dnnl_success;
    if (ok) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};

        ok = dnnl_primitive_execute(primitive, shared->stream, 2, args) == dnnl_success &&
             dnnl_stream_wait(shared->stream) == dnnl_success;
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
