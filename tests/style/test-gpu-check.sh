#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# scripts/gpu check in a folder as one that was packed, with a double of what runs a part: which parts run, on which card.
set -eu
scripts=$(cd "$(dirname "$0")/../../scripts" && pwd)
place=$(mktemp -d)
trap 'rm -r "$place"' EXIT
mkdir -p "$place/scripts" "$place/build"
cp "$scripts/gpu" "$place/scripts"
echo '{}' >"$place/build/gpu-tests.json"
cat >"$place/scripts/carried.py" <<'EOF'
#!/bin/bash
# run BUILD PART: a card's lock is held for as long as a part runs on it
exec 8>"$PLACE/card-${CUDA_VISIBLE_DEVICES-}"
flock -n 8 || echo "two at once on card $CUDA_VISIBLE_DEVICES" >>"$PLACE/wrong"
echo "$3 ${CUDA_VISIBLE_DEVICES-}" >>"$PLACE/ran"
echo "output of $3"
case $3 in suite) sleep 1.5 ;; *) sleep 0.3 ;; esac
[ "$3" != "${BREAKS-}" ]
EOF
chmod +x "$place/scripts/carried.py"
export PLACE=$place OUT=$place/logs
unset CUDA_VISIBLE_DEVICES PART ONLY GST

n=0
check() { # check WHAT COMMAND...: the command succeeds
    n=$((n + 1))
    if "${@:2}"; then echo "ok $n - $1"; else echo "not ok $n - $1"; fi
}
run() { # run STATUS [VARIABLE=VALUE...]
    local rc=0
    rm -f "$place/ran"
    env "${@:2}" "$place/scripts/gpu" check >"$place/output" 2>&1 || rc=$?
    [ $rc = "$1" ] || { echo "# status $rc, expected $1" && sed 's/^/# /' "$place/output" && return 1; }
}
ran() { # ran PARTS: in this order, cards left out
    [ "$(cut -d ' ' -f 1 "$place/ran" | tr '\n' ' ')" = "$1 " ]
}
alone_with_suite() { ! grep -v '^suite' "$place/ran" | grep -q " $(sed -n 's/^suite //p' "$place/ran")\$"; }

check "all parts" run 0
check "in their order" ran "suite ptx sanitizer pipelines"
check "some parts" run 0 PART="sanitizer suite"
check "in the order asked for" ran "sanitizer suite"
check "a failure is told" run 1 BREAKS=ptx
check "and the rest runs" ran "suite ptx sanitizer pipelines"
check "a part that is none is refused" run 2 PART="suite all"
check "no cards are refused" run 2 CARDS=0
check "on two cards" run 0 CARDS=2
check "all run once" [ "$(cut -d ' ' -f 1 "$place/ran" | sort | tr '\n' ' ')" = "pipelines ptx sanitizer suite " ]
check "the longest beside all others" alone_with_suite
check "each told whole, with its time" grep -q '^ptx: [0-9]* s on card [01]$' "$place/output"
check "a failure on one of two is told" run 1 CARDS=2 BREAKS=pipelines
check "cards are those that are allowed" run 0 CARDS=2 CUDA_VISIBLE_DEVICES=5,3
check "and no others" [ "$(cut -d ' ' -f 2 "$place/ran" | sort -u | tr '\n' ' ')" = "3 5 " ]
check "more than are allowed are refused" run 2 CARDS=2 CUDA_VISIBLE_DEVICES=5
check "and where none is" run 2 CARDS=2 CUDA_VISIBLE_DEVICES=
check "never two on one card" [ ! -e "$place/wrong" ]
echo "1..$n"
