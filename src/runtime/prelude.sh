set -eu
# Private while it grows, as readable as any other file afterwards.
mask=$(umask)
mode=$(printf '%o' $((0666 & ~0$mask)))
umask 077
private=$(mktemp -d "${TMPDIR:-/tmp}/repro.XXXXXXXXXXXX")
private=$(cd -- "$private" && pwd -P)
unique=${private##*.}
fail() {
	echo "error: $1" >&2
	exit 4
}
case $private in
*[!A-Za-z0-9/._-]*) fail "TMPDIR holds odd characters" ;;
esac
# As root through sudo: in a directory of the caller the archive is the caller's.
give() {
	if [ "$(id -u)" = 0 ] && [ -n "${SUDO_UID-}" ] && [ -n "${SUDO_GID-}" ]; then
		find "$1" -prune -user "$SUDO_UID" -exec chown "$SUDO_UID:$SUDO_GID" "$private/image.tar" \;
	fi
}
identity=
same() {
	[ -z "$identity" ] || [ "$identity" = "$1" ] || fail "the builder was replaced during the build"
	identity=$1
}
trap 'exit 130' INT
trap 'exit 143' TERM HUP
