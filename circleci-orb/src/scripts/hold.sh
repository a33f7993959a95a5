# Holds the grant, as a step in the background: `run` beats for as long as it lives, and the grant ends with it.
set -eu
umask 077

jit="$HOME/.cloudanix-jit/${CIRCLE_WORKFLOW_JOB_ID:-job}-${CIRCLE_NODE_INDEX:-0}"
held="$jit/held"
# The step that waits for the grant watches this process, and shows its output.
printf '%s\n' "$$" >"$held/pid"
exec 2>"$held/log"

# What is in our environment and not in that of the grant's command is taken from a step's as well.
env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' >"$held/names"
eval "$CLOUDANIX_ORB_SCRIPT_BROKER"
eval "$CLOUDANIX_ORB_SCRIPT_ASK"
# The grant is for the steps that follow: it does not end with whatever of CircleCI has started this one.
exec "$jit/bin/cloudanix-jit" run --die-with-parent=never "--state=$held/state.json" "$@" -- sh -c "$CLOUDANIX_ORB_SCRIPT_HOLDER" sh "$held"
