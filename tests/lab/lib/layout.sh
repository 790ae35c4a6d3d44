# shellcheck shell=bash
# BuildKit's programs alone, as an OCI layout: what `repro build --runtime buildkitd` needs where no registry can be
# reached. Made without root, without an engine, without a registry; only the cache is used.

cmd_layout() {
    local version=${1:-v0.19.0} buildkit runc rootlesskit place
    mkdir -p "$LAB_CACHE"
    exec 8>"$LAB_CACHE/lock"
    flock 8
    buildkit=$(buildkit_binaries "$version")
    runc=$(runc_binary)
    rootlesskit=$(rootlesskit_binary)
    place=$(cached "layout-buildkit-$version" "$(key_of "${buildkit##*/} ${runc##*/} ${rootlesskit##*/} $(declare -f programs_layout oci_layer oci_finish oci_blob pack)")" \
        programs_layout "$buildkit" "$runc" "$rootlesskit")
    echo "oci:$place@$(jq -r '.manifests[0].digest' "$place/index.json")"
}

# programs_layout BUILDKIT RUNC ROOTLESSKIT PLACE
programs_layout() {
    local buildkit=$1 runc=$2 rootlesskit=$3 place=$4 files=$4/files
    install -D -m 755 -t "$files/usr/bin" "$buildkit/buildkitd" "$buildkit/buildctl" "$rootlesskit/rootlesskit"
    install -m 755 "$runc/runc" "$files/usr/bin/buildkit-runc"
    pack "$files" "$place/files.tar"
    oci_layer "$place" "$place/files.tar" gzip
    rm -rf "$files" "$place/files.tar"
    oci_finish "$place" "$(jq -cn --arg time "$(rfc3339 "$LAB_EPOCH")" '{
        created: $time, config: {Entrypoint: ["buildkitd"]}, history: [{created: $time, created_by: "COPY BuildKit"}]}')"
}
