/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/caffe/prototxt.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/limits.h"

#define MAX_WORD 4096u     /* bytes of an identifier or a number */
#define MAX_UNKNOWN 65536u /* fields that are not known */
#define SHOWN 40           /* bytes of a token that messages show */

typedef enum { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER, TOKEN_STRING, TOKEN_SIGN } TokenKind;

typedef struct {
    const gchar *file, *text, *end;
    const gchar *pos, *line_start; /* behind the token */
    guint line;
    /* the token */
    TokenKind kind;
    const gchar *start;
    gsize length;
    guint token_line, token_column;

    GArray *unknown;
    gint top; /* index of the outermost field being read, among those of its name */
    const gchar *top_name;
    GHashTable *counts; /* name of an outermost field -> how many were read */
} Reader;

static gboolean fail_at(const Reader *r, guint line, guint column, GpudlError code, GError **error, const gchar *format,
                        ...) G_GNUC_PRINTF(6, 7);

static gboolean fail_at(const Reader *r, guint line, guint column, GpudlError code, GError **error, const gchar *format,
                        ...)
{
    g_autofree gchar *what = NULL;
    va_list args;

    va_start(args, format);
    what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, GPUDL_ERROR, (gint)code, "%s:%u:%u: %s", r->file, line, column, what);
    return FALSE;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* The token as a message shows it. */
static gchar *show(const Reader *r)
{
    g_autofree gchar *text = NULL, *valid = NULL;

    if (r->kind == TOKEN_END)
        return g_strdup("the end of the text");
    text = g_strndup(r->start, MIN(r->length, SHOWN));
    valid = g_utf8_make_valid(text, -1);
    for (gchar *c = valid; *c != '\0'; c++)
        if ((guchar)*c < 32)
            *c = ' ';
    return g_strdup_printf("'%s%s'", valid, r->length > SHOWN ? ".." : "");
}

static gboolean expected(const Reader *r, GError **error, const gchar *what)
{
    g_autofree gchar *found = show(r);

    return fail_at(r, r->token_line, r->token_column, GPUDL_ERROR_FORMAT, error, "found %s, expected %s", found, what);
}

static void skip_blanks(Reader *r)
{
    for (; r->pos < r->end; r->pos++) {
        if (*r->pos == '#')
            while (r->pos + 1 < r->end && r->pos[1] != '\n')
                r->pos++;
        else if (*r->pos == '\n') {
            r->line++;
            r->line_start = r->pos + 1;
        } else if (!g_ascii_isspace(*r->pos) && *r->pos != '\v')
            return;
    }
}

static gboolean is_word(gchar c)
{
    return g_ascii_isalnum(c) || c == '_';
}

static gboolean next_string(Reader *r, GError **error)
{
    const gchar quote = *r->pos++;

    while (r->pos < r->end && *r->pos != quote && *r->pos != '\n')
        r->pos += *r->pos == '\\' && r->pos + 1 < r->end && r->pos[1] != '\n' ? 2 : 1;
    if (r->pos >= r->end || *r->pos != quote)
        return fail_at(r, r->token_line, r->token_column, GPUDL_ERROR_FORMAT, error,
                       "a string that does not end in its line, expected %c behind it", quote);
    r->pos++;
    return TRUE;
}

/* Reads the next token. */
static gboolean next(Reader *r, GError **error)
{
    skip_blanks(r);
    r->start = r->pos;
    r->token_line = r->line;
    r->token_column = (guint)(r->pos - r->line_start) + 1;
    r->kind = TOKEN_END;
    r->length = 0;
    if (r->pos >= r->end)
        return TRUE;
    if (g_ascii_isalpha(*r->pos) || *r->pos == '_') {
        r->kind = TOKEN_WORD;
        while (r->pos < r->end && is_word(*r->pos))
            r->pos++;
    } else if (g_ascii_isdigit(*r->pos) || *r->pos == '.') {
        r->kind = TOKEN_NUMBER;
        while (r->pos < r->end && (is_word(*r->pos) || *r->pos == '.' ||
                                   ((*r->pos == '+' || *r->pos == '-') && g_ascii_tolower(r->pos[-1]) == 'e' &&
                                    g_ascii_tolower(r->start[1]) != 'x')))
            r->pos++;
    } else if (*r->pos == '"' || *r->pos == '\'') {
        r->kind = TOKEN_STRING;
        if (!next_string(r, error))
            return FALSE;
    } else {
        r->kind = TOKEN_SIGN;
        r->pos++;
    }
    r->length = (gsize)(r->pos - r->start);
    if (r->kind != TOKEN_STRING && r->length > MAX_WORD)
        return fail_at(r, r->token_line, r->token_column, GPUDL_ERROR_LIMIT, error,
                       "a word of %" G_GSIZE_FORMAT " bytes, at most %u are taken", r->length, MAX_WORD);
    return TRUE;
}

