#!/bin/sh
# The pipe: runs COMMAND with a grant, and nothing else with it.
set -eu

fail() {
  printf 'cloudanix-jit: %s\n' "$1" >&2
  printf '  hint: %s\n' "$2" >&2
  exit 125
}

for name in POLICY COMMAND; do
  printenv "$name" >/dev/null || fail "\`$name\` is not set" "add it under \`variables:\` of the pipe"
done
# A command that is observed runs in any case.
[ "${OBSERVE:-false}" = true ] || [ -n "${BITBUCKET_STEP_OIDC_TOKEN:-}" ] || [ "${CLOUDANIX_PLATFORM:-}" = none ] ||
  fail 'the step has no OIDC token' "add to the step \`oidc: { audiences: [${AUDIENCE:-cloudanix-jit}] }\`"

[ -z "${URL:-}" ] || export CLOUDANIX_URL="$URL"
[ -z "${AGENT_ID:-}" ] || export CLOUDANIX_AGENT_ID="$AGENT_ID"
[ -z "${CA_FILE:-}" ] || export CLOUDANIX_CA_FILE="$CA_FILE"
export CLOUDANIX_AUDIENCE="${AUDIENCE:-cloudanix-jit}"

set -- --policy "$POLICY" --ttl "${TTL:-15m}" --timeout "${TIMEOUT:-60s}" --wait "${WAIT:-10m}" --redact "${REDACT:-auto}" --aws-credentials "${AWS_CREDENTIALS:-auto}"
[ -z "${TARGET:-}" ] || set -- "$@" --target "$TARGET"
[ -z "${REASON:-}" ] || set -- "$@" --reason "$REASON"
case "${LIVE_ACTIONS:-true}" in
  true) ;;
  false) set -- "$@" --no-live-actions ;;
  *) fail "\`LIVE_ACTIONS\` is \`$LIVE_ACTIONS\`" "expected \`true\` or \`false\`" ;;
esac
case "${OBSERVE:-false}" in
  false) ;;
  true) set -- "$@" --observe ;;
  *) fail "\`OBSERVE\` is \`$OBSERVE\`" "expected \`true\` or \`false\`" ;;
esac
set -- "$@" -- bash -eo pipefail -c "$COMMAND"

# Names that a command may have a meaning of its own for.
unset POLICY TTL COMMAND URL AGENT_ID AUDIENCE TARGET REASON TIMEOUT WAIT REDACT AWS_CREDENTIALS LIVE_ACTIONS OBSERVE CA_FILE
exec cloudanix-jit run "$@"
