#!/bin/sh
# One build on a BuildKit daemon of its own: start it, build, ask what it used, stop it.
# stdout is the archive and nothing else; messages go to stderr, findings to files below $work.
set -u
work=@WORK@
state=@STATE@
socket=@SOCKET@
daemon() { @DAEMON@; }
client() { @CLIENT@; }
solve() { @SOLVE@; }
discard() { @DISCARD@; }
reap() { @REAP@; }

# buildctl hands its traces to the daemon when it ends, and fails where that takes more than 50 ms (moby/buildkit, cmd/buildctl/common/trace.go):
# on a busy machine a build that went well would be none. Nobody reads them.
OTEL_TRACES_SAMPLER=always_off
export OTEL_TRACES_SAMPLER

# The user's certificate authorities, beside the system's: BuildKit reads one file of both, and so does git, to which BuildKit
# hands no variable but the proxies.
if [ -e "$work/ca.crt" ]; then
	for system in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem \
		/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/cert.pem /dev/null; do
		[ ! -r "$system" ] || break
	done
	{ cat "$system" && echo && cat "$work/ca.crt"; } >"$work/bundle.crt" || exit 125
	mkdir -p "$work/bin"
	# shellcheck disable=SC2016 # the variables of the other script
	printf '%s\n' '#!/bin/sh' 'PATH=${PATH#*:} GIT_SSL_CAINFO=${0%/bin/git}/bundle.crt' 'export PATH GIT_SSL_CAINFO' \
		'exec git "$@"' >"$work/bin/git"
	chmod 700 "$work/bin/git"
	SSL_CERT_FILE=$work/bundle.crt PATH=$work/bin:$PATH
	export SSL_CERT_FILE PATH
fi
if [ -e "$work/net/runc" ]; then chmod 700 "$work/net/runc" || exit 125; fi
if [ -e "$work/docker/config.json" ]; then export DOCKER_CONFIG="$work/docker"; fi

daemon_pid='' solve_pid=''
# A daemon whose RUN has no process namespace of its own (the rootless image in a container) never ends by itself while
# something that RUN started lives: BuildKit's kill does not find it. Five seconds are for unmounting.
# unshare hands no signal on: its child is asked, and dies with it when asking does not help.
end() {
	whom=$1
	if [ "$(cat "/proc/$1/comm" 2>/dev/null)" = unshare ]; then
		whom=$(cat "/proc/$1/task/$1/children")
	fi
	# shellcheck disable=SC2086 # no child, or one
	kill -TERM $whom 2>/dev/null
	(
		patience=100
		while [ "$patience" -gt 0 ]; do
			sleep 0.05
			patience=$((patience - 1))
		done
		kill -KILL "$1"
	) </dev/null >/dev/null 2>&1 9>&- &
	killer=$!
	wait "$1" 2>/dev/null
	# Not TERM, which it ignores as this shell does by now: it would live on, and kill whoever has that number by then. Nor
	# may it or its sleep keep the lock that the script of a dry run holds as 9: the next build would wait for them.
	kill -KILL "$killer" 2>/dev/null
	wait "$killer" 2>/dev/null
}
stop() {
	for pid in $solve_pid $daemon_pid; do
		end "$pid"
	done
	daemon_pid='' solve_pid=''
}
# A daemon that was killed leaves the processes of RUN behind, whose bundles are in its state by their names.
reap_all() {
	for bundle in "$state"/runc-overlayfs/executor/*/config.json; do
		[ -e "$bundle" ] || continue
		bundle=${bundle%/config.json}
		reap "${bundle##*/}" </dev/null >/dev/null 2>&1
	done
}
leave() {
	trap '' INT TERM HUP
	stop
	reap_all
	discard
	exit "$1"
}
trap 'leave 130' INT
trap 'leave 143' TERM HUP

