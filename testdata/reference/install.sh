#!/usr/bin/env bash
# Installs the reference implementation outside the tree, once, and prints the folder on stdout (everything else goes to stderr).
#
#   dir=$(testdata/reference/install.sh)
#   "$dir/ref-swingport" export --state-dir=... --export-dir=...
#
# The folder is $SWINGPORT_REFERENCE_DIR, by default $XDG_CACHE_HOME/swingport/reference (~/.cache/...). It gets copies of the
# scripts beside this one, because node looks for modules beside the script. The packages are those of package-lock.json;
# they are installed again when that file or node changes. Needs node 20 or 22, npm, and for better-sqlite3, which is built
# from the source in its package: python3, make, g++ and node's headers. About a minute.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${SWINGPORT_REFERENCE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/swingport/reference}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

for tool in node npm python3 make g++; do
  command -v "$tool" >/dev/null || { echo "install.sh: $tool is missing" >&2; exit 1; }
done

exec 9>"$dir/.lock"
if command -v flock >/dev/null; then flock 9; fi # two runs at once: the second waits, then finds the install

cp "$here"/*.mjs "$here"/package.json "$here"/package-lock.json "$here"/ref-swingport "$dir/"
want="$(node --version) $(cksum <"$dir/package-lock.json")"
if [[ ! -f $dir/.installed || $(cat "$dir/.installed") != "$want" ]]; then
  rm -rf "$dir/.installed" "$dir/node_modules"
  # Where node's headers are installed with it, node-gyp need not fetch them.
  prefix=$(dirname "$(dirname "$(node -p 'fs.realpathSync(process.execPath)')")")
  if [[ -z ${npm_config_nodedir:-} && -f $prefix/include/node/node.h ]]; then export npm_config_nodedir=$prefix; fi
  (
    cd "$dir"
    # Install scripts of 450 packages are not run; the one that matters is, from source.
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
    npm_config_build_from_source=true npm rebuild better-sqlite3 --foreground-scripts --loglevel=error
    node -e "new (require('better-sqlite3'))(':memory:').prepare('SELECT 1').get()"
  ) >"$dir/install.log" 2>&1 || { tail -40 "$dir/install.log" >&2; echo "install.sh: failed; the whole log is $dir/install.log" >&2; exit 1; }
  echo "$want" >"$dir/.installed"
fi
echo "$dir"
