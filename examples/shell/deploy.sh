#!/bin/sh
# One command with a grant that begins before it and ends with it: the form to prefer.
set -eu

exec cloudanix-jit run --policy ecs-deploy --ttl 15m -- aws ecs update-service --cluster prod --service orders --force-new-deployment
