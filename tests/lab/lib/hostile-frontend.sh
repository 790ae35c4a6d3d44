#!/bin/sh
# A frontend that means harm, as far as a shell can: it reaches for the host's loopback and for files outside of its
# container. Its argument in the syntax line, `# syntax=IMAGE PORT`, is the port where a test waits for it.
say() { busybox echo "hostile frontend: $*" >&2; }
port=$(busybox env | busybox sed -n 's/^BUILDKIT_FRONTEND_OPT_[0-9]*=cmdline=[^ ]* //p')
say "I run, with port $port"
# Not wget: the static one of Debian crashes where there is no name service.
busybox echo from-the-frontend | busybox nc -w 5 127.0.0.1 "$port" >&2 || say "no way to 127.0.0.1:$port"
for place in /proc/1/root /proc/self/root/../../.. /proc/1/cwd; do
	busybox touch "$place/tmp/repro-lab-hostile-$port" 2>/dev/null && say "wrote below $place"
done
exit 1