static gboolean is_sign(const Reader *r, gchar sign)
{
    return r->kind == TOKEN_SIGN && *r->start == sign;
}

/* The sign that ends a message which this one opens, or 0. */
static gchar closing(const Reader *r)
{
    return is_sign(r, '{') ? '}' : is_sign(r, '<') ? '>' : '\0';
}

/* ---- the wire format --------------------------------------------------------------------------------------------- */

static void put_varint(GByteArray *out, guint64 value)
{
    guint8 bytes[10];
    guint n = 0;

    do {
        bytes[n++] = (guint8)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
    g_byte_array_append(out, bytes, n);
}

static void put_tag(GByteArray *out, const ProtobufCFieldDescriptor *field, ProtobufCWireType wire)
{
    put_varint(out, (guint64)field->id << 3 | (guint64)wire);
}

static void put_bytes(GByteArray *out, const ProtobufCFieldDescriptor *field, const guint8 *data, gsize size)
{
    put_tag(out, field, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    put_varint(out, size);
    g_byte_array_append(out, data, (guint)size);
}

static void put_fixed(GByteArray *out, const ProtobufCFieldDescriptor *field, guint64 bits, guint size)
{
    guint8 bytes[8];

    put_tag(out, field, size == 4 ? PROTOBUF_C_WIRE_TYPE_32BIT : PROTOBUF_C_WIRE_TYPE_64BIT);
    for (guint i = 0; i < size; i++)
        bytes[i] = (guint8)(bits >> (8 * i));
    g_byte_array_append(out, bytes, size);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static gboolean fail_value(const Reader *r, const ProtobufCFieldDescriptor *field, GError **error, const gchar *what)
{
    g_autofree gchar *found = show(r);

    return fail_at(r, r->token_line, r->token_column, GPUDL_ERROR_FORMAT, error, "%s is %s, expected %s", field->name,
                   found, what);
}

/* The magnitude of an integer token. FALSE if it is none or has more than 64 bits. */
static gboolean read_magnitude(const Reader *r, guint64 *value)
{
    g_autofree gchar *text = g_strndup(r->start, r->length);
    gchar *end;

    if (r->kind != TOKEN_NUMBER || !g_ascii_isdigit(text[0]))
        return FALSE;
    errno = 0;
    *value = g_ascii_strtoull(text, &end, 0);
    return errno == 0 && *end == '\0';
}

/* An integer within the type's range: what is below zero as its two's complement. */
static gboolean read_integer(Reader *r, const ProtobufCFieldDescriptor *field, gboolean negative, guint64 *value,
                             GError **error)
{
    gboolean is_signed = TRUE, wide = TRUE;
    guint64 magnitude, most;

    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        is_signed = wide = FALSE;
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        is_signed = FALSE;
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        break;
    default:
        wide = FALSE;
        break;
    }
    most = wide ? G_MAXUINT64 : G_MAXUINT32;
    if (is_signed)
        most = most / 2 + (negative ? 1 : 0);
    if (!read_magnitude(r, &magnitude) || magnitude > most || (negative && !is_signed && magnitude > 0))
        return fail_value(r, field, error,
                          is_signed ? wide ? "an integer of 64 bits" : "an integer of 32 bits"
                          : wide    ? "an integer of 64 bits, not negative"
                                    : "an integer of 32 bits, not negative");
    *value = negative ? 0 - magnitude : magnitude;
    return TRUE;
}

static gboolean put_integer(Reader *r, const ProtobufCFieldDescriptor *field, gboolean negative, GByteArray *out,
                            GError **error)
{
    guint64 value = 0;

    if (!read_integer(r, field, negative, &value, error))
        return FALSE;
    switch (field->type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        put_fixed(out, field, value, 4);
        break;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        put_fixed(out, field, value, 8);
        break;
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SINT64:
        value = value << 1 ^ (negative && value != 0 ? G_MAXUINT64 : 0);
        G_GNUC_FALLTHROUGH;
    default:
        put_tag(out, field, PROTOBUF_C_WIRE_TYPE_VARINT);
        put_varint(out, value);
        break;
    }
    return TRUE;
}

static gboolean put_number(Reader *r, const ProtobufCFieldDescriptor *field, gboolean negative, GByteArray *out,
                           GError **error)
{
    g_autofree gchar *text = g_strndup(r->start, r->length);
    gchar *end = text;
    double value = 0;
    guint64 whole;

    if (read_magnitude(r, &whole)) {
        value = text[0] == '0' && r->length > 1 ? (double)whole : g_ascii_strtod(text, NULL);
        end = text + r->length;
    } else if (r->kind == TOKEN_NUMBER && g_ascii_tolower(text[1]) != 'x') {
        value = g_ascii_strtod(text, &end);
        end += end > text && (*end == 'f' || *end == 'F');
    } else if (r->kind == TOKEN_WORD) {
        value = g_ascii_strcasecmp(text, "nan") == 0 ? NAN : INFINITY;
        if (isnan(value) || g_ascii_strcasecmp(text, "inf") == 0 || g_ascii_strcasecmp(text, "infinity") == 0)
            end = text + r->length;
    }
    if (end == text || *end != '\0')
        return fail_value(r, field, error, "a number");
    value = negative ? -value : value;
    if (field->type == PROTOBUF_C_TYPE_FLOAT) {
        const float single = (float)value;
        guint32 bits;

        memcpy(&bits, &single, sizeof bits);
        put_fixed(out, field, bits, 4);
    } else {
        guint64 bits;

        memcpy(&bits, &value, sizeof bits);
        put_fixed(out, field, bits, 8);
    }
    return TRUE;
}

static gboolean is_text(const Reader *r, const gchar *text)
{
    return strlen(text) == r->length && strncmp(r->start, text, r->length) == 0;
}

static gboolean put_bool(Reader *r, const ProtobufCFieldDescriptor *field, GByteArray *out, GError **error)
{
    static const gchar *const words[] = {"false", "true", "False", "True", "f", "t", "0", "1"};

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        if (r->kind == TOKEN_STRING || !is_text(r, words[i]))
            continue;
        put_tag(out, field, PROTOBUF_C_WIRE_TYPE_VARINT);
        put_varint(out, i % 2);
        return TRUE;
    }
    return fail_value(r, field, error, "true or false");
}

static gboolean fail_enum(const Reader *r, const ProtobufCFieldDescriptor *field, GError **error)
{
    const ProtobufCEnumDescriptor *type = field->descriptor;
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < type->n_values && i < 8; i++)
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "one of ", type->values[i].name);
    if (type->n_values > 8)
        g_string_append(names, ", ..");
    return fail_value(r, field, error, names->str);
}

