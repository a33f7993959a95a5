# What is asked for? Left in "$@", by `eval` in the other scripts.
export CLOUDANIX_AUDIENCE="$CLOUDANIX_ORB_AUDIENCE"
set -- --policy "$CLOUDANIX_ORB_POLICY" --ttl "$CLOUDANIX_ORB_TTL" --timeout "$CLOUDANIX_ORB_TIMEOUT" --wait "$CLOUDANIX_ORB_WAIT" --aws-credentials "$CLOUDANIX_ORB_AWS_CREDENTIALS"
[ -z "$CLOUDANIX_ORB_TARGET" ] || set -- "$@" --target "$CLOUDANIX_ORB_TARGET"
[ -z "$CLOUDANIX_ORB_REASON" ] || set -- "$@" --reason "$CLOUDANIX_ORB_REASON"
# CircleCI writes a boolean as `1` or as `true`.
case "$CLOUDANIX_ORB_LIVE_ACTIONS" in
  1 | true) ;;
  *) set -- "$@" --no-live-actions ;;
esac
