#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every reference and every launcher that a header of kernels/ declares is called by a check_*.c here that meson.build
# runs.
set -eu
root=$1
tests=$root/tests/kernels
plan=0
failed=0

say() {
    plan=$((plan + 1))
    echo "$1 $plan - $2"
    [ "$1" = ok ] || failed=1
}

for header in "$root"/kernels/*.h; do
    family=$(basename "$header" .h)
    check=$tests/check_$family.c
    # gpudl_conv_ref, from "GpudlConvFunc gpudl_conv_ref;" or "int gpudl_preproc_ref("; ref_*.h are the references' tools,
    # *_cuda.h declare launchers
    case $family in ref_* | *_cuda) continue ;; esac
    for name in $(grep -oE '\bgpudl_[a-z0-9_]+_ref *[;(]' "$header" | tr -d ' ;(' | sort -u); do
        if [ ! -f "$check" ]; then
            say "not ok" "$name of kernels/$family.h: tests/kernels/check_$family.c is missing"
        elif ! grep -q "\b$name(" "$check"; then
            say "not ok" "$name of kernels/$family.h: check_$family.c never calls it"
        elif ! grep -qE "'($family|check_$family\.c)'" "$tests/meson.build"; then
            say "not ok" "$name of kernels/$family.h: tests/kernels/meson.build does not run check_$family.c"
        else
            say ok "$name"
        fi
    done
done
for header in "$root"/kernels/*_cuda.h; do
    family=$(basename "$header" _cuda.h)
    check=$tests/check_${family}_cuda.c
    for name in $(grep -oE '\bgpudl_[a-z0-9_]+_cuda *[;(]' "$header" | tr -d ' ;(' | sort -u); do
        if [ ! -f "$root/kernels/$family.cu" ]; then
            say "not ok" "$name of kernels/${family}_cuda.h: kernels/$family.cu is missing"
        elif ! grep -q "\b$name(" "$check" 2>/dev/null; then
            say "not ok" "$name of kernels/${family}_cuda.h: tests/kernels/check_${family}_cuda.c never calls it"
        elif ! sed -n '/have_cuda/,$p' "$tests/meson.build" | grep -q "'$family'"; then
            say "not ok" "$name of kernels/${family}_cuda.h: tests/kernels/meson.build does not run check_${family}_cuda.c"
        else
            say ok "$name"
        fi
    done
done
for source in "$root"/kernels/*.cu; do
    family=$(basename "$source" .cu)
    if [ -f "$root/kernels/${family}_cuda.h" ]; then
        say ok "kernels/${family}_cuda.h is the contract of $family.cu"
    else
        say "not ok" "kernels/$family.cu has no contract kernels/${family}_cuda.h"
    fi
done
for source in "$root"/kernels/*_ref.c; do
    family=$(basename "$source" _ref.c)
    if [ -f "$root/kernels/$family.h" ]; then
        say ok "kernels/$family.h is the contract of ${family}_ref.c"
    else
        say "not ok" "kernels/${family}_ref.c has no contract kernels/$family.h"
    fi
done
echo "1..$plan"
exit $failed
