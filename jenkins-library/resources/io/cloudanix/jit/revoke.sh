#!/bin/sh
# Ends what `elevate.sh` left behind: the holder gives the grant back, then its files go. Never fails the build.
set -u
folder="$CLOUDANIX_JIT_FOLDER"

warn() {
  printf 'cloudanix-jit: %s\n' "$1" >&2
}

has_ended() {
  grep -q '"end":' "$folder/state.json" 2>/dev/null
}

if [ ! -d "$folder" ]; then
  warn "nothing to give back: \`$folder\` is not there"
  exit 0
fi
if [ -e "$folder/holder" ]; then
  if has_ended && [ -e "$folder/given" ]; then
    warn 'the grant had ended before its block did'
    warn '  hint: an abort of any step in this workspace ends it too, and so does a timeout'
  fi
  # Both, because one that is only just starting does not listen yet.
  holder="$(cat "$folder/holder")"
  if [ -p "$folder/end" ]; then
    echo end 1<>"$folder/end"
    rm -f "$folder/end"
  elif ! has_ended; then
    # The holder still waits for its grant: it revokes what it gets.
    kill -TERM "$holder" 2>/dev/null
  fi
  # The program tries for six seconds and leaves the rest to its keeper.
  tries=0
  while ! has_ended && kill -0 "$holder" 2>/dev/null && [ "$tries" -lt 200 ]; do
    sleep 0.1 2>/dev/null || { sleep 1 && tries=$((tries + 9)); }
    tries=$((tries + 1))
  done
  shown="$(cat "$folder/shown" 2>/dev/null || echo 0)"
  sed -n "$((shown + 1)),\$p" "$folder/log" >&2
  has_ended || warn 'the program that holds the grant has not ended, or was killed: the broker ends the grant when it stops beating'
fi
rm -rf "$folder"
