# shellcheck shell=bash
# Upstream's releases, repro-build from PyPI, beside which `repro` has to stand.

# Releases, each with the BuildKit version to try it on: the one it pins, as the laboratory has it.
# shellcheck disable=SC2034 # whoever sources this reads it
RELEASES=(1.0.0=v0.19.0 2.0.0=v0.31.1)

# Builders of upstream have one name in all the daemon: two that use them at once would share them.
lock_upstream() {
    exec 7>"$LAB_STATE/run/peers.lock"
    flock -n 7 || fail "another one runs on this laboratory"
}

buildkit_image() {
    local name
    name=LAB_BUILDKIT_$(echo "${1^^}" | tr .- __)
    echo "${!name:?the laboratory has no BuildKit of that version}"
}

# upstream_program VERSION: prints the path of that release's command, in a venv of its own; its bytes are pinned by hash.
upstream_program() {
    local requirements=$LAB_DIR/upstream/repro-build-$1.txt place
    [[ -r $requirements ]] || fail "no release $1 of repro-build is pinned in $LAB_DIR/upstream"
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        # shellcheck disable=SC2034 # lib/packages.sh reads it
        LAB_PACKAGES=(/usr/bin/python3:python3 /not/a/file:python3-venv)
        up_packages >&2
    fi
    place=$LAB_CACHE/repro-build-$1-$(key_of "$requirements" "$(python3 --version)")
    mkdir -p "$LAB_CACHE"
    (
        flock 8
        # Made in its place, because a venv cannot be moved; complete when its last file is there.
        if [[ ! -e $place/complete ]]; then
            rm -rf "$LAB_CACHE/repro-build-$1"-*
            python3 -m venv "$place"
            "$place/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement "$requirements"
            touch "$place/complete"
        fi
    ) 8>"$LAB_CACHE/lock" >&2
    echo "$place/bin/repro-build"
}

# upstream_environment: `env` with what upstream may see of ours: nothing that changes a build, a buildx state of its own.
# $UPSTREAM_STATE is the directory of that state.
upstream_environment() {
    env -i PATH="$PATH" HOME="$HOME" TMPDIR="${TMPDIR:-/tmp}" DOCKER_HOST="$DOCKER_HOST" DOCKER_CONFIG="$DOCKER_CONFIG" \
        BUILDX_CONFIG="$UPSTREAM_STATE" BUILDKIT_PROGRESS=plain "$@"
}

# Upstream makes its builder itself, by this name, and goes on where it is there already. Made beforehand, it can reach
# the laboratory's registry, for which upstream has no options.
upstream_builder() { echo "repro-build-$(printf %s "$1" | sha256sum | cut -d' ' -f1)"; }

create_upstream_builder() {
    local image=$1 name
    name=$(upstream_builder "$image")
    upstream_environment docker buildx create --name "$name" --driver docker-container --driver-opt "image=$image" \
        --driver-opt network=host --buildkitd-config "$LAB_BUILDKITD_TOML" --bootstrap >/dev/null 2>&1 ||
        fail "the builder $name could not be made"
}

remove_upstream_builder() {
    upstream_environment docker buildx rm --force "$(upstream_builder "$1")" >/dev/null 2>&1 || true
}
