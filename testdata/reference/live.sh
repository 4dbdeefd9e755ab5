#!/usr/bin/env bash
# Compares swingport with the reference on generated stores, live: installs the reference (install.sh), builds swingport and
# runs live.mjs, which says what is compared. It never skips: what cannot run is an error.
#
#   testdata/reference/live.sh [live.mjs options]
#
# SWINGPORT names another executable to compare; REFERENCE_TMP another folder for the stores (about 1 GB).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
start=$SECONDS
reference=$("$here/install.sh")
echo "reference installed in $reference, $((SECONDS - start)) s"

work=$(mktemp -d "${REFERENCE_TMP:-${TMPDIR:-/tmp}}/swingport-live.XXXXXX")
trap 'rm -rf "$work"' EXIT
if [[ -z ${SWINGPORT:-} ]]; then
  SWINGPORT=$work/swingport
  (cd "$here/../.." && go build -o "$SWINGPORT" ./cmd/swingport)
fi
GENSTORE=$work/genstore
(cd "$here/../.." && go build -o "$GENSTORE" ./bench/genstore)
export GENSTORE
TMPDIR=$work node "$reference/live.mjs" "$SWINGPORT" "$work" "$@"
