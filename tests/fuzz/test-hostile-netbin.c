/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A damaged net.bin is one clear error each. One that was damaged before it was sealed is an error or a working model.
 */
#include <string.h>
#include <xxhash.h>

#include "engine/modelfile/modelfile.h"
#include "hostile.h"
#include "mutate.h"
#include "seal.h"

static guint64 get_u64(const guint8 *at)
{
    guint64 value;
    memcpy(&value, at, sizeof value);
    return GUINT64_FROM_LE(value);
}

static void put_u64(guint8 *at, guint64 value)
{
    value = GUINT64_TO_LE(value);
    memcpy(at, &value, sizeof value);
}

/* Right checksums, and an id that is not the content's: anybody can write that, and nobody may believe it. */
static void seal_with_wrong_id(guint8 *data, gsize size)
{
    seal_netbin(data, size);
    for (guint i = 0; i < 32; i++)
        data[GPUDL_FILE_AT_ID + i] ^= (guint8)(0x55 + i);
    put_u64(data + GPUDL_FILE_AT_CHECK, XXH3_64bits(data, GPUDL_FILE_AT_CHECK));
}

static void seal_somehow(guint8 *data, gsize size, gboolean right_id)
{
    if (right_id)
        seal_netbin(data, size);
    else
        seal_with_wrong_id(data, size);
}

