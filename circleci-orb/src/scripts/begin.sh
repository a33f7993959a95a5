# Makes the folder of the grant that is about to be held, for this user only.
set -eu

jit="$HOME/.cloudanix-jit/${CIRCLE_WORKFLOW_JOB_ID:-job}-${CIRCLE_NODE_INDEX:-0}"
if ! mkdir -m 700 "$jit/held"; then
  printf 'cloudanix-jit: this job holds a grant already\n' >&2
  printf '  hint: %s\n' "an \`elevate\` cannot be inside another: name all policies in the outer one, separated by commas, or use \`run\`" >&2
  exit 125
fi
