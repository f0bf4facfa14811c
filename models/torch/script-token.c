/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tokens of a file of code. */
#include <string.h>

#include "engine/gpudl.h"
#include "engine/limits.h"
#include "script-internal.h"

#define MOST_INDENTS 32
#define MOST_TOKENS (1u << 20)

typedef struct {
    ScriptFile *file;
    const gchar *at, *end;
    guint line, depth;           /* depth: brackets that are open */
    gsize indents[MOST_INDENTS]; /* spaces of the blocks that are open */
    guint n_indents;
} Lexer;

static gboolean fail(const Lexer *lexer, GError **error, const gchar *what)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s, line %u: %s", lexer->file->path, lexer->line, what);
    return FALSE;
}

static Token *add(Lexer *lexer, TokenKind kind, const gchar *text, gsize length)
{
    Token token = {.kind = kind, .line = lexer->line};

    if (text != NULL)
        token.text = g_string_chunk_insert_len(lexer->file->texts, text, (gssize)length);
    g_array_append_val(lexer->file->tokens, token);
    return &g_array_index(lexer->file->tokens, Token, lexer->file->tokens->len - 1);
}

/* The spaces of a line that has something in it open and close blocks. */
static gboolean read_indent(Lexer *lexer, GError **error)
{
    gsize spaces = 0;

    for (;;) {
        const gchar *from = lexer->at;

        while (lexer->at < lexer->end && *lexer->at == ' ')
            lexer->at++;
        spaces = (gsize)(lexer->at - from);
        if (lexer->at >= lexer->end)
            return TRUE;
        if (*lexer->at == '#')
            while (lexer->at < lexer->end && *lexer->at != '\n')
                lexer->at++;
        if (lexer->at >= lexer->end || *lexer->at != '\n')
            break;
        lexer->at++;
        lexer->line++;
    }
    if (lexer->at >= lexer->end)
        return TRUE;
    if (spaces > lexer->indents[lexer->n_indents]) {
        if (lexer->n_indents + 1 >= MOST_INDENTS)
            return fail(lexer, error, "too many blocks within blocks");
        lexer->indents[++lexer->n_indents] = spaces;
        add(lexer, TOKEN_INDENT, NULL, 0);
    }
    while (spaces < lexer->indents[lexer->n_indents]) {
        lexer->n_indents--;
        add(lexer, TOKEN_DEDENT, NULL, 0);
    }
    return spaces == lexer->indents[lexer->n_indents] || fail(lexer, error, "a block that ends in the middle");
}

static void read_name(Lexer *lexer)
{
    const gchar *from = lexer->at;

    while (lexer->at < lexer->end && (g_ascii_isalnum(*lexer->at) || *lexer->at == '_'))
        lexer->at++;
    add(lexer, TOKEN_NAME, from, (gsize)(lexer->at - from));
}

static gboolean read_number(Lexer *lexer, GError **error)
{
    const gchar *from = lexer->at;
    gboolean real = FALSE;
    gchar text[64], *end;
    Token *token;

    while (lexer->at < lexer->end &&
           (g_ascii_isdigit(*lexer->at) || strchr(".eE", *lexer->at) != NULL ||
            ((*lexer->at == '-' || *lexer->at == '+') && (lexer->at[-1] == 'e' || lexer->at[-1] == 'E')))) {
        real = real || !g_ascii_isdigit(*lexer->at);
        lexer->at++;
    }
    if (lexer->at - from >= (gssize)sizeof text)
        return fail(lexer, error, "a number that is too long");
    memcpy(text, from, (gsize)(lexer->at - from)); /* no string: the file ends without a NUL */
    text[lexer->at - from] = '\0';
    token = add(lexer, real ? TOKEN_NUMBER : TOKEN_INT, NULL, 0);
    token->number = g_ascii_strtod(text, &end);
    token->integer = g_ascii_strtoll(text, NULL, 10);
    return *end == '\0' || fail(lexer, error, "a number that is none");
}

/* What is behind a backslash stays as it is written: texts that count have none. */
static gboolean read_text(Lexer *lexer, GError **error)
{
    const gchar quote = *lexer->at++, *from = lexer->at;

    while (lexer->at < lexer->end && *lexer->at != quote && *lexer->at != '\n')
        lexer->at += *lexer->at == '\\' && lexer->end - lexer->at > 1 ? 2 : 1;
    if (lexer->at >= lexer->end || *lexer->at != quote)
        return fail(lexer, error, "a text that does not end");
    add(lexer, TOKEN_TEXT, from, (gsize)(lexer->at - from));
    lexer->at++;
    return TRUE;
}

