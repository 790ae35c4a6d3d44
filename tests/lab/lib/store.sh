# shellcheck shell=bash
# Where the engines keep their images and layers: in memory where there is enough of it, else on disk.

# dpkg and the like sync every file: on a tmpfs a build is several times faster. Overlay file systems must work on it,
# with trusted.* attributes for root and user.* for the plain user (Linux 6.6), which is tried rather than guessed.
up_store() {
    mkdir -p "$LAB_STATE/fast"
    if ! mountpoint -q "$LAB_STATE/fast" && tmpfs_wanted; then
        mount -t tmpfs -o mode=755,size=60% repro-lab "$LAB_STATE/fast"
        if ! overlay_works "$LAB_STATE/fast"; then
            [[ $LAB_TMPFS == auto ]] || fail "LAB_TMPFS=$LAB_TMPFS, but this kernel has no overlay on a tmpfs"
            umount "$LAB_STATE/fast"
        fi
    fi
    mkdir -p "$LAB_STATE/fast/tmp"
    # Contexts and state of tests, also for the plain user.
    mkdir -p "$LAB_STATE/fast/share"
    chmod 1777 "$LAB_STATE/fast/share"
    ln -sfn fast/share "$LAB_STATE/share"
}

down_store() {
    unmount_below "$LAB_STATE"
}

tmpfs_wanted() {
    local available
    case $LAB_TMPFS in
        1) return 0 ;;
        0) return 1 ;;
        auto)
            available=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
            ((available >= 8 * 1024 * 1024))
            ;;
        *) fail "LAB_TMPFS is auto, 1 or 0, not \`$LAB_TMPFS\`" ;;
    esac
}

overlay_works() {
    local try=$1/overlay-try works=1
    mkdir -p "$try"/{lower,upper,work,merged,user-upper,user-work}
    echo a >"$try/lower/file"
    # Removing a lower file makes a whiteout, an opaque directory needs the attribute.
    if mount -t overlay overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" "$try/merged"; then
        rm "$try/merged/file" && mkdir "$try/merged/dir" || works=0
        umount "$try/merged"
    else
        works=0
    fi
    if mount -t overlay overlay -o "userxattr,lowerdir=$try/lower,upperdir=$try/user-upper,workdir=$try/user-work" "$try/merged"; then
        rm "$try/merged/file" || works=0
        umount "$try/merged"
    else
        works=0
    fi
    rm -rf "$try"
    [[ $works == 1 ]]
}
