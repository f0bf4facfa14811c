/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What gpudl doctor says of NVIDIA's: driver, GPUs, libraries, decoders. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/doctor.h"
#include "tools/media.h"
#include "tools/plugin-file.h"
#include "tools/text.h"

/* A driver takes seconds to start on a machine with many cards. */
#define PATIENCE_MS 10000

struct _DoctorGpu {
    GPtrArray *lines; /* GStrv of key, value, text */
    gchar *trouble;   /* why there are no more lines; NULL: they are all */
    gboolean hangs;
};

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* All that the program writes, until it ends or says nothing for too long. TRUE: it ended. */
static gboolean read_all(int from, GString *text)
{
    struct pollfd ready = {.fd = from, .events = POLLIN};

    for (;;) {
        gchar block[4096];
        gssize n = poll(&ready, 1, PATIENCE_MS);

        if (n == 0)
            return FALSE;
        if (n > 0)
            n = read(from, block, sizeof block);
        if (n == 0 || (n < 0 && errno != EINTR))
            return TRUE;
        if (n > 0)
            g_string_append_len(text, block, n);
    }
}

static void take_lines(DoctorGpu *self, const gchar *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        gchar **fields = g_strsplit(lines[i], "\t", 3);

        if (g_strv_length(fields) == 3)
            g_ptr_array_add(self->lines, fields);
        else
            g_strfreev(fields);
    }
}

static const gchar *const *find(const DoctorGpu *self, const gchar *key)
{
    for (guint i = 0; i < self->lines->len; i++) {
        const gchar *const *line = self->lines->pdata[i];

        if (strcmp(line[0], key) == 0)
            return line;
    }
    return NULL;
}

static gboolean is_there(const DoctorGpu *self, const gchar *key)
{
    const gchar *const *line = find(self, key);

    return line != NULL && line[1][0] != '\0';
}

