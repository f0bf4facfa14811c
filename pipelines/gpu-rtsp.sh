#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A network camera (RTSP) on an NVIDIA GPU: decoded there and classified in its memory. As rtsp.sh, which tells by this name.
set -euo pipefail
. "$(dirname "$0")/rtsp.sh"
