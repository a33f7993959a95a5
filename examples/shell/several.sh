#!/bin/sh
# A grant for several commands of one script, where the script cannot be started by `run` as a whole.
#
# Such a grant has no heartbeat: if this script is killed, the grant lives until its deadline. So keep `--ttl` short.
set -eu

folder="$(mktemp -d)"
revoke_grant() {
  # The handle is there before the first request is made, so this also revokes a grant that was requested a moment ago.
  cloudanix-jit revoke --state "$folder/grant" || echo 'the grant ends at its deadline' >&2
  rm -rf "$folder"
}
trap revoke_grant EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

grant="$(cloudanix-jit elevate --policy ecs-deploy --ttl 5m --state "$folder/grant")"
eval "$grant"

aws s3 sync ./public s3://orders-assets
aws ecs update-service --cluster prod --service orders --force-new-deployment
