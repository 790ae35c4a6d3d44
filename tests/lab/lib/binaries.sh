# shellcheck shell=bash
# Programs built from Go modules: go.sum pins their source, a hash of the inputs is their place in the cache.

# The committed module of a program, or one made in the cache for a BuildKit version that has none.
module_of() {
    local name=$1
    if [[ -d $LAB_DIR/modules/$name ]]; then
        echo "$LAB_DIR/modules/$name"
    else
        cached "module-$name" "$(key_of "$name" "$(declare -f generate_module)")" generate_module "$name"
    fi
}

# `go install …@v0.19.0` is refused (the module has exclude lines), so a module of our own requires it. The sums of
# a generated one come from Go's checksum database, not from this repository.
generate_module() {
    local name=$1 place=$2 version=${1#buildkit-}
    echo "no committed module for $name: its checksums come from the checksum database"
    cat >"$place/go.mod" <<MOD
module repro.test/lab/$name

go 1.25.0

tool github.com/moby/buildkit/cmd/buildkitd
tool github.com/moby/buildkit/cmd/buildctl

require github.com/moby/buildkit $version
MOD
    (cd "$place" && go mod tidy)
}

# go_build MODULE CGO TAGS LDFLAGS PACKAGE... PLACE
go_build() {
    local module=$1 cgo=$2 tags=$3 ldflags=$4 place=${!#}
    shift 4
    (
        cd "$module" || exit
        CGO_ENABLED=$cgo GOFLAGS='' GOOS=linux GOARCH=amd64 go build -mod=readonly -trimpath -buildvcs=false -tags "$tags" -ldflags "-s -w $ldflags" -o "$place/" "${@:1:$#-1}"
    )
}

build_cached() {
    local name=$1 module=$2
    shift
    cached "$name" "$(key_of "$module" "$(go env GOVERSION)" "$*")" go_build "$@"
}

buildkit_binaries() {
    local module
    module=$(module_of "buildkit-$1")
    build_cached "buildkit-$1" "$module" 0 "" "-X github.com/moby/buildkit/version.Version=$1" \
        github.com/moby/buildkit/cmd/buildkitd github.com/moby/buildkit/cmd/buildctl
}

buildx_binary() {
    build_cached buildx "$(module_of buildx-v0.29.1)" 0 "" "-X github.com/docker/buildx/version.Version=v0.29.1" github.com/docker/buildx/cmd/buildx
}

# Static, unlike Debian's: `repro` unpacks it from the BuildKit image and runs it on the host, as with the official image.
runc_binary() {
    build_cached runc "$(module_of runc-v1.2.4)" 1 "seccomp netgo osusergo" "-extldflags -static" github.com/opencontainers/runc
}

rootlesskit_binary() {
    build_cached rootlesskit "$(module_of rootlesskit-v2.3.1)" 0 "" "" github.com/rootless-containers/rootlesskit/v2/cmd/rootlesskit
}

shim_binary() {
    build_cached shim "$LAB_DIR/shim" 0 "" "-X main.runtime=$(command -v runc)" .
}

# Reads argument vectors as that tool does, for tests/argv.
argv_binary() { build_cached "argv-$1" "$(module_of "argv-$1")" 0 "" "" .; }
# What others write and read images with, beside Debian's skopeo, buildah and umoci.
crane_binary() {
    build_cached crane "$(module_of crane-v0.21.7)" 0 "" "-X github.com/google/go-containerregistry/cmd/crane/cmd.Version=v0.21.7" \
        github.com/google/go-containerregistry/cmd/crane
}
# Runs the workflows of `make actions`.
act_binary() { build_cached act "$(module_of act-v0.2.89)" 0 "" "" github.com/nektos/act; }
# The proxy of the tests about private networks (middle/main.go).
middle_binary() { build_cached middle "$LAB_DIR/middle" 0 "" "" .; }

# The shim (shim/main.go) is for machines that cannot give what a privileged container asks for; everywhere else runc itself.
CAP_SYS_RESOURCE_BIT=24
shim_needed() {
    local bounding
    bounding=$(awk '/^CapBnd/ { print $2 }' /proc/self/status)
    ((((16#$bounding >> CAP_SYS_RESOURCE_BIT) & 1) == 0))
}

# The OCI runtime of the laboratory's engines. Never crun: it refuses hosts in hybrid cgroup mode.
oci_runtime() {
    if shim_needed; then echo "$LAB_STATE/libexec/oci-runtime"; else command -v runc; fi
}

up_binaries() {
    local version place
    for version in "${LAB_BUILDKIT_VERSIONS[@]}"; do
        publish_buildkit_binaries "$version"
    done
    place=$(buildx_binary)
    publish "$place/buildx" "$LAB_STATE/docker-config/cli-plugins/docker-buildx"
    # Podman reads DOCKER_CONFIG too, and fails where the file is missing.
    [[ -e $LAB_STATE/docker-config/config.json ]] || echo '{}' >"$LAB_STATE/docker-config/config.json"
    if shim_needed; then
        place=$(shim_binary)
        publish "$place/shim" "$LAB_STATE/libexec/oci-runtime"
    fi
    for version in buildx-v0.29.1 buildctl-v0.19.0 buildctl-v0.31.1; do
        place=$(argv_binary "$version")
        publish "$place/argv-$version" "$LAB_STATE/libexec/argv-$version"
    done
    place=$(middle_binary)
    publish "$place/middle" "$LAB_STATE/libexec/middle"
    mkdir -p "$LAB_STATE/bin"
    place=$(crane_binary)
    publish "$place/crane" "$LAB_STATE/bin/crane"
    ln -sfn "$LAB_DIR/lab" "$LAB_STATE/bin/lab"
}

up_actions() {
    local place
    place=$(act_binary)
    publish "$place/act" "$LAB_STATE/libexec/act"
}

# The cache may be in root's home: what the plain user runs is beside the state. Not on PATH: there it would hide from
# the tests that `repro` finds its BuildKit by itself.
publish_buildkit_binaries() {
    local version=$1 buildkit runc rootlesskit
    buildkit=$(buildkit_binaries "$version")
    runc=$(runc_binary)
    rootlesskit=$(rootlesskit_binary)
    publish "$buildkit/buildkitd" "$LAB_STATE/buildkit/$version/buildkitd"
    publish "$buildkit/buildctl" "$LAB_STATE/buildkit/$version/buildctl"
    publish "$runc/runc" "$LAB_STATE/buildkit/$version/buildkit-runc"
    publish "$rootlesskit/rootlesskit" "$LAB_STATE/buildkit/$version/rootlesskit"
}

# Never over a program that runs: install makes a new file.
publish() { cmp -s "$1" "$2" || install -D -m 755 "$1" "$2"; }
