# shellcheck shell=bash
# Programs for arm64, under QEMU from Debian, in a user namespace of their own: since Linux 6.7 each has its own list of what runs
# which programs (binfmt_misc), so that the machine's own stays as it is.

LAB_EMULATED=arm64
# The header of an ELF program for it, and what of that counts: linux/Documentation/admin-guide/binfmt-misc.rst has the form.
LAB_EMULATED_MAGIC='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
LAB_EMULATED_MASK='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'

up_emulator() {
    local place
    place=$(cached emulator "$(key_of "$(declare -f make_emulator)")" make_emulator)
    mkdir -p "$LAB_STATE/libexec"
    install -m 755 "$place/qemu" "$LAB_STATE/libexec/qemu-$LAB_EMULATED"
    install -m 755 "$place/busybox" "$LAB_STATE/libexec/busybox-$LAB_EMULATED"
    [[ $(cmd_emulated "$LAB_STATE/libexec/busybox-$LAB_EMULATED" uname -m) == aarch64 ]] ||
        fail "programs for $LAB_EMULATED do not run in a user namespace here: that needs Linux 6.7"
}

# apt with lists of its own: the machine's apt goes on knowing one architecture.
make_emulator() {
    local place=$1 own deb qemu
    own=$(dpkg --print-architecture)
    mkdir -p "$place"/apt/{lists/partial,cache/archives/partial} "$place/debs"
    : >"$place/apt/status"
    cat >"$place/apt.conf" <<CONF
APT::Architectures { "$own"; "$LAB_EMULATED"; };
APT::Sandbox::User "root";
Dir::State "$place/apt";
Dir::State::status "$place/apt/status";
Dir::State::lists "$place/apt/lists";
Dir::Cache "$place/apt/cache";
CONF
    export APT_CONFIG=$place/apt.conf
    apt-get update
    (
        cd "$place/debs" || exit
        # The one without libraries is a package of its own until Debian 12.
        apt-get download "qemu-user-static:$own" || apt-get download "qemu-user:$own"
        apt-get download "busybox-static:$LAB_EMULATED"
    )
    for deb in "$place"/debs/*.deb; do dpkg-deb -x "$deb" "$place/root"; done
    for qemu in "$place"/root/usr/bin/qemu-aarch64{-static,}; do
        if [[ -x $qemu ]] && ! ldd "$qemu" 2>/dev/null | grep --quiet '=>'; then
            cp "$qemu" "$place/qemu"
            break
        fi
    done
    cp "$(find "$place"/root/{usr/bin,bin} -name busybox -type f 2>/dev/null)" "$place/busybox"
    rm -rf "$place"/{apt,apt.conf,debs,root}
}

# Runs a command in a user namespace in which programs for arm64 run. All users are there under their own numbers.
cmd_emulated() {
    [[ $# -gt 0 ]] || fail "emulated wants a command"
    local qemu=$LAB_STATE/libexec/qemu-$LAB_EMULATED talk pid status=0
    [[ -x $qemu ]] || fail "the emulator is missing: tests/lab/lab emulator"
    talk=$(mktemp -d "${TMPDIR:-/tmp}/lab-emulated.XXXXXX")
    mkfifo "$talk/ready" "$talk/go"
    # The process that asks for the namespace may not say who is who in it, and gets its rights back with the next program it becomes.
    # Podman leaves a process that keeps its namespaces: it ends with those of this command, and its number is in no file of others.
    # shellcheck disable=SC2016 # the dollars are for the inner shell
    unshare --user --mount --propagation private --pid --fork --kill-child --mount-proc -- sh -c '
        echo >"$0/ready"
        read -r _ <"$0/go"
        register=$1
        shift
        exec sh -c "
            set -e
            mount -t tmpfs -o \"mode=700,\$1\" none \"\$2\"
            shift 2
            mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
            printf %s \"\$0\" >/proc/sys/fs/binfmt_misc/register
            \"\$@\"
            exit
        " "$register" "$@"' \
        "$talk" ":qemu-$LAB_EMULATED:M::$LAB_EMULATED_MAGIC:$LAB_EMULATED_MASK:$qemu:OCF" \
        "uid=$(id -u "$LAB_USER"),gid=$(id -g "$LAB_USER")" "$(user_runtime_dir)" "$@" <&0 &
    pid=$!
    read -r _ <"$talk/ready"
    echo "0 0 4294967295" >"/proc/$pid/uid_map"
    echo "0 0 4294967295" >"/proc/$pid/gid_map"
    echo >"$talk/go"
    rm -r "$talk"
    wait "$pid" || status=$?
    return "$status"
}
