# shellcheck shell=bash
# Podman, rootful and for the plain user, each with storage and configuration of its own. It has no daemon to start.

up_podman() {
    local home=$LAB_STATE/fast/home runtime own=$LAB_STATE/fast/podman
    # The plain user's Podman reads the runtime's path, too.
    runtime=$(oci_runtime)
    write_podman_config "$LAB_STATE/etc" "$own" "$LAB_STATE/run/podman" "$runtime"
    install -d -o "$LAB_USER" -g "$LAB_USER" "$home/.config" "$home/.config/containers"
    write_podman_config "$home/.config/containers" "$home/.local/share/containers" "$(user_runtime_dir)/containers" "$runtime"
    # `podman info` sets the storage up; done here, its time and its errors belong to the laboratory, not to a test.
    if [[ ! -d $own/storage ]]; then with_podman_config podman info; fi
    if [[ ! -d $home/.local/share/containers/storage ]]; then "$LAB_DIR/lab" as-user podman info; fi
}

down_podman() {
    if [[ -d $LAB_STATE/fast/podman/storage ]]; then with_podman_config podman rm --all --force --time 2; fi
    # Without its runtime directory the user is down already.
    if [[ -d $(user_runtime_dir) && -d $LAB_STATE/fast/home/.local/share/containers/storage ]]; then
        "$LAB_DIR/lab" as-user podman rm --all --force --time 2
        # The process that holds the user's namespaces open.
        "$LAB_DIR/lab" as-user podman system migrate
    fi
}

with_podman_config() {
    CONTAINERS_CONF=$LAB_STATE/etc/containers.conf CONTAINERS_STORAGE_CONF=$LAB_STATE/etc/storage.conf \
        CONTAINERS_REGISTRIES_CONF=$LAB_STATE/etc/registries.conf "$@"
}

# write_podman_config DIR STORE RUN RUNTIME
write_podman_config() {
    local directory=$1 store=$2 run=$3 runtime=$4
    cat >"$directory/storage.conf" <<TOML
[storage]
driver = "overlay"
graphroot = "$store/storage"
runroot = "$run/storage"
TOML
    # File locks and a tmp_dir of its own keep it apart from another Podman of the same user (shared memory has one name).
    cat >"$directory/containers.conf" <<TOML
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "$run/libpod"
runtime = "lab"
[engine.runtimes]
lab = ["$runtime"]
TOML
    if shim_needed; then
        cat >>"$directory/containers.conf" <<TOML
[containers]
default_ulimits = ["nofile=1024:$(ulimit -Hn)"]
TOML
    fi
    cat >"$directory/registries.conf" <<TOML
unqualified-search-registries = ["docker.io"]
[[registry]]
location = "$LAB_REGISTRY"
insecure = true
TOML
}