static gboolean put_enum(Reader *r, const ProtobufCFieldDescriptor *field, gboolean negative, GByteArray *out,
                         GError **error)
{
    const ProtobufCEnumDescriptor *type = field->descriptor;
    g_autofree gchar *name = g_strndup(r->start, r->length);
    const ProtobufCEnumValue *value = NULL;
    guint64 number;

    if (r->kind == TOKEN_WORD && !negative)
        value = protobuf_c_enum_descriptor_get_value_by_name(type, name);
    else if (read_magnitude(r, &number) && number <= G_MAXINT32)
        value = protobuf_c_enum_descriptor_get_value(type, negative ? -(gint)number : (gint)number);
    if (value == NULL)
        return fail_enum(r, field, error);
    put_tag(out, field, PROTOBUF_C_WIRE_TYPE_VARINT);
    put_varint(out, (guint64)(gint64)value->value);
    return TRUE;
}

/* Digits of a base at *p: at least one, at most `most`. */
static gboolean read_digits(const gchar **p, const gchar *end, guint base, guint most, guint32 *value)
{
    guint n = 0;

    for (*value = 0; n < most && *p < end && g_ascii_isxdigit(**p) && (guint)g_ascii_xdigit_value(**p) < base; n++)
        *value = *value * base + (guint32)g_ascii_xdigit_value(*(*p)++);
    return n > 0;
}

