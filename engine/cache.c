/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file is
 *     gpudl-tuning FORMAT CHECKSUM
 *     DEVICE
 *     STEP
 *     FORM NANOSECONDS BYTES NAME
 * and so many bytes of plan. The checksum is of all behind its line.
 */
#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_LINE 1024 /* bytes of any of the lines */
#define MOST_FILE (GPUDL_CACHE_MOST_BYTES + 4 * MOST_LINE)

/* FNV-1a: against damage, not against malice, which the folder's permissions are for. */
static uint64_t hash(uint64_t state, const void *data, size_t bytes)
{
    const uint8_t *at = data;

    for (size_t i = 0; i < bytes; i++)
        state = (state ^ at[i]) * 0x100000001b3u;
    return state;
}

#define HASH_BEGIN 0xcbf29ce484222325u

int gpudl_cache_open(GpudlCache *cache, const char *backend, const char *folder, const char *shipped,
                     const char *device)
{
    *cache = (GpudlCache){.backend = backend,
                          .folder = folder != NULL ? strdup(folder) : NULL,
                          .shipped = shipped != NULL ? strdup(shipped) : NULL,
                          .device = strdup(device)};
    if (cache->device != NULL && (folder == NULL || cache->folder != NULL) &&
        (shipped == NULL || cache->shipped != NULL))
        return 1;
    gpudl_cache_close(cache);
    return 0;
}

void gpudl_cache_close(GpudlCache *cache)
{
    free(cache->folder);
    free(cache->shipped);
    free(cache->device);
    *cache = (GpudlCache){0};
}

/* The file's path, to be freed; NULL if there is no memory. suffix: behind the name. */
static char *path_of(const GpudlCache *cache, const char *folder, const char *step, const char *suffix)
{
    const uint64_t name =
        hash(hash(hash(HASH_BEGIN, cache->device, strlen(cache->device)), "\n", 1), step, strlen(step));
    const size_t room = strlen(folder) + strlen(cache->backend) + strlen(suffix) + 48;
    char *path = malloc(room);

    if (path != NULL)
        snprintf(path, room, "%s/%s-%d/%016llx%s", folder, cache->backend, GPUDL_CACHE_FORMAT, (unsigned long long)name,
                 suffix);
    return path;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* All of a file of acceptable size that nobody else may write, ended by 0; NULL otherwise. */
static char *read_file(const char *path, size_t *bytes)
{
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    char *data = NULL;
    size_t n = 0;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH) == 0 && st.st_size > 0 &&
        (uint64_t)st.st_size <= MOST_FILE)
        data = malloc((size_t)st.st_size + 1);
    while (data != NULL && n < (size_t)st.st_size) {
        const ssize_t got = read(fd, data + n, (size_t)st.st_size - n);

        if (got > 0) {
            n += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            free(data);
            data = NULL;
        }
    }
    close(fd);
    if (data != NULL)
        data[n] = '\0';
    *bytes = n;
    return data;
}

/* Moves on behind an expected line. */
static int skip_line(const char **at, const char *line)
{
    const size_t n = strlen(line);

    if (strncmp(*at, line, n) != 0 || (*at)[n] != '\n')
        return 0;
    *at += n + 1;
    return 1;
}

/* A decimal number of 1 to 12 digits and a space behind it. */
static int read_number(const char **at, uint64_t *number)
{
    int digits = 0;

    for (*number = 0; **at >= '0' && **at <= '9' && digits < 13; (*at)++, digits++)
        *number = *number * 10 + (uint64_t)(**at - '0');
    if (digits == 0 || digits > 12 || **at != ' ')
        return 0;
    (*at)++;
    return 1;
}

static int read_name(const char **at, char *name, size_t room)
{
    size_t n = 0;

    for (; (*at)[n] >= ' ' && (*at)[n] <= '~' && n + 1 < room; n++)
        name[n] = (*at)[n];
    name[n] = '\0';
    if ((*at)[n] != '\n')
        return 0;
    *at += n + 1;
    return 1;
}

/* data ends with a 0, which stops all that reads lines. */
static int parse(const GpudlCache *cache, const char *step, int32_t forms, const char *data, size_t bytes,
                 GpudlCacheEntry *entry)
{
    const char *const end = data + bytes, *at = strchr(data, '\n');
    char first[64];
    uint64_t form, ns, n;

    if (at == NULL)
        return 0;
    at++;
    snprintf(first, sizeof first, "gpudl-tuning %d %016llx", GPUDL_CACHE_FORMAT,
             (unsigned long long)hash(HASH_BEGIN, at, (size_t)(end - at)));
    at = data;
    *entry = (GpudlCacheEntry){0};
    if (!skip_line(&at, first) || !skip_line(&at, cache->device) || !skip_line(&at, step) || !read_number(&at, &form) ||
        !read_number(&at, &ns) || !read_number(&at, &n) || !read_name(&at, entry->name, sizeof entry->name) ||
        form >= (uint64_t)forms || ns == 0 || n != (uint64_t)(end - at) || n > GPUDL_CACHE_MOST_BYTES ||
        (n == 0) != (form + 1 == (uint64_t)forms))
        return 0;
    entry->form = (int32_t)form;
    entry->ns = (float)ns;
    entry->plan_bytes = (size_t)n;
    if (n > 0) {
        entry->plan = malloc((size_t)n);
        if (entry->plan == NULL)
            return 0;
        memcpy(entry->plan, at, (size_t)n);
    }
    return 1;
}

