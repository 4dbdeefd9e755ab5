#!/usr/bin/env bash
# Makes everything in this folder that the reference made, anew: stores/, expected/, exports/. README.md says what is what.
# Needs what reference/install.sh needs, and tar and zstd. The same node, the same bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
reference=$(reference/install.sh)

rm -rf stores expected exports
mkdir -p stores expected exports

gen() { # NAME [gen.mjs options]
  node "$reference/gen.mjs" --preset="$1" --seed=1 --out="stores/$1" "${@:2}" >/dev/null
  chmod 644 "stores/$1"/*
}
record() { # NAME [record.mjs options]
  local tmp
  tmp=$(mktemp -d)
  node "$reference/record.mjs" "stores/$1" "$tmp/$1" "${@:2}"
  # One archive a store: the exports of a store share nearly all their bytes, and --long finds that.
  tar -C "$tmp/$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf - . |
    zstd -q -19 --long=25 -o "expected/$1.tar.zst"
  if [[ $1 == tiny ]]; then
    mkdir -p exports/tiny
    cp -r "$tmp/$1/export/archival-all" exports/tiny/archival
  fi
  rm -rf "$tmp"
}

gen tiny --journal-mode=delete
gen tinyraw --journal-mode=delete
gen tiny1a
gen tinywal
gen pruned --snap-max=20000
for store in tiny tiny1a tinywal tinyraw; do record "$store" --go-style --repair; done
record pruned