/* One escape; *p is behind the backslash. */
static gboolean unescape_one(const gchar **p, const gchar *end, GByteArray *out)
{
    static const gchar from[] = "abfnrtv\\'\"?", to[] = "\a\b\f\n\r\t\v\\'\"?";
    const gchar c = *p < end ? **p : '\0', *known = c != '\0' ? strchr(from, c) : NULL;
    gchar utf8[6];
    guint32 value;
    guint8 byte;

    if (c >= '0' && c <= '7') {
        if (!read_digits(p, end, 8, 3, &value) || value > 255)
            return FALSE;
        byte = (guint8)value;
    } else if (known != NULL) {
        (*p)++;
        byte = (guint8)to[known - from];
    } else if (c == 'x' || c == 'X') {
        (*p)++;
        if (!read_digits(p, end, 16, 2, &value))
            return FALSE;
        byte = (guint8)value;
    } else if (c == 'u' || c == 'U') {
        const gchar *start = ++*p;
        const guint n = c == 'u' ? 4 : 8;

        if (!read_digits(p, end, 16, n, &value) || *p != start + n || !g_unichar_validate(value))
            return FALSE;
        g_byte_array_append(out, (const guint8 *)utf8, (guint)g_unichar_to_utf8(value, utf8));
        return TRUE;
    } else {
        return FALSE;
    }
    g_byte_array_append(out, &byte, 1);
    return TRUE;
}

/* One or more string tokens, which are one string; the token is the one behind them afterwards. */
static gboolean put_string(Reader *r, const ProtobufCFieldDescriptor *field, GByteArray *out, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    if (r->kind != TOKEN_STRING)
        return fail_value(r, field, error, "a string in quotes");
    while (r->kind == TOKEN_STRING) {
        const gchar *p = r->start + 1, *end = r->start + r->length - 1;

        while (p < end) {
            const gchar *backslash = memchr(p, '\\', (gsize)(end - p)), *stop = backslash != NULL ? backslash : end;

            g_byte_array_append(bytes, (const guint8 *)p, (guint)(stop - p));
            p = stop;
            if (p == end)
                break;
            p++;
            if (!unescape_one(&p, end, bytes))
                return fail_at(
                    r, r->token_line, r->token_column + (guint)(stop - r->start), GPUDL_ERROR_FORMAT, error,
                    "%s has an escape that there is not, expected one of \\n \\t \\r \\\\ \\\" \\' \\ooo \\xhh",
                    field->name);
        }
        if (!next(r, error))
            return FALSE;
    }
    if (field->type == PROTOBUF_C_TYPE_STRING && bytes->len > 0 && memchr(bytes->data, '\0', bytes->len) != NULL)
        return fail_value(r, field, error, "a string without zeros before this");
    put_bytes(out, field, bytes->data, bytes->len);
    return TRUE;
}

/* A scalar; the token is the one behind it afterwards. */
static gboolean put_scalar(Reader *r, const ProtobufCFieldDescriptor *field, GByteArray *out, GError **error)
{
    gboolean negative = FALSE, good;

    if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES)
        return put_string(r, field, out, error);
    if (field->type == PROTOBUF_C_TYPE_BOOL)
        return put_bool(r, field, out, error) && next(r, error);
    if (is_sign(r, '-')) {
        negative = TRUE;
        if (!next(r, error))
            return FALSE;
    }
    if (field->type == PROTOBUF_C_TYPE_ENUM)
        good = put_enum(r, field, negative, out, error);
    else if (field->type == PROTOBUF_C_TYPE_FLOAT || field->type == PROTOBUF_C_TYPE_DOUBLE)
        good = put_number(r, field, negative, out, error);
    else
        good = put_integer(r, field, negative, out, error);
    return good && next(r, error);
}

/* ---- what is not known ------------------------------------------------------------------------------------------- */

