/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cores.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PROCESSORS (1u << 20)

uint32_t cpu_cores_allowed(CpuGetAffinity *get)
{
    for (unsigned n = CPU_SETSIZE; n <= MOST_PROCESSORS; n *= 2) {
        cpu_set_t *set = CPU_ALLOC(n);
        int status, count;

        if (set == NULL)
            break;
        status = get(CPU_ALLOC_SIZE(n), set);
        count = status == 0 ? CPU_COUNT_S(CPU_ALLOC_SIZE(n), set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return (uint32_t)count;
        if (errno != EINVAL)
            break;
    }
    return 1;
}

/* ---- control groups ---------------------------------------------------------------------------------------------- */

/* Fewer of *cores (0: any number) and quota / period, rounded up. */
static void lower(uint32_t *cores, long long quota, long long period)
{
    unsigned long long wanted;

    if (quota <= 0 || period <= 0)
        return;
    wanted = ((unsigned long long)quota - 1) / (unsigned long long)period + 1;
    if (*cores == 0 || wanted < *cores)
        *cores = wanted < UINT32_MAX ? (uint32_t)wanted : UINT32_MAX;
}

/* n (1 or 2) numbers of a file. 0 if they are not there; "max" is not a number. */
static int read_numbers(const char *folder, const char *name, int n, long long *first, long long *second)
{
    char path[2 * PATH_MAX];
    FILE *file;
    int found;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return 0;
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    found = fscanf(file, "%lld %lld", first, second);
    fclose(file);
    return found >= n;
}

static void look_into(const char *folder, int version, uint32_t *cores)
{
    long long quota = 0, period = 0, unused;

    if (version == 2) {
        if (read_numbers(folder, "cpu.max", 2, &quota, &period))
            lower(cores, quota, period);
    } else if (read_numbers(folder, "cpu.cfs_quota_us", 1, &quota, &unused) &&
               read_numbers(folder, "cpu.cfs_period_us", 1, &period, &unused)) {
        lower(cores, quota, period);
    }
}

/* The comma-separated list holds the word. */
static int lists(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return 1;
    }
    return 0;
}

/* This process's group in the hierarchy of version 2, or in that of version 1 which has the controller "cpu". */
static int own_group(const char *root, int version, char path[PATH_MAX])
{
    char name[PATH_MAX], line[PATH_MAX + 256];
    int found = 0;
    FILE *file;

    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    file = fopen(name, "re");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':'), *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (group == NULL)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        controllers++;
        found = version == 2 ? *controllers == '\0' : lists(controllers, "cpu");
        if (found)
            snprintf(path, PATH_MAX, "%s", group);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* A mount of control groups: shows the groups below top at point. The process's own group and those above it, as far
 * as they can be seen from here, all count. */
static void look_at_mount(const char *root, int version, const char *top, const char *point, uint32_t *cores)
{
    char group[PATH_MAX], folder[2 * PATH_MAX];
    size_t length = strcmp(top, "/") == 0 ? 0 : strlen(top), base;
    const char *below;

    if (!own_group(root, version, group))
        return;
    below = strncmp(group, top, length) == 0 && (group[length] == '/' || group[length] == '\0') ? group + length : "";
    base = (size_t)snprintf(folder, sizeof folder, "%s%s", root, point);
    if (base >= sizeof folder ||
        (size_t)snprintf(folder + base, sizeof folder - base, "%s", below) >= sizeof folder - base)
        return;
    for (;;) {
        char *end;

        look_into(folder, version, cores);
        end = strrchr(folder + base, '/');
        if (end == NULL)
            break;
        *end = '\0';
    }
}

uint32_t cpu_cores_quota(const char *root)
{
    char name[PATH_MAX], line[4 * PATH_MAX];
    uint32_t cores = 0;
    FILE *file;

    snprintf(name, sizeof name, "%s/proc/self/mountinfo", root);
    file = fopen(name, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        /* id, parent, major:minor, top, point, options, optional fields, "-", type, source, options */
        char top[PATH_MAX], point[PATH_MAX], type[64], options[1024];
        const char *end = strstr(line, " - ");

        if (end == NULL || sscanf(line, "%*s %*s %*s %4095s %4095s", top, point) != 2 ||
            sscanf(end, " - %63s %*s %1023s", type, options) != 2)
            continue;
        if (strcmp(type, "cgroup2") == 0)
            look_at_mount(root, 2, top, point, &cores);
        else if (strcmp(type, "cgroup") == 0 && lists(options, "cpu"))
            look_at_mount(root, 1, top, point, &cores);
    }
    if (file != NULL)
        fclose(file);
    return cores;
}

static int get_own(size_t bytes, void *mask)
{
    return sched_getaffinity(0, bytes, mask);
}

uint32_t cpu_cores_usable(void)
{
    uint32_t allowed = cpu_cores_allowed(get_own), quota = cpu_cores_quota("");

    return quota != 0 && quota < allowed ? quota : allowed;
}
