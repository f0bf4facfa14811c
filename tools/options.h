/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Command lines as POSIX has them, for GOption, which knows neither "-k5" nor "-vk5".
 */
#ifndef GPUDL_TOOLS_OPTIONS_H
#define GPUDL_TOOLS_OPTIONS_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * The arguments with each short option that takes a value and has it attached parted from it: "-k5" becomes "-k", "5",
 * and "-vk5" "-vk", "5". What is an option's value stays as it is, as does all behind "--". entries: as for GOption, of
 * all groups; argv[0] is the program's name. Freed by the caller.
 */
gchar **options_part_values(gchar *const *argv, const GOptionEntry *entries);

G_END_DECLS
#endif
