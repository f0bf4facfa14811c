# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced: downloads that all clones of a user share, in ${XDG_CACHE_HOME:-~/.cache}/gpudl/downloads; where that can't be
# written to, in build/downloads. What is used is what the sums say, each time; what is there has been there whole.

downloads_cache() { # prints the folder that clones share, if there can be one
    local cache=${XDG_CACHE_HOME-}
    # what is no absolute path is ignored, as the XDG specification wants it
    case $cache in /*) ;; *) cache=${HOME:+$HOME/.cache} ;; esac
    case $cache in /*) echo "$cache/gpudl/downloads" ;; esac
}

downloads_good() { # downloads_good FOLDER SUMS: all of them are there and right
    [ -d "$1" ] && (cd "$1" && sha256sum --quiet -c "$2") >/dev/null 2>&1
}

downloads_keep() { # downloads_keep FROM TO SUMS: moves them; another clone may do the same at the same time
    local name
    downloads_good "$1" "$3" || return 1
    while read -r _ name; do
        mv -f "$1/$name" "$2/$name" || return 1
    done <"$3"
}

# downloads SUMS FETCH: sets $from to a folder that has all files of the list SUMS (sha256sum's, an absolute path). Where
# none has, FETCH FOLDER is called, in a shell of its own, to bring them; it finds there what was right already. Returns 1
# if FETCH does, which has to say why, 2 if what it brought is not what SUMS says.
downloads() {
    local sums=$1 fetch=$2 cache own=$PWD/build/downloads to part sum name status=0
    cache=$(downloads_cache)
    for from in ${cache:+"$cache"} "$own"; do
        downloads_good "$from" "$sums" || continue
        # what an older clone has of its own is for the others too
        if [ "$from" = "$own" ] && [ -n "$cache" ] && mkdir -p "$cache" 2>/dev/null && part=$(mktemp -d "$cache/.part.XXXXXX" 2>/dev/null); then
            while read -r _ name; do cp "$own/$name" "$part/" 2>/dev/null || break; done <"$sums"
            downloads_keep "$part" "$cache" "$sums" || true
            rm -rf "$part"
        fi
        return 0
    done
    to=$cache
    if [ -z "$cache" ] || ! mkdir -p "$cache" 2>/dev/null || ! part=$(mktemp -d "$cache/.part.XXXXXX" 2>/dev/null); then
        echo "downloads are kept in build/downloads: ${cache:-\$HOME/.cache (HOME is '${HOME-}')} can't be written to" >&2
        to=$own
        mkdir -p "$to"
        part=$(mktemp -d "$to/.part.XXXXXX")
    fi
    # what was interrupted
    find "$to" -maxdepth 1 -name '.part.*' -mtime +1 -exec rm -rf {} + 2>/dev/null || true
    while read -r sum name; do
        for from in ${cache:+"$cache"} "$own"; do
            if cp "$from/$name" "$part/" 2>/dev/null && (cd "$part" && echo "$sum  $name" | sha256sum --quiet -c) >/dev/null 2>&1; then
                break
            fi
            rm -f "$part/$name"
        done
    done <"$sums"
    if ! ("$fetch" "$part"); then
        status=1
    elif ! downloads_keep "$part" "$to" "$sums"; then
        status=2
    fi
    rm -rf "$part"
    from=$to
    return $status
}
