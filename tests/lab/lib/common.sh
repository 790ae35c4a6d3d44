# shellcheck shell=bash disable=SC2034 # what is set here is read in other files
# What every part uses: messages, running a part with its log, daemons known by pid and start time.

say() { echo "lab: $*" >&2; }

# The reason of a failure goes to the caller's terminal even from within a part, whose output goes to its log.
fail() {
    if [[ -n ${LAB_WHY-} ]]; then
        echo "$*" >"$LAB_WHY"
    else
        echo "lab: error: $*" >&2
    fi
    exit 1
}

# Makes the state directory and takes its lock: a second `up` waits for the first, and then finds it done.
enter_state() {
    [[ ! -e $LAB_STATE || -O $LAB_STATE ]] || fail "$LAB_STATE belongs to somebody else"
    umask 022
    mkdir -p "$LAB_STATE"/{log,run,etc} "$LAB_CACHE"
    exec 9>"$LAB_STATE/lock"
    if ! flock -n 9; then
        say "waiting for another lab command"
        flock 9
    fi
    # Another laboratory, with a state of its own, may share the cache.
    exec 8>"$LAB_CACHE/lock"
    flock 8
}

# run_part NAME COMMAND...: runs a part with its output in a log of its own; on failure says which, why, and the log's tail.
run_part() {
    local name=$1 log=$LAB_STATE/log/$1.log why=$LAB_STATE/run/why status start=$EPOCHREALTIME took
    shift
    rm -f "$why"
    # `set -e` has no effect inside a condition, so the status is taken in the open. The locks stay with us: what a part
    # leaves running must not hold them.
    set +e
    (
        set -eE
        LAB_WHY=$why
        trap '[[ -s $LAB_WHY ]] || echo "\`$BASH_COMMAND\` failed" >"$LAB_WHY"' ERR
        "$@"
    ) >"$log" 2>&1 </dev/null 8>&- 9>&-
    status=$?
    set -e
    if [[ $status != 0 ]]; then
        {
            echo "lab: error: part $name: $(cat "$why" 2>/dev/null || echo "exit status $status")"
            echo "lab: the end of $log:"
            tail -n 25 "$log" | sed 's/^/    /'
        } >&2
        # One part that cannot be stopped must not keep the others up.
        [[ $1 == down_* ]] || exit 1
        LAB_FAILED=1
    fi
    took=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    [[ ${took%.*} -lt 1 ]] || say "$name (${took} s)"
}

# key_of FILE|DIR|STRING...: a short hash of what something is built from: the name of its place in the cache.
key_of() {
    local input
    for input in "$@"; do
        if [[ -d $input ]]; then
            (cd "$input" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
        elif [[ -f $input ]]; then
            sha256sum <"$input"
        else
            printf '%s\n' "$input"
        fi
    done | sha256sum | cut -c1-16
}

# cached NAME KEY COMMAND...: runs COMMAND DIR once for this key, prints the cache's directory. A half-made directory never counts.
cached() {
    local name=$1 place=$LAB_CACHE/$1-$2
    shift 2
    if [[ ! -d $place ]]; then
        rm -rf "$place.part"
        mkdir -p "$place.part"
        echo "making $name, for $place" >&2
        "$@" "$place.part" >&2
        # What the same name was before is of no use any more.
        find "$LAB_CACHE" -maxdepth 1 -regex ".*/$name-[0-9a-f]*" -exec rm -rf {} +
        mv "$place.part" "$place"
    fi
    echo "$place"
}

# The start time in clock ticks since boot: with the pid, it names one process for ever. A zombie runs no more.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'; }

daemon_pid() { cut -d' ' -f1 "$LAB_STATE/run/$1.daemon" 2>/dev/null; }

daemon_runs() {
    local pid started
    read -r pid started 2>/dev/null <"$LAB_STATE/run/$1.daemon" || return 1
    [[ $(start_time "$pid") == "$started" ]]
}

# start_daemon NAME COMMAND...: in a session of its own, its log beside the others.
start_daemon() {
    local name=$1 pid
    shift
    setsid "$@" >"$LAB_STATE/log/$name.daemon.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid $(start_time "$pid")" >"$LAB_STATE/run/$name.daemon"
}

# wait_for_daemon NAME COMMAND...: until COMMAND succeeds; the daemon's log is the reason if it doesn't.
wait_for_daemon() {
    local name=$1 i
    shift
    for ((i = 0; i < 300; i++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        if ! daemon_runs "$name"; then
            tail -n 20 "$LAB_STATE/log/$name.daemon.log"
            fail "$name ended by itself at its start"
        fi
        sleep 0.1
    done
    tail -n 20 "$LAB_STATE/log/$name.daemon.log"
    fail "$name does not answer after 30 s"
}

stop_daemon() {
    local name=$1 pid i
    if daemon_runs "$name"; then
        pid=$(daemon_pid "$name")
        kill -TERM "$pid"
        for ((i = 0; i < 150; i++)); do
            daemon_runs "$name" || break
            sleep 0.1
        done
        if daemon_runs "$name"; then
            echo "$name does not end on SIGTERM"
            kill -KILL "$pid"
            sleep 0.5
        fi
    fi
    rm -f "$LAB_STATE/run/$name.daemon"
}

# Somebody else's server on our port would get our pushes, or serve us its images.
require_free_port() {
    local port=$1 variable=$2
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        fail "port $port of 127.0.0.1 is taken by something that the laboratory did not start; set $variable to a free one"
    fi
}

# The newest mount first. A loop device lets go of its file a moment after its file system is unmounted.
unmount_below() {
    local point i
    # Paths with spaces are octal in mountinfo; ours have none.
    awk '{ print $5 }' /proc/self/mountinfo | tac | while read -r point; do
        [[ $point == "$1" || $point == "$1"/* ]] || continue
        for ((i = 0; i < 50; i++)); do
            if umount "$point" 2>/dev/null; then continue 2; fi
            sleep 0.1
        done
        fuser -vm "$point" 2>&1 | grep -v '^Cannot stat' || true
        fail "cannot unmount $point: something that the laboratory did not start uses it"
    done
}
