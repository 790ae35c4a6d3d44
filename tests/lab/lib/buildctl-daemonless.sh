#!/bin/sh
# buildctl with a buildkitd of its own for as long as it runs: the laboratory's stand-in for the script of this name in
# the official image. BUILDKITD_FLAGS are words for buildkitd.
set -eu
directory=$(mktemp -d)
address=unix://$directory/buildkitd.sock
starter=
if [ "$(id -u)" != 0 ]; then starter=rootlesskit; fi
# shellcheck disable=SC2086 # words, by its contract
$starter buildkitd ${BUILDKITD_FLAGS-} --addr "$address" >"$directory/log" 2>&1 &
daemon=$!
trap 'kill "$daemon"; wait "$daemon" || true; rm -rf "$directory"' EXIT
tries=0
until buildctl --addr "$address" debug workers >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ]; then
        echo "buildkitd does not answer:" >&2
        cat "$directory/log" >&2
        exit 1
    fi
    sleep 0.1
done
buildctl --addr "$address" "$@"
