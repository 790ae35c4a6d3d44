#!/bin/sh
# Stands where buildkitd looks for runc. What is to run gets a network namespace with slirp4netns in it: connections leave
# this machine as those of any program do, and its loopback is out of reach. Needs neither root nor rules in a firewall.
runc=@RUNC@
here=${0%/*}
for word in "$@"; do
	[ "$word" != run ] || break
done
[ "$word" = run ] || exec "$runc" "$@"

pipes=$(mktemp -d "$here/XXXXXXXX") && mkfifo "$pipes/inside" "$pipes/ready" "$pipes/over" || exit 1
# slirp4netns stays outside, and ends as soon as nobody holds the pipe "over" any more: that is runc, however it ends.
(
	read -r _ <"$pipes/inside"
	exec slirp4netns --configure --mtu=65520 --disable-host-loopback --ready-fd=3 --exit-fd=4 $$ tap0 \
		4<"$pipes/over" 3>"$pipes/ready"
) </dev/null >"$pipes/log" 2>&1 &
# shellcheck disable=SC2016 # the variables of the inner script
exec unshare --net -- /bin/sh -c '
	pipes=$1 runc=$2
	shift 2
	echo >"$pipes/inside"
	exec 5>"$pipes/over"
	read -r ready <"$pipes/ready"
	if [ "$ready" != 1 ]; then
		echo "slirp4netns gives RUN no network (--builder-network host does without):" >&2
		tail -n 3 "$pipes/log" >&2
		rm -rf "$pipes"
		exit 1
	fi
	rm -rf "$pipes"
	exec "$runc" "$@"' sh "$pipes" "$runc" "$@"
