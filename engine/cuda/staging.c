/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "staging.h"

#include <stdlib.h>
#include <time.h>

#include "device.h"
#include "engine/module.h"

#define NAP_NS 20000
#define PATIENCE_NS 10000000000u

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static void take_a_nap(void)
{
    const struct timespec nap = {0, NAP_NS};

    nanosleep(&nap, NULL);
}

/* Whether the device has been given up, or all patience with it is used up. */
static int is_hopeless(CudaDevice *device, uint64_t begin)
{
    return atomic_load(&device->silent) || gpudl_module_now_ns() - begin > PATIENCE_NS;
}

/* Waits for all that is being uploaded. FALSE: the device does not answer. One that is lost reads nothing any more. */
static int drain(CudaDevice *device)
{
    const uint64_t begin = gpudl_module_now_ns();
    cudaError_t error;

    while ((error = cudaStreamQuery(device->upload)) == cudaErrorNotReady && !is_hopeless(device, begin))
        take_a_nap();
    cudaGetLastError();
    return error != cudaErrorNotReady;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

/* Those that the device has read, as far as the first that it has not, become free. Under the lock. An error of a
 * device that is lost. */
static cudaError_t collect(CudaStaging *staging)
{
    cudaError_t error = cudaSuccess;

    while (staging->first != NULL && (error = cudaEventQuery(staging->first->passed)) == cudaSuccess) {
        CudaPiece *piece = staging->first;

        staging->first = piece->next;
        piece->next = staging->pieces;
        staging->pieces = piece;
    }
    if (error == cudaErrorNotReady) {
        cudaGetLastError(); /* not an error of what is called next */
        error = cudaSuccess;
    }
    return error;
}

static void piece_free(CudaPiece *piece)
{
    if (piece->passed != NULL)
        cudaEventDestroy(piece->passed);
    cudaFreeHost(piece->data);
    free(piece);
}

static CudaPiece *piece_new(cudaError_t *error)
{
    CudaPiece *piece = calloc(1, sizeof *piece);

    *error = cudaErrorMemoryAllocation;
    if (piece == NULL)
        return NULL;
    *error = cudaHostAlloc((void **)&piece->data, CUDA_PIECE_BYTES, cudaHostAllocPortable);
    if (*error == cudaSuccess)
        *error = cudaEventCreateWithFlags(&piece->passed, cudaEventDisableTiming);
    if (*error == cudaSuccess)
        return piece;
    cudaGetLastError();
    piece_free(piece);
    return NULL;
}

/* Takes out of the free ones the last that this thread gave back; any, if may_be_others: the one that has been free for
 * the longest. What another thread wrote is in its core's cache, and to write there is slower than to memory that no
 * cache has. Under the lock. */
static CudaPiece *unlist_piece(CudaStaging *staging, int may_be_others)
{
    const pthread_t self = pthread_self();
    CudaPiece **at = &staging->pieces, *piece;

    while (*at != NULL && !pthread_equal((*at)->user, self) && !(may_be_others && (*at)->next == NULL))
        at = &(*at)->next;
    piece = *at;
    if (piece != NULL)
        *at = piece->next;
    return piece;
}

/* A free one, or a new one. NULL: none is to be had now, or *error says that there won't be any. */
static CudaPiece *try_piece(CudaStaging *staging, int grows, cudaError_t *error)
{
    CudaPiece *piece = NULL;
    uint32_t others = 0;

    pthread_mutex_lock(&staging->lock);
    *error = collect(staging);
    grows = grows && *error == cudaSuccess && staging->n_pieces < CUDA_MOST_PIECES;
    if (*error == cudaSuccess)
        piece = unlist_piece(staging, !grows);
    grows = grows && piece == NULL;
    staging->n_pieces += (uint32_t)grows;
    pthread_mutex_unlock(&staging->lock);
    if (!grows)
        return piece;
    piece = piece_new(error);
    if (piece != NULL)
        return piece;
    pthread_mutex_lock(&staging->lock);
    others = --staging->n_pieces;
    pthread_mutex_unlock(&staging->lock);
    if (*error == cudaErrorMemoryAllocation && others > 0)
        return try_piece(staging, 0, error); /* with what there is */
    return NULL;
}

CudaPiece *cuda_piece_take(CudaDevice *device, GpudlStatus *status, GpudlFault *fault)
{
    const uint64_t begin = gpudl_module_now_ns();
    cudaError_t error;
    CudaPiece *piece;

    while ((piece = try_piece(&device->staging, 1, &error)) == NULL && error == cudaSuccess) {
        if (is_hopeless(device, begin)) {
            *status = gpudl_module_fail(fault, GPUDL_STATUS_BACKEND,
                                        "device %d does not answer: it has read none of the frames that are being "
                                        "uploaded to it",
                                        device->id);
            return NULL;
        }
        take_a_nap();
    }
    if (error != cudaSuccess)
        *status = cuda_fail(device, fault, error, "%u bytes of pinned memory, which frames are uploaded from",
                            CUDA_PIECE_BYTES);
    return piece;
}

GpudlStatus cuda_piece_send(CudaDevice *device, CudaPiece *piece, void *to, size_t bytes, GpudlFault *fault)
{
    CudaStaging *staging = &device->staging;
    cudaError_t error = cudaMemcpyAsync(to, piece->data, bytes, cudaMemcpyHostToDevice, device->upload);
    int is_read = 1;

    if (error == cudaSuccess) {
        error = cudaEventRecord(piece->passed, device->upload);
        if (error != cudaSuccess)
            is_read = drain(device); /* nothing else tells when it has been read */
    }
    piece->user = pthread_self();
    pthread_mutex_lock(&staging->lock);
    if (error != cudaSuccess) {
        CudaPiece **list = is_read ? &staging->pieces : &staging->unread;

        piece->next = *list;
        *list = piece;
    } else {
        piece->next = NULL;
        if (staging->first == NULL)
            staging->first = piece;
        else
            staging->last->next = piece;
        staging->last = piece;
    }
    pthread_mutex_unlock(&staging->lock);
    return error == cudaSuccess ? GPUDL_STATUS_OK
                                : cuda_fail(device, fault, error, "uploading %zu bytes of a frame", bytes);
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

/* Takes out of the stack the first one of this size, or with bytes 0 the last one. Under the lock. */
static CudaPlace *unlist(CudaStaging *staging, size_t bytes)
{
    CudaPlace **at = &staging->places, *place;

    while ((place = *at) != NULL &&
           (bytes > 0 ? place->bytes < bytes || place->bytes / 2 > bytes : place->next != NULL))
        at = &place->next;
    if (place != NULL)
        *at = place->next;
    return place;
}

/* Takes the last one out of the stack and frees it. FALSE: none is free, or freeing it would wait for ever. */
static int free_spare(CudaDevice *device)
{
    CudaStaging *staging = &device->staging;
    CudaPlace *spare;

    if (atomic_load(&device->silent))
        return 0;
    pthread_mutex_lock(&staging->lock);
    spare = unlist(staging, 0);
    staging->n_places -= spare != NULL;
    pthread_mutex_unlock(&staging->lock);
    if (spare != NULL && !drain(device)) { /* it is being written to */
        pthread_mutex_lock(&staging->lock);
        spare->next = staging->places;
        staging->places = spare;
        staging->n_places++;
        pthread_mutex_unlock(&staging->lock);
        return 0;
    }
    if (spare == NULL)
        return 0;
    cudaFree(spare->data);
    cudaGetLastError();
    free(spare);
    return 1;
}

void cuda_place_add_owner(CudaDevice *device)
{
    pthread_mutex_lock(&device->staging.lock);
    device->staging.n_owners++;
    pthread_mutex_unlock(&device->staging.lock);
}

void cuda_place_remove_owner(CudaDevice *device)
{
    CudaStaging *staging = &device->staging;
    int has_spare;

    pthread_mutex_lock(&staging->lock);
    has_spare = --staging->n_owners < staging->n_places;
    pthread_mutex_unlock(&staging->lock);
    if (has_spare)
        free_spare(device);
}

/* Where there is no memory, what is free for frames of other sizes makes room. */
static cudaError_t allocate(CudaDevice *device, CudaPlace *place, size_t bytes)
{
    cudaError_t error;

    do {
        error = cudaMalloc((void **)&place->data, bytes);
        if (error != cudaSuccess)
            cudaGetLastError();
    } while (error == cudaErrorMemoryAllocation && free_spare(device));
    return error;
}

CudaPlace *cuda_place_take(CudaDevice *device, size_t bytes, GpudlStatus *status, GpudlFault *fault)
{
    CudaStaging *staging = &device->staging;
    cudaError_t error = cudaErrorMemoryAllocation;
    int has_spare = 0; /* of another size */
    CudaPlace *place;

    pthread_mutex_lock(&staging->lock);
    place = unlist(staging, bytes);
    if (place == NULL)
        has_spare = ++staging->n_places > staging->n_owners;
    pthread_mutex_unlock(&staging->lock);
    if (place != NULL)
        return place;
    if (has_spare)
        free_spare(device);
    place = calloc(1, sizeof *place);
    if (place != NULL)
        error = allocate(device, place, bytes);
    if (error == cudaSuccess) {
        place->bytes = bytes;
        return place;
    }
    free(place);
    pthread_mutex_lock(&staging->lock);
    staging->n_places--;
    pthread_mutex_unlock(&staging->lock);
    *status = cuda_fail(device, fault, error, "%zu bytes of device memory for a frame", bytes);
    return NULL;
}

void cuda_place_give(CudaDevice *device, CudaPlace *place)
{
    CudaStaging *staging = &device->staging;

    if (place == NULL)
        return;
    pthread_mutex_lock(&staging->lock);
    place->next = staging->places;
    staging->places = place;
    pthread_mutex_unlock(&staging->lock);
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

void cuda_staging_init(CudaStaging *staging)
{
    *staging = (CudaStaging){.n_owners = 0};
    pthread_mutex_init(&staging->lock, NULL);
}

void cuda_staging_end(CudaStaging *staging)
{
    CudaPiece *lists[] = {staging->pieces, staging->first, staging->unread};

    for (int i = 0; i < 3; i++)
        for (CudaPiece *piece = lists[i], *next; piece != NULL; piece = next) {
            next = piece->next;
            piece_free(piece);
        }
    for (CudaPlace *place = staging->places, *next; place != NULL; place = next) {
        next = place->next;
        cudaFree(place->data);
        free(place);
    }
    pthread_mutex_destroy(&staging->lock);
}
