# shellcheck shell=bash
# Where the engines keep their images and layers, and the plain user its home: in memory where there is enough of it,
# else on disk. dpkg syncs every file it writes: in memory that costs nothing.

# Not simply a tmpfs: on one, containerd mounts overlays without `userxattr`, so that in rootless BuildKit every removal of
# a directory of a lower layer fails with EIO. An ext4 image on a tmpfs behaves as any disk does.
up_store() {
    mkdir -p "$LAB_STATE/fast"
    if ! mountpoint -q "$LAB_STATE/fast" && memory_wanted && ! mount_memory; then
        unmount_below "$LAB_STATE/memory"
        [[ $LAB_TMPFS == auto ]] || fail "LAB_TMPFS=$LAB_TMPFS, but no file system could be mounted from memory"
        echo "no store in memory; on disk then"
    fi
    mkdir -p "$LAB_STATE"/fast/{tmp,share}
    # Contexts of tests, also for the plain user.
    chmod 1777 "$LAB_STATE/fast/share"
}

down_store() {
    unmount_below "$LAB_STATE"
}

memory_wanted() {
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

# The image is sparse, and `discard` gives memory back when files are removed. No journal: there is no crash to survive.
mount_memory() {
    local memory=$LAB_STATE/memory
    mkdir -p "$memory" &&
        mount -t tmpfs -o mode=700,size=60% repro-lab "$memory" &&
        truncate -s "$(awk '/^MemTotal/ { print int($2 * 0.58) }' /proc/meminfo)K" "$memory/image" &&
        mkfs.ext4 -q -m 0 -O ^has_journal -E lazy_itable_init=1,nodiscard "$memory/image" &&
        mount -o loop,noatime,discard "$memory/image" "$LAB_STATE/fast"
}
