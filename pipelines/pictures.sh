#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Pictures: what each shows, as text.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage() {
    echo "Usage: pictures.sh [OPTION...] PICTURE..."
    echo "Prints the three likeliest classes of each picture."
    common_usage
}

files=()
while [ $# -gt 0 ]; do
    common_option "$@"
    if [ "$shifted" -gt 0 ]; then
        shift "$shifted"
    else
        case $1 in
        -*) usage_error "unknown option $1" ;;
        *)
            files+=("$1")
            shift
            ;;
        esac
    fi
done
[ ${#files[@]} -ge 1 ] || usage_error "no picture given"

need_gpudl
find_model
exec "$gpudl" run --top-k 3 --backend "$backend" "$model" "${files[@]}"
