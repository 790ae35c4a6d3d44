# shellcheck shell=bash disable=SC2034 # what is set here is read in other files
# What the benches share: bytes that do not compress, figures in files, one a line, below $FIGURES; their medians; verdicts.

# How often the memory of a process is looked at. The kernel keeps the peak itself, so only a rise in its last moment is missed.
POLL_SECONDS=0.01

begin_figures() {
    passed=0 failed=0
    # A pipe that nobody writes to: waiting on it is a pause without a process.
    exec {NEVER}<> <(:)
}

# pseudo_random MEBIBYTES [SEED]: the same bytes on every machine.
pseudo_random() {
    head -c "$(($1 * 1048576))" /dev/zero |
        openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff -iv "$(printf '%032x' "${2:-0}")"
}

# The peak of the process itself in kB: what wait(2) tells would be the largest of it and its children.
watch_memory() {
    local key value peak=0
    while [[ -e /proc/$1/status ]]; do
        while read -r key value _; do
            if [[ $key == VmHWM: ]]; then peak=$value; fi
        done </proc/"$1"/status || break
        read -rt "$POLL_SECONDS" -u "$NEVER" || true
    done 2>/dev/null
    echo "$peak"
}

seconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4f", b - a }'; }
note() { echo "$2" >>"$FIGURES/$1"; }
median() { sort -n "$FIGURES/$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
maximum() { sort -n "$FIGURES/$1" | tail -n 1; }
paired() { paste "$FIGURES/repro" "$FIGURES/$1" | awk '{ print $1 - $2 }' >"$FIGURES/paired"; median paired; }

figure() {
    printf '  %-24s %8.3f s   (%.3f to %.3f)\n' "$2" "$(median "$1")" "$(sort -n "$FIGURES/$1" | head -n 1)" "$(maximum "$1")"
}

verdict() {
    if awk "BEGIN { exit !($1 <= $2) }"; then
        passed=$((passed + 1))
        printf '  PASS  %s\n' "$3"
    else
        failed=$((failed + 1))
        printf '  FAIL  %s\n' "$3"
    fi
}

# The last line; fails if anything did.
end_figures() {
    echo "$passed PASS, $failed FAIL"
    [[ $failed == 0 ]]
}
