/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a file is that is no model for us, by its content, and what makes one of it. */
#include <string.h>

#include "engine/shown.h"
#include "models/import.h"

#define MOST_MEMBERS 65535 /* of an archive that are looked at */
#define TO_ONNX "torch.onnx.export(model.eval(), torch.zeros(1, 3, 224, 224), 'net.onnx')"
#define KERAS                                                                                                          \
    ". In Python: keras.models.load_model('FILE').export('DIR'); then: "                                               \
    "python -m tf2onnx.convert --saved-model DIR --output net.onnx"

typedef struct {
    gsize offset, length;
    const gchar *magic, *what;
} Magic;

/* In this order; the first that fits. */
static const Magic magics[] = {
    {0, 2, "\x80\x02",
     "a Python pickle (an older PyTorch file). In Python: model.load_state_dict(torch.load('FILE')); " TO_ONNX},
    {0, 8, "\x89HDF\r\n\x1a\n", "an HDF5 file (Keras' .h5)" KERAS},
    {4, 4, "ORTM", "an ONNX Runtime .ort file. Take the .onnx that it was made of"},
    {0, 4, "GGUF", "a GGUF file"},
    {0, 4, "ftrt",
     "a TensorRT engine, which runs on the kind of GPU it was made on. Take the .onnx that it was made of"},
    {0, 4, "ptrt",
     "a TensorRT engine, which runs on the kind of GPU it was made on. Take the .onnx that it was made of"},
    {0, 2, "\x1f\x8b", "gzip-compressed data. Unpack it with gunzip"},
    {257, 5, "ustar", "a tar archive. Unpack it with tar"},
    {0, 6, "\x93NUMPY", "a NumPy array"},
    {0, 8, "\x89PNG\r\n\x1a\n", "a PNG picture"},
    {0, 3, "\xff\xd8\xff", "a JPEG picture"},
    {4, 4, "ftyp", "an MP4 video"},
    {0, 4,
     "\x7f"
     "ELF",
     "a program"},
};

/* ---- text -------------------------------------------------------------------------------------------------------- */

static gboolean is_text(const guint8 *data, gsize size)
{
    const gsize n = MIN(size, 512);
    const gchar *end;

    /* a character may be cut where we stop looking */
    if (!g_utf8_validate_len((const gchar *)data, n, &end) && (n == size || end + 4 <= (const gchar *)data + n))
        return FALSE;
    for (gsize i = 0; i < n; i++)
        if (data[i] < 32 && data[i] != '\t' && data[i] != '\n' && data[i] != '\r')
            return FALSE;
    return TRUE;
}

static const gchar *kind_of_text(const guint8 *data, gsize size)
{
    static const struct {
        gboolean first; /* it begins with the word */
        const gchar *word, *what;
    } kinds[] = {
        {TRUE, "version https://git-lfs.github.com/spec/",
         "a git-lfs pointer, not the file itself. 'git lfs pull' fetches it"},
        {FALSE, "<!doctype html", "an HTML page. Fetch the file itself, not the page about it"},
        {FALSE, "<html", "an HTML page. Fetch the file itself, not the page about it"},
        {FALSE, "<net name=", "an OpenVINO model. Take the .onnx that it was made of"},
        {TRUE, "7767517", "an ncnn model. Take the .onnx that it was made of"},
        {TRUE, "[net]", "a Darknet configuration"},
    };
    g_autofree gchar *begin = g_ascii_strdown((const gchar *)data, (gssize)MIN(size, 512));

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (kinds[i].first ? g_str_has_prefix(begin, kinds[i].word) : strstr(begin, kinds[i].word) != NULL)
            return kinds[i].what;
    return "a text file";
}

/* ---- ZIP --------------------------------------------------------------------------------------------------------- */

/* What the names of its members show; first and model lie in the archive. */
typedef struct {
    guint n;            /* members that are no folders */
    const gchar *first; /* of these, or NULL */
    const gchar *model; /* the first that is called as a model's file, or NULL */
    gsize first_length, model_length;
    gboolean pickle, code, keras, weights, exported, exported_before, onnx, arrays, core_ml;
} Members;

