# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced: configures build/ where that has not been done, and again where a toolkit was fetched since (scripts/toolkit).

configure() {
    local how=()
    if [ -f build/build.ninja ]; then
        [ build/cuda/.pins -nt build/build.ninja ] || return 0
        how=(--reconfigure)
    fi
    meson setup "${how[@]}" build >build/build.setup.log 2>&1 || {
        cat build/build.setup.log >&2
        return 1
    }
}
