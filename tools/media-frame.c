/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/media-frame.h"

#include "video/describe.h"

GpudlMediaFrame *media_frame_map(GstSample *sample, GError **error)
{
    g_autofree GstVideoFrame *video = g_new0(GstVideoFrame, 1);
    g_autofree GpudlMediaFrame *out = g_new0(GpudlMediaFrame, 1);
    GstBuffer *buffer = gst_sample_get_buffer(sample);
    GstVideoInfo info;

    if (buffer == NULL || !gst_video_info_from_caps(&info, gst_sample_get_caps(sample))) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "is no raw video");
        return NULL;
    }
    if (!gpudl_video_map(video, &info, buffer, 0, error))
        return NULL;
    out->frame.memory = GPUDL_MEMORY_HOST;
    if (!gpudl_video_describe(video, &out->frame, error)) {
        gst_video_frame_unmap(video);
        return NULL;
    }
    out->pts = GST_BUFFER_PTS_IS_VALID(buffer) ? (gint64)GST_BUFFER_PTS(buffer) : -1;
    out->held = g_steal_pointer(&video); /* the mapping holds a reference on the buffer */
    return g_steal_pointer(&out);
}

void gpudl_media_frame_free(GpudlMediaFrame *frame)
{
    if (frame == NULL)
        return;
    gst_video_frame_unmap(frame->held);
    g_free(frame->held);
    g_free(frame);
}
