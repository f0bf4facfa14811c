/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What tuning found out, kept in files: one for each step on each kind of device. Plain files that are written whole
 * and then renamed, so that any number of processes may share a folder. What is in them is not trusted: whatever is not
 * just as this version writes it for this device and step is not there.
 */
#ifndef GPUDL_ENGINE_CACHE_H
#define GPUDL_ENGINE_CACHE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/** Largest plan that is kept, bytes; those compiled at run time have about 50000. */
#define GPUDL_CACHE_MOST_BYTES ((size_t)4 << 20)
/** Counted up when the meaning of what is kept changes. */
#define GPUDL_CACHE_FORMAT 1

/** Room for a number of a step's text. */
#define GPUDL_CACHE_NUMBER 16

/** A number as steps have it: the same text in every locale, another one for other bits. Returns text. */
static inline const char *gpudl_cache_number(float value, char text[GPUDL_CACHE_NUMBER])
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (fabsf(value) < 1e6f && value == (float)(int32_t)value && (value != 0 || bits == 0))
        snprintf(text, GPUDL_CACHE_NUMBER, "%d", (int)value);
    else
        snprintf(text, GPUDL_CACHE_NUMBER, "0x%08x", (unsigned)bits);
    return text;
}

/** One choice. */
typedef struct {
    int32_t form; /* the backend's own number */
    float ns;     /* of one run, above 0 */
    char *plan;   /* text of the backend's, not ended by 0; NULL for the last form. Belongs to whoever has the entry,
                     free() */
    size_t plan_bytes;
    char name[32]; /* for people: printable */
} GpudlCacheEntry;

typedef struct {
    const char *backend;
    char *folder, *shipped; /* NULL: none */
    char *device;
} GpudlCache;

/**
 * backend (static): begins the name of the folder within, which it has to itself.
 * folder is read and written, shipped is read where folder has nothing; either may be NULL and neither has to exist.
 * device: one line, all that a choice depends on beside the step (card, driver, library). FALSE if there is no memory.
 */
int gpudl_cache_open(GpudlCache *cache, const char *backend, const char *folder, const char *shipped,
                     const char *device);
void gpudl_cache_close(GpudlCache *cache);

/** step: one line that says what is computed. FALSE if nothing is known of it. forms: entries have a form below it, the
 * last of which is that without a plan. */
int gpudl_cache_read(const GpudlCache *cache, const char *step, int32_t forms, GpudlCacheEntry *entry);
/** FALSE, with what is wrong in message, if nothing could be kept; TRUE where there is no folder. Writes nothing. */
int gpudl_cache_can_write(const GpudlCache *cache, char *message, size_t room);
/** Replaces what was known. FALSE, with what went wrong in message, if it can't be kept; TRUE where there is no folder.
 */
int gpudl_cache_write(const GpudlCache *cache, const char *step, const GpudlCacheEntry *entry, char *message,
                      size_t room);

#endif
