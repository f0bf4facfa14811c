/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/command.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "engine/limits.h"
#include "models/gpudl-import.h"
#include "tools/options.h"
#include "tools/progress.h"
#include "tools/text.h"

static void say(const gchar *command, const gchar *format, va_list args)
{
    g_autofree gchar *message = g_strdup_vprintf(format, args), *text = text_printable_lines(message);

    progress_wipe();
    /* results said so far come before the error where both go to one place */
    fflush(stdout);
    g_printerr("gpudl: %s%s%s\n", command != NULL ? command : "", command != NULL ? ": " : "", text);
}

void say_error(const gchar *command, const gchar *format, ...)
{
    va_list args;

    va_start(args, format);
    say(command, format, args);
    va_end(args);
}

int say_usage(const gchar *command, const gchar *format, ...)
{
    va_list args;

    va_start(args, format);
    say(command, format, args);
    va_end(args);
    g_printerr("Try 'gpudl%s%s --help'.\n", command != NULL ? " " : "", command != NULL ? command : "");
    return EXIT_USAGE;
}

void note_model(const gchar *command, const gchar *path, GpudlModel *model)
{
    g_autofree gchar *assumed = gpudl_model_describe_assumed(model, 0, FALSE);
    const gchar *const *notes = gpudl_model_get_notes(model);

    for (guint i = 0; notes[i] != NULL; i++)
        say_error(command, "note: %s: %s", path, notes[i]);
    if (assumed != NULL)
        say_error(
            command,
            "note: nothing says%s how %s wants its pixels; assumed is %s. 'gpudl convert' with these options writes "
            "down what is right",
            gpudl_model_is_all_assumed(model, 0) ? "" : " all of", path, assumed);
}

int parse_options(char *const *argv, const GOptionEntry *entries, const gchar *arguments, const gchar *description)
{
    g_auto(GStrv) parted = options_part_values(argv, entries);
    g_autoptr(GOptionContext) context = g_option_context_new(arguments);
    g_autofree gchar *command = g_strdup(argv[0]);
    g_autofree gchar *program = g_strdup_printf("gpudl %s", command);
    g_autoptr(GError) error = NULL;
    gboolean help = FALSE;
    const GOptionEntry help_entry[] = {
        {"help", 'h', 0, G_OPTION_ARG_NONE, &help, "Show this and exit", NULL},
        G_OPTION_ENTRY_NULL,
    };

    g_set_prgname(program);
    g_option_context_set_summary(context, description);
    g_option_context_set_help_enabled(context, FALSE); /* GLib's own leaves the program at once */
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_add_main_entries(context, help_entry, NULL);
    if (!g_option_context_parse_strv(context, &parted, &error))
        return say_usage(command, "%s", error->message);
    for (guint i = 1; parted[i] != NULL; i++) /* where no entry takes them */
        if (strcmp(parted[i], "--") != 0)
            return say_usage(command, "takes no arguments; found '%s'", parted[i]);
    if (help) {
        g_autofree gchar *text = g_option_context_get_help(context, TRUE, NULL);

        fputs(text, stdout);
        return finish_stdout(command, EXIT_OK);
    }
    return -1;
}

/* A pipe whose reader has gone ("| head"). errno does not tell: the write that failed may be long ago. */
static gboolean is_closed_pipe(FILE *file)
{
    struct pollfd fd = {.fd = fileno(file), .events = POLLOUT};

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLERR) != 0;
}

int finish_stdout(const gchar *command, int status)
{
    gboolean flushed = fflush(stdout) == 0;
    int reason = errno;

    if (flushed && !ferror(stdout))
        return status;
    /* whoever closed the pipe knows that it did */
    if (!is_closed_pipe(stdout))
        say_error(command, "output can't be written%s%s", flushed ? "" : ": ", flushed ? "" : g_strerror(reason));
    return EXIT_FAILED;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static gboolean bad_value(const gchar *option, const gchar *text, const gchar *wanted, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "--%s: found '%s', expected %s", option, text,
                wanted);
    return FALSE;
}

static gboolean to_number(const gchar *text, double *value)
{
    gchar *end;

    errno = 0;
    *value = g_ascii_strtod(text, &end);
    return end != text && *end == '\0' && errno == 0 && isfinite(*value);
}

gboolean parse_number(const gchar *option, const gchar *text, double low, double high, double *value, GError **error)
{
    if (!to_number(text, value) || *value < low || *value > high) {
        g_autofree gchar *wanted = g_strdup_printf("a number within %g and %g", low, high);

        return bad_value(option, text, wanted, error);
    }
    return TRUE;
}

