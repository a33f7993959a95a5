# Puts `cloudanix-jit` and `cloudanix-with-grant` where the job's other steps find them.
set -eu
umask 077

jit="$HOME/.cloudanix-jit/${CIRCLE_WORKFLOW_JOB_ID:-job}-${CIRCLE_NODE_INDEX:-0}"
mkdir -p "$jit/bin"

# An empty parameter leaves the variable to the context, or to the image.
[ -z "$CLOUDANIX_ORB_VERSION" ] || export CLOUDANIX_JIT_VERSION="$CLOUDANIX_ORB_VERSION"
[ -z "$CLOUDANIX_ORB_SHA256" ] || export CLOUDANIX_JIT_SHA256="$CLOUDANIX_ORB_SHA256"
[ -z "$CLOUDANIX_ORB_MIRROR" ] || export CLOUDANIX_JIT_MIRROR="$CLOUDANIX_ORB_MIRROR"
[ -z "$CLOUDANIX_ORB_BINARY" ] || export CLOUDANIX_JIT_BINARY="$CLOUDANIX_ORB_BINARY"
program="$(sh -c "$CLOUDANIX_ORB_SCRIPT_FETCH")"
case "$program" in
  /*) ;;
  *) program="$PWD/$program" ;;
esac
# A second `install` in one job finds what the first put there.
[ "$program" = "$jit/bin/cloudanix-jit" ] || ln -sf "$program" "$jit/bin/cloudanix-jit"

printf '%s\n' "$CLOUDANIX_ORB_SCRIPT_WITH_GRANT" >"$jit/bin/cloudanix-with-grant"
chmod 700 "$jit/bin/cloudanix-with-grant"

# A folder's name is no secret; nothing else of ours goes there.
[ -z "${BASH_ENV:-}" ] || printf '%s\n' "export PATH=\"$jit/bin:\$PATH\"" >>"$BASH_ENV"
env -i "$jit/bin/cloudanix-jit" --version
