# The command that holds the grant: hands it to the steps through a file that only this user can read, and waits
# to be told that they are done.
set -eu
umask 077

held="$1"
mkfifo "$held/end"
printenv CLOUDANIX_GRANT_ID >"$held/id"
{
  while read -r name; do
    printenv "$name" >/dev/null || printf 'unset %s\n' "$name"
  done <"$held/names"
  env | sed -n -e 's/^\(AWS_[A-Z0-9_]*\)=.*/\1/p' -e 's/^\(CLOUDANIX_GRANT_[A-Z_]*\)=.*/\1/p' | while read -r name; do
    printf "export %s='%s'\n" "$name" "$(printenv "$name" | sed "s/'/'\\\\''/g")"
  done
} >"$held/grant.new"
# A reader that sees the file sees all of it.
mv "$held/grant.new" "$held/grant"

# Opened for both, so that opening does not block.
exec 3<>"$held/end"
read -r _ <&3
rm -f "$held/grant"