static guint32 little(const guint8 *p, guint bytes)
{
    guint32 value = 0;

    for (guint i = 0; i < bytes; i++)
        value |= (guint32)p[i] << (8 * i);
    return value;
}

static gboolean ends_in(const gchar *name, gsize length, const gchar *suffix)
{
    const gsize n = strlen(suffix);

    return length >= n && memcmp(name + length - n, suffix, n) == 0;
}

gboolean gpudl_import_is_called_model(const gchar *name, gsize length)
{
    static const gchar *const suffixes[] = {".onnx", ".pt2", ".pt", ".tflite", ".pb", ".caffemodel", ".prototxt"};

    for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (ends_in(name, length, suffixes[i]))
            return TRUE;
    return FALSE;
}

static void look_at_member(Members *members, const gchar *name, gsize length)
{
    if (length == 0 || name[length - 1] != '/') {
        if (members->n++ == 0) {
            members->first = name;
            members->first_length = length;
        }
        if (members->model == NULL && gpudl_import_is_called_model(name, length)) {
            members->model = name;
            members->model_length = length;
        }
    }
    members->pickle = members->pickle || ends_in(name, length, "data.pkl");
    members->code = members->code || g_strstr_len(name, (gssize)length, "/code/") != NULL;
    members->keras = members->keras || (length == 11 && memcmp(name, "config.json", 11) == 0);
    members->weights = members->weights || ends_in(name, length, "model.weights.h5");
    members->exported = members->exported || ends_in(name, length, "archive_format") ||
                        (g_strstr_len(name, (gssize)length, "models/") != NULL && ends_in(name, length, ".json"));
    members->exported_before = members->exported_before || ends_in(name, length, "serialized_exported_program.json");
    members->onnx = members->onnx || ends_in(name, length, ".onnx");
    members->arrays = members->arrays || ends_in(name, length, ".npy");
    members->core_ml = members->core_ml || ends_in(name, length, ".mlmodel");
}

/* Walks the directory at the archive's end; FALSE: there is none. */
static gboolean read_directory(const guint8 *data, gsize size, Members *members)
{
    gsize end = size >= 22 ? size - 22 : 0, at;

    if (size < 22)
        return FALSE;
    for (gsize back = 0; memcmp(data + end, "PK\5\6", 4) != 0; back++) {
        if (end == 0 || back == 0xffff)
            return FALSE;
        end--;
    }
    at = little(data + end + 16, 4);
    for (guint i = 0; i < MOST_MEMBERS && at <= size && size - at >= 46 && memcmp(data + at, "PK\1\2", 4) == 0; i++) {
        const gsize length = little(data + at + 28, 2);
        const gsize rest = length + little(data + at + 30, 2) + little(data + at + 32, 2);

        if (size - at - 46 < rest)
            break;
        look_at_member(members, (const gchar *)data + at + 46, length);
        at += 46 + rest;
    }
    return TRUE;
}

/* What else is in an archive, and what to do about it. */
static gchar *describe_members(const Members *members)
{
    const gchar *name = members->model != NULL ? members->model : members->first;
    const gsize length = members->model != NULL ? members->model_length : members->first_length;
    g_autofree gchar *copy = g_strndup(name, length), *shown = gpudl_shown(copy, GPUDL_SHOWN_BYTES);

    if (members->n == 0)
        return g_strdup("an empty ZIP archive. Take the model's file");
    if (members->model != NULL)
        return g_strdup_printf("a ZIP archive with '%s' in it. Unpack it with unzip, and give that file", shown);
    return g_strdup_printf("a ZIP archive of %u file%s, '%s' %s, and no model among them (PyTorch's .pt and .pth, "
                           "Keras' .keras have other members). Take the model's file",
                           members->n, members->n == 1 ? "" : "s", shown, members->n == 1 ? "alone" : "first");
}

