# Which broker, and who are we to it? Run by `eval` in the other scripts.
#
# An empty parameter leaves the variable to the context, or to the project's settings.
[ -z "$CLOUDANIX_ORB_URL" ] || export CLOUDANIX_URL="$CLOUDANIX_ORB_URL"
[ -z "$CLOUDANIX_ORB_AGENT_ID" ] || export CLOUDANIX_AGENT_ID="$CLOUDANIX_ORB_AGENT_ID"
[ -z "$CLOUDANIX_ORB_CA_FILE" ] || export CLOUDANIX_CA_FILE="$CLOUDANIX_ORB_CA_FILE"

if ! CLOUDANIX_AUTH_TOKEN="$(printenv "$CLOUDANIX_ORB_AUTH_TOKEN")"; then
  printf "cloudanix-jit: \`%s\` is not set\n" "$CLOUDANIX_ORB_AUTH_TOKEN" >&2
  printf '  hint: %s\n' "add the variable to a context, and name the context under \`context:\` of the job in its workflow" >&2
  exit 125
fi
export CLOUDANIX_AUTH_TOKEN
# Under a name of its own it would stay with the command.
[ "$CLOUDANIX_ORB_AUTH_TOKEN" = CLOUDANIX_AUTH_TOKEN ] || unset "$CLOUDANIX_ORB_AUTH_TOKEN"
