#!/bin/sh
# Deploys with a grant of one command, as the role that the build project has.
set -eu

# In the environment of the client alone: it takes it from the command.
CLOUDANIX_OIDC_TOKEN="$(aws sts get-web-identity-token --audience cloudanix-jit --signing-algorithm RS256 --duration-seconds 300 --query WebIdentityToken --output text)"
export CLOUDANIX_OIDC_TOKEN

cloudanix_jit="$(sh "$(dirname "$0")/fetch.sh")"
exec "$cloudanix_jit" run --policy ecs-deploy --ttl 15m -- aws ecs update-service --cluster prod --service orders --force-new-deployment