/* NULL: what describe_members() says. */
static const gchar *kind_of_zip(const Members *members)
{
    if (members->exported_before)
        return "torch.export's .pt2 as PyTorch wrote it before 2.8. With a newer one: "
               "torch.export.save(torch.export.load('FILE'), 'net.pt2')";
    if (members->pickle)
        return "PyTorch weights without their graph (.pth). In Python, with the class they are of: "
               "model.load_state_dict(torch.load('FILE')); " TO_ONNX;
    if (members->keras && members->weights)
        return "a Keras model (.keras)" KERAS;
    if (members->core_ml && members->model == NULL)
        return "a Core ML package. Take the model that it was made of";
    if (members->arrays && members->model == NULL)
        return "NumPy arrays (.npz). Take the model's file";
    return NULL;
}

static gchar *recognise_zip(const guint8 *data, gsize size)
{
    Members members = {0};
    const gchar *kind;

    if (!read_directory(data, size, &members))
        return g_strdup("a ZIP archive (PyTorch's .pt and .pth, Keras' .keras) that is cut off. Fetch it again");
    kind = kind_of_zip(&members);
    return kind != NULL ? g_strdup(kind) : describe_members(&members);
}

gboolean gpudl_import_is_exported(const guint8 *data, gsize size)
{
    Members members = {0};

    return size >= 4 && memcmp(data, "PK\3\4", 4) == 0 && read_directory(data, size, &members) && members.exported &&
           !members.core_ml && !members.onnx;
}

gboolean gpudl_import_is_script(const guint8 *data, gsize size)
{
    Members members = {0};

    return size >= 4 && memcmp(data, "PK\3\4", 4) == 0 && read_directory(data, size, &members) && members.pickle &&
           members.code;
}

/* ---- protobuf ---------------------------------------------------------------------------------------------------- */

/* A number, then a message that begins with a message: ONNX has the producer's name there, a text. */
const gchar *gpudl_import_recognise_message(const guint8 *data, gsize size)
{
    gsize at = 3;

    if (size < 6 || data[0] != 0x08 || data[1] >= 0x80 || data[2] != 0x12)
        return NULL;
    while (at < size && at < 13 && (data[at] & 0x80))
        at++;
    if (at + 1 >= size || data[at + 1] != 0x0a)
        return NULL;
    if (data[1] == 1)
        return "a TensorFlow SavedModel. python -m tf2onnx.convert --saved-model DIR --output net.onnx, with its "
               "folder, makes an ONNX file";
    return "a Core ML model. Take the model that it was made of";
}

/* What is told of bytes without anything of theirs. */
static const gchar *recognise_bytes(const guint8 *data, gsize size)
{
    const gchar *message = gpudl_import_recognise_message(data, size);

    if (size == 0)
        return "an empty file";
    for (guint i = 0; i < G_N_ELEMENTS(magics); i++)
        if (size >= magics[i].offset + magics[i].length &&
            memcmp(data + magics[i].offset, magics[i].magic, magics[i].length) == 0)
            return magics[i].what;
    if (size >= 9 && data[8] == '{' && memcmp(data + 2, "\0\0\0\0\0\0", 6) == 0)
        return "a safetensors file: weights without their graph. 'optimum-cli export onnx --model DIR OUT' exports a "
               "HuggingFace folder";
    if (message != NULL)
        return message;
    if (is_text(data, size))
        return kind_of_text(data, size);
    if (data[0] == 0x0a)
        return "a protobuf message that is no network of ONNX, TensorFlow or Caffe";
    return "something unknown";
}

gchar *gpudl_import_recognise(const guint8 *data, gsize size)
{
    if (size >= 4 && (memcmp(data, "PK\3\4", 4) == 0 || memcmp(data, "PK\5\6", 4) == 0))
        return recognise_zip(data, size);
    return g_strdup(recognise_bytes(data, size));
}
