/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Memory of a device that frames of all its engines go through: pieces of pinned memory that a frame of the host is
 * copied to and uploaded from, one after the other, and places of the device's memory where kernels read it. Both are
 * stacks: what was given back last is taken first, so that as much memory is in use as frames are under way, and caches
 * have it; of pieces, what the same thread gave back. Functions are called in the device's context, on any thread.
 */
#ifndef GPUDL_ENGINE_CUDA_STAGING_H
#define GPUDL_ENGINE_CUDA_STAGING_H

#include <cuda_runtime_api.h>
#include <pthread.h>

#include "engine/backend.h"

/** A piece: room for a frame of 1920x1080 in one. Smaller ones cost more by their uploads than these gain by beginning
 * earlier. */
#define CUDA_PIECE_BYTES (4u << 20)
/** Pieces of a device, at most: where uploads are slower than copies, these wait. */
#define CUDA_MOST_PIECES 32u

typedef struct CudaDevice CudaDevice;

/** Pinned memory. */
typedef struct CudaPiece CudaPiece;
struct CudaPiece {
    CudaPiece *next;
    uint8_t *data;      /* CUDA_PIECE_BYTES */
    pthread_t user;     /* who wrote to it last */
    cudaEvent_t passed; /* the device has read it */
};

/** Memory of the device. */
typedef struct CudaPlace CudaPlace;
struct CudaPlace {
    CudaPlace *next;
    uint8_t *data;
    size_t bytes;
};

/** What is free and what is on its way. The lock is a leaf: under it nothing is called but cudaEventQuery(). */
typedef struct {
    pthread_mutex_t lock;
    CudaPiece *pieces;       /* free; the first one was given back last */
    CudaPiece *first, *last; /* being uploaded, about in this order */
    CudaPiece *unread;       /* uploaded by a device that stopped answering, and that no event tells of */
    CudaPlace *places;       /* as pieces */
    uint32_t n_pieces, n_places, n_owners;
} CudaStaging;

void cuda_staging_init(CudaStaging *staging);
/** Frees all pieces and places; none is in use, and nothing is uploaded any more. */
void cuda_staging_end(CudaStaging *staging);

/**
 * A piece to write to; whoever has one sends it before taking another. Makes one if none is free; waits for what is
 * being uploaded if there are CUDA_MOST_PIECES or no more to be had. NULL with *status and *fault: there is no memory
 * for the first one, the device is lost, or has not answered for ten seconds.
 */
CudaPiece *cuda_piece_take(CudaDevice *device, GpudlStatus *status, GpudlFault *fault);
/** Queues the upload of the first bytes of a piece and gives the piece back, whether that fails or not. Returns before
 * the device has read it; after a failure it may wait for that, ten seconds at most. */
GpudlStatus cuda_piece_send(CudaDevice *device, CudaPiece *piece, void *to, size_t bytes, GpudlFault *fault);

/**
 * Places have owners, one each at most, so that no more are kept than there are owners: these are counted. A place is
 * written by the device's upload stream alone, which what an earlier owner has queued is before.
 */
void cuda_place_add_owner(CudaDevice *device);
void cuda_place_remove_owner(CudaDevice *device);
/** A place of at least so many bytes, and at most twice as many; made if none is free. NULL with *status and *fault. */
CudaPlace *cuda_place_take(CudaDevice *device, size_t bytes, GpudlStatus *status, GpudlFault *fault);
/** Gives it back; no kernel reads it any more, uploads to it may be under way. Waits for nothing. place may be NULL. */
void cuda_place_give(CudaDevice *device, CudaPlace *place);

#endif
