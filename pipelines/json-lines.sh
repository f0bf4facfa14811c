#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Pictures and videos as JSON lines, one per frame, for programs: pipe it into jq, a file, a database.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage() {
    echo "Usage: json-lines.sh [OPTION...] FILE..."
    echo "Prints one line per picture or frame:"
    echo '  {"file": .., "frame": .., "pts": .., "results": [{"id": .., "label": .., "confidence": ..}]}'
    echo "  --top-k K         classes per frame, 0: all (default 1)"
    common_usage
}

files=()
top_k=1
while [ $# -gt 0 ]; do
    common_option "$@"
    if [ "$shifted" -gt 0 ]; then
        shift "$shifted"
        continue
    fi
    case $1 in
    --top-k=*) top_k=${1#*=} ;;
    --top-k)
        [ $# -ge 2 ] || usage_error "--top-k needs a number"
        top_k=$2
        shift
        ;;
    -*) usage_error "unknown option $1" ;;
    *) files+=("$1") ;;
    esac
    shift
done
[ ${#files[@]} -ge 1 ] || usage_error "no picture or video given"

need_gpudl
find_model
exec "$gpudl" run --json --top-k "$top_k" --backend "$backend" "$model" "${files[@]}"