/* Reads over the value of an unknown field: a scalar, a list, a message. The token is the one behind it afterwards. */
static gboolean skip_value(Reader *r, GError **error)
{
    gchar open[GPUDL_LIMIT_NESTING];
    guint depth = 0;

    do {
        const gchar close = is_sign(r, '[') ? ']' : closing(r);

        if (close != '\0') {
            if (depth == GPUDL_LIMIT_NESTING)
                return fail_at(r, r->token_line, r->token_column, GPUDL_ERROR_LIMIT, error,
                               "messages are nested deeper than %u", GPUDL_LIMIT_NESTING);
            open[depth++] = close;
        } else if (depth > 0 && is_sign(r, open[depth - 1])) {
            depth--;
        } else if (r->kind == TOKEN_END || (r->kind == TOKEN_SIGN && strchr("}>]", *r->start) != NULL)) {
            return expected(r, error, depth > 0 ? "the end of what was opened before" : "a value");
        } else if (depth == 0 && is_sign(r, '-') && !next(r, error)) {
            return FALSE;
        }
        if (!next(r, error))
            return FALSE;
    } while (depth > 0);
    while (r->kind == TOKEN_STRING)
        if (!next(r, error))
            return FALSE;
    return TRUE;
}

static gboolean note_unknown(Reader *r, const ProtobufCMessageDescriptor *type, GError **error)
{
    PrototxtUnknown unknown = {
        .line = r->token_line, .column = r->token_column, .top = r->top, .top_name = r->top_name};

    if (r->unknown->len >= MAX_UNKNOWN)
        return fail_at(r, r->token_line, r->token_column, GPUDL_ERROR_LIMIT, error, "more than %u unknown fields",
                       MAX_UNKNOWN);
    unknown.name = g_strndup(r->start, r->length);
    unknown.type = g_strdup(type->short_name);
    g_array_append_val(r->unknown, unknown);
    return TRUE;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static gboolean read_fields(Reader *r, const ProtobufCMessageDescriptor *type, gchar close, guint depth,
                            GByteArray *out, GError **error);

/* A message behind its name; the token is the one behind it afterwards. */
static gboolean put_message(Reader *r, const ProtobufCFieldDescriptor *field, guint depth, GByteArray *out,
                            GError **error)
{
    g_autoptr(GByteArray) inner = g_byte_array_new();
    const gchar close = closing(r);

    if (close == '\0')
        return fail_value(r, field, error, "a message, which begins with '{'");
    if (depth + 1 >= GPUDL_LIMIT_NESTING)
        return fail_at(r, r->token_line, r->token_column, GPUDL_ERROR_LIMIT, error,
                       "messages are nested deeper than %u", GPUDL_LIMIT_NESTING);
    if (!next(r, error) || !read_fields(r, field->descriptor, close, depth + 1, inner, error))
        return FALSE;
    put_bytes(out, field, inner->data, inner->len);
    return next(r, error);
}

static gboolean put_value(Reader *r, const ProtobufCFieldDescriptor *field, guint depth, GByteArray *out,
                          GError **error)
{
    return field->type == PROTOBUF_C_TYPE_MESSAGE ? put_message(r, field, depth, out, error)
                                                  : put_scalar(r, field, out, error);
}

/* [a, b] */
static gboolean put_list(Reader *r, const ProtobufCFieldDescriptor *field, guint depth, GByteArray *out, GError **error)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return fail_value(r, field, error, "one value");
    if (!next(r, error))
        return FALSE;
    if (is_sign(r, ']'))
        return next(r, error);
    for (;;) {
        if (!put_value(r, field, depth, out, error))
            return FALSE;
        if (is_sign(r, ']'))
            return next(r, error);
        if (!is_sign(r, ','))
            return expected(r, error, "',' or ']'");
        if (!next(r, error))
            return FALSE;
    }
}

static void begin_top(Reader *r, const ProtobufCFieldDescriptor *field)
{
    const gint n = GPOINTER_TO_INT(g_hash_table_lookup(r->counts, field->name));

    r->top = n;
    r->top_name = field->name;
    g_hash_table_insert(r->counts, (gpointer)field->name, GINT_TO_POINTER(n + 1));
}

