/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Tables for people: columns as wide as what stands in them.
 */
#ifndef GPUDL_TOOLS_TABLE_H
#define GPUDL_TOOLS_TABLE_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct _Table Table;

Table *table_new(guint n_columns);
void table_free(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

/** A column of numbers: its cells end at the same place. */
void table_set_right(Table *table, guint column, gboolean right);

/** The next cell, row after row; the first row is the headings. Takes text; shows it printable. */
void table_add(Table *table, gchar *text);
/** The next cells, as many as the table has columns: copied. NULL: an empty one. */
void table_add_row(Table *table, const gchar *const *texts);

/** Appends all whole rows, each line indented by two blanks. */
void table_append_to(const Table *table, GString *out);

G_END_DECLS
#endif