gboolean parse_three(const gchar *option, const gchar *text, float values[3], guint *n_values, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    guint n = g_strv_length(parts);

    for (guint i = 0; i < n && (n == 1 || n == 3); i++) {
        double value;

        if (!to_number(g_strstrip(parts[i]), &value) || !isfinite((float)value))
            return bad_value(option, text, "one number, or three with commas between them", error);
        values[i] = (float)value;
    }
    if (n != 1 && n != 3)
        return bad_value(option, text, "one number, or three with commas between them", error);
    if (n == 1)
        values[1] = values[2] = values[0];
    if (n_values != NULL)
        *n_values = n;
    return TRUE;
}

gboolean parse_size(const gchar *option, const gchar *text, gint *height, gint *width, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "x", -1);
    guint64 h, w;

    if (g_strv_length(parts) != 2 || !g_ascii_string_to_unsigned(parts[0], 10, 1, GPUDL_LIMIT_INPUT_SIDE, &h, NULL) ||
        !g_ascii_string_to_unsigned(parts[1], 10, 1, GPUDL_LIMIT_INPUT_SIDE, &w, NULL)) {
        g_autofree gchar *wanted =
            g_strdup_printf("HEIGHTxWIDTH, as 224x224, each within 1 and %d", GPUDL_LIMIT_INPUT_SIDE);

        return bad_value(option, text, wanted, error);
    }
    *height = (gint)h;
    *width = (gint)w;
    return TRUE;
}

gboolean parse_color(const gchar *option, const gchar *text, guint32 *color, GError **error)
{
    const gchar *digits = text;
    guint64 value;

    if (digits[0] == '#')
        digits += 1;
    else if (g_str_has_prefix(digits, "0x"))
        digits += 2;
    if (strlen(digits) != 6 || !g_ascii_string_to_unsigned(digits, 16, 0, 0xffffff, &value, NULL))
        return bad_value(option, text, "a colour as RRGGBB, hexadecimal", error);
    *color = (guint32)value;
    return TRUE;
}

gboolean parse_backend(const gchar *option, const gchar *name, GError **error)
{
    static const gchar *const names[] = {"auto", "cuda", "cpu", "ref", NULL};

    return name == NULL || g_strv_contains(names, name) || bad_value(option, name, "auto, cuda, cpu or ref", error);
}

gboolean parse_precision(const gchar *option, const gchar *name, GpudlPrecision *precision, GError **error)
{
    *precision = GPUDL_PRECISION_AUTO;
    return name == NULL || gpudl_precision_parse(name, precision) ||
           bad_value(option, name, "auto, fp32, tf32, fp16, bf16, int8 or fp8", error);
}

static gchar *wanted_count(gint low, gint high, const gchar *zero)
{
    return g_strdup_printf("%d%s%s%s to %d", low, zero != NULL ? " (" : "", zero != NULL ? zero : "",
                           zero != NULL ? ")" : "", high);
}

gboolean parse_count(const gchar *text, gint *value, const gchar *option, gint low, gint high, const gchar *zero,
                     GError **error)
{
    g_autofree gchar *wanted = NULL;
    gint64 number;

    if (g_ascii_string_to_signed(text, 10, low, high, &number, NULL)) {
        *value = (gint)number;
        return TRUE;
    }
    wanted = wanted_count(low, high, zero);
    return bad_value(option, text, wanted, error);
}

gboolean parse_optional_count(const gchar *text, gint *value, const gchar *option, gint low, gint high,
                              const gchar *zero, GError **error)
{
    return text == NULL || parse_count(text, value, option, low, high, zero, error);
}

gchar **parse_list(const gchar *option, const gchar *text, const gchar *otherwise, guint most, GError **error)
{
    g_auto(GStrv) values = g_strsplit(text != NULL ? text : otherwise, ",", -1);
    g_autofree gchar *wanted = g_strdup_printf("1 to %u values with commas between them", most);
    guint n = g_strv_length(values);
    gboolean good = n >= 1 && n <= most;

    for (guint i = 0; i < n; i++)
        good = good && values[i][0] != '\0';
    if (good)
        return g_steal_pointer(&values);
    bad_value(option, text, wanted, error);
    return NULL;
}

gboolean parse_name(const gchar *option, const gchar *text, const NamedValue *table, int *value, GError **error)
{
    g_autoptr(GString) wanted = g_string_new(NULL);

    for (guint i = 0; table[i].name != NULL; i++) {
        if (g_strcmp0(table[i].name, text) == 0) {
            *value = table[i].value;
            return TRUE;
        }
        g_string_append_printf(wanted, "%s%s", i == 0 ? "one of " : ", ", table[i].name);
    }
    return bad_value(option, text, wanted->str, error);
}