DoctorGpu *doctor_gpu_look(void)
{
    DoctorGpu *self = g_new0(DoctorGpu, 1);
    g_autofree gchar *program = plugin_file_find_beside("gpudl", "tools", "look-gpu");
    const gchar *argv[] = {program, NULL};
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    gboolean ended;
    GPid child;
    gint from, status = 0;

    self->lines = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    if (program == NULL ||
        !g_spawn_async_with_pipes(NULL, (gchar **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL,
                                  NULL, NULL, &child, NULL, &from, NULL, &error)) {
        self->trouble = g_strdup_printf("can't be looked for: %s",
                                        error != NULL ? error->message : "look-gpu is not installed beside libgpudl");
        return self;
    }
    ended = read_all(from, text);
    close(from);
    take_lines(self, text->str);
    if (!ended) {
        kill(child, SIGKILL);
        self->hangs = find(self, "start") != NULL && find(self, "driver") == NULL;
        self->trouble = g_strdup_printf("%s has not returned after %d s", self->hangs ? "cuInit()" : "looking for them",
                                        PATIENCE_MS / 1000);
    } else {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        if (WIFSIGNALED(status))
            self->trouble = g_strdup_printf("looking for them ends in signal %d (%s)", WTERMSIG(status),
                                            g_strsignal(WTERMSIG(status)));
    }
    g_spawn_close_pid(child);
    return self;
}

void doctor_gpu_free(DoctorGpu *self)
{
    g_ptr_array_unref(self->lines);
    g_free(self->trouble);
    g_free(self);
}

gboolean doctor_gpu_hangs(const DoctorGpu *self)
{
    return self->hangs;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

/* "580.95.05", or NULL. */
static gchar *kernel_driver(void)
{
    g_autofree gchar *text = NULL;
    g_autoptr(GRegex) regex = g_regex_new("Module .*?([0-9]+\\.[0-9.]+)", 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    if (!g_file_get_contents("/proc/driver/nvidia/version", &text, NULL, NULL) ||
        !g_regex_match(regex, text, 0, &match))
        return NULL;
    return g_match_info_fetch(match, 1);
}

/* TRUE if one of them runs networks. */
static gboolean report_gpus(const DoctorGpu *self)
{
    gboolean usable = FALSE;

    for (guint i = 0; i < self->lines->len; i++) {
        const gchar *const *line = self->lines->pdata[i];
        g_autofree gchar *what = g_strdup_printf("GPU %s", line[1]), *text = g_utf8_make_valid(line[2], -1),
                         *weak = NULL;

        if (strcmp(line[0], "gpu") == 0) {
            doctor_finding(TRUE, what, text);
            usable = TRUE;
        } else if (strcmp(line[0], "weak") == 0) {
            weak = g_strdup_printf("too old: %s; networks run on the CPU, or another GPU", text);
            doctor_finding(FALSE, what, weak);
        }
    }
    return usable;
}

/* TRUE if it runs networks. */
static gboolean report_driver(const DoctorGpu *self)
{
    const gchar *const *driver = find(self, "driver"), *const *cuda = find(self, "cuda"),
                       *const *library = find(self, "library");
    g_autofree gchar *version = kernel_driver(), *detail = NULL;
    const gchar *number = version != NULL ? version : "of unknown version";

    if (self->hangs) {
        detail = g_strdup_printf("%s for CUDA %s does not answer: %s; networks run with backend=cpu", number,
                                 cuda != NULL ? cuda[1] : "?", self->trouble);
        doctor_finding(FALSE, "NVIDIA driver", detail);
        doctor_remedy("see whether nvidia-smi answers; restart the machine");
        return FALSE;
    }
    if (!is_there(self, "library")) {
        detail = g_strdup_printf("not here, networks run on the CPU (Debian non-free: nvidia-driver, libcuda1)%s%s",
                                 version != NULL ? "; the kernel has version " : "", version != NULL ? version : "");
        doctor_optional(FALSE, "NVIDIA driver", detail);
        return FALSE;
    }
    if (!is_there(self, "driver")) {
        detail = g_strdup_printf("%s (%s): %s; networks run on the CPU", number, library[2],
                                 driver != NULL          ? driver[2]
                                 : self->trouble != NULL ? self->trouble
                                                         : "it says nothing");
        doctor_finding(FALSE, "NVIDIA driver", detail);
        return FALSE;
    }
    if (cuda != NULL && strcmp(cuda[2], "-") != 0) {
        detail = g_strdup_printf("too old: %s, for CUDA %s (%s), %s; networks run on the CPU", number, cuda[1],
                                 library[2], cuda[2]);
        doctor_finding(FALSE, "NVIDIA driver", detail);
        doctor_remedy("install a newer driver (NVIDIA's repository, or a newer release of the system)");
        report_gpus(self);
        return FALSE;
    }
    detail = g_strdup_printf("%s, for CUDA %s (%s)", number, cuda != NULL ? cuda[1] : "?", library[2]);
    doctor_finding(TRUE, "NVIDIA driver", detail);
    return report_gpus(self);
}

/* needed: a GPU is here that would run with it. */
static void report_library(const DoctorGpu *self, const gchar *key, const gchar *what, gboolean needed,
                           const gchar *package)
{
    const gchar *const *line = find(self, key);
    const gchar *why = line != NULL ? line[2] : self->trouble != NULL ? self->trouble : "not looked for";
    g_autofree gchar *detail = NULL, *remedy = NULL;

    if (is_there(self, key)) {
        detail = g_strdup_printf("%s (%s)", line[1], line[2]);
        doctor_finding(TRUE, what, detail);
    } else if (!needed) {
        detail = g_strdup_printf("only the CUDA backend needs it (%s): %s", package, why);
        doctor_optional(FALSE, what, detail);
    } else {
        doctor_finding(FALSE, what, why);
        remedy = g_strdup_printf("install %s (NVIDIA's repository), or set LD_LIBRARY_PATH to its folder", package);
        doctor_remedy(remedy);
    }
}

static void report_elements(const DoctorGpu *self)
{
    const gchar *const *library = find(self, "nvcuvid");
    g_autofree gchar *decoders = NULL, *cuda = NULL, *detail = NULL;

    if (self->hangs) /* its plugins start the driver */
        return;
    decoders = gpudl_media_list_nvdec();
    cuda = gpudl_media_list_cuda();
    if (!is_there(self, "nvcuvid"))
        doctor_optional(FALSE, "NVDEC",
                        "libnvcuvid.so.1 is not here, videos are decoded on the CPU; it comes with the driver (Debian "
                        "non-free: libnvcuvid1)");
    else if (decoders == NULL) {
        detail = g_strdup_printf("%s is here, but GStreamer has no decoder on it", library[2]);
        doctor_finding(FALSE, "NVDEC", detail);
        doctor_remedy(
            "install gstreamer1.0-plugins-bad (Debian); where it is, rm ~/.cache/gstreamer-1.0/registry.*.bin");
    } else
        doctor_finding(TRUE, "NVDEC", decoders);
    doctor_optional(cuda != NULL, "CUDA memory",
                    cuda != NULL ? cuda : "no element hands over frames in it: they come in system memory");
}

/* TRUE if the environment says to do without libraries; of what the backend would refuse, that it does. */
static gboolean report_wish(void)
{
    const gchar *wish = g_getenv("GPUDL_CUDA_LIBS");
    const gboolean without = g_strcmp0(wish, "0") == 0;
    g_autofree gchar *detail = NULL;

    if (without)
        doctor_optional(FALSE, "GPUDL_CUDA_LIBS",
                        "is 0: networks run on own kernels, without cuDNN and cuBLASLt, slower");
    else if (wish != NULL && wish[0] != '\0' && strcmp(wish, "1") != 0) {
        g_autofree gchar *found = text_printable(wish);

        detail = g_strdup_printf("is '%s', expected 0 (without cuDNN and cuBLASLt), 1 or nothing", found);
        doctor_finding(FALSE, "GPUDL_CUDA_LIBS", detail);
        doctor_remedy("unset GPUDL_CUDA_LIBS");
    }
    return without;
}

void doctor_gpu_report(const DoctorGpu *self)
{
    gboolean needed;

    doctor_heading("NVIDIA GPU");
    needed = report_driver(self);
    if (report_wish())
        needed = FALSE;
    report_library(self, "cudnn", "cuDNN", needed, "libcudnn9-cuda-13");
    report_library(self, "cublaslt", "cuBLASLt", needed, "libcublas-13-0");
    report_elements(self);
}
