/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What the subcommands of gpudl share: the table's row, the way options are read and errors are said.
 */
#ifndef GPUDL_TOOLS_COMMAND_H
#define GPUDL_TOOLS_COMMAND_H

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** Exit codes of every subcommand. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/** One subcommand. argv[0] is its name; run returns an exit code. */
typedef struct {
    const gchar *name;
    const gchar *summary;
    int (*run)(int argc, char **argv);
} Command;

int cmd_convert(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_profile(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_tune(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/** Says "gpudl: COMMAND: message" on stderr; a progress line standing there is wiped first. */
void say_error(const gchar *command, const gchar *format, ...) G_GNUC_PRINTF(2, 3);

/** The same with where to find help behind it; returns EXIT_USAGE. */
int say_usage(const gchar *command, const gchar *format, ...) G_GNUC_PRINTF(2, 3);

/** Says on stderr what of how the network wants its pixels is assumed, and what was left out of its file. */
void note_model(const gchar *command, const gchar *path, GpudlModel *model);

/**
 * Reads the options of a subcommand, whose name is argv[0]. arguments ("MODEL FILE...") and description are for --help,
 * which is printed to stdout. Returns -1 to go on, else the exit code: an unknown option or a bad value is EXIT_USAGE
 * and said on stderr.
 */
int parse_options(char *const *argv, const GOptionEntry *entries, const gchar *arguments, const gchar *description);

/** Ends a subcommand: what could not be written to stdout (full disk, closed pipe) turns EXIT_OK into EXIT_FAILED. */
int finish_stdout(const gchar *command, int status);

/* ---- values of options; each returns FALSE with INVALID_ARGUMENT that names the option and what it wants ----------
 */

/** "0.485,0.456,0.406" or one number for all three; n_values (may be NULL) is 1 or 3. Finite numbers only. */
gboolean parse_three(const gchar *option, const gchar *text, float values[3], guint *n_values, GError **error);
/** A finite number within low..high. */
gboolean parse_number(const gchar *option, const gchar *text, double low, double high, double *value, GError **error);
/** "HxW", each 1..4096. */
gboolean parse_size(const gchar *option, const gchar *text, gint *height, gint *width, GError **error);
/** "RRGGBB", hexadecimal, with or without a leading # or 0x. */
gboolean parse_color(const gchar *option, const gchar *text, guint32 *color, GError **error);

/** --backend and the like: there can be one of this name; NULL: none was asked for. */
gboolean parse_backend(const gchar *option, const gchar *name, GError **error);
/** --precision and the like; NULL: none was asked for, AUTO. */
gboolean parse_precision(const gchar *option, const gchar *name, GpudlPrecision *precision, GError **error);
/** A whole number within low..high; zero (may be NULL) says what 0 means. */
gboolean parse_count(const gchar *text, gint *value, const gchar *option, gint low, gint high, const gchar *zero,
                     GError **error);
/** The same for an option that may not be given (text NULL: value stays). Options that are numbers are strings to
 * GOption, which would take "010" for 8 and what is beyond their range for the caller's default. */
gboolean parse_optional_count(const gchar *text, gint *value, const gchar *option, gint low, gint high,
                              const gchar *zero, GError **error);
/** option to zero of --threads. */
#define THREADS "threads", 0, 1024, "one per core"
/** The same of --batch where it is a choice. */
#define BATCH "batch", 0, 4096, "the backend's choice"
/** "a,b": its values, none of them empty, most at most; text NULL: otherwise alone. */
gchar **parse_list(const gchar *option, const gchar *text, const gchar *otherwise, guint most, GError **error);

/** A name and the number it stands for; tables end in {NULL, 0}. */
typedef struct {
    const gchar *name;
    int value;
} NamedValue;
gboolean parse_name(const gchar *option, const gchar *text, const NamedValue *table, int *value, GError **error);

G_END_DECLS
#endif
