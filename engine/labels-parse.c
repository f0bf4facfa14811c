/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/labels.h"

#include <string.h>

#include "engine/gpudl.h"
#include "engine/limits.h"
#include "engine/shown.h"

/* One label with its id; -1: none was given. */
typedef struct {
    gint64 id;
    gchar *name;
} Entry;

static void entry_clear(gpointer data)
{
    g_free(((Entry *)data)->name);
}

static GArray *entries_new(void)
{
    GArray *entries = g_array_new(FALSE, FALSE, sizeof(Entry));

    g_array_set_clear_func(entries, entry_clear);
    return entries;
}

static gboolean fail(GError **error, GpudlError code, const gchar *format, ...) G_GNUC_PRINTF(3, 4);

static gboolean fail(GError **error, GpudlError code, const gchar *format, ...)
{
    va_list args;

    va_start(args, format);
    if (error != NULL)
        *error = g_error_new_valist(GPUDL_ERROR, (gint)code, format, args);
    va_end(args);
    return FALSE;
}

/* "n01440764 tench, Tinca tinca": the id of WordNet's noun, then its names. */
static const gchar *skip_wordnet_id(const gchar *line)
{
    guint i = 1;

    if (line[0] != 'n')
        return line;
    while (g_ascii_isdigit(line[i]))
        i++;
    if (i != 9 || (line[i] != ' ' && line[i] != '\t'))
        return line;
    while (line[i] == ' ' || line[i] == '\t')
        i++;
    return line[i] ? line + i : line;
}

/* White space of any script, no-break ones and CR too, and U+FEFF: at a file's beginning it marks its encoding, and
 * lists that were put together of several have it in the middle. */
static gboolean is_blank(gunichar c)
{
    return g_unichar_isspace(c) || c == 0xfeff;
}

static void trim_end(gchar *text)
{
    gchar *end = text + strlen(text), *last;

    while (end > text && is_blank(g_utf8_get_char(last = g_utf8_prev_char(end))))
        end = last;
    *end = '\0';
}

static gchar *skip_blanks(const gchar *text)
{
    while (*text != '\0' && is_blank(g_utf8_get_char(text)))
        text = g_utf8_next_char(text);
    return (gchar *)text;
}

/* Blanks at both ends go; in place, returns where it begins. */
static gchar *trim(gchar *text)
{
    trim_end(text);
    return skip_blanks(text);
}

/* ---- entries to labels ------------------------------------------------------------------------------------------- */

static gboolean check_number(gsize n, GError **error)
{
    if (n >= 1 && n <= GPUDL_LIMIT_LABELS)
        return TRUE;
    return fail(error, n ? GPUDL_ERROR_LIMIT : GPUDL_ERROR_FORMAT, "%s labels, expected 1..%u", n ? "too many" : "no",
                GPUDL_LIMIT_LABELS);
}

/* Of entries that all have ids: where each belongs, or the first id that is there twice or out of range. */
static gint64 *places_of(const GArray *entries, gint64 *wrong)
{
    gint64 first = G_MAXINT64, *places = g_new(gint64, entries->len);

    for (guint i = 0; i < entries->len; i++) {
        places[i] = -1;
        first = MIN(first, g_array_index(entries, Entry, i).id);
    }
    first = first == 1 ? 1 : 0;
    for (guint i = 0; i < entries->len; i++) {
        const gint64 id = g_array_index(entries, Entry, i).id;

        if (id < first || id - first >= entries->len || places[id - first] >= 0) {
            *wrong = id;
            g_free(places);
            return NULL;
        }
        places[id - first] = i;
    }
    return places;
}

