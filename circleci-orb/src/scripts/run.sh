# Runs one command with a grant, and nothing else with it.
set -eu

jit="$HOME/.cloudanix-jit/${CIRCLE_WORKFLOW_JOB_ID:-job}-${CIRCLE_NODE_INDEX:-0}"
eval "$CLOUDANIX_ORB_SCRIPT_BROKER"
eval "$CLOUDANIX_ORB_SCRIPT_ASK"

# The shell in which CircleCI runs a step.
shell=/bin/bash
[ -x "$shell" ] || shell=/bin/sh
case "$CLOUDANIX_ORB_OBSERVE" in
  1 | true) set -- "$@" --observe ;;
esac
set -- "$@" --redact "$CLOUDANIX_ORB_REDACT" -- "$shell" -eo pipefail -c "$CLOUDANIX_ORB_COMMAND"

# The command's environment is the job's.
for name in $(env | sed -n 's/^\(CLOUDANIX_ORB_[A-Z0-9_]*\)=.*/\1/p'); do
  unset "$name"
done
exec "$jit/bin/cloudanix-jit" run "$@"
