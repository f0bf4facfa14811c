/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decoders' library of a driver that decodes nothing: GStreamer registers cudaupload and cudadownload only where it
 * finds one. */
#define REFUSED(name_)                                                                                                 \
    __attribute__((visibility("default"))) int name_(void);                                                            \
    int name_(void)                                                                                                    \
    {                                                                                                                  \
        return 801;                                                                                                    \
    }

REFUSED(cuvidCtxLockCreate)
REFUSED(cuvidCtxLockDestroy)
REFUSED(cuvidCtxLock)
REFUSED(cuvidCtxUnlock)
REFUSED(cuvidCreateDecoder)
REFUSED(cuvidReconfigureDecoder)
REFUSED(cuvidDestroyDecoder)
REFUSED(cuvidDecodePicture)
REFUSED(cuvidGetDecodeStatus)
REFUSED(cuvidCreateVideoParser)
REFUSED(cuvidParseVideoData)
REFUSED(cuvidDestroyVideoParser)
REFUSED(cuvidMapVideoFrame64)
REFUSED(cuvidUnmapVideoFrame64)

/* fills in nothing: no codec is supported. GStreamer 1.22 leaves its context pushed where this fails */
__attribute__((visibility("default"))) int cuvidGetDecoderCaps(void *caps);

int cuvidGetDecoderCaps(void *caps)
{
    (void)caps;
    return 0;
}