/* One field; seen has a bit for each field of the type. */
static gboolean read_field(Reader *r, const ProtobufCMessageDescriptor *type, guint depth, guint8 *seen,
                           GByteArray *out, GError **error)
{
    g_autofree gchar *name = g_strndup(r->start, r->length);
    const ProtobufCFieldDescriptor *field;
    gboolean colon;
    guint index;

    if (r->kind != TOKEN_WORD)
        return expected(r, error, "the name of a field");
    /* protobuf-c's structures have a member of this name */
    field = protobuf_c_message_descriptor_get_field_by_name(type, strcmp(name, "base") == 0 ? "base_" : name);
    if (depth == 0) {
        r->top = -1;
        r->top_name = NULL;
        if (field != NULL)
            begin_top(r, field);
    }
    if (field == NULL && !note_unknown(r, type, error))
        return FALSE;
    if (field != NULL) {
        index = (guint)(field - type->fields);
        if (field->label != PROTOBUF_C_LABEL_REPEATED && (seen[index / 8] & 1 << index % 8) != 0)
            return fail_at(r, r->token_line, r->token_column, GPUDL_ERROR_FORMAT, error,
                           "%s is there twice in one %s, expected once", name, type->short_name);
        seen[index / 8] |= (guint8)(1 << index % 8);
    }
    if (!next(r, error))
        return FALSE;
    colon = is_sign(r, ':');
    if (colon && !next(r, error))
        return FALSE;
    if (!colon && closing(r) == '\0' && !(is_sign(r, '[') && (field == NULL || field->type == PROTOBUF_C_TYPE_MESSAGE)))
        return expected(r, error, "':' behind the name of a field, or '{'");
    if (field == NULL)
        return skip_value(r, error);
    return is_sign(r, '[') ? put_list(r, field, depth, out, error) : put_value(r, field, depth, out, error);
}

static gboolean check_required(const Reader *r, const ProtobufCMessageDescriptor *type, const guint8 *seen,
                               GError **error)
{
    for (guint i = 0; i < type->n_fields; i++)
        if (type->fields[i].label == PROTOBUF_C_LABEL_REQUIRED && (seen[i / 8] & 1 << i % 8) == 0)
            return fail_at(r, r->token_line, r->token_column, GPUDL_ERROR_FORMAT, error, "%s ends without its field %s",
                           type->short_name, type->fields[i].name);
    return TRUE;
}

/* Fields up to the closing sign, which is the token afterwards; 0: up to the end. */
static gboolean read_fields(Reader *r, const ProtobufCMessageDescriptor *type, gchar close, guint depth,
                            GByteArray *out, GError **error)
{
    g_autofree guint8 *seen = g_malloc0(type->n_fields / 8 + 1);

    while (close == '\0' ? r->kind != TOKEN_END : !is_sign(r, close)) {
        if (r->kind == TOKEN_END)
            return expected(r, error, close == '}' ? "a field or '}'" : "a field or '>'");
        if (!read_field(r, type, depth, seen, out, error))
            return FALSE;
        if ((is_sign(r, ',') || is_sign(r, ';')) && !next(r, error))
            return FALSE;
    }
    return check_required(r, type, seen, error);
}

static void unknown_clear(gpointer data)
{
    PrototxtUnknown *unknown = data;

    g_free(unknown->name);
    g_free(unknown->type);
}

GArray *prototxt_unknown_new(void)
{
    GArray *unknown = g_array_new(FALSE, FALSE, sizeof(PrototxtUnknown));

    g_array_set_clear_func(unknown, unknown_clear);
    return unknown;
}

GByteArray *prototxt_read(const ProtobufCMessageDescriptor *type, const gchar *name, const gchar *text, gsize size,
                          GArray *unknown, GError **error)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    Reader r = {.file = name,
                .text = text,
                .end = text + size,
                .pos = text,
                .line_start = text,
                .line = 1,
                .unknown = unknown,
                .top = -1};
    gboolean good;

    if (size > PROTOTXT_MAX_BYTES) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "%s: a text of %" G_GSIZE_FORMAT " bytes, at most %" G_GSIZE_FORMAT " are taken", name, size,
                    PROTOTXT_MAX_BYTES);
        return NULL;
    }
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        r.pos = r.line_start = text + 3; /* a byte order mark */
    r.counts = g_hash_table_new(g_str_hash, g_str_equal);
    good = next(&r, error) && read_fields(&r, type, '\0', 0, out, error);
    g_hash_table_unref(r.counts);
    return good ? g_steal_pointer(&out) : NULL;
}
