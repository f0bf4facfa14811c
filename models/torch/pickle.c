/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pickle machine of protocol 2: a stack, marks on it, and a memo of values that are used again. */
#include "models/torch/pickle.h"

#include <string.h>

#include "engine/gpudl.h"

#define MOST_TEXT (1u << 20)
#define MOST_VALUES (1u << 20)
#define MOST_ARGS 64u /* of a call, which copies them */

typedef struct {
    Pickle *pickle;
    const guint8 *data;
    gsize size, at, op; /* op: where the operation under way begins */
    GPtrArray *stack, *memo;
    GArray *marks; /* guint: heights of the stack */
} Machine;

static void value_free(gpointer data)
{
    PickleValue *value = data;

    g_free(value->text);
    g_clear_pointer(&value->items, g_ptr_array_unref);
    g_free(value);
}

void pickle_free(Pickle *pickle)
{
    if (pickle == NULL)
        return;
    g_ptr_array_unref(pickle->values);
    g_free(pickle);
}

/* ---- the stack --------------------------------------------------------------------------------------------------- */

static gboolean damaged(const Machine *machine, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "pickle: damaged at byte %" G_GSIZE_FORMAT, machine->op);
    return FALSE;
}

static PickleValue *make(Machine *machine, PickleKind kind)
{
    PickleValue *value = g_new0(PickleValue, 1);

    value->kind = kind;
    if (kind >= PICKLE_LIST && kind != PICKLE_GLOBAL)
        value->items = g_ptr_array_new();
    g_ptr_array_add(machine->pickle->values, value);
    return value;
}

static PickleValue *push(Machine *machine, PickleKind kind)
{
    PickleValue *value = make(machine, kind);

    g_ptr_array_add(machine->stack, value);
    return value;
}

/* Heights below a mark are not the operation's. */
static guint floor_of(const Machine *machine)
{
    return machine->marks->len > 0 ? g_array_index(machine->marks, guint, machine->marks->len - 1) : 0;
}

static PickleValue *pop(Machine *machine)
{
    return machine->stack->len > floor_of(machine) ? g_ptr_array_steal_index(machine->stack, machine->stack->len - 1)
                                                   : NULL;
}

static PickleValue *top(const Machine *machine)
{
    return machine->stack->len > floor_of(machine) ? machine->stack->pdata[machine->stack->len - 1] : NULL;
}

