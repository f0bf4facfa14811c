/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The names of CUDA's driver API that GStreamer's CUDA headers mention, of all
 * versions from 1.22 on, for machines without NVIDIA's toolkit: gstreamer-cuda
 * installs headers that include cuda.h, and brings none. Only types that a call
 * of the plugin passes have a meaning here; the others are names. Nothing is
 * called by these: GStreamer opens libcuda.so.1 by itself.
 */
#ifndef __GPUDL_STUB_CUDA_H__
#define __GPUDL_STUB_CUDA_H__

#include <stddef.h>
#include <stdint.h>

#define CUDAAPI

/* numbers and handles, as the driver has them */
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef unsigned long long CUtexObject;
typedef unsigned long long CUmemGenericAllocationHandle;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUarray_st *CUarray;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUgraphicsResource_st *CUgraphicsResource;
typedef struct CUmemPoolHandle_st *CUmemoryPool;

typedef enum
{
  CUDA_SUCCESS = 0
} CUresult;

/* enumerations of which GStreamer's headers pass values on */
typedef int CUdevice_attribute;
typedef int CUfilter_mode;
typedef int CUgraphicsMapResourceFlags;
typedef int CUgraphicsRegisterFlags;
typedef int CUmemAllocationHandleType;
typedef int CUmemAllocationGranularity_flags;
typedef int CUmemPool_attribute;

/* structures that they point to */
typedef struct CUDA_MEMCPY2D_st CUDA_MEMCPY2D;
typedef struct CUDA_RESOURCE_DESC_st CUDA_RESOURCE_DESC;
typedef struct CUDA_TEXTURE_DESC_st CUDA_TEXTURE_DESC;
typedef struct CUDA_RESOURCE_VIEW_DESC_st CUDA_RESOURCE_VIEW_DESC;
typedef struct CUmemAllocationProp_st CUmemAllocationProp;
typedef struct CUmemAccessDesc_st CUmemAccessDesc;
typedef struct CUmemLocation_st CUmemLocation;
typedef struct CUmemPoolProps_st CUmemPoolProps;

/* and pass by value */
typedef struct
{
  char reserved[64];
} CUipcEventHandle;

typedef struct
{
  char reserved[64];
} CUipcMemHandle;

#endif /* __GPUDL_STUB_CUDA_H__ */
