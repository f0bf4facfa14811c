/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gpudl doctor: what is installed, what works, what is missing and how to get it. */
#include <stdio.h>
#include <string.h>

#include "gpudl-config.h"
#include "tools/command.h"
#include "tools/doctor.h"
#include "tools/figures.h"
#include "tools/media.h"
#include "tools/plugin-file.h"
#include "tools/table.h"

#define NAME "doctor"

void doctor_heading(const gchar *text)
{
    printf("\n%s\n", text);
}

void doctor_finding(gboolean ok, const gchar *what, const gchar *detail)
{
    if (detail != NULL)
        printf("  %-8s%-26s%s\n", ok ? "ok" : "missing", what, detail);
    else
        printf("  %-8s%s\n", ok ? "ok" : "missing", what);
}

void doctor_optional(gboolean there, const gchar *what, const gchar *detail)
{
    printf("  %-8s%-26s%s\n", there ? "ok" : "-", what, detail);
}

void doctor_remedy(const gchar *remedy)
{
    printf("  %-8s%-26smend it: %s\n", "", "", remedy);
}

/* ---- this machine ------------------------------------------------------------------------------------------------ */

/* Value of the first "key : value" line of /proc/cpuinfo, or NULL. */
static gchar *cpuinfo(const gchar *text, const gchar *key)
{
    g_autofree gchar *pattern = g_strdup_printf("^%s\\s*:\\s*(.*)$", key);
    g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_MULTILINE, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    if (!g_regex_match(regex, text, 0, &match))
        return NULL;
    return g_match_info_fetch(match, 1);
}

/* Those that change how fast networks run here; x86 names, then Arm names, as Linux spells them. */
static const gchar *const telling_features[] = {
    "sse4_1",   "avx",      "avx2",  "fma",     "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16",
    "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16",    "sve",         "sve2",
};

static void check_machine(void)
{
    g_autofree gchar *text = NULL, *name = NULL, *flags = NULL;
    g_autoptr(GString) features = g_string_new(NULL);
    g_auto(GStrv) words = NULL;

    doctor_heading("Machine");
    if (g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
        name = cpuinfo(text, "model name");
        flags = cpuinfo(text, "flags");
        if (flags == NULL)
            flags = cpuinfo(text, "Features");
    }
    words = g_strsplit(flags != NULL ? flags : "", " ", -1);
    for (guint i = 0; i < G_N_ELEMENTS(telling_features); i++)
        if (g_strv_contains((const gchar *const *)words, telling_features[i]))
            g_string_append_printf(features, "%s%s", features->len > 0 ? " " : "", telling_features[i]);
    printf("  %-34s%s\n", "processor", name != NULL ? name : "unknown");
    printf("  %-34s%u\n", "cores this process may use", g_get_num_processors());
    printf("  %-34s%s\n", "instructions", features->len > 0 ? features->str : "unknown");
}

/* ---- libgpudl ---------------------------------------------------------------------------------------------------- */

static gchar *bytes_if_known(guint64 bytes)
{
    return bytes > 0 ? figures_bytes(bytes) : g_strdup("-");
}

static void add_devices(Table *table, const gchar *backend, GPtrArray *devices)
{
    for (guint i = 0; i < devices->len; i++) {
        const GpudlDeviceInfo *info = devices->pdata[i];

        table_add(table, g_strdup(backend));
        table_add(table, g_strdup_printf("%d", info->id));
        table_add(table, g_strdup(info->name));
        table_add(table, bytes_if_known(info->memory_bytes));
        table_add(table, bytes_if_known(info->free_bytes));
        table_add(table, g_strdup(info->address[0] != '\0' ? info->address : "-"));
        table_add(table, info->capability_major > 0
                             ? g_strdup_printf("%d.%d", info->capability_major, info->capability_minor)
                             : g_strdup("-"));
    }
}

