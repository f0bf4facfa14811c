/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * An NVIDIA driver whose devices are this machine's memory: a libcuda.so.1 with what GStreamer's CUDA library calls. It
 * ends the process with a message where it is used as no driver allows: a context that is gone, memory freed in another
 * context, more contexts popped than pushed. Memory that has been freed, and the page behind each block, can't be
 * touched, so that whoever reads a frame too late or too far is found.
 *
 * GPUDL_TEST_DRIVER in the environment keeps it from starting: "fails" at once, "slow" after 2 s.
 *
 * A context is a FakeContext (tests/fake/fake.h), so that the fake backend works in those made here, and the backend's
 * own may be pushed here. A stream is a FakeStream.
 */
#ifndef TESTS_FAKE_DRIVER_H
#define TESTS_FAKE_DRIVER_H

#include <stdint.h>

#include "tests/fake/fake.h"

#define FAKE_DRIVER_ENTRY "gpudl_fake_driver"

typedef struct {
    /* what it is like */
    uint32_t n_devices; /* 1 */

    /* what has happened; atomic */
    uint32_t inits;
    uint32_t waits;     /* for streams and events, by the caller's thread */
    uint32_t downloads; /* copies from device to host */
    uint32_t uploads;
    /* now */
    uint32_t contexts, blocks, streams;

    /** Contexts that are pushed on this thread. */
    uint32_t (*get_depth)(void);
    /** Of which context a block is that this address lies in; NULL: of none that is alive. */
    FakeContext *(*get_context)(const void *data);
} FakeDriver;

typedef FakeDriver *(*FakeDriverEntry)(void);

#endif