/* Moves all above the last mark to the items of a value, which lies below it if it is NULL; the mark goes. */
static PickleValue *collect(Machine *machine, PickleValue *into)
{
    const guint from = floor_of(machine);

    if (machine->marks->len == 0)
        return NULL;
    g_array_set_size(machine->marks, machine->marks->len - 1);
    if (into == NULL) {
        if (from <= floor_of(machine))
            return NULL;
        into = machine->stack->pdata[from - 1];
        if (into->kind != PICKLE_LIST && into->kind != PICKLE_DICT && into->kind != PICKLE_CALL)
            return NULL;
    }
    for (guint i = from; i < machine->stack->len; i++)
        g_ptr_array_add(into->items, machine->stack->pdata[i]);
    g_ptr_array_set_size(machine->stack, (gint)from);
    return into;
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static gboolean take(Machine *machine, gsize n, const guint8 **bytes)
{
    if (n > machine->size - machine->at)
        return FALSE;
    *bytes = machine->data + machine->at;
    machine->at += n;
    return TRUE;
}

static gboolean take_number(Machine *machine, guint n, guint64 *value)
{
    const guint8 *bytes;

    *value = 0;
    if (!take(machine, n, &bytes))
        return FALSE;
    for (guint i = n; i-- > 0;)
        *value = *value << 8 | bytes[i];
    return TRUE;
}

static gboolean take_text(Machine *machine, gsize n)
{
    const guint8 *bytes;

    if (n > MOST_TEXT || !take(machine, n, &bytes) || !g_utf8_validate_len((const gchar *)bytes, n, NULL))
        return FALSE;
    push(machine, PICKLE_TEXT)->text = g_strndup((const gchar *)bytes, n);
    return TRUE;
}

/* Up to the end of the line, which is UTF-8; NULL if there is none. */
static gchar *take_line(Machine *machine)
{
    const guint8 *from = machine->data + machine->at, *end = memchr(from, '\n', machine->size - machine->at);
    const gsize n = end != NULL ? (gsize)(end - from) : 0;

    if (end == NULL || n > MOST_TEXT || !g_utf8_validate_len((const gchar *)from, n, NULL))
        return NULL;
    machine->at += n + 1;
    return g_strndup((const gchar *)from, n);
}

static gboolean take_global(Machine *machine)
{
    g_autofree gchar *module = take_line(machine), *name = module != NULL ? take_line(machine) : NULL;

    if (name == NULL)
        return FALSE;
    push(machine, PICKLE_GLOBAL)->text = g_strconcat(module, ".", name, NULL);
    return TRUE;
}

static gboolean take_float(Machine *machine)
{
    const guint8 *bytes;
    guint64 bits = 0;

    if (!take(machine, 8, &bytes))
        return FALSE;
    for (guint i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i];
    memcpy(&push(machine, PICKLE_NUMBER)->number, &bits, sizeof bits);
    return TRUE;
}

/* So many bytes of an integer with its sign, at most eight. */
static gboolean take_int(Machine *machine, guint n, gboolean with_sign)
{
    guint64 value;

    if (n > 8 || !take_number(machine, n, &value))
        return FALSE;
    if (with_sign && n > 0 && n < 8 && (value >> (8 * n - 1) & 1) != 0)
        value |= ~G_GUINT64_CONSTANT(0) << 8 * n;
    push(machine, PICKLE_INT)->integer = (gint64)value;
    return TRUE;
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static gboolean remember(Machine *machine, guint64 place)
{
    PickleValue *value = top(machine);

    /* PyTorch counts them up */
    if (value == NULL || place > machine->memo->len)
        return FALSE;
    if (place == machine->memo->len)
        g_ptr_array_add(machine->memo, value);
    machine->memo->pdata[place] = value;
    return TRUE;
}

static gboolean recall(Machine *machine, guint64 place)
{
    if (place >= machine->memo->len)
        return FALSE;
    g_ptr_array_add(machine->stack, machine->memo->pdata[place]);
    return TRUE;
}

static gboolean make_tuple(Machine *machine, guint n)
{
    PickleValue *tuple = make(machine, PICKLE_LIST);

    if (machine->stack->len < floor_of(machine) + n)
        return FALSE;
    for (guint i = machine->stack->len - n; i < machine->stack->len; i++)
        g_ptr_array_add(tuple->items, machine->stack->pdata[i]);
    g_ptr_array_set_size(machine->stack, (gint)(machine->stack->len - n));
    g_ptr_array_add(machine->stack, tuple);
    return TRUE;
}

static gboolean make_call(Machine *machine)
{
    PickleValue *args = pop(machine), *of = args != NULL ? pop(machine) : NULL, *call;

    if (of == NULL || args->kind != PICKLE_LIST || args->items->len > MOST_ARGS)
        return FALSE;
    call = push(machine, PICKLE_CALL);
    call->of = of;
    for (guint i = 0; i < args->items->len; i++)
        g_ptr_array_add(call->items, args->items->pdata[i]);
    return TRUE;
}

static gboolean set_state(Machine *machine)
{
    PickleValue *state = pop(machine), *object = top(machine);

    if (object == NULL || object->kind != PICKLE_CALL)
        return FALSE;
    object->state = state;
    return TRUE;
}

static gboolean make_persistent(Machine *machine)
{
    PickleValue *id = pop(machine);

    if (id == NULL)
        return FALSE;
    g_ptr_array_add(push(machine, PICKLE_PERSISTENT)->items, id);
    return TRUE;
}

/* One item, or a key and a value, to what lies below. */
static gboolean add_items(Machine *machine, guint n)
{
    PickleValue *items[2] = {NULL}, *into;

    for (guint i = n; i-- > 0;)
        if ((items[i] = pop(machine)) == NULL)
            return FALSE;
    into = top(machine);
    if (into == NULL || (into->kind != PICKLE_LIST && into->kind != PICKLE_DICT && into->kind != PICKLE_CALL))
        return FALSE;
    for (guint i = 0; i < n; i++)
        g_ptr_array_add(into->items, items[i]);
    return TRUE;
}

static gboolean push_mark(Machine *machine)
{
    const guint height = machine->stack->len;

    g_array_append_val(machine->marks, height);
    return TRUE;
}

static gboolean make_list(Machine *machine)
{
    PickleValue *list = collect(machine, make(machine, PICKLE_LIST));

    if (list == NULL)
        return FALSE;
    g_ptr_array_add(machine->stack, list);
    return TRUE;
}

/* Numbers, texts and what the memo has. */
static gboolean run_value(Machine *machine, guint8 op, gboolean *known)
{
    guint64 n;

    switch (op) {
    case 'N':
        return push(machine, PICKLE_NONE) != NULL;
    case 0x88: /* True, False */
    case 0x89:
        push(machine, PICKLE_FLAG)->integer = op == 0x88;
        return TRUE;
    case 'J':
        return take_int(machine, 4, TRUE);
    case 'K':
        return take_int(machine, 1, FALSE);
    case 'M':
        return take_int(machine, 2, FALSE);
    case 0x8a:
        return take_number(machine, 1, &n) && take_int(machine, (guint)n, TRUE);
    case 'G':
        return take_float(machine);
    case 'X':
        return take_number(machine, 4, &n) && take_text(machine, n);
    case 'q':
        return take_number(machine, 1, &n) && remember(machine, n);
    case 'r':
        return take_number(machine, 4, &n) && remember(machine, n);
    case 'h':
        return take_number(machine, 1, &n) && recall(machine, n);
    case 'j':
        return take_number(machine, 4, &n) && recall(machine, n);
    default:
        *known = FALSE;
        return FALSE;
    }
}

/* What is made of other values. */
static gboolean run_structure(Machine *machine, guint8 op, gboolean *known)
{
    switch (op) {
    case ')':
    case ']':
        return push(machine, PICKLE_LIST) != NULL;
    case '}':
        return push(machine, PICKLE_DICT) != NULL;
    case '(':
        return push_mark(machine);
    case 't':
    case 'l':
        return make_list(machine);
    case 0x85:
    case 0x86:
    case 0x87:
        return make_tuple(machine, (guint)op - 0x84);
    case 'c':
        return take_global(machine);
    case 'R':
    case 0x81:
        return make_call(machine);
    case 'b':
        return set_state(machine);
    case 'Q':
        return make_persistent(machine);
    case 'a':
        return add_items(machine, 1);
    case 's':
        return add_items(machine, 2);
    case 'e':
    case 'u':
        return collect(machine, NULL) != NULL;
    default:
        *known = FALSE;
        return FALSE;
    }
}

static gboolean run(Machine *machine, GError **error)
{
    guint64 protocol;

    if (machine->size < 2 || machine->data[machine->at++] != 0x80 || !take_number(machine, 1, &protocol) ||
        protocol != 2)
        return damaged(machine, error);
    while (machine->at < machine->size) {
        const guint8 op = machine->data[machine->op = machine->at++];
        gboolean value = TRUE, structure = TRUE;

        if (machine->pickle->values->len > MOST_VALUES) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "pickle: more than %u values", MOST_VALUES);
            return FALSE;
        }
        if (op == '.') {
            machine->pickle->root = machine->marks->len == 0 && machine->stack->len == 1 ? top(machine) : NULL;
            return machine->pickle->root != NULL || damaged(machine, error);
        }
        if (run_value(machine, op, &value) || (!value && run_structure(machine, op, &structure)))
            continue;
        if (value || structure)
            return damaged(machine, error);
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "pickle: an operation (0x%02x, at byte %" G_GSIZE_FORMAT
                    ") that PyTorch's archives have no use for",
                    op, machine->op);
        return FALSE;
    }
    return damaged(machine, error);
}

