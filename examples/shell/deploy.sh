#!/bin/sh
# The preferred form: one command with a grant that starts before the command and ends with it.
set -eu

exec cloudanix-jit run --policy ecs-deploy --ttl 15m -- aws ecs update-service --cluster prod --service orders --force-new-deployment
