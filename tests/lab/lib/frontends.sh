# shellcheck shell=bash
# Images that read Dockerfiles: docker/dockerfile as two versions of BuildKit have it, and one that means harm.

FRONTEND_VERSIONS=(v0.19.0 v0.31.1)
FRONTEND_PACKAGE=github.com/moby/buildkit/frontend/dockerfile/cmd/dockerfile-frontend

up_frontends() {
    local version binary place
    for version in "${FRONTEND_VERSIONS[@]}"; do
        binary=$(build_cached "frontend-$version" "$(module_of "buildkit-$version")" 0 "" "" "$FRONTEND_PACKAGE")
        place=$(cached "image-frontend-$version" "$(key_of "${binary##*/}" "$(image_code)" "$(declare -f frontend_image frontend_config)")" \
            frontend_image "$binary/dockerfile-frontend")
        push_layout "$place" docker/dockerfile "$version"
    done
    place=$(cached image-frontend-hostile "$(key_of "$(sha256sum <"$BUSYBOX")" "$(image_code)" "$LAB_DIR/lib/hostile-frontend.sh" \
        "$(declare -f hostile_frontend_image)")" hostile_frontend_image)
    push_layout "$place" hostile/frontend latest
}

frontend_image() {
    local binary=$1 place=$2 files=$2/files
    install -D -m 755 "$binary" "$files/bin/dockerfile-frontend"
    pack "$files" "$place/files.tar"
    oci_layer "$place" "$place/files.tar" gzip
    rm -rf "$files" "$place/files.tar"
    oci_finish "$place" "$(jq -cn --arg time "$(rfc3339 "$LAB_EPOCH")" --argjson config "$(frontend_config)" '{
        created: $time, config: $config, history: [{created: $time, created_by: "COPY dockerfile-frontend"}]}')"
}

# What the labels of the official image say that it can do: BuildKit asks before it hands it a build.
frontend_config() {
    jq -cn '{Env: ["PATH=/bin"], Entrypoint: ["/bin/dockerfile-frontend"], Labels: {
        "moby.buildkit.frontend.network.none": "true",
        "moby.buildkit.frontend.caps": "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts"}}'
}

# No label asks for a network of its own: it gets that of BuildKit. (Not /run: BuildKit mounts something below it.)
hostile_frontend_image() {
    local place=$1 files=$1/files
    install -D -m 755 "$BUSYBOX" "$files/bin/busybox"
    ln -s busybox "$files/bin/sh"
    mkdir "$files/tmp"
    install -m 755 "$LAB_DIR/lib/hostile-frontend.sh" "$files/bin/hostile"
    pack "$files" "$place/files.tar"
    oci_layer "$place" "$place/files.tar" gzip
    rm -rf "$files" "$place/files.tar"
    oci_finish "$place" "$(jq -cn --arg time "$(rfc3339 "$LAB_EPOCH")" '{
        created: $time, config: {Env: ["PATH=/bin"], Entrypoint: ["/bin/hostile"]}, history: [{created: $time, created_by: "COPY hostile"}]}')"
}