static int read_from(const GpudlCache *cache, const char *folder, const char *step, int32_t forms,
                     GpudlCacheEntry *entry)
{
    size_t bytes = 0;
    char *path = folder != NULL ? path_of(cache, folder, step, "") : NULL;
    char *data = path != NULL ? read_file(path, &bytes) : NULL;
    const int found = data != NULL && parse(cache, step, forms, data, bytes, entry);

    free(path);
    free(data);
    return found;
}

int gpudl_cache_read(const GpudlCache *cache, const char *step, int32_t forms, GpudlCacheEntry *entry)
{
    return read_from(cache, cache->folder, step, forms, entry) || read_from(cache, cache->shipped, step, forms, entry);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* The folder that a path lies in, and those above it. */
static int make_folders(char *path)
{
    for (char *at = path + 1; *at != '\0'; at++)
        if (*at == '/') {
            int made, error;

            *at = '\0';
            made = mkdir(path, 0700) == 0 || errno == EEXIST;
            error = errno;
            made = made || access(path, X_OK) == 0; /* a folder that is there, where none can be made */
            errno = error;
            *at = '/';
            if (!made)
                return 0;
        }
    return 1;
}

static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = write(fd, data, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        data += n;
        bytes -= (size_t)n;
    }
    return 1;
}

/* The file's content, to be freed. */
static char *compose(const GpudlCache *cache, const char *step, const GpudlCacheEntry *entry, size_t *bytes)
{
    const size_t room = 4 * MOST_LINE + entry->plan_bytes;
    char *data = malloc(room), *body;
    const int first = 13 + snprintf(NULL, 0, "%d", GPUDL_CACHE_FORMAT) + 1 + 16 + 1;
    int n;

    if (data == NULL)
        return NULL;
    body = data + first;
    n = snprintf(body, room - (size_t)first, "%s\n%s\n%d %.0f %zu %s\n", cache->device, step, (int)entry->form,
                 (double)fmaxf(entry->ns, 1), entry->plan_bytes, entry->name);
    if (n < 0 || (size_t)first + (size_t)n + entry->plan_bytes >= room) {
        free(data);
        return NULL;
    }
    if (entry->plan_bytes > 0)
        memcpy(body + n, entry->plan, entry->plan_bytes);
    *bytes = (size_t)first + (size_t)n + entry->plan_bytes;
    n = snprintf(data, (size_t)first, "gpudl-tuning %d %016llx", GPUDL_CACHE_FORMAT,
                 (unsigned long long)hash(HASH_BEGIN, body, *bytes - (size_t)first));
    data[n] = '\n';
    return data;
}

static void say_not_kept(const GpudlCache *cache, int error, char *message, size_t room)
{
    snprintf(message, room,
             "what was tuned can't be kept in %s: %s; make it a folder that can be written to, or name another by "
             "GPUDL_CACHE_DIR",
             cache->folder, strerror(error));
}

/* Of the folders that a file would lie in, the innermost that is there decides. */
int gpudl_cache_can_write(const GpudlCache *cache, char *message, size_t room)
{
    char *path, *end;
    struct stat st;
    int good;

    if (cache->folder == NULL)
        return 1;
    path = path_of(cache, cache->folder, "", "");
    errno = ENOMEM;
    end = path != NULL ? strrchr(path, '/') : NULL;
    while (end != NULL && end != path) {
        *end = '\0';
        if (stat(path, &st) == 0 || errno != ENOENT)
            break;
        end = strrchr(path, '/');
    }
    if (path != NULL && (end == path || end == NULL)) /* the file system's root, or a relative path's folder */
        snprintf(path, 2, "%s", end == NULL ? "." : "/");
    good = path != NULL && access(path, W_OK | X_OK) == 0 && stat(path, &st) == 0;
    if (good && !S_ISDIR(st.st_mode)) {
        good = 0;
        errno = ENOTDIR;
    }
    if (!good)
        say_not_kept(cache, errno, message, room);
    free(path);
    return good;
}

int gpudl_cache_write(const GpudlCache *cache, const char *step, const GpudlCacheEntry *entry, char *message,
                      size_t room)
{
    static atomic_uint counter;
    char suffix[48], *path, *temporary, *data;
    size_t bytes = 0;
    int fd = -1, good;

    if (cache->folder == NULL || entry->plan_bytes > GPUDL_CACHE_MOST_BYTES)
        return 1;
    snprintf(suffix, sizeof suffix, ".%ld-%u", (long)getpid(), atomic_fetch_add(&counter, 1));
    path = path_of(cache, cache->folder, step, "");
    temporary = path_of(cache, cache->folder, step, suffix);
    data = compose(cache, step, entry, &bytes);
    errno = ENOMEM;
    if (path != NULL && temporary != NULL && data != NULL && make_folders(temporary))
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    good = fd >= 0 && write_all(fd, data, bytes);
    if (fd >= 0) {
        good = close(fd) == 0 && good && rename(temporary, path) == 0;
        if (!good) {
            const int error = errno;

            unlink(temporary);
            errno = error;
        }
    }
    if (!good)
        say_not_kept(cache, errno, message, room);
    free(path);
    free(temporary);
    free(data);
    return good;
}
