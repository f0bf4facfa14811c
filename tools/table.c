/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/table.h"

#include "tools/text.h"

/* a longer cell pushes the rest of its own row only */
#define MAX_COLUMN 48

struct _Table {
    guint n_columns;
    gboolean *right;
    GPtrArray *cells;
};

Table *table_new(guint n_columns)
{
    Table *table = g_new(Table, 1);

    *table = (Table){n_columns, g_new0(gboolean, n_columns), g_ptr_array_new_with_free_func(g_free)};
    return table;
}

void table_free(Table *table)
{
    g_free(table->right);
    g_ptr_array_unref(table->cells);
    g_free(table);
}

void table_set_right(Table *table, guint column, gboolean right)
{
    table->right[column] = right;
}

void table_add(Table *table, gchar *text)
{
    g_ptr_array_add(table->cells, text_printable(text));
    g_free(text);
}

void table_add_row(Table *table, const gchar *const *texts)
{
    for (guint i = 0; i < table->n_columns; i++)
        table_add(table, g_strdup(texts[i] != NULL ? texts[i] : ""));
}

static void append_padded(GString *out, const gchar *text, glong width, gboolean right)
{
    int blanks = (int)MAX(width - g_utf8_strlen(text, -1), 0);

    if (right)
        g_string_append_printf(out, "%*s", blanks, "");
    g_string_append(out, text);
    if (!right)
        g_string_append_printf(out, "%*s", blanks, "");
}

void table_append_to(const Table *table, GString *out)
{
    guint n = table->n_columns, n_cells = table->cells->len - table->cells->len % n;
    g_autofree glong *widths = g_new0(glong, n);

    for (guint i = 0; i < n_cells; i++)
        widths[i % n] = MAX(widths[i % n], MIN(g_utf8_strlen(table->cells->pdata[i], -1), MAX_COLUMN));
    for (guint i = 0; i < n_cells; i++) {
        gboolean last = i % n + 1 == n, right = table->right[i % n];

        g_string_append(out, "  ");
        append_padded(out, table->cells->pdata[i], last && !right ? 0 : widths[i % n], right);
        if (last)
            g_string_append_c(out, '\n');
    }
}