/* A wrong id changes nothing but that it is told. */
static void test_wrong_id(void)
{
    g_autoptr(GBytes) file = hostile_testcard_netbin();
    gsize size = g_bytes_get_size(file);
    guint8 *data = g_memdup2(g_bytes_get_data(file, NULL), size);
    g_autoptr(GBytes) forged = g_bytes_new_take(data, size);
    g_autoptr(GError) error = NULL;
    seal_with_wrong_id(data, size);
    g_autoptr(GpudlModel) genuine = gpudl_modelfile_read(file, "genuine.bin", &error);
    g_assert_no_error(error);
    g_autoptr(GpudlModel) model = gpudl_modelfile_read(forged, "forged.bin", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(model->content, ==, genuine->content);
    g_assert_cmpstr(gpudl_model_get_id(model), ==, gpudl_model_get_id(genuine));
    g_assert_cmpstr(gpudl_model_get_false_id(model), !=, NULL);
    g_assert_cmpstr(gpudl_model_get_false_id(model), !=, gpudl_model_get_id(genuine));
    g_assert_null(gpudl_model_get_false_id(genuine));
    /* and the other way round: the id of another content */
    guint64 weights = get_u64(data + GPUDL_FILE_AT_SECTIONS + GPUDL_FILE_SECTION_BYTES);
    g_autofree guint8 *other = g_memdup2(g_bytes_get_data(file, NULL), size);
    guint8 id[32];
    memcpy(id, other + GPUDL_FILE_AT_ID, sizeof id);
    other[weights] ^= 1;
    seal_netbin(other, size);
    memcpy(other + GPUDL_FILE_AT_ID, id, sizeof id);
    put_u64(other + GPUDL_FILE_AT_CHECK, XXH3_64bits(other, GPUDL_FILE_AT_CHECK));
    g_autoptr(GBytes) other_file = g_bytes_new(other, size);
    g_autoptr(GpudlModel) impostor = gpudl_modelfile_read(other_file, "impostor.bin", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(impostor->content, !=, genuine->content);
    g_assert_cmpstr(gpudl_model_get_id(impostor), !=, gpudl_model_get_id(genuine));
    g_assert_cmpstr(gpudl_model_get_false_id(impostor), ==, gpudl_model_get_id(genuine));
}

static void test_whole(void)
{
    g_autoptr(GBytes) file = hostile_testcard_netbin();
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);
    HostileSeries series = {0};
    g_assert_cmpint(hostile_netbin(&series, data, size, TRUE), ==, HOSTILE_WORKS);
    /* it makes the same sums as the writer: without that the cases below would all stop at a checksum */
    g_autofree guint8 *sealed = g_memdup2(data, size);
    seal_netbin(sealed, size);
    g_assert_cmpmem(sealed, size, data, size);
    hostile_series_clear(&series);
}

static void test_truncated(void)
{
    g_autoptr(GBytes) file = hostile_testcard_netbin();
    gsize size;
    const guint8 *data = g_bytes_get_data(file, &size);
    HostileSeries series = {0};
    for (gsize n = 0; n < size; n++)
        hostile_netbin(&series, data, n, FALSE);
    hostile_series_report(&series, "cut off after every byte");
    hostile_series_clear(&series);
}

static void test_longer(void)
{
    g_autoptr(GBytes) file = hostile_testcard_netbin();
    gsize size;
    const guint8 *whole = g_bytes_get_data(file, &size);
    g_autofree guint8 *data = g_malloc0(size + 64);
    HostileSeries series = {0};
    memcpy(data, whole, size);
    for (gsize more = 1; more <= 64; more++)
        hostile_netbin(&series, data, size + more, FALSE);
    hostile_series_clear(&series);
}

static void test_bit_flips(void)
{
    g_autoptr(GBytes) file = hostile_testcard_netbin();
    gsize size = g_bytes_get_size(file);
    g_autofree guint8 *data = g_memdup2(g_bytes_get_data(file, NULL), size);
    HostileSeries series = {0};
    for (guint i = 0; i < 10000 + GPUDL_FILE_HEADER_BYTES * 8; i++) {
        /* 10,000 anywhere, then each of the header's */
        gsize bit = i < 10000 ? (gsize)g_test_rand_int_range(0, (gint32)size * 8) : i - 10000;
        data[bit / 8] ^= (guint8)(1u << bit % 8);
        hostile_netbin(&series, data, size, FALSE);
        data[bit / 8] ^= (guint8)(1u << bit % 8);
    }
    hostile_series_report(&series, "one bit flipped");
    hostile_series_clear(&series);
}

/* Every bit of the MODEL section, with right checksums: the message's fields are not trusted for being sealed. */
static void test_sealed_bit_flips(void)
{
    g_autoptr(GBytes) file = hostile_testcard_netbin();
    gsize size = g_bytes_get_size(file);
    g_autofree guint8 *data = g_memdup2(g_bytes_get_data(file, NULL), size);
    gsize begin = (gsize)get_u64(data + GPUDL_FILE_AT_SECTIONS);
    gsize bytes = (gsize)get_u64(data + GPUDL_FILE_AT_SECTIONS + 8);
    HostileSeries series = {0};
    for (gsize i = 0; i < bytes * 8; i++) {
        data[begin + i / 8] ^= (guint8)(1u << i % 8);
        seal_somehow(data, size, i % 2 == 0);
        hostile_netbin(&series, data, size, TRUE);
        data[begin + i / 8] ^= (guint8)(1u << i % 8);
    }
    hostile_series_report(&series, "every bit of the model section flipped, sealed again");
    hostile_series_clear(&series);
}

/* The model section overwritten with extremes in places, sealed again. */
static void test_sealed_extremes(void)
{
    g_autoptr(GBytes) file = hostile_testcard_netbin();
    gsize size = g_bytes_get_size(file);
    const guint8 *whole = g_bytes_get_data(file, NULL);
    gsize begin = (gsize)get_u64(whole + GPUDL_FILE_AT_SECTIONS);
    gsize bytes = (gsize)get_u64(whole + GPUDL_FILE_AT_SECTIONS + 8);
    static const guint8 extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    HostileSeries series = {0};
    for (guint i = 0; i < 6000; i++) {
        g_autofree guint8 *data = g_memdup2(whole, size);
        for (gint n = g_test_rand_int_range(1, 4); n > 0; n--) {
            gsize at = (gsize)g_test_rand_int_range(0, (gint32)bytes);
            gsize length = MIN((gsize)g_test_rand_int_range(1, 12), bytes - at);
            if (g_test_rand_bit())
                memset(data + begin + at, extremes[g_test_rand_int_range(0, G_N_ELEMENTS(extremes))], length);
            else
                memmove(data + begin + at, data + begin + g_test_rand_int_range(0, (gint32)(bytes - length)), length);
        }
        seal_somehow(data, size, i % 2 == 0);
        hostile_netbin(&series, data, size, TRUE);
    }
    hostile_series_report(&series, "the model section overwritten in places, sealed again");
    hostile_series_clear(&series);
}

/* A file with this MODEL section and the weights of another file, sealed. */
static GByteArray *assemble(const GByteArray *model, const guint8 *weights, gsize weights_size)
{
    GByteArray *file = g_byte_array_new();
    gsize at =
        (GPUDL_FILE_HEADER_BYTES + model->len + GPUDL_FILE_ALIGNMENT - 1) / GPUDL_FILE_ALIGNMENT * GPUDL_FILE_ALIGNMENT;
    g_byte_array_set_size(file, (guint)(at + weights_size));
    memset(file->data, 0, at);
    memcpy(file->data, GPUDL_FILE_MAGIC, 8);
    guint32 version = GUINT32_TO_LE(GPUDL_FILE_VERSION), header = GUINT32_TO_LE(GPUDL_FILE_HEADER_BYTES);
    memcpy(file->data + GPUDL_FILE_AT_VERSION, &version, sizeof version);
    memcpy(file->data + GPUDL_FILE_AT_HEADER, &header, sizeof header);
    put_u64(file->data + GPUDL_FILE_AT_SIZE, file->len);
    put_u64(file->data + GPUDL_FILE_AT_SECTIONS, GPUDL_FILE_HEADER_BYTES);
    put_u64(file->data + GPUDL_FILE_AT_SECTIONS + 8, model->len);
    put_u64(file->data + GPUDL_FILE_AT_SECTIONS + GPUDL_FILE_SECTION_BYTES, at);
    put_u64(file->data + GPUDL_FILE_AT_SECTIONS + GPUDL_FILE_SECTION_BYTES + 8, weights_size);
    memcpy(file->data + GPUDL_FILE_HEADER_BYTES, model->data, model->len);
    memcpy(file->data + at, weights, weights_size);
    seal_netbin(file->data, file->len);
    return file;
}

/* Fields changed, removed, doubled and moved, lengths and checksums right. */
static void test_fields(void)
{
    g_autoptr(GBytes) file = hostile_testcard_netbin();
    const guint8 *data = g_bytes_get_data(file, NULL);
    const guint8 *table = data + GPUDL_FILE_AT_SECTIONS;
    const guint8 *weights = data + get_u64(table + GPUDL_FILE_SECTION_BYTES);
    gsize weights_size = (gsize)get_u64(table + GPUDL_FILE_SECTION_BYTES + 8);
    g_autoptr(MutateField) whole = mutate_parse(mutate_netbin, data + get_u64(table), (gsize)get_u64(table + 8));
    g_autoptr(GByteArray) model = mutate_serialize(whole);
    g_autoptr(GByteArray) same = assemble(model, weights, weights_size);
    HostileSeries series = {.run_every = 20};
    g_assert_cmpmem(same->data, same->len, data, g_bytes_get_size(file));
    for (guint i = 0; i < 20000; i++) {
        g_autoptr(MutateField) damaged = mutate_copy(whole);
        for (gint n = g_test_rand_int_range(1, 4); n > 0; n--)
            mutate_once(damaged);
        g_autoptr(GByteArray) section = mutate_serialize(damaged);
        g_autoptr(GByteArray) sealed = assemble(section, weights, weights_size);
        hostile_netbin(&series, sealed->data, sealed->len, TRUE);
    }
    hostile_series_report(&series, "fields changed, removed, doubled and moved, sealed");
    hostile_series_clear(&series);
}

/* Offsets and sizes of the section table at their extremes, the header's own checksum right. */
static void test_section_table(void)
{
    g_autoptr(GBytes) file = hostile_testcard_netbin();
    gsize size = g_bytes_get_size(file);
    const guint8 *whole = g_bytes_get_data(file, NULL);
    const guint64 values[] = {0,
                              1,
                              63,
                              64,
                              127,
                              128,
                              129,
                              size - 1,
                              size,
                              size + 1,
                              G_MAXINT32,
                              G_MAXUINT32,
                              (guint64)G_MAXINT64,
                              (guint64)G_MAXINT64 + 1,
                              G_MAXUINT64 - 63,
                              G_MAXUINT64};
    HostileSeries series = {0};
    for (guint field = 0; field < 4; field++) {
        guint at = GPUDL_FILE_AT_SECTIONS + field / 2 * GPUDL_FILE_SECTION_BYTES + field % 2 * 8;
        for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
            g_autofree guint8 *data = g_memdup2(whole, size);
            if (get_u64(data + at) == values[i])
                continue;
            put_u64(data + at, values[i]);
            put_u64(data + GPUDL_FILE_AT_CHECK, XXH3_64bits(data, GPUDL_FILE_AT_CHECK));
            hostile_netbin(&series, data, size, FALSE);
        }
    }
    hostile_series_report(&series, "extremes in the section table");
    hostile_series_clear(&series);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hostile/netbin/whole-file-works", test_whole);
    g_test_add_func("/hostile/netbin/wrong-id", test_wrong_id);
    g_test_add_func("/hostile/netbin/truncated-at-every-byte", test_truncated);
    g_test_add_func("/hostile/netbin/bytes-behind-the-end", test_longer);
    g_test_add_func("/hostile/netbin/10000-bit-flips", test_bit_flips);
    g_test_add_func("/hostile/netbin/every-model-bit-sealed", test_sealed_bit_flips);
    g_test_add_func("/hostile/netbin/extremes-sealed", test_sealed_extremes);
    g_test_add_func("/hostile/netbin/section-table", test_section_table);
    g_test_add_func("/hostile/netbin/20000-damaged-fields-sealed", test_fields);
    return g_test_run();
}
