/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Text of foreign files in messages: the engine's, which notes need as well. */
#ifndef GPUDL_MODELS_SHOWN_H
#define GPUDL_MODELS_SHOWN_H

#include "engine/shown.h"

#endif
