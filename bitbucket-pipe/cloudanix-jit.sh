#!/bin/sh
# `cloudanix-jit` in the `script:` of a step. Copy it into your repository, with `fetch.sh` beside it.
#
#   sh ci/cloudanix-jit.sh run --policy P --ttl 15m -- COMMAND   in `script:`
#   sh ci/cloudanix-jit.sh revoke                               in `after-script:`
set -eu

here="$(dirname "$0")"
# This step's own, so that steps beside it on a runner of yours are let alone.
handles="${TMPDIR:-/tmp}/cloudanix-jit-${BITBUCKET_STEP_UUID:-step}"

fail() {
  printf 'cloudanix-jit: %s\n' "$1" >&2
  printf '  hint: %s\n' "$2" >&2
  exit 125
}

case "${1:-}" in
  run)
    program="$(sh "$here/fetch.sh")"
    mkdir -m 700 "$handles" 2>/dev/null || [ -n "$(find "$handles" -prune -type d -user "$(id -u)")" ] ||
      fail "\`$handles\` belongs to another user" "set \`TMPDIR\` to a folder that only this step writes into"
    # Where the client leaves the handle of a grant that it could not revoke.
    export TMPDIR="$handles"
    exec "$program" "$@"
    ;;
  revoke)
    # A step that failed because of something else has its own code already.
    for handle in "$handles"/cloudanix-jit-*.json; do
      [ -f "$handle" ] || continue
      program="${program:-$(sh "$here/fetch.sh")}"
      "$program" revoke --state "$handle" ||
        printf 'cloudanix-jit: that is a warning: the broker ends the grant when its heartbeats stop, or at its deadline\n' >&2
    done
    rm -rf "$handles"
    ;;
  *) fail "expected \`run\` or \`revoke\`, found \`${1:-}\`" "in \`script:\` it is \`run --policy P --ttl 15m -- COMMAND\`" ;;
esac
