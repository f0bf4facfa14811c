/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Labels from text, in the forms that files and metadata have them. Not installed.
 */
#ifndef GPUDL_ENGINE_LABELS_H
#define GPUDL_ENGINE_LABELS_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * Labels in the order of their classes, as a NULL-terminated vector. The forms, told apart by how the text begins and
 * by whether all of it holds:
 *  - a list or a map of JSON or Python: ["a", "b"], {"0": "a"}, {0: 'a'}, {"a": 0}, {"0": ["n01440764", "a"]};
 *  - pbtxt: item { id: 1 name: 'a' display_name: "A" } ...; the name for people counts;
 *  - one line with semicolons: a;b;c;
 *  - lines, each one label; all in quotes: without them; all beginning with an id (and a blank, colon, comma or
 *    semicolon), each of 0..n-1 or 1..n once, with different labels: without it, in the order of the ids.
 * Ids count from 0 or from 1. Errors: FORMAT naming the line or id, LIMIT.
 */
gchar **gpudl_labels_parse(const gchar *text, GError **error);

G_END_DECLS
#endif