/* In the order of ids where there are any; takes the names. */
static gchar **order(GArray *entries, GError **error)
{
    gboolean with_ids = entries->len > 0 && g_array_index(entries, Entry, 0).id >= 0;
    g_autofree gint64 *places = NULL;
    gint64 wrong = 0;
    gchar **labels;

    if (!check_number(entries->len, error))
        return NULL;
    for (guint i = 0; i < entries->len; i++) {
        if (strlen(g_array_index(entries, Entry, i).name) > GPUDL_LIMIT_NAME_BYTES) {
            fail(error, GPUDL_ERROR_LIMIT, "line %u has more than %u bytes", i + 1, GPUDL_LIMIT_NAME_BYTES);
            return NULL;
        }
    }
    places = with_ids ? places_of(entries, &wrong) : NULL;
    if (with_ids && places == NULL) {
        fail(error, GPUDL_ERROR_FORMAT,
             "id %" G_GINT64_FORMAT " among %u labels, expected each id of 0..%u or of 1..%u once", wrong, entries->len,
             entries->len - 1, entries->len);
        return NULL;
    }
    labels = g_new0(gchar *, entries->len + 1);
    for (guint i = 0; i < entries->len; i++)
        labels[i] = g_steal_pointer(&g_array_index(entries, Entry, places != NULL ? places[i] : i).name);
    return labels;
}

static gboolean add(GArray *entries, gint64 id, const gchar *name, GError **error)
{
    Entry entry = {.id = id, .name = g_strdup(name)};

    g_array_append_val(entries, entry);
    return entries->len <= GPUDL_LIMIT_LABELS || check_number(entries->len, error);
}

/* ---- literals: JSON's and Python's ------------------------------------------------------------------------------- */

typedef struct {
    const gchar *begin, *at;
    GError **error;
} Scan;

static gboolean expected(Scan *s, const gchar *what)
{
    guint line = 1;

    for (const gchar *p = s->begin; p < s->at; p++)
        line += *p == '\n';
    return fail(s->error, GPUDL_ERROR_FORMAT, "line %u: found %s%c%s, expected %s", line,
                *s->at != '\0' ? "'" : "the end", *s->at != '\0' ? (g_ascii_isprint(*s->at) ? *s->at : '?') : ' ',
                *s->at != '\0' ? "'" : "of the text", what);
}

static gboolean take(Scan *s, gchar c)
{
    s->at = skip_blanks(s->at);
    if (*s->at != c)
        return FALSE;
    s->at++;
    return TRUE;
}

static gboolean read_unicode(Scan *s, GString *out)
{
    gunichar c = 0;

    for (guint i = 0; i < 4; i++, s->at++) {
        if (!g_ascii_isxdigit(*s->at))
            return expected(s, "four hexadecimal digits");
        c = c << 4 | (gunichar)g_ascii_xdigit_value(*s->at);
    }
    /* the first half of a pair waits as U+100000 and its bits, which begins with this byte */
    if (c >= 0xdc00 && c < 0xe000 && out->len >= 4 && (guchar)out->str[out->len - 4] == 0xf4) {
        const gunichar high = g_utf8_get_char(out->str + out->len - 4);

        g_string_truncate(out, out->len - 4);
        c = 0x10000 + ((high - 0x100000) << 10) + (c - 0xdc00);
    } else if (c >= 0xd800 && c < 0xdc00) {
        c = 0x100000 + (c - 0xd800);
    }
    g_string_append_unichar(out, g_unichar_validate(c) && c != 0 ? c : 0xfffd);
    return TRUE;
}

