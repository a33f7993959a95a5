# The command of `cloudanix-jit run`: hands the grant on as files, and ends when the block of steps has ended.
#
# Steps of the block get the paths of these files through `withEnv`, which Jenkins writes to its own disk; so
# what is in `given` must never be secret.
set -eu
umask 077
folder="$1"
run="$PPID"

# Opened for both ways: neither side ever waits for the other to open it.
mkfifo "$folder/end"
exec 3<>"$folder/end"

give() {
  printf '%s=%s\n' "$1" "$2" >>"$folder/given.new"
}

# A block that is observed has no grant, and its steps keep what an outer block has given them.
[ "$CLOUDANIX_JIT_OBSERVE" = true ] || give CLOUDANIX_GRANT_ID "$CLOUDANIX_GRANT_ID"
# `printf` is the shell's own: nothing secret is an argument of a program.
if [ -n "${CLOUDANIX_GRANT_TOKEN:-}" ]; then
  printf '%s' "$CLOUDANIX_GRANT_TOKEN" >"$folder/grant-token"
  give CLOUDANIX_GRANT_TOKEN_FILE "$folder/grant-token"
fi

from=''
[ "${AWS_ACCESS_KEY_ID:-}" = "$CLOUDANIX_JIT_KEY_BEFORE" ] || from=keys
[ "${AWS_CONTAINER_CREDENTIALS_FULL_URI:-}" = "$CLOUDANIX_JIT_ENDPOINT_BEFORE" ] || from=endpoint
# One that was taken away, with nothing in its place, is no session.
[ "$from" != keys ] || [ -n "${AWS_ACCESS_KEY_ID:-}" ] || from=''
[ "$from" != endpoint ] || [ -n "${AWS_CONTAINER_CREDENTIALS_FULL_URI:-}" ] || from=keys

if [ -n "$from" ]; then
  # What an SDK would use in place of the session's keys; empty means unset.
  for name in AWS_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_ACCOUNT_ID AWS_CONTAINER_AUTHORIZATION_TOKEN \
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_FULL_URI \
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CREDENTIAL_EXPIRATION AWS_CREDENTIAL_FILE AWS_DEFAULT_PROFILE \
    AWS_PROFILE AWS_ROLE_ARN AWS_ROLE_SESSION_NAME AWS_SECRET_ACCESS_KEY AWS_SECRET_KEY AWS_SECURITY_TOKEN \
    AWS_SESSION_EXPIRATION AWS_SESSION_TOKEN AWS_WEB_IDENTITY_TOKEN_FILE; do
    give "$name" ''
  done
  give AWS_EC2_METADATA_DISABLED true
  [ -z "${AWS_REGION:-}" ] || give AWS_REGION "$AWS_REGION"
  [ -z "${AWS_DEFAULT_REGION:-}" ] || give AWS_DEFAULT_REGION "$AWS_DEFAULT_REGION"
fi
case "$from" in
  keys)
    printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n' \
      "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_SESSION_TOKEN" >"$folder/aws-credentials"
    give AWS_SHARED_CREDENTIALS_FILE "$folder/aws-credentials"
    ;;
  endpoint)
    # Without a line's end: SDKs put it into a header as it is.
    printf '%s' "$AWS_CONTAINER_AUTHORIZATION_TOKEN" >"$folder/aws-endpoint-token"
    give AWS_CONTAINER_CREDENTIALS_FULL_URI "$AWS_CONTAINER_CREDENTIALS_FULL_URI"
    give AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE "$folder/aws-endpoint-token"
    give AWS_SHARED_CREDENTIALS_FILE "$AWS_SHARED_CREDENTIALS_FILE"
    ;;
esac
case "${AWS_CSM_CLIENT_ID:-}" in
  elev-* | observe-*)
    give AWS_CSM_ENABLED "$AWS_CSM_ENABLED"
    give AWS_CSM_HOST "$AWS_CSM_HOST"
    give AWS_CSM_PORT "$AWS_CSM_PORT"
    give AWS_CSM_CLIENT_ID "$AWS_CSM_CLIENT_ID"
    ;;
esac
# Where nothing is given there is a file all the same.
: >>"$folder/given.new"
mv "$folder/given.new" "$folder/given"

# A build that wipes the folder removes the way to end the grant with it, and a killed `run` ends no grant.
(
  exec 3>&-
  while [ -p "$folder/end" ] && kill -0 "$run" 2>/dev/null; do sleep 2; done
  kill "$$"
) >/dev/null 2>&1 &
read -r _ <&3
kill "$!" 2>/dev/null || :