Pickle *pickle_read(const guint8 *data, gsize size, GError **error)
{
    g_autoptr(Pickle) pickle = g_new0(Pickle, 1);
    Machine machine = {.pickle = pickle, .data = data, .size = size};
    gboolean good;

    pickle->values = g_ptr_array_new_with_free_func(value_free);
    machine.stack = g_ptr_array_new();
    machine.memo = g_ptr_array_new();
    machine.marks = g_array_new(FALSE, FALSE, sizeof(guint));
    good = run(&machine, error);
    g_ptr_array_unref(machine.stack);
    g_ptr_array_unref(machine.memo);
    g_array_unref(machine.marks);
    return good ? g_steal_pointer(&pickle) : NULL;
}

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

PickleValue *pickle_get(const PickleValue *dictionary, const gchar *key)
{
    for (guint i = 0; dictionary != NULL && dictionary->kind == PICKLE_DICT && i + 1 < dictionary->items->len; i += 2) {
        const PickleValue *name = dictionary->items->pdata[i];

        if (name->kind == PICKLE_TEXT && strcmp(name->text, key) == 0)
            return dictionary->items->pdata[i + 1];
    }
    return NULL;
}

PickleValue *pickle_item(const PickleValue *value, guint i)
{
    return value != NULL && value->items != NULL && i < value->items->len ? value->items->pdata[i] : NULL;
}

gboolean pickle_is_call(const PickleValue *value, const gchar *name)
{
    return value != NULL && value->kind == PICKLE_CALL && value->of != NULL && value->of->kind == PICKLE_GLOBAL &&
           strcmp(value->of->text, name) == 0;
}