/* NULL with error unless a string in quotes follows. */
static gchar *read_string(Scan *s)
{
    g_autoptr(GString) out = g_string_new(NULL);
    gchar quote;

    s->at = skip_blanks(s->at);
    quote = *s->at;
    if (quote != '"' && quote != '\'') {
        expected(s, "a string in quotes");
        return NULL;
    }
    for (s->at++; *s->at != quote; s->at++) {
        if (*s->at == '\0') {
            expected(s, "the string's other quote");
            return NULL;
        }
        if (*s->at == '\\' && s->at[1] == 'u') {
            s->at += 2;
            if (!read_unicode(s, out))
                return NULL;
            s->at--;
        } else if (*s->at == '\\' && s->at[1] != '\0') {
            s->at++;
            g_string_append_c(out, *s->at == 'n' || *s->at == 't' || *s->at == 'r' ? ' ' : *s->at);
        } else {
            g_string_append_c(out, *s->at);
        }
    }
    s->at++;
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static gboolean read_integer(Scan *s, gint64 *value)
{
    gchar *end = NULL;

    s->at = skip_blanks(s->at);
    if (!g_ascii_isdigit(*s->at))
        return FALSE;
    *value = g_ascii_strtoll(s->at, &end, 10);
    s->at = end;
    return TRUE;
}

/* A string, or a list of them, whose last one is the name for people: ["n01440764", "tench"]. */
static gchar *read_name(Scan *s)
{
    gchar *name = NULL;
    const gboolean list = take(s, '[');

    do {
        g_free(name);
        name = read_string(s);
    } while (list && name != NULL && take(s, ','));
    if (name != NULL && list && !take(s, ']')) {
        expected(s, "',' or ']'");
        g_clear_pointer(&name, g_free);
    }
    return name;
}

/* key: value of a map, whichever of both the id is. */
static gboolean read_pair(Scan *s, GArray *entries)
{
    g_autofree gchar *key = NULL, *name = NULL;
    gint64 id, value;

    if (!read_integer(s, &id)) {
        key = read_string(s);
        if (key == NULL)
            return FALSE;
        if (!g_ascii_string_to_unsigned(key, 10, 0, G_MAXINT32, (guint64 *)&id, NULL))
            id = -1;
    }
    if (!take(s, ':'))
        return expected(s, "':'");
    if (key != NULL && read_integer(s, &value))
        return add(entries, value, key, s->error);
    name = read_name(s);
    if (name == NULL)
        return FALSE;
    if (id < 0) {
        g_autofree gchar *shown_key = gpudl_shown(key, GPUDL_SHOWN_BYTES),
                         *shown = gpudl_shown(name, GPUDL_SHOWN_BYTES);

        return fail(s->error, GPUDL_ERROR_FORMAT, "neither '%s' nor '%s' is an id, expected one of both to be a number",
                    shown_key, shown);
    }
    return add(entries, id, name, s->error);
}

static gchar **parse_literal(const gchar *text, GError **error)
{
    Scan s = {.begin = text, .at = text, .error = error};
    g_autoptr(GArray) entries = entries_new();
    const gboolean map = take(&s, '{');
    const gchar close = map ? '}' : ']';

    if (!map)
        take(&s, '[');
    while (!take(&s, close)) {
        g_autofree gchar *name = NULL;

        if (map && !read_pair(&s, entries))
            return NULL;
        if (!map && ((name = read_name(&s)) == NULL || !add(entries, -1, name, error)))
            return NULL;
        if (!take(&s, ',') && *s.at != close) {
            expected(&s, map ? "',' or '}'" : "',' or ']'");
            return NULL;
        }
    }
    s.at = skip_blanks(s.at);
    if (*s.at != '\0') {
        expected(&s, "nothing behind the list");
        return NULL;
    }
    return order(entries, error);
}

/* ---- pbtxt ------------------------------------------------------------------------------------------------------- */

static gboolean is_pbtxt(const gchar *text)
{
    return g_str_has_prefix(text, "item") && *skip_blanks(text + 4) == '{';
}

static gboolean read_item(Scan *s, GArray *entries)
{
    g_autofree gchar *name = NULL, *shown = NULL;
    gint64 id = -1;

    while (!take(s, '}')) {
        const gchar *word = s->at;
        gsize length;
        gint64 number;

        while (g_ascii_isalnum(*s->at) || *s->at == '_')
            s->at++;
        length = (gsize)(s->at - word);
        if (length == 0)
            return expected(s, "a field's name or '}'");
        take(s, ':');
        if (read_integer(s, &number)) {
            if (length == 2 && strncmp(word, "id", 2) == 0)
                id = number;
        } else {
            g_autofree gchar *value = read_string(s);

            if (value == NULL)
                return FALSE;
            if (length == 12 && strncmp(word, "display_name", 12) == 0) {
                g_free(shown);
                shown = g_steal_pointer(&value);
            } else if (length == 4 && strncmp(word, "name", 4) == 0) {
                g_free(name);
                name = g_steal_pointer(&value);
            }
        }
        take(s, ',');
    }
    if (id < 0 || (name == NULL && shown == NULL))
        return expected(s, "an id and a name in the item before");
    return add(entries, id, shown != NULL ? shown : name, s->error);
}

static gchar **parse_pbtxt(const gchar *text, GError **error)
{
    Scan s = {.begin = text, .at = text, .error = error};
    g_autoptr(GArray) entries = entries_new();

    for (s.at = skip_blanks(s.at); *s.at != '\0'; s.at = skip_blanks(s.at)) {
        if (!g_str_has_prefix(s.at, "item")) {
            expected(&s, "item {");
            return NULL;
        }
        s.at += 4;
        if (!take(&s, '{')) {
            expected(&s, "'{'");
            return NULL;
        }
        if (!read_item(&s, entries))
            return NULL;
    }
    return order(entries, error);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* Without its quotes, and a comma behind them; NULL if it has none. In place. */
static gchar *unquoted(gchar *line)
{
    gsize n = strlen(line);

    if (n >= 3 && line[n - 1] == ',')
        n--;
    if (n < 2 || (line[0] != '"' && line[0] != '\'') || line[n - 1] != line[0])
        return NULL;
    line[n - 1] = '\0';
    return line + 1;
}

static void remove_quotes(gchar **lines, guint n)
{
    for (guint i = 0; i < n; i++) {
        const gsize length = strlen(lines[i]);
        const gsize last = length > 2 && lines[i][length - 1] == ',' ? length - 2 : length - 1;

        if (length < 2 || last < 1 || (lines[i][0] != '"' && lines[i][0] != '\'') || lines[i][last] != lines[i][0])
            return;
    }
    for (guint i = 0; i < n; i++)
        lines[i] = unquoted(lines[i]);
}

/* "12: tench": the id and what comes behind it; NULL if it is not so. */
static gchar *behind_id(gchar *line, gint64 *id)
{
    gchar *end;

    if (!g_ascii_isdigit(line[0]))
        return NULL;
    *id = g_ascii_strtoll(line, &end, 10);
    if (*end != '\0' && strchr(" \t:,;", *end) == NULL)
        return NULL;
    end = skip_blanks(end);
    if (*end == ':' || *end == ',' || *end == ';')
        end = skip_blanks(end + 1);
    return *end != '\0' ? end : NULL;
}

/* TRUE and the lines in the order of their ids, which are gone, if they are ids without doubt. */
static gboolean order_by_ids(gchar **lines, guint n)
{
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree gint64 *places = NULL;
    gint64 wrong;

    for (guint i = 0; i < n; i++) {
        Entry entry;

        entry.name = behind_id(lines[i], &entry.id);
        if (entry.name == NULL)
            return FALSE;
        g_hash_table_add(names, entry.name);
        g_array_append_val(entries, entry);
    }
    /* "1 euro", "2 euro"; ImageNet has two cranes among its thousand */
    if (g_hash_table_size(names) * 2 <= n && n > 1)
        return FALSE;
    places = places_of(entries, &wrong);
    for (guint i = 0; places != NULL && i < n; i++)
        lines[i] = g_array_index(entries, Entry, places[i]).name;
    return places != NULL;
}

static gchar **parse_lines(gchar *text, GError **error)
{
    const gboolean one_line = strchr(text, '\n') == NULL && strchr(text, ';') != NULL;
    g_auto(GStrv) pieces = NULL;
    g_autoptr(GArray) entries = entries_new();
    g_autofree gchar **lines = NULL;
    guint n;

    /* one piece more than is taken: what comes after the limit is not cut up */
    if (one_line && text[strlen(text) - 1] == ';')
        text[strlen(text) - 1] = '\0';
    pieces = g_strsplit(text, one_line ? ";" : "\n", GPUDL_LIMIT_LABELS + 1);
    n = g_strv_length(pieces);
    if (!check_number(n, error))
        return NULL;
    lines = g_new(gchar *, n);
    for (guint i = 0; i < n; i++)
        lines[i] = trim(pieces[i]);
    remove_quotes(lines, n);
    if (order_by_ids(lines, n))
        remove_quotes(lines, n);
    for (guint i = 0; i < n; i++)
        if (!add(entries, -1, skip_wordnet_id(lines[i]), error))
            return NULL;
    return order(entries, error);
}

gchar **gpudl_labels_parse(const gchar *text, GError **error)
{
    g_autofree gchar *copy = g_strdup(text);
    gchar *begin;

    trim_end(copy);
    begin = skip_blanks(copy);
    if (begin[0] == '{' || begin[0] == '[')
        return parse_literal(begin, error);
    if (is_pbtxt(begin))
        return parse_pbtxt(begin, error);
    /* empty lines at the beginning are classes without a name */
    return parse_lines(copy, error);
}
