# shellcheck shell=bash
# Debian packages: only those whose command is missing, and no service of theirs is started or enabled.

# command or file : package
LAB_PACKAGES=(
    dockerd:docker.io containerd:containerd docker:docker.io
    podman:podman conmon:conmon skopeo:skopeo buildah:buildah umoci:umoci docker-registry:docker-registry runc:runc
    rootlesskit:rootlesskit newuidmap:uidmap fuse-overlayfs:fuse-overlayfs slirp4netns:slirp4netns
    jq:jq mmdebstrap:mmdebstrap curl:curl zstd:zstd xz:xz-utils ip:iproute2 setpriv:util-linux mkfs.ext4:e2fsprogs fuser:psmisc ps:procps dpkg-deb:dpkg
    /usr/bin/busybox:busybox-static git:git openssl:openssl gpg:gpg gpg-agent:gpg-agent gpgv:gpgv apt-get:apt
    gcc:gcc /usr/include/stdlib.h:libc6-dev pkg-config:pkg-config /usr/include/seccomp.h:libseccomp-dev
    groff:groff-base lexgrog:man-db xmllint:libxml2-utils /usr/bin/python3:python3
    chromium:chromium node:nodejs npm:npm /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf:fonts-dejavu-core
    /etc/containers/policy.json:golang-github-containers-image
)

up_packages() {
    [[ $(uname -m) == x86_64 ]] || fail "only amd64 has been tried"
    local entry missing=() wanted_before
    for entry in "${LAB_PACKAGES[@]}"; do
        case $entry in
            /*) [[ -e ${entry%%:*} ]] || missing+=("${entry##*:}") ;;
            *) command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}") ;;
        esac
    done
    # busybox goes into images from scratch: a dynamic one would not run there.
    if [[ -e /usr/bin/busybox ]] && ldd /usr/bin/busybox >/dev/null 2>&1; then missing+=(busybox-static); fi
    if [[ ${#missing[@]} -gt 0 ]]; then
        command -v apt-get >/dev/null || fail "missing: ${missing[*]}; and this is no Debian to install them on"
        wanted_before=$(wanted_units)
        forbid_service_starts
        export DEBIAN_FRONTEND=noninteractive
        apt-get update
        apt-get install -y --no-install-recommends "${missing[@]}"
        allow_service_starts
        # Debian enables the services it installs: at the next boot the machine would have daemons nobody asked for.
        wanted_units | LC_ALL=C comm -13 <(echo "$wanted_before") - | xargs -r -d '\n' rm -v
    fi
    command -v go >/dev/null || fail "Go is missing: BuildKit, buildx and the shim are built from Go modules (go 1.25 or later)"
}

# The links that enable units; made by packages even where systemd itself is missing.
wanted_units() { find /etc/systemd/system -type l -path '*.wants/*' 2>/dev/null | LC_ALL=C sort; }

# invoke-rc.d asks /usr/sbin/policy-rc.d before it starts anything; 101 is "not allowed".
forbid_service_starts() {
    local policy=/usr/sbin/policy-rc.d
    if [[ -e $policy ]]; then
        # One that forbids already (as in containers) does our work; another belongs to the administrator.
        local status=0
        "$policy" docker start || status=$?
        [[ $status == 101 ]] || fail "$policy is there and allows services to start; move it away or install by hand: apt-get install ${missing[*]}"
        return 0
    fi
    printf '#!/bin/sh\n# Made by the laboratory of repro while it installs packages.\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap allow_service_starts EXIT
}

allow_service_starts() {
    if grep -qs "laboratory of repro" /usr/sbin/policy-rc.d; then rm -f /usr/sbin/policy-rc.d; fi
}
