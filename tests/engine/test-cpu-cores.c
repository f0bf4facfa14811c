/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many processors a process may keep busy: machines as they show themselves in files, and in affinity masks. */
#include <errno.h>
#include <gio/gio.h>
#include <string.h>

#include "engine/cpu/cores.h"

/* ---- quotas ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const gchar *name;
    guint32 expected;
    const gchar *files[5][2]; /* path below root, contents */
} Machine;

#define MOUNT_V2 "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1                                                                                                       \
    "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"                                                       \
    "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"                                                \
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
#define CGROUP "proc/self/cgroup"
#define MOUNTS "proc/self/mountinfo"

static const Machine machines[] = {
    {"nothing-to-read", 0, {{0}}},
    {"v2-container", 2, {{CGROUP, "0::/\n"}, {MOUNTS, MOUNT_V2}, {"sys/fs/cgroup/cpu.max", "200000 100000\n"}}},
    {"v2-rounded-up", 3, {{CGROUP, "0::/\n"}, {MOUNTS, MOUNT_V2}, {"sys/fs/cgroup/cpu.max", "200001 100000\n"}}},
    {"v2-less-than-one", 1, {{CGROUP, "0::/\n"}, {MOUNTS, MOUNT_V2}, {"sys/fs/cgroup/cpu.max", "5000 100000\n"}}},
    {"v2-max", 0, {{CGROUP, "0::/\n"}, {MOUNTS, MOUNT_V2}, {"sys/fs/cgroup/cpu.max", "max 100000\n"}}},
    {"v2-service-under-a-slice",
     4,
     {{CGROUP, "0::/system.slice/a.service\n"},
      {MOUNTS, MOUNT_V2},
      {"sys/fs/cgroup/system.slice/a.service/cpu.max", "800000 100000\n"},
      {"sys/fs/cgroup/system.slice/cpu.max", "400000 100000\n"}}},
    {"v2-service-under-a-wider-slice",
     2,
     {{CGROUP, "0::/system.slice/a.service\n"},
      {MOUNTS, MOUNT_V2},
      {"sys/fs/cgroup/system.slice/a.service/cpu.max", "200000 100000\n"},
      {"sys/fs/cgroup/system.slice/cpu.max", "800000 100000\n"}}},
    {"v2-other-group",
     0,
     {{CGROUP, "0::/system.slice/a.service\n"},
      {MOUNTS, MOUNT_V2},
      {"sys/fs/cgroup/system.slice/b.service/cpu.max", "100000 100000\n"}}},
    {"v1-container",
     2,
     {{CGROUP, "5:cpuset:/\n4:cpu,cpuacct:/\n0::/\n"},
      {MOUNTS, MOUNT_V1},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}},
    {"v1-no-quota",
     0,
     {{CGROUP, "4:cpu,cpuacct:/\n"},
      {MOUNTS, MOUNT_V1},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}},
    {"v1-group-named-as-outside",
     3,
     {{CGROUP, "4:cpuacct,cpu:/docker/abc/sub\n"},
      {MOUNTS, "33 31 0:30 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpuacct,cpu\n"},
      {"sys/fs/cgroup/cpu/sub/cpu.cfs_quota_us", "300000\n"},
      {"sys/fs/cgroup/cpu/sub/cpu.cfs_period_us", "100000\n"}}},
    {"v1-group-that-cannot-be-seen",
     5,
     {{CGROUP, "4:cpu:/docker/abcdef\n"},
      {MOUNTS, "33 31 0:30 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"},
      {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "500000\n"},
      {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}}},
    {"both-versions",
     2,
     {{CGROUP, "4:cpu:/\n0::/user\n"},
      {MOUNTS, "33 31 0:30 / /cg/cpu rw - cgroup cgroup rw,cpu\n34 31 0:31 / /cg/unified rw - cgroup2 cgroup2 rw\n"},
      {"cg/cpu/cpu.cfs_quota_us", "600000\n"},
      {"cg/cpu/cpu.cfs_period_us", "100000\n"},
      {"cg/unified/user/cpu.max", "190000 100000\n"}}},
    {"nonsense", 0, {{CGROUP, "0\n::\n"}, {MOUNTS, " - \nx - cgroup2\n"}, {"cpu.max", "1 1\n"}}},
    {"period-of-zero", 0, {{CGROUP, "0::/\n"}, {MOUNTS, MOUNT_V2}, {"sys/fs/cgroup/cpu.max", "100000 0\n"}}},
};

static void write_file(const gchar *root, const gchar *path, const gchar *text)
{
    g_autofree gchar *whole = g_build_filename(root, path, NULL), *folder = g_path_get_dirname(whole);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    g_file_set_contents(whole, text, -1, &error);
    g_assert_no_error(error);
}

static void remove_tree(GFile *file)
{
    g_autoptr(GFileEnumerator) children =
        g_file_enumerate_children(file, "standard::name", G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, NULL, NULL);
    GFile *child = NULL;

    while (children != NULL && g_file_enumerator_iterate(children, NULL, &child, NULL, NULL) && child != NULL)
        remove_tree(child);
    g_file_delete(file, NULL, NULL);
}

static void test_quota(gconstpointer data)
{
    const Machine *machine = data;
    g_autoptr(GError) error = NULL;
    g_autofree gchar *root = g_dir_make_tmp("gpudl-cores-XXXXXX", &error);
    g_autoptr(GFile) folder = g_file_new_for_path(root);
    guint32 cores;

    g_assert_no_error(error);
    for (gsize i = 0; i < G_N_ELEMENTS(machine->files) && machine->files[i][0] != NULL; i++)
        write_file(root, machine->files[i][0], machine->files[i][1]);
    cores = cpu_cores_quota(root);
    remove_tree(folder);
    g_assert_cmpuint(cores, ==, machine->expected);
}

/* ---- affinity ---------------------------------------------------------------------------------------------------- */

/* A machine of 5,000 processors, every second of which is allowed. */
static int get_many(size_t bytes, void *mask)
{
    if (bytes * 8 < 5000) {
        errno = EINVAL;
        return -1;
    }
    memset(mask, 0, bytes);
    memset(mask, 0x55, 5000 / 8);
    return 0;
}

static int get_three(size_t bytes, void *mask)
{
    memset(mask, 0, bytes);
    *(guint8 *)mask = 0x83;
    return 0;
}

static int get_never(size_t bytes, void *mask)
{
    errno = EINVAL;
    return -1;
}

static int get_denied(size_t bytes, void *mask)
{
    errno = EPERM;
    return -1;
}

static void test_allowed(void)
{
    g_assert_cmpuint(cpu_cores_allowed(get_three), ==, 3);
    g_assert_cmpuint(cpu_cores_allowed(get_many), ==, 2500);
    g_assert_cmpuint(cpu_cores_allowed(get_never), ==, 1);
    g_assert_cmpuint(cpu_cores_allowed(get_denied), ==, 1);
}

static void test_this_machine(void)
{
    guint32 cores = cpu_cores_usable(), quota = cpu_cores_quota("");

    g_assert_cmpuint(cores, >=, 1);
    g_assert_cmpuint(cores, <=, g_get_num_processors());
    if (quota != 0)
        g_assert_cmpuint(cores, <=, quota);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(machines); i++) {
        g_autofree gchar *path = g_strdup_printf("/cpu-cores/quota/%s", machines[i].name);

        g_test_add_data_func(path, &machines[i], test_quota);
    }
    g_test_add_func("/cpu-cores/allowed", test_allowed);
    g_test_add_func("/cpu-cores/this-machine", test_this_machine);
    return g_test_run();
}