/* Backends and why each is not usable, "" if it is, without the one whose driver hangs: asking it would not return. */
static gchar **list_backends(gboolean cuda_hangs, gchar ***reasons)
{
    static const gchar *const names[] = {"cpu", "ref", NULL};
    GPtrArray *why;

    if (!cuda_hangs)
        return gpudl_backends_list(reasons);
    why = g_ptr_array_new();
    for (guint i = 0; names[i] != NULL; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) devices = gpudl_devices_list(names[i], &error);

        g_ptr_array_add(why, g_strdup(devices != NULL ? "" : error->message));
    }
    g_ptr_array_add(why, NULL);
    *reasons = (gchar **)g_ptr_array_free(why, FALSE);
    return g_strdupv((gchar **)names);
}

/* What each usable backend can run on. */
static void check_devices(gboolean cuda_hangs)
{
    static const gchar *const headings[] = {"backend", "id", "device", "memory", "free", "address", "capability"};
    g_auto(GStrv) reasons = NULL;
    g_auto(GStrv) names = list_backends(cuda_hangs, &reasons);
    g_autoptr(Table) table = table_new(G_N_ELEMENTS(headings));
    g_autoptr(GString) text = g_string_new(NULL);
    guint n = 0;

    doctor_heading("Devices");
    table_add_row(table, headings);
    table_set_right(table, 3, TRUE);
    table_set_right(table, 4, TRUE);
    for (guint i = 0; names[i] != NULL; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) devices = NULL;

        if (reasons[i][0] != '\0' || strcmp(names[i], "ref") == 0)
            continue;
        devices = gpudl_devices_list(names[i], &error);
        if (devices == NULL) {
            doctor_finding(FALSE, names[i], error->message);
            continue;
        }
        add_devices(table, names[i], devices);
        n += devices->len;
    }
    if (n > 0)
        table_append_to(table, text);
    else
        g_string_append(text, "  none\n");
    fputs(text->str, stdout);
}

/* TRUE if a backend that backend=auto may take is usable: "ref" is for checks and never taken by itself. */
static gboolean check_backends(gboolean cuda_hangs)
{
    g_auto(GStrv) reasons = NULL;
    g_auto(GStrv) names = list_backends(cuda_hangs, &reasons);
    gboolean usable = FALSE;

    doctor_heading("Backends");
    if (cuda_hangs)
        doctor_finding(FALSE, "cuda", "not asked: the NVIDIA driver does not answer");
    for (guint i = 0; names[i] != NULL; i++) {
        gboolean ok = reasons[i][0] == '\0', ref = strcmp(names[i], "ref") == 0;

        doctor_finding(ok, names[i],
                       !ok   ? reasons[i]
                       : ref ? "slow and exact, for checks; taken only when asked for"
                             : "usable");
        usable = usable || (ok && !ref);
    }
    return usable;
}

/* ---- GStreamer --------------------------------------------------------------------------------------------------- */

static const struct {
    const gchar *what, *caps;
} decoders[] = {
    {"JPEG pictures", "image/jpeg"},
    {"PNG pictures", "image/png"},
    {"WebP pictures", "image/webp"},
    {"AVI files", "video/x-msvideo"},
    {"MP4 files", "video/quicktime"},
    {"Matroska and WebM files", "video/x-matroska"},
    {"H.264 video", "video/x-h264, stream-format=byte-stream, alignment=au"},
    {"H.265 video", "video/x-h265, stream-format=byte-stream, alignment=au"},
    {"VP8 video", "video/x-vp8, codec-alpha=(boolean)false"},
    {"MPEG-4 video", "video/mpeg, mpegversion=4, systemstream=false"},
};

static const struct {
    const gchar *element, *package;
} helpers[] = {
    {"uridecodebin", "gstreamer1.0-plugins-base"},
    {"videoconvert", "gstreamer1.0-plugins-base"},
    {"overlaycomposition", "gstreamer1.0-plugins-base"},
    {"appsink", "gstreamer1.0-plugins-base"},
    {"videoflip", "gstreamer1.0-plugins-good"},
    {"gdkpixbufdec", "gstreamer1.0-plugins-good"},
    {"v4l2src", "gstreamer1.0-plugins-good"},
    {"rtspsrc", "gstreamer1.0-plugins-good"},
    {"autovideosink", "gstreamer1.0-plugins-good"},
    {"ximagesink", "gstreamer1.0-x"}, /* autovideosink shows nothing without a sink to choose */
};

