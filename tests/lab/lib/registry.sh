# shellcheck shell=bash
# A registry on the loopback, plain http, with a file store of its own; and a second one that wants to know who asks, with the
# same images, which it cannot change.

up_registry() {
    # For every BuildKit that is to reach it, whatever runs it.
    printf '[registry."%s"]\nhttp = true\n' "$LAB_REGISTRY" "$LAB_PRIVATE_REGISTRY" >"$LAB_STATE/etc/buildkitd.toml"
    up_private_registry
    if daemon_runs registry; then return 0; fi
    require_free_port "$LAB_REGISTRY_PORT" LAB_REGISTRY_PORT
    cat >"$LAB_STATE/etc/registry.yml" <<YAML
version: 0.1
log: { level: warn }
storage:
  filesystem: { rootdirectory: $LAB_STATE/registry }
  delete: { enabled: true }
http: { addr: $LAB_REGISTRY }
YAML
    # Its own defaults look for OpenTelemetry in the environment: it gets none.
    start_daemon registry env -i PATH="$PATH" docker-registry serve "$LAB_STATE/etc/registry.yml"
    wait_for_daemon registry curl -fsS --noproxy '*' "http://$LAB_REGISTRY/v2/"
}

up_private_registry() {
    if daemon_runs private-registry; then return 0; fi
    require_free_port "$LAB_PRIVATE_PORT" LAB_PRIVATE_PORT
    # The password is "swordfish"; bcrypt with little work, because every request is checked.
    # shellcheck disable=SC2016 # no variables, a hash
    echo 'lab:$2b$05$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YYy' >"$LAB_STATE/etc/htpasswd"
    cat >"$LAB_STATE/etc/private-registry.yml" <<YAML
version: 0.1
log: { level: warn }
auth: { htpasswd: { realm: laboratory, path: $LAB_STATE/etc/htpasswd } }
storage:
  filesystem: { rootdirectory: $LAB_STATE/registry }
http: { addr: $LAB_PRIVATE_REGISTRY }
YAML
    start_daemon private-registry env -i PATH="$PATH" docker-registry serve "$LAB_STATE/etc/private-registry.yml"
    wait_for_daemon private-registry curl -fsS --noproxy '*' --user lab:swordfish "http://$LAB_PRIVATE_REGISTRY/v2/"
}

down_registry() {
    stop_daemon private-registry
    stop_daemon registry
}

# push_layout DIR REPOSITORY TAG: pushes the image of an OCI layout as it is, byte for byte; notes its reference for the tests.
push_layout() {
    local layout=$1 repository=$2 tag=$3 digest
    digest=$(jq -r '.manifests[0].digest' "$layout/index.json")
    # The manifest is the last thing to be pushed: where it is, all of it is. The tag is asked for, too: a test may have moved it.
    if [[ $(curl -fsS --noproxy '*' -I -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$LAB_REGISTRY/v2/$repository/manifests/$tag" 2>/dev/null |
        tr -d '\r' | awk 'tolower($1) == "docker-content-digest:" { print $2 }') != "$digest" ]]; then
        skopeo copy --quiet --insecure-policy --dest-tls-verify=false --preserve-digests "oci:$layout:image" "docker://$LAB_REGISTRY/$repository:$tag"
    fi
    note_image "$repository:$tag" "$LAB_REGISTRY/$repository:$tag@$digest"
}

# $LAB_STATE/images: one line an image, its name in the laboratory and its reference with the digest.
note_image() {
    touch "$LAB_STATE/images"
    { grep -v "^$1 " "$LAB_STATE/images" || true; echo "$1 $2"; } | LC_ALL=C sort >"$LAB_STATE/images.part"
    mv "$LAB_STATE/images.part" "$LAB_STATE/images"
}

image_reference() { awk -v name="$1" '$1 == name { print $2 }' "$LAB_STATE/images" 2>/dev/null; }
