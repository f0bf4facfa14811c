/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which of a network's classes the classes of a data set are. */
#include <string.h>

#include "tools/dataset.h"

#define SHOWN 3 /* of those that something is wrong with, and of those that are known */
#define UNKNOWN G_MAXUINT32
#define AMBIGUOUS (G_MAXUINT32 - 1)

/* Names are the same however they are written. */
static gchar *fold(const gchar *name, gssize length)
{
    g_autofree gchar *part = g_strndup(name, length < 0 ? strlen(name) : (gsize)length);
    g_autofree gchar *valid = g_utf8_make_valid(part, -1),
                     *normal = g_utf8_normalize(valid, -1, G_NORMALIZE_ALL_COMPOSE);
    gchar *folded = g_utf8_casefold(normal, -1);

    return g_strstrip(g_strdelimit(folded, "_-", ' '));
}

static void note_name(GHashTable *names, gchar *name, guint32 id)
{
    gpointer there;

    if (name[0] != '\0' && (!g_hash_table_lookup_extended(names, name, NULL, &there) || GPOINTER_TO_UINT(there) == id))
        g_hash_table_insert(names, name, GUINT_TO_POINTER(id));
    else if (name[0] != '\0')
        g_hash_table_insert(names, name, GUINT_TO_POINTER(AMBIGUOUS));
    else
        g_free(name);
}

/* Of folded names to ids or AMBIGUOUS: of all names, or of what stands before their first commas. */
static GHashTable *table_of(const gchar *const *names, guint n, gboolean beginnings)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint32 c = 0; c < n; c++) {
        const gchar *comma = names[c] != NULL ? strchr(names[c], ',') : NULL;

        if (names[c] != NULL && (!beginnings || comma != NULL))
            note_name(table, fold(names[c], beginnings ? comma - names[c] : -1), c);
    }
    return table;
}

static guint32 look_up(GHashTable *table, const gchar *name)
{
    gpointer id;

    return g_hash_table_lookup_extended(table, name, NULL, &id) ? GPOINTER_TO_UINT(id) : UNKNOWN;
}

/* What is a name in full is not made doubtful by the beginning of another. */
static void match_names(const Dataset *dataset, const gchar *const *names, guint n, guint32 *ids)
{
    g_autoptr(GHashTable) whole = table_of(names, n, FALSE), beginnings = table_of(names, n, TRUE);

    for (guint i = 0; i < dataset->labels->len; i++) {
        g_autofree gchar *name = fold(dataset->labels->pdata[i], -1);

        ids[i] = look_up(whole, name);
        if (ids[i] == UNKNOWN)
            ids[i] = look_up(beginnings, name);
    }
}

/* Labels of records are counted; others may be called so. */
static void match_numbers(const Dataset *dataset, guint n, guint32 *ids)
{
    for (guint i = 0; i < dataset->labels->len; i++) {
        guint64 number = i;

        if (dataset->files != NULL &&
            !g_ascii_string_to_unsigned(dataset->labels->pdata[i], 10, 0, G_MAXUINT32 - 2, &number, NULL))
            ids[i] = UNKNOWN;
        else
            ids[i] = number < n ? (guint32)number : UNKNOWN;
    }
}

static gboolean is_class(guint32 id)
{
    return id != UNKNOWN && id != AMBIGUOUS;
}

/* Of the labels that pictures have, those without a class; ambiguous: with several. */
static guint count_without(const Dataset *dataset, const gboolean *used, const guint32 *ids, gboolean ambiguous)
{
    guint n = 0;

    for (guint i = 0; i < dataset->labels->len; i++)
        n += used[i] && (ambiguous ? ids[i] == AMBIGUOUS : !is_class(ids[i]));
    return n;
}

/* Sorted folders are the classes, and no name says otherwise. */
static gboolean is_in_order(const Dataset *dataset, const guint32 *by_name, guint n_classes)
{
    if (dataset->kind != DATASET_FOLDERS || dataset->labels->len != n_classes)
        return FALSE;
    for (guint i = 0; i < n_classes; i++)
        if (is_class(by_name[i]) && by_name[i] != i)
            return FALSE;
    return TRUE;
}

/* ---- what is wrong ----------------------------------------------------------------------------------------------- */

static void append_quoted(GString *out, const gchar *name, guint shown)
{
    g_string_append_printf(out, "%s'%s'", shown > 0 ? ", " : "", name);
}

static void append_known(GString *out, const gchar *const *names, guint n)
{
    guint shown = 0;

    g_string_append_printf(out, "expected numbers 0 to %u", n - 1);
    for (guint c = 0; c < n && shown < SHOWN; c++) {
        if (names[c] == NULL)
            continue;
        if (shown == 0)
            g_string_append(out, " or the network's names: ");
        append_quoted(out, names[c], shown++);
    }
    if (shown > 0 && shown < n)
        g_string_append_printf(out, " .. (%u)", n);
    g_string_append(out, shown == 0 ? "; the network has no names" : "");
}

static void refuse(const Dataset *dataset, const gboolean *used, const guint32 *ids, const gchar *const *names,
                   guint n_classes, GError **error)
{
    g_autoptr(GString) out = g_string_new(NULL);
    guint n = count_without(dataset, used, ids, FALSE), n_used = 0, shown = 0;
    gboolean doubtful = count_without(dataset, used, ids, TRUE) == n;

    for (guint i = 0; i < dataset->labels->len; i++) {
        n_used += used[i];
        if (used[i] && !is_class(ids[i]) && shown < SHOWN)
            append_quoted(out, dataset->labels->pdata[i], shown++);
    }
    g_string_prepend(out, n == 1 ? "class " : "classes ");
    if (n > shown)
        g_string_append_printf(out, " and %u more", n - shown);
    g_string_append_printf(out, ", of %u, %s: ", n_used,
                           doubtful ? "is what several of the network's classes are called"
                                    : "not known to the network");
    append_known(out, names, n_classes);
    g_set_error(
        error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
        "%s: %s. --class-names=FILE takes the names that the data set has for the network's classes, one a line "
        "in their order",
        dataset->path, out->str);
}

guint32 *dataset_match(const Dataset *dataset, const gchar *const *names, guint n_classes, DatasetMatch *match,
                       GError **error)
{
    guint n = dataset->labels->len, unnamed, unnumbered;
    g_autofree guint32 *by_name = g_new(guint32, n), *by_number = g_new(guint32, n);
    g_autofree gboolean *used = g_new0(gboolean, n);

    for (guint i = 0; i < dataset->pictures->len; i++)
        used[g_array_index(dataset->pictures, guint, i)] = TRUE;
    match_names(dataset, names, n_classes, by_name);
    match_numbers(dataset, n_classes, by_number);
    unnamed = count_without(dataset, used, by_name, FALSE);
    unnumbered = count_without(dataset, used, by_number, FALSE);
    *match = unnamed == 0 ? DATASET_BY_NAME : unnumbered == 0 ? DATASET_BY_NUMBER : DATASET_BY_ORDER;
    if (unnamed == 0)
        return g_steal_pointer(&by_name);
    if (unnumbered == 0)
        return g_steal_pointer(&by_number);
    if (!is_in_order(dataset, by_name, n_classes)) {
        refuse(dataset, used, unnumbered < unnamed ? by_number : by_name, names, n_classes, error);
        return NULL;
    }
    for (guint i = 0; i < n; i++)
        by_name[i] = i;
    return g_steal_pointer(&by_name);
}
