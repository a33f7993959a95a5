# Revokes the grant of `elevate`. A failure here is a warning: the broker ends the grant in any case.
set +e -u

jit="$HOME/.cloudanix-jit/${CIRCLE_WORKFLOW_JOB_ID:-job}-${CIRCLE_NODE_INDEX:-0}"
held="$jit/held"
if [ ! -d "$held" ]; then
  printf 'cloudanix-jit: nothing to give back\n' >&2
  exit 0
fi

pid="$(cat "$held/pid" 2>/dev/null)"
holds() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
if [ -p "$held/end" ]; then
  # Opened for both, because the other side may be gone.
  exec 3<>"$held/end"
  echo "done" >&3
elif holds; then
  # The holder still waits for its grant: it revokes what it gets.
  kill -TERM "$pid" 2>/dev/null
fi
looks=0
while holds && [ "$looks" -lt 150 ]; do
  looks=$((looks + 1))
  sleep 0.2
done
shown="$(cat "$held/shown" 2>/dev/null || echo 0)"
tail -n "+$((shown + 1))" "$held/log" >&2

# The holder may have been lost; and this says that the grant has ended, whatever ended it.
if id="$(cat "$held/id" 2>/dev/null)"; then
  if ! (eval "$CLOUDANIX_ORB_SCRIPT_BROKER" && exec "$jit/bin/cloudanix-jit" revoke "$id"); then
    printf 'cloudanix-jit: it is not confirmed that %s is gone; the broker ends it when its heartbeats stop, or at its deadline\n' "$id" >&2
  fi
fi
rm -rf "$held"
exit 0
