/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NVDEC's library, as far as that it is there. */
__attribute__((visibility("default"))) int cuvidGetDecoderCaps(void);

int cuvidGetDecoderCaps(void)
{
    return 1;
}
