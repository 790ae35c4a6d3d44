# shellcheck shell=bash
# What tests and shells need to know.

# v0.19.0 → V0_19_0
variable_of() { echo "${1^^}" | tr .- __; }

cmd_env() {
    local image reference version language
    [[ -r $LAB_STATE/images ]] || fail "the laboratory is not up: tests/lab/lab up"
    print_variable PATH "$LAB_STATE/bin:$PATH"
    print_variable DOCKER_HOST "unix://$(docker_socket)"
    print_variable DOCKER_CONFIG "$LAB_STATE/docker-config"
    print_variable CONTAINERS_CONF "$LAB_STATE/etc/containers.conf"
    print_variable CONTAINERS_STORAGE_CONF "$LAB_STATE/etc/storage.conf"
    print_variable CONTAINERS_REGISTRIES_CONF "$LAB_STATE/etc/registries.conf"
    print_variable REPRO_BUILDKIT_IMAGE "$(image_reference moby/buildkit:v0.19.0)"
    print_variable LAB_REGISTRY "$LAB_REGISTRY"
    print_variable LAB_PRIVATE_REGISTRY "$LAB_PRIVATE_REGISTRY"
    print_variable LAB_CONTAINERD "$LAB_STATE/run/containerd.sock"
    print_variable LAB_MIDDLE "$LAB_STATE/libexec/middle"
    [[ ! -x $LAB_STATE/libexec/act ]] || print_variable LAB_ACT "$LAB_STATE/libexec/act"
    print_variable LAB_BASE "$(image_reference debian:bookworm)"
    print_variable LAB_BASE_SMALL "$(image_reference small:latest)"
    print_variable LAB_BASE_PYTHON "$(image_reference debian:python)"
    [[ -z $(image_reference debian:causes) ]] || print_variable LAB_BASE_TOOLS "$(image_reference debian:causes)"
    for language in "${LAB_LANGUAGES[@]}"; do
        [[ -z $(image_reference "debian:$language") ]] || print_variable "LAB_BASE_${language^^}" "$(image_reference "debian:$language")"
    done
    [[ -z $(image_reference debian:trixie) ]] || print_variable LAB_BASE_TRIXIE "$(image_reference debian:trixie)"
    print_variable LAB_BASE_ZSTD "$(image_reference zstd:latest)"
    print_variable LAB_BASE_SMALL_ZSTD "$(image_reference small:zstd)"
    print_variable LAB_BASE_UNREWRITTEN "$(image_reference unrewritten:latest)"
    for version in "${FRONTEND_VERSIONS[@]}"; do
        print_variable "LAB_FRONTEND_$(variable_of "$version")" "$(image_reference "docker/dockerfile:$version")"
    done
    print_variable LAB_FRONTEND_HOSTILE "$(image_reference hostile/frontend:latest)"
    print_variable LAB_APT "http://127.0.0.1:$LAB_APT_PORT"
    print_variable LAB_BUILDKITD_TOML "$LAB_STATE/etc/buildkitd.toml"
    print_variable LAB_STATE "$LAB_STATE"
    print_variable LAB_SHARE "$LAB_STATE/fast/share"
    print_variable LAB_USER "$LAB_USER"
    print_variable LAB_USER_HOME "$LAB_STATE/fast/home"
    print_variable LAB_USER_ENV "$LAB_DIR/lab as-user"
    print_variable LAB_BUSYBOX /usr/bin/busybox
    [[ ! -x $LAB_STATE/libexec/busybox-$LAB_EMULATED ]] || print_variable LAB_BUSYBOX_ARM64 "$LAB_STATE/libexec/busybox-$LAB_EMULATED"
    print_variable LAB_PAGE "$LAB_STATE/page"
    print_variable LAB_ARGV_BUILDX "$LAB_STATE/libexec/argv-buildx-v0.29.1"
    print_variable LAB_ARGV_BUILDCTL_V0_19_0 "$LAB_STATE/libexec/argv-buildctl-v0.19.0"
    print_variable LAB_ARGV_BUILDCTL_V0_31_1 "$LAB_STATE/libexec/argv-buildctl-v0.31.1"
    while read -r image reference; do
        case $image in
            moby/buildkit:*)
                version=${image#*:}
                print_variable "LAB_BUILDKIT_$(variable_of "$version")" "$reference"
                [[ $version == *-rootless ]] || print_variable "LAB_BUILDKIT_$(variable_of "$version")_BIN" "$LAB_STATE/buildkit/$version"
                ;;
        esac
    done <"$LAB_STATE/images"
}

print_variable() {
    local quote="'\\''"
    printf "export %s='%s'\n" "$1" "${2//\'/$quote}"
}