static gboolean read_sign(Lexer *lexer, GError **error)
{
    static const gchar *const pairs[] = {"->", "==", "!=", "<=", ">=", "//", "**"};
    gsize length = 1;

    for (guint i = 0; i < G_N_ELEMENTS(pairs); i++)
        if (lexer->end - lexer->at >= 2 && memcmp(lexer->at, pairs[i], 2) == 0)
            length = 2;
    if (length == 1 && strchr("()[]{},:.=+-*/%<>&|~@", *lexer->at) == NULL)
        return fail(lexer, error, "a character that has no place in it");
    if (strchr("([{", *lexer->at) != NULL)
        lexer->depth++;
    if (strchr(")]}", *lexer->at) != NULL && lexer->depth > 0)
        lexer->depth--;
    add(lexer, TOKEN_SIGN, lexer->at, length);
    lexer->at += length;
    return TRUE;
}

static gboolean read_token(Lexer *lexer, GError **error)
{
    const gchar c = *lexer->at;

    if (c == ' ') {
        lexer->at++;
        return TRUE;
    }
    if (c == '\n') {
        lexer->at++;
        if (lexer->depth == 0)
            add(lexer, TOKEN_LINE, NULL, 0);
        lexer->line++;
        return lexer->depth > 0 || read_indent(lexer, error);
    }
    if (c == '#') {
        while (lexer->at < lexer->end && *lexer->at != '\n')
            lexer->at++;
        return TRUE;
    }
    if (g_ascii_isalpha(c) || c == '_')
        read_name(lexer);
    else if (g_ascii_isdigit(c) || (c == '.' && lexer->end - lexer->at > 1 && g_ascii_isdigit(lexer->at[1])))
        return read_number(lexer, error);
    else if (c == '"' || c == '\'')
        return read_text(lexer, error);
    else
        return read_sign(lexer, error);
    return TRUE;
}

/* class Name(Module): ... def method( and def function( */
static void find_functions(ScriptFile *file)
{
    const gchar *owner = NULL;
    guint depth = 0, class_depth = 0;

    for (guint i = 0; i + 1 < file->tokens->len; i++) {
        const Token *token = &g_array_index(file->tokens, Token, i), *next = token + 1;

        if (token->kind == TOKEN_INDENT)
            depth++;
        if (token->kind == TOKEN_DEDENT && --depth <= class_depth)
            owner = NULL;
        if (token->kind != TOKEN_NAME || next->kind != TOKEN_NAME)
            continue;
        if (strcmp(token->text, "class") == 0) {
            owner = next->text;
            class_depth = depth;
        } else if (strcmp(token->text, "def") == 0) {
            gchar *name = owner != NULL ? g_strconcat(owner, ".", next->text, NULL) : g_strdup(next->text);

            g_hash_table_insert(file->functions, name, GUINT_TO_POINTER(i + 3)); /* 1 + that of "(" */
        }
    }
}

static gboolean read_tokens(Lexer *lexer, GError **error)
{
    if (!read_indent(lexer, error))
        return FALSE;
    while (lexer->at < lexer->end) {
        if (!read_token(lexer, error))
            return FALSE;
        if (lexer->file->tokens->len > MOST_TOKENS)
            return fail(lexer, error, "too much code");
    }
    add(lexer, TOKEN_LINE, NULL, 0);
    while (lexer->n_indents-- > 0)
        add(lexer, TOKEN_DEDENT, NULL, 0);
    add(lexer, TOKEN_END, NULL, 0);
    return TRUE;
}

ScriptFile *script_file_new(const gchar *path, const gchar *text, gsize length, GError **error)
{
    ScriptFile *file = g_new0(ScriptFile, 1);
    Lexer lexer = {.file = file, .at = length > 0 ? text : "", .line = 1};

    lexer.end = lexer.at + length;
    file->path = g_strdup(path);
    file->tokens = g_array_new(FALSE, FALSE, sizeof(Token));
    file->texts = g_string_chunk_new(4096);
    file->functions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!g_utf8_validate_len(text, length, NULL) ? fail(&lexer, error, "no UTF-8") : read_tokens(&lexer, error)) {
        find_functions(file);
        return file;
    }
    script_file_free(file);
    return NULL;
}

void script_file_free(ScriptFile *file)
{
    g_free(file->path);
    g_array_unref(file->tokens);
    g_string_chunk_free(file->texts);
    g_hash_table_unref(file->functions);
    g_free(file);
}
