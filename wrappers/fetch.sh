#!/bin/sh
# Prints the path of a `cloudanix-jit` that may be run; fetches it when it is not there.
#
#   CLOUDANIX_JIT_BINARY   a program that is there already, which is used as it is
#   CLOUDANIX_JIT_VERSION  the version that is wanted; what a release of this wrapper pins, when unset
#   CLOUDANIX_JIT_SHA256   the checksum of the program for this machine, for a version other than that
#   CLOUDANIX_JIT_MIRROR   where releases are kept: <mirror>/v<version>/<file>
#
# In this order: the program that was named; one on the PATH, with the expected checksum if one is known, else of the
# wanted version if one is wanted; a download whose checksum is known. What does not have the expected checksum is
# never run, and what is asked for its version gets an empty environment.
set -eu

# A release writes both; they are empty in the source. One `<sha256>  <file>` a line, as in SHA256SUMS.
pinned_version=''
pinned_sums=''

mirror="${CLOUDANIX_JIT_MIRROR:-https://github.com/cloudanix/cloudanix-jit/releases/download}"
version="${CLOUDANIX_JIT_VERSION:-$pinned_version}"
version="${version#v}"

fail() {
  printf 'cloudanix-jit: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf '  hint: %s\n' "$2" >&2
  exit 125
}

checksum_of() {
  if command -v sha256sum >/dev/null 2>&1; then
    sha256sum "$1" | cut -d ' ' -f 1
  elif command -v shasum >/dev/null 2>&1; then
    shasum -a 256 "$1" | cut -d ' ' -f 1
  elif command -v openssl >/dev/null 2>&1; then
    openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1
  else
    fail 'cannot check the download: none of sha256sum, shasum, openssl is here' \
      'install one of them, or put the program into the image and name it in CLOUDANIX_JIT_BINARY'
  fi
}

download() {
  # Both give up by themselves: a job must not hang here.
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --retry 3 --connect-timeout 10 --max-time 120 --output "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -T 60 -O "$2" "$1"
  else
    fail 'cannot download: neither curl nor wget is here' \
      'install one of them, or put the program into the image and name it in CLOUDANIX_JIT_BINARY'
  fi
}

file_for_this_machine() {
  case "$(uname -s)/$(uname -m)" in
    Linux/x86_64 | Linux/amd64) echo cloudanix-jit-x86_64-unknown-linux-musl ;;
    Linux/aarch64 | Linux/arm64) echo cloudanix-jit-aarch64-unknown-linux-musl ;;
    Darwin/*) echo cloudanix-jit-universal-apple-darwin ;;
    *) fail "there is no release for $(uname -s) on $(uname -m)" \
      'build it from source, and name it in CLOUDANIX_JIT_BINARY' ;;
  esac
}

# Empty when none is known.
known_checksum() {
  if [ -n "${CLOUDANIX_JIT_SHA256:-}" ]; then
    printf '%s' "$CLOUDANIX_JIT_SHA256" | tr 'A-F' 'a-f'
  elif [ -n "$version" ] && [ "$version" = "$pinned_version" ]; then
    file="$(file_for_this_machine 2>/dev/null)" || return 0
    printf '%s\n' "$pinned_sums" | while read -r sum name; do
      [ "$name" != "$file" ] || printf '%s' "$sum"
    done
  fi
}

# Whether a program may be run: it is only asked for its version when its checksum cannot say which it is.
is_wanted() {
  if [ -n "$expected" ]; then
    [ "$(checksum_of "$1")" = "$expected" ]
  else
    [ -z "$version" ] || [ "$(env -i "$1" --version 2>/dev/null)" = "cloudanix-jit $version" ]
  fi
}

# The first on the PATH that is wanted, and not where everybody, or the checked-out code, could have put it.
on_path() {
  folders="$PATH:"
  while [ -n "$folders" ]; do
    folder="${folders%%:*}"
    folders="${folders#*:}"
    found="$folder/cloudanix-jit"
    case "$folder" in
      /*) ;;
      *) continue ;;
    esac
    if [ -f "$found" ] && [ -x "$found" ] && [ -z "$(find -L "$folder" "$found" -prune -perm -0002 2>/dev/null)" ] &&
      is_wanted "$found"; then
      printf '%s\n' "$found"
      return 0
    fi
  done
  return 1
}

expected="$(known_checksum)"

if [ -n "${CLOUDANIX_JIT_BINARY:-}" ]; then
  [ -x "$CLOUDANIX_JIT_BINARY" ] || fail "CLOUDANIX_JIT_BINARY is \`$CLOUDANIX_JIT_BINARY\`, which is not a program" \
    'expected the path of cloudanix-jit, executable'
  # What is named is not what a release pins; a checksum beside it is for it.
  [ -z "${CLOUDANIX_JIT_SHA256:-}" ] || is_wanted "$CLOUDANIX_JIT_BINARY" ||
    fail "CLOUDANIX_JIT_BINARY has not the checksum in CLOUDANIX_JIT_SHA256" 'correct one of them, or unset the checksum'
  printf '%s\n' "$CLOUDANIX_JIT_BINARY"
  exit 0
fi

on_path && exit 0

[ -n "$version" ] || fail 'cloudanix-jit is not on the PATH, and no version is named' \
  'name one in CLOUDANIX_JIT_VERSION with its CLOUDANIX_JIT_SHA256, or a program in CLOUDANIX_JIT_BINARY'
# It becomes part of an address and of a path.
case "$version" in
  *[!0-9A-Za-z.+-]*) fail "CLOUDANIX_JIT_VERSION is \`$version\`" 'expected a version like 1.2.3' ;;
esac

file="$(file_for_this_machine)"
[ -n "$expected" ] || fail "no checksum is known for $file $version, and nothing unchecked is run" \
  'give it in CLOUDANIX_JIT_SHA256: it is in SHA256SUMS of the release'

# A private folder: no other user can write into it.
folder="$(umask 077 && mktemp -d "${RUNNER_TEMP:-${WORKSPACE_TMP:-${TMPDIR:-/tmp}}}/cloudanix-jit.XXXXXX")"
program="$folder/cloudanix-jit"
download "$mirror/v$version/$file" "$program" || {
  rm -rf "$folder"
  fail "cannot download $mirror/v$version/$file" 'is the mirror (CLOUDANIX_JIT_MIRROR) reachable from here?'
}
found="$(checksum_of "$program")"
[ "$found" = "$expected" ] || {
  rm -rf "$folder"
  fail "the download is not what was expected: sha256 $expected wanted, $found found" \
    "was $mirror/v$version/$file changed, or the checksum given for another machine?"
}
chmod 700 "$program"
printf '%s\n' "$program"