# Keeps the small blobs that files name by digest: the documents of base images, as the registry gave them.
keep_documents() {
	grep -ho '[0-9a-f]\{64\}' "$@" | sort -u | while read -r hex; do
		blob="$state/runc-overlayfs/content/blobs/sha256/$hex"
		if [ -e "$blob" ] && [ ! -e "$work/blobs/$hex" ] && [ -n "$(find "$blob" -size -1024k 2>/dev/null)" ]; then
			cp "$blob" "$work/blobs/$hex"
		fi
	done
}

# 600 tries, at least half a minute: a cold disk and a first start of rootlesskit take their time. The socket comes last: asking
# before it is there takes from the daemon the processor that it starts on. Who it is, is the question.
start() {
	daemon </dev/null >"$work/buildkitd.log" 2>&1 &
	daemon_pid=$!
	tries=0
	until [ -S "$socket" ] && client debug info </dev/null >"$work/version" 2>"$work/client.log"; do
		tries=$((tries + 1))
		if ! kill -0 "$daemon_pid" 2>/dev/null || [ "$tries" -gt 600 ]; then
			stop
			return 1
		fi
		sleep 0.05
	done
}

# Which ids there are tells whether this is a user namespace. A kernel that knows none has no such file.
first=0 outside=0 count=4294967295
[ ! -e /proc/self/uid_map ] || read -r first outside count </proc/self/uid_map || leave 125
echo "$first $outside $count" >"$work/uid_map"

# State in which no daemon was yet holds nothing of a context. Where that cannot be seen, it is not so.
past=$(ls -A -- "$state" 2>/dev/null) || past=unknown

# BuildKit was seen to end by itself at about one start in fifty, for no reason that it told: one more try.
if ! start && { echo "warning: buildkitd did not start, trying once more" >&2; ! start; }; then
	echo "buildkitd did not start; the end of its log:" >&2
	tail -n 20 "$work/buildkitd.log" "$work/client.log" >&2
	leave 125
fi

# The client sends only files whose size or time changed since the last build; what other projects, or a change that kept
# both, left behind on this daemon must not be taken for the context of this one.
if [ -n "$past" ]; then
	client prune --filter type==source.local </dev/null >/dev/null 2>"$work/client.log" || leave 125
fi

solve </dev/null &
solve_pid=$!
wait "$solve_pid"
status=$?
solve_pid=

if [ "$status" -eq 0 ]; then
	# The record of the build names what it was built from; it lives only as long as the daemon's state.
	# shellcheck disable=SC2016 # a template of Go
	format=@PROVENANCES@
	ref=$(cat "$work/ref" 2>/dev/null)
	client debug histories --format "$format" </dev/null >"$work/history" 2>"$work/client.log"
	: >"$work/provenance.json"
	while read -r of digest; do
		if [ "$of" = "${ref##*/}" ]; then
			blob="$state/runc-overlayfs/content/blobs/sha256/${digest#sha256:}"
			if [ -r "$blob" ]; then
				cat "$blob"
			else
				client debug get "$digest" </dev/null 2>>"$work/client.log"
			fi >>"$work/provenance.json"
			echo >>"$work/provenance.json"
		fi
	done <"$work/history"
	# The record names indexes or manifests, an index manifests, a manifest its config.
	mkdir -p "$work/blobs"
	keep_documents "$work/provenance.json"
	for _ in index manifest; do
		set -- "$work/blobs"/*
		[ ! -e "$1" ] || keep_documents "$@"
	done
fi
# BuildKit collects its cache a second after it started. A daemon that lives for a quick build never gets there: every 16th
# stays that long. (On throw-away state it is always the first.)
turn=0
[ ! -r "$state/repro-turn" ] || read -r turn <"$state/repro-turn" || turn=0
case $turn in
[1-9] | 1[0-5]) ;;
*) turn=0 ;;
esac
turn=$(((turn + 1) % 16))
echo "$turn" >"$state/repro-turn" 2>/dev/null
[ "$turn" -ne 0 ] || sleep 1
leave "$status"
