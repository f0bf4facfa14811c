/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Channels dealt out in turns, of both sizes of elements. */
#include <string.h>

#include "check.h"
#include "kernels/shuffle.h"

#define GUARD 8 /* elements before and behind, which stay as they are */

static void test_random(void)
{
    for (guint i = 0; i < 600; i++) {
        const gint64 pixels = check_int(1, 9), groups = i % 3 ? 2 : check_int(1, 5);
        const gint64 size = i % 5 ? check_int(1, 70) : check_int(1, 4) * 16;
        const gint64 n = pixels * groups * size;
        const gboolean wide = i % 2;
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        g_autofree gint64 *expected = g_new(gint64, n + 2 * GUARD);
        gsize element = wide ? 4 : 2;

        check_case(i, "%d pixels of %d groups of %d elements of %d bytes", (int)pixels, (int)groups, (int)size,
                   (int)element);
        x = check_tensor_random(wide ? GPUDL_DTYPE_I32 : GPUDL_DTYPE_I16, CHECK_SHAPE(n), 0, 0);
        y = check_tensor_random(wide ? GPUDL_DTYPE_I32 : GPUDL_DTYPE_I16, CHECK_SHAPE(n + 2 * GUARD), 0, 0);
        for (gint64 k = 0; k < n + 2 * GUARD; k++) {
            const gint64 at = k - GUARD, each = groups * size;

            expected[k] = at < 0 || at >= n
                              ? check_get_int(y, k)
                              : check_get_int(x, at / each * each + at % groups * size + at % each / groups);
        }
        gpudl_shuffle(x->view.data, pixels, groups, size, element, (char *)y->view.data + GUARD * element);
        check_equal_int(y, expected);
    }
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/shuffle/random", test_random);
    return g_test_run();
}
