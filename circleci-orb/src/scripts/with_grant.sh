#!/bin/sh
# Runs a command with the grant that `elevate` holds, and without what the job's identity could be used with.
set -eu

grant="$(dirname "$0")/../held/grant"
if [ $# -eq 0 ]; then
  printf 'usage: cloudanix-with-grant COMMAND [ARGUMENT…]\n' >&2
  exit 2
fi
if [ ! -r "$grant" ]; then
  printf 'cloudanix-with-grant: no grant is held\n' >&2
  printf '  hint: %s\n' "use it in the \`steps:\` of \`elevate\`" >&2
  exit 125
fi
# shellcheck source=/dev/null
. "$grant"
exec "$@"
