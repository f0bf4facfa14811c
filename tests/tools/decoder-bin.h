/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** A decoder that is a bin, like vp8alphadecodebin of plugins-bad: its source pad may have any caps by its template. */
#ifndef GPUDL_TESTS_TOOLS_DECODER_BIN_H
#define GPUDL_TESTS_TOOLS_DECODER_BIN_H

#include <glib.h>

G_BEGIN_DECLS

/** Registers it for this process, before all other decoders of VP8 with alpha. */
void decoder_bin_register(void);

G_END_DECLS
#endif
