# shellcheck shell=bash
# dockerd and containerd of our own: own sockets, own roots, own bridge. The machine's are never touched.

docker_socket() { echo "$LAB_STATE/run/docker.sock"; }
docker_bridge() { echo "lab$LAB_REGISTRY_PORT"; }

up_docker() {
    local run=$LAB_STATE/run store=$LAB_STATE/fast bridge
    # dockerd would take the machine's containerd if it saw one, so it gets its own.
    if ! daemon_runs containerd; then
        cat >"$LAB_STATE/etc/containerd.toml" <<TOML
version = 2
root = "$store/containerd"
state = "$run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
address = "$run/containerd.sock"
[ttrpc]
address = "$run/containerd.sock.ttrpc"
TOML
        start_daemon containerd containerd --config "$LAB_STATE/etc/containerd.toml"
        wait_for_daemon containerd test -S "$run/containerd.sock"
    fi
    if daemon_runs dockerd; then return 0; fi
    # A bridge, as every Docker has, but without NAT: that would be rules in the machine's firewall.
    bridge=$(docker_bridge)
    if ! ip link show "$bridge" >/dev/null 2>&1; then
        if ip link add "$bridge" type bridge; then
            ip address add "10.213.$((LAB_REGISTRY_PORT % 256)).1/24" dev "$bridge"
            ip link set "$bridge" up
            echo "$bridge" >"$run/bridge"
        else
            bridge=none
        fi
    fi
    rm -f "$run/docker.pid"
    jq -n --arg store "$store" --arg run "$run" --arg bridge "$bridge" --arg runtime "$(oci_runtime)" '{
        hosts: ["unix://\($run)/docker.sock"], containerd: "\($run)/containerd.sock", pidfile: "\($run)/docker.pid",
        "data-root": "\($store)/docker", "exec-root": "\($run)/docker", "storage-driver": "overlay2",
        bridge: $bridge, iptables: false, ip6tables: false, "ip-forward": false, "ip-masq": false, "userland-proxy": false,
        "oom-score-adjust": 0, runtimes: {lab: {path: $runtime}}, "default-runtime": "lab"}' >"$LAB_STATE/etc/dockerd.json"
    start_daemon dockerd dockerd --config-file "$LAB_STATE/etc/dockerd.json"
    wait_for_daemon dockerd docker -H "unix://$(docker_socket)" version
}

down_docker() {
    # Containers of tests would live on in their shims. All in this daemon are ours.
    if daemon_runs dockerd; then
        docker -H "unix://$(docker_socket)" ps -aq | xargs -r docker -H "unix://$(docker_socket)" rm -fv
    fi
    stop_daemon dockerd
    stop_daemon containerd
    if [[ -e $LAB_STATE/run/bridge ]]; then
        ip link delete "$(cat "$LAB_STATE/run/bridge")" || true
        rm "$LAB_STATE/run/bridge"
    fi
}