static void check_plugin(void)
{
    static const gchar *const elements[] = {"gpudlinfer", "gpudloverlay"};
    g_autofree gchar *reason = NULL, *mend = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(elements); i++) {
        g_autofree gchar *version = NULL, *file = NULL, *detail = NULL;
        gboolean ok = gpudl_media_has_element(elements[i], &version, &file);

        if (ok && g_strcmp0(version, gpudl_version()) != 0)
            detail = g_strdup_printf("version %s, but this is %s (%s)", version, gpudl_version(), file);
        else if (ok)
            detail = g_strdup_printf("version %s (%s)", version, file);
        else if (reason != NULL)
            detail = g_strdup("in the same plugin");
        else
            plugin_file_explain(&reason, &mend);
        doctor_finding(ok, elements[i], detail != NULL ? detail : reason);
        if (detail == NULL)
            doctor_remedy(mend);
    }
}

static void check_decoders(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(decoders); i++) {
        g_autofree gchar *name = NULL, *caps_name = NULL, *detail = NULL;
        gboolean ok = gpudl_media_has_decoder(decoders[i].caps, &name);

        caps_name = g_strndup(decoders[i].caps, strcspn(decoders[i].caps, ","));
        if (!ok)
            detail = g_strdup_printf("install %s (Debian)", gpudl_media_package_for(caps_name));
        doctor_finding(ok, decoders[i].what, ok ? name : detail);
    }
}

static void check_gstreamer(void)
{
    g_autoptr(GError) error = NULL;
    const gchar *version = gpudl_media_version(&error);

    doctor_heading("GStreamer");
    if (version == NULL) {
        doctor_finding(FALSE, "GStreamer", error->message);
        return;
    }
    doctor_finding(TRUE, "core", version);
    check_plugin();
    for (guint i = 0; i < G_N_ELEMENTS(helpers); i++) {
        g_autofree gchar *detail = g_strdup_printf("install %s (Debian)", helpers[i].package);
        gboolean ok = gpudl_media_has_element(helpers[i].element, NULL, NULL);

        doctor_finding(ok, helpers[i].element, ok ? NULL : detail);
    }
    doctor_optional(HAVE_ANALYTICS, "analytics metadata",
                    HAVE_ANALYTICS ? "GstAnalyticsClsMtd is attached as well"
                                   : "this build attaches GpudlClassificationMeta only; GstAnalyticsClsMtd needs "
                                     "GStreamer 1.24 when building");
    doctor_heading("What can be decoded");
    check_decoders();
}

int cmd_doctor(int argc, char **argv)
{
    const GOptionEntry entries[] = {G_OPTION_ENTRY_NULL};
    g_autoptr(DoctorGpu) gpu = NULL;
    gboolean usable;
    int status = parse_options(argv, entries, NULL,
                               "Says what is installed, what works, what is missing and how to get it.\n"
                               "The exit code is 0 if there is a backend to run on, else 1.");

    if (status >= 0)
        return status;
    printf("gpudl %s\n", gpudl_version());
    check_machine();
    fflush(stdout);
    gpu = doctor_gpu_look();
    usable = check_backends(doctor_gpu_hangs(gpu));
    check_devices(doctor_gpu_hangs(gpu));
    doctor_gpu_report(gpu);
    if (!doctor_gpu_hangs(gpu)) {
        check_gstreamer();
    } else {
        doctor_heading("GStreamer");
        doctor_finding(FALSE, "GStreamer", "not asked: it may have plugins that start the driver");
    }
    printf("\n%s\n", usable ? "gpudl can run here." : "gpudl can't run here: no backend is usable (see Backends).");
    return finish_stdout(NAME, usable ? EXIT_OK : EXIT_FAILED);
}
