#!/bin/sh
# Deploys with a grant for one command, as the role of the build project.
set -eu

# In the environment of the client alone: the client removes the token from the environment of the command.
CLOUDANIX_OIDC_TOKEN="$(aws sts get-web-identity-token --audience cloudanix-jit --signing-algorithm RS256 --duration-seconds 300 --query WebIdentityToken --output text)"
export CLOUDANIX_OIDC_TOKEN

cloudanix_jit="$(sh "$(dirname "$0")/fetch.sh")"
exec "$cloudanix_jit" run --policy ecs-deploy --ttl 15m -- aws ecs update-service --cluster prod --service orders --force-new-deployment
