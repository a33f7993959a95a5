# Waits for the grant, or for the reason why there is none.
set -eu

jit="$HOME/.cloudanix-jit/${CIRCLE_WORKFLOW_JOB_ID:-job}-${CIRCLE_NODE_INDEX:-0}"
held="$jit/held"

looks=0
until [ -s "$held/grant" ]; do
  if pid="$(cat "$held/pid" 2>/dev/null)" && [ -n "$pid" ]; then
    # It has deadlines of its own: `timeout` and `wait`.
    if ! kill -0 "$pid" 2>/dev/null && [ ! -s "$held/grant" ]; then
      cat "$held/log" >&2
      code="$(sed -n 's/.*"exit_code":\([0-9]*\).*/\1/p' "$held/state.json" 2>/dev/null)"
      exit "${code:-125}"
    fi
  elif [ "$looks" -ge 300 ]; then
    printf 'cloudanix-jit: CircleCI has not started the step in the background that holds the grant\n' >&2
    printf '  hint: %s\n' "rerun the job; \`run\` needs no such step" >&2
    exit 125
  fi
  looks=$((looks + 1))
  sleep 0.2
done
cat "$held/log" >&2
wc -l <"$held/log" >"$held/shown"
