/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell.h"

#include <stdarg.h>
#include <stdio.h>

void cuda_tell(const GpudlHost *host, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    host->log(host->host, GPUDL_LOG_DEBUG, text);
}
