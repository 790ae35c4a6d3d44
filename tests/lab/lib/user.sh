# shellcheck shell=bash
# The plain user of rootless Podman and rootless BuildKit: an ordinary account, with its own home and runtime directory.

# keep-id inside a rootless container maps the image's own range (100000:65536) once more: 65536 ids are too few.
LAB_USER_IDS=262144

up_user() {
    local home=$LAB_STATE/fast/home
    if ! id -u "$LAB_USER" >/dev/null 2>&1; then
        useradd --user-group --no-create-home --home-dir "$home" --shell /bin/sh \
            -K SUB_UID_COUNT=$LAB_USER_IDS -K SUB_GID_COUNT=$LAB_USER_IDS "$LAB_USER"
        touch "$LAB_STATE/run/user-is-ours"
    fi
    require_ids /etc/subuid
    require_ids /etc/subgid
    install -d -o "$LAB_USER" -g "$LAB_USER" -m 700 "$home" "$(user_runtime_dir)"
    # slirp4netns and fuse-overlayfs open these; most distributions have them open, minimal ones don't.
    open_device /dev/net/tun
    open_device /dev/fuse
}

down_user() {
    local device mode
    rm -rf --one-file-system "$(user_runtime_dir)"
    while read -r device mode; do
        chmod "$mode" "$device"
    done < <(cat "$LAB_STATE/run/devices" 2>/dev/null)
    rm -f "$LAB_STATE/run/devices"
}

clean_user() {
    if [[ -e $LAB_STATE/run/user-is-ours ]]; then userdel "$LAB_USER"; fi
}

user_runtime_dir() { echo "$LAB_STATE/run/user"; }

require_ids() {
    local count
    count=$(awk -F: -v user="$LAB_USER" '$1 == user { sum += $3 } END { print sum + 0 }' "$1")
    ((count >= LAB_USER_IDS)) || fail "user $LAB_USER has $count ids in $1, needs $LAB_USER_IDS (remove the user, or set LAB_USER to another name)"
}

open_device() {
    local mode
    [[ -c $1 ]] || fail "$1 is missing"
    mode=$(stat -c %a "$1")
    if [[ $mode != 666 ]]; then
        echo "$1 $mode" >>"$LAB_STATE/run/devices"
        chmod 666 "$1"
    fi
}

# Nothing of root's environment goes along: the plain user's engines read the files in its home, as on anybody's machine.
cmd_as_user() {
    [[ $# -gt 0 ]] || fail "as-user wants a command"
    local home=$LAB_STATE/fast/home
    [[ -d $home ]] || fail "the laboratory is not up: tests/lab/lab up"
    setpriv --reuid "$LAB_USER" --regid "$LAB_USER" --clear-groups test -x . || cd "$home" || exit
    exec setpriv --reuid "$LAB_USER" --regid "$LAB_USER" --init-groups -- \
        env -i HOME="$home" USER="$LAB_USER" LOGNAME="$LAB_USER" LANG=C.UTF-8 XDG_RUNTIME_DIR="$(user_runtime_dir)" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
