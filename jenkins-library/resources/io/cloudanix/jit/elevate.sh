# Elevates for a block of steps, and leaves behind who holds the grant until `revoke.sh`.
#
# The holder is `cloudanix-jit run`, which beats while the block's steps run, with `hold.sh` as its command. Both keep
# the environment of this step, and with it the cookie by which Jenkins finds the processes of this workspace: an abort
# ends `hold.sh`, and the grant with it, whatever becomes of the build. No shell of this step stays behind: what is
# secret in its environment could be read there, and the program closes its own.
#
# Standard output is for the library: `NAME=value` lines, none of them secret. The rest is for people.

folder="$CLOUDANIX_JIT_FOLDER"

# The record of calls that an outer block keeps is not this one's.
case "${AWS_CSM_CLIENT_ID:-}" in
  elev-* | observe-*) unset AWS_CSM_ENABLED AWS_CSM_HOST AWS_CSM_PORT AWS_CSM_CLIENT_ID ;;
esac

# What is downloaded goes with the folder.
client="$(WORKSPACE_TMP="$folder" sh "$folder/fetch.sh")"

# By these `hold.sh` tells what the grant gives from what was here before.
CLOUDANIX_JIT_KEY_BEFORE="${AWS_ACCESS_KEY_ID:-}"
CLOUDANIX_JIT_ENDPOINT_BEFORE="${AWS_CONTAINER_CREDENTIALS_FULL_URI:-}"
export CLOUDANIX_JIT_KEY_BEFORE CLOUDANIX_JIT_ENDPOINT_BEFORE

set -- run "--policy=$CLOUDANIX_JIT_POLICY" "--ttl=$CLOUDANIX_JIT_TTL" "--timeout=$CLOUDANIX_JIT_TIMEOUT" \
  "--wait=$CLOUDANIX_JIT_WAIT" "--aws-credentials=$CLOUDANIX_JIT_AWS_CREDENTIALS"
[ -z "${CLOUDANIX_JIT_TARGET:-}" ] || set -- "$@" "--target=$CLOUDANIX_JIT_TARGET"
[ -z "${CLOUDANIX_JIT_REASON:-}" ] || set -- "$@" "--reason=$CLOUDANIX_JIT_REASON"
[ "$CLOUDANIX_JIT_LIVE_ACTIONS" = true ] || set -- "$@" --no-live-actions
[ "$CLOUDANIX_JIT_OBSERVE" != true ] || set -- "$@" --observe
# It outlives this step on purpose.
set -- "$@" --die-with-parent=never "--state=$folder/state.json" -- sh "$folder/hold.sh" "$folder"

token="$CLOUDANIX_AUTH_TOKEN"
unset CLOUDANIX_AUTH_TOKEN

: >"$folder/log"
(
  # The end of this step is not the end of the grant.
  trap '' HUP
  export CLOUDANIX_AUTH_TOKEN_FILE=/dev/fd/3
  exec "$client" "$@" 3<<END
$token
END
) </dev/null >>"$folder/log" 2>&1 &
holder=$!
echo "$holder" >"$folder/holder"

# Whole lines only, each once: what is left is shown by `revoke.sh`.
shown=0
show() {
  lines="$(wc -l <"$folder/log")"
  [ "$lines" -le "$shown" ] || sed -n "$((shown + 1)),$((lines))p" "$folder/log" >&2
  shown=$((lines))
  echo "$shown" >"$folder/shown"
}

# The program itself gives up in time, and says in the state file how it ended.
has_ended() {
  grep -q '"end":' "$folder/state.json" 2>/dev/null
}
until [ -e "$folder/given" ] || has_ended || ! kill -0 "$holder" 2>/dev/null; do
  show
  sleep 0.1 2>/dev/null || sleep 1
done
show
if [ ! -e "$folder/given" ]; then
  code="$(sed -n 's/.*"exit_code":\([0-9]*\).*/\1/p' "$folder/state.json" 2>/dev/null)"
  exit "${code:-1}"
fi
cat "$folder/given"
