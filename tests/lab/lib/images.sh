# shellcheck shell=bash
# The images of the laboratory, written as OCI layouts without any engine, so that their digests depend on nothing but
# the Debian packages and programs in them.

BUSYBOX=/usr/bin/busybox

up_images() {
    local base python version place small
    base=$(base_rootfs)
    place=$(cached image-debian "$(key_of "${base##*/}" "$(image_code)")" debian_image "$base/rootfs.tar" gzip)
    push_layout "$place" debian bookworm
    python=$(python_rootfs)
    place=$(cached image-debian-python "$(key_of "${python##*/}" "$(image_code)")" debian_image "$python/rootfs.tar" gzip)
    push_layout "$place" debian python
    small=$(key_of "${base##*/}" "$(sha256sum <"$BUSYBOX")" "$(image_code)" "$(declare -f small_image small_rootfs small_finish unrewritten_image)")
    place=$(cached image-small "$small" small_image "$base/rootfs.tar" gzip "")
    push_layout "$place" small latest
    # The same contents as above, and contents that no other image has: a cache that holds the one is no matter for the other.
    place=$(cached image-small-zstd "$small" small_image "$base/rootfs.tar" zstd "")
    push_layout "$place" small zstd
    place=$(cached image-zstd "$small" small_image "$base/rootfs.tar" zstd "compressed by zstd")
    push_layout "$place" zstd latest
    place=$(cached image-unrewritten "$small" unrewritten_image "$base/rootfs.tar")
    push_layout "$place" unrewritten latest
    for version in "${LAB_BUILDKIT_VERSIONS[@]}"; do
        publish_buildkit_images "$version"
    done
}

up_buildkit_version() {
    daemon_runs registry || fail "the laboratory is not up: tests/lab/lab up"
    publish_buildkit_binaries "$1"
    publish_buildkit_images "$1"
}

up_causes() {
    local base place
    daemon_runs registry || fail "the laboratory is not up: tests/lab/lab up"
    base=$(causes_rootfs)
    place=$(cached image-debian-causes "$(key_of "${base##*/}" "$(image_code)")" debian_image "$base/rootfs.tar" gzip)
    push_layout "$place" debian causes
}

# What stands for the official images of languages in `make real-images`.
up_real_images() {
    local language base place
    daemon_runs registry || fail "the laboratory is not up: tests/lab/lab up"
    for language in "${LAB_LANGUAGES[@]}"; do
        base=$(language_rootfs "$language")
        place=$(cached "image-debian-$language" "$(key_of "${base##*/}" "$(image_code)")" debian_image "$base/rootfs.tar" gzip)
        push_layout "$place" debian "$language"
    done
}

# What the image of each release of Debian in nightly/debian is built in, where that is not the release of the other bases.
up_releases() {
    local base place
    daemon_runs registry || fail "the laboratory is not up: tests/lab/lab up"
    base=$(cached rootfs-trixie "$(key_of "$(declare -f trixie_rootfs)")" trixie_rootfs)
    place=$(cached image-debian-trixie "$(key_of "${base##*/}" "$(image_code)")" debian_image "$base/rootfs.tar" gzip)
    push_layout "$place" debian trixie
}

publish_buildkit_images() {
    local version=$1 tools buildkit runc rootlesskit code place
    if [[ $LAB_BUILDKIT == official && $version == v0.19.0 ]]; then
        note_image moby/buildkit:v0.19.0 moby/buildkit:v0.19.0@sha256:14aa1b4dd92ea0a4cd03a54d0c6079046ea98cd0c0ae6176bdd7036ba370cbbe
        note_image moby/buildkit:v0.19.0-rootless moby/buildkit:v0.19.0-rootless@sha256:e901cffdad753892a7c3afb8b9972549fca02c73888cf340c91ed801fdd96d71
        return 0
    fi
    tools=$(tools_layer)
    buildkit=$(buildkit_binaries "$version")
    runc=$(runc_binary)
    rootlesskit=$(rootlesskit_binary)
    # What comes from the cache is named by its own key: its bytes need no second hash.
    code="${tools##*/} ${buildkit##*/} ${runc##*/} $(image_code)$(declare -f buildkit_image plain_files rootless_files)$(cat "$LAB_DIR/lib/buildctl-daemonless.sh")"
    place=$(cached "image-buildkit-$version" "$(key_of "$code")" \
        buildkit_image plain "$tools" "$buildkit" "$runc" "$rootlesskit")
    push_layout "$place" moby/buildkit "$version"
    place=$(cached "image-buildkit-$version-rootless" "$(key_of "${rootlesskit##*/}" "$code")" \
        buildkit_image rootless "$tools" "$buildkit" "$runc" "$rootlesskit")
    push_layout "$place" moby/buildkit "$version-rootless"
}

# --- Root file systems

# Bit for bit the same on every run, as long as Debian's packages are. With an empty /dev, as in Debian's official image:
# a plain user's engine could not make the nodes.
base_rootfs() { cached rootfs-debian "$(key_of "$(declare -f debootstrap)")" debootstrap ca-certificates; }
# For the examples: Debian's Python with pip, in the place of an official Python image.
python_rootfs() { cached rootfs-python "$(key_of "$(declare -f debootstrap python_rootfs)")" debootstrap ca-certificates,python3,python3-pip; }
# What BuildKit's image needs around BuildKit: git and ssh for git contexts, xz, and for the rootless one uidmap and fuse-overlayfs.
tools_rootfs() { cached rootfs-tools "$(key_of "$(declare -f debootstrap tools_rootfs)")" debootstrap ca-certificates,git,openssh-client,xz-utils,uidmap,fuse-overlayfs; }

# For the cases of tests/lab/causes: what makes things that differ from build to build. Made when it is asked for.
causes_rootfs() {
    cached rootfs-causes "$(key_of "$(declare -f debootstrap causes_rootfs)")" debootstrap \
        ca-certificates,python3,gcc,libc6-dev,faketime,fontconfig,fonts-dejavu-core,openssh-client,openssl,gpg,gpg-agent,gpgconf,rpm
}

# Made when they are asked for, too: the tools that a Dockerfile begins with in that language.
LAB_LANGUAGES=(node go maven)
language_rootfs() {
    local packages
    case $1 in
        node) packages=nodejs,npm ;;
        go) packages=golang-go,gcc,libc6-dev,git,tzdata ;;
        maven) packages=maven,default-jdk-headless ;;
    esac
    cached "rootfs-$1" "$(key_of "$(declare -f debootstrap)" "$packages")" debootstrap "ca-certificates,$packages"
}

debootstrap() {
    SOURCE_DATE_EPOCH=$LAB_EPOCH TMPDIR=$LAB_STATE/fast/tmp mmdebstrap --variant=minbase --mode=root --skip=output/dev --include="$1" bookworm "$2/rootfs.tar"
    mkdir "$2/dev"
    tar --append --file="$2/rootfs.tar" --directory="$2" --mtime="@$LAB_EPOCH" --owner=0 --group=0 --numeric-owner --mode=755 ./dev
    rmdir "$2/dev"
}

trixie_rootfs() {
    SOURCE_DATE_EPOCH=$LAB_EPOCH TMPDIR=$LAB_STATE/fast/tmp mmdebstrap --variant=minbase --mode=root --skip=output/dev trixie "$1/rootfs.tar"
    mkdir "$1/dev"
    tar --append --file="$1/rootfs.tar" --directory="$1" --mtime="@$LAB_EPOCH" --owner=0 --group=0 --numeric-owner --mode=755 ./dev
    rmdir "$1/dev"
}

# Packed once for all versions of BuildKit.
tools_layer() {
    local rootfs
    rootfs=$(tools_rootfs)
    cached layer-tools "$(key_of "${rootfs##*/}" "$(image_code)")" pack_tools "$rootfs"
}
pack_tools() {
    oci_layer "$2" "$1/rootfs.tar" gzip
    tar -xOf "$1/rootfs.tar" ./etc/passwd >"$2/passwd"
    tar -xOf "$1/rootfs.tar" ./etc/group >"$2/group"
}

# --- Images

debian_image() {
    local rootfs=$1 compression=$2 place=$3
    oci_layer "$place" "$rootfs" "$compression"
    oci_finish "$place" "$(jq -cn --arg time "$(rfc3339 "$LAB_EPOCH")" '{
        created: $time, config: {Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["bash"]},
        history: [{created: $time, created_by: "mmdebstrap --variant=minbase bookworm"}]}')"
}

# A base of one megabyte, for the many tests that need a shell and the users of Debian but nothing else of it: each build
# reads and writes its base once.
small_image() {
    local rootfs=$1 compression=$2 mark=$3 place=$4
    small_rootfs "$rootfs" "$mark" "$place"
    oci_layer "$place" "$place/files.tar" "$compression"
    rm -rf "$place/files" "$place/files.tar"
    small_finish "$place" "$LAB_EPOCH"
}

# small_rootfs ROOTFS MARK PLACE: writes PLACE/files.tar; the mark is a file that makes its contents others.
small_rootfs() {
    local rootfs=$1 mark=$2 place=$3 files=$3/files applet
    mkdir -p "$files"/{bin,dev,etc,proc,root,run,srv,sys,tmp,usr/bin,usr/local/bin,var/cache}
    chmod 1777 "$files/tmp"
    install -m 755 "$BUSYBOX" "$files/bin/busybox"
    for applet in $("$BUSYBOX" --list); do
        [[ $applet == busybox ]] || ln -s busybox "$files/bin/$applet"
    done
    tar -xOf "$rootfs" ./etc/passwd >"$files/etc/passwd"
    tar -xOf "$rootfs" ./etc/group >"$files/etc/group"
    [[ -z $mark ]] || echo "$mark" >"$files/etc/mark"
    pack "$files" "$place/files.tar"
}

# small_finish PLACE EPOCH [HISTORY]
small_finish() {
    oci_finish "$1" "$(jq -cn --arg time "$(rfc3339 "$2")" --argjson more "${3:-[]}" '{
        created: $time, config: {Env: ["PATH=/usr/local/bin:/usr/bin:/bin"], Cmd: ["sh"]},
        history: ([{created: $time, created_by: "busybox --install"}] + [$more[] | {created: $time} + .])}')"
}

# A base that was built with epoch 0 but without rewriting timestamps: its configuration looks like that of a
# reproducible image, the files of its layers have other times.
unrewritten_image() {
    local rootfs=$1 place=$2 files=$2/files
    small_rootfs "$rootfs" "" "$place"
    oci_layer "$place" "$place/files.tar" gzip
    rm -rf "$files" "$place/files.tar"
    mkdir -p "$files/etc"
    echo "a file of a base that was not rewritten" >"$files/etc/unrewritten"
    TAR_MTIME=1717200000 pack "$files" "$place/files.tar"
    oci_layer "$place" "$place/files.tar" gzip
    rm -rf "$files" "$place/files.tar"
    small_finish "$place" 0 '[{"created_by": "COPY unrewritten /etc/unrewritten # buildkit", "comment": "buildkit.dockerfile.v0"}]'
}

# buildkit_image plain|rootless TOOLS BUILDKIT RUNC ROOTLESSKIT PLACE: what the official image holds, on Debian instead of Alpine.
buildkit_image() {
    local variant=$1 tools=$2 buildkit=$3 runc=$4 rootlesskit=$5 place=$6 files=$6/files
    install -D -m 755 -t "$files/usr/bin" "$buildkit/buildkitd" "$buildkit/buildctl"
    install -m 755 "$runc/runc" "$files/usr/bin/buildkit-runc"
    install -m 755 "$LAB_DIR/lib/buildctl-daemonless.sh" "$files/usr/bin/buildctl-daemonless.sh"
    cp -r "$tools"/{blobs,layers} "$place"
    "${variant}_files" "$files" "$tools" "$rootlesskit"
    pack "$files" "$place/files.tar"
    oci_layer "$place" "$place/files.tar" gzip
    rm -rf "$files" "$place/files.tar"
    oci_finish "$place" "$(jq -cn --arg time "$(rfc3339 "$LAB_EPOCH")" --argjson config "$("${variant}_config")" '{
        created: $time, config: $config,
        history: [{created: $time, created_by: "mmdebstrap --variant=minbase bookworm"}, {created: $time, created_by: "COPY BuildKit"}]}')"
}

plain_files() { mkdir -p "$1/var/lib/buildkit"; }
plain_config() {
    jq -cn '{Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "BUILDKIT_SETUP_CGROUPV2_ROOT=1"],
        Entrypoint: ["buildkitd"], Volumes: {"/var/lib/buildkit": {}}}'
}

rootless_files() {
    local files=$1 tools=$2 rootlesskit=$3
    install -m 755 "$rootlesskit/rootlesskit" "$files/usr/bin/rootlesskit"
    mkdir -p "$files"/{etc,run/user/1000,home/user/.local/tmp,home/user/.local/share/buildkit}
    { cat "$tools/passwd"; echo "user:x:1000:1000:Linux User,,,:/home/user:/bin/sh"; } >"$files/etc/passwd"
    { cat "$tools/group"; echo "user:x:1000:"; } >"$files/etc/group"
    echo user:100000:65536 | tee "$files/etc/subuid" >"$files/etc/subgid"
    chown -R 1000:1000 "$files"/{run/user/1000,home/user}
}
rootless_config() {
    jq -cn '{User: "1000:1000", Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/user", "USER=user",
            "XDG_RUNTIME_DIR=/run/user/1000", "TMPDIR=/home/user/.local/tmp", "BUILDKIT_HOST=unix:///run/user/1000/buildkit/buildkitd.sock"],
        Entrypoint: ["rootlesskit", "buildkitd"], Volumes: {"/home/user/.local/share/buildkit": {}}}'
}

# --- OCI layouts

# Everything that decides the bytes of an image is part of its key in the cache.
image_code() { declare -f oci_layer oci_finish oci_blob pack debian_image plain_config rootless_config rfc3339 pack_tools; }

rfc3339() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ; }

# pack DIR TAR: the same bytes from the same files, whoever packs them and when.
pack() {
    tar --create --file="$2" --directory="$1" --sort=name --mtime="@${TAR_MTIME:-$LAB_EPOCH}" --numeric-owner --format=gnu .
}

# oci_blob LAYOUT FILE: moves FILE to its place, prints its descriptor without a media type.
oci_blob() {
    local sum
    sum=$(sha256sum <"$2" | cut -d' ' -f1)
    mkdir -p "$1/blobs/sha256"
    jq -cn --arg digest "sha256:$sum" --argjson size "$(stat -c %s "$2")" '{digest: $digest, size: $size}'
    mv "$2" "$1/blobs/sha256/$sum"
}

# oci_layer LAYOUT TAR gzip|zstd: adds a layer; the file `layers` has one line a layer: descriptor with the diff ID beside it.
oci_layer() {
    local layout=$1 tar=$2 compression=$3 diff_id
    case $compression in
        gzip) gzip -n -6 <"$tar" >"$layout/blob" ;;
        zstd) zstd -q -3 --single-thread <"$tar" >"$layout/blob" ;;
    esac
    diff_id=sha256:$(sha256sum <"$tar" | cut -d' ' -f1)
    oci_blob "$layout" "$layout/blob" |
        jq -c --arg type "application/vnd.oci.image.layer.v1.tar+$compression" --arg id "$diff_id" '{mediaType: $type} + . + {diff_id: $id}' >>"$layout/layers"
}

# oci_finish LAYOUT CONFIG: configuration (its platform and diff IDs are added here), manifest, index.
oci_finish() {
    local layout=$1 config
    jq -cj --slurpfile layers "$layout/layers" '{architecture: "amd64", os: "linux"} + . + {rootfs: {type: "layers", diff_ids: [$layers[].diff_id]}}' <<<"$2" >"$layout/blob"
    config=$(oci_blob "$layout" "$layout/blob")
    jq -cjn --slurpfile layers "$layout/layers" --argjson config "$config" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: ({mediaType: "application/vnd.oci.image.config.v1+json"} + $config), layers: [$layers[] | del(.diff_id)]}' >"$layout/blob"
    oci_blob "$layout" "$layout/blob" | jq -cj '{schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json"} + . +
        {annotations: {"org.opencontainers.image.ref.name": "image"}}]}' >"$layout/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
    rm "$layout/layers"
}
