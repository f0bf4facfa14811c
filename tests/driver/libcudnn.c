/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A cuDNN that has none of its functions. */
__attribute__((visibility("default"))) int gpudl_test_no_cudnn(void);

int gpudl_test_no_cudnn(void)
{
    return 0;
}
