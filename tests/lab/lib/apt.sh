# shellcheck shell=bash
# A small Debian repository that never changes: apt in a test's Dockerfile gets the same bytes today and in ten years.

up_apt() {
    local place
    place=$(cached apt "$(key_of "$(declare -f make_repository make_package)")" make_repository)
    if [[ ! -e $LAB_STATE/apt/Release ]] || ! cmp -s "$place/Release" "$LAB_STATE/apt/Release"; then
        rm -rf "$LAB_STATE/apt"
        cp -a "$place" "$LAB_STATE/apt"
    fi
    if daemon_runs apt; then return 0; fi
    require_free_port "$LAB_APT_PORT" LAB_APT_PORT
    start_daemon apt busybox httpd -f -p "127.0.0.1:$LAB_APT_PORT" -h "$LAB_STATE/apt"
    wait_for_daemon apt curl -fsS --noproxy '*' "http://127.0.0.1:$LAB_APT_PORT/Release"
}

down_apt() { stop_daemon apt; }

# make_package PLACE NAME VERSION DEPENDS: packs the files below PLACE/work/NAME.
make_package() {
    local place=$1 name=$2 version=$3 depends=$4 tree=$1/work/$2
    mkdir -p "$tree/DEBIAN"
    {
        echo "Package: $name"
        echo "Version: $version"
        echo "Architecture: all"
        [[ -z $depends ]] || echo "Depends: $depends"
        echo "Maintainer: The laboratory <lab@repro.test>"
        echo "Description: frozen package of the laboratory of repro"
    } >"$tree/DEBIAN/control"
    find "$tree" -exec touch -h -d "@$LAB_EPOCH" {} +
    SOURCE_DATE_EPOCH=$LAB_EPOCH dpkg-deb --root-owner-group -Zgzip --build "$tree" "$place/${name}_${version}_all.deb"
}

make_repository() {
    local place=$1 work=$1/work deb
    umask 022
    # A program with a configuration file.
    mkdir -p "$work/lab-hello"/{usr/bin,etc,DEBIAN}
    printf '#!/bin/sh\ncat /etc/lab-hello.conf\n' >"$work/lab-hello/usr/bin/lab-hello"
    chmod 755 "$work/lab-hello/usr/bin/lab-hello"
    echo "hello from a frozen package" >"$work/lab-hello/etc/lab-hello.conf"
    echo /etc/lab-hello.conf >"$work/lab-hello/DEBIAN/conffiles"
    make_package "$place" lab-hello 1.0 ""
    # Data: links, an empty directory, a name that is not ASCII.
    mkdir -p "$work/lab-data/usr/share/lab-data/empty"
    echo data >"$work/lab-data/usr/share/lab-data/déjà-vu.txt"
    ln -s déjà-vu.txt "$work/lab-data/usr/share/lab-data/link"
    make_package "$place" lab-data 2.1 ""
    # A service that adds its user. The day of the last password change is fixed: else /etc/shadow changes every midnight.
    mkdir -p "$work/lab-service"/{DEBIAN,var/lib/lab-service}
    cat >"$work/lab-service/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
if [ "$1" = configure ] && ! getent passwd lab-service >/dev/null; then
    useradd --system --user-group --no-create-home --home-dir /var/lib/lab-service --shell /usr/sbin/nologin lab-service
    chage --lastday 19675 lab-service
    # useradd's backup copies hold the date of today.
    rm -f /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-
    chown lab-service:lab-service /var/lib/lab-service
fi
POSTINST
    chmod 755 "$work/lab-service/DEBIAN/postinst"
    make_package "$place" lab-service 0.3 "lab-hello, lab-data (>= 2.0), passwd"
    rm -r "$work"
    (
        cd "$place" || exit
        for deb in *.deb; do
            dpkg-deb --field "$deb"
            echo "Filename: ./$deb"
            echo "Size: $(stat -c %s "$deb")"
            echo "SHA256: $(sha256sum <"$deb" | cut -d' ' -f1)"
            echo
        done >Packages
        cat >Release <<RELEASE
Origin: repro-lab
Label: repro-lab
Suite: frozen
Codename: frozen
Date: $(LC_ALL=C date -u -d "@$LAB_EPOCH" '+%a, %d %b %Y %H:%M:%S UTC')
Architectures: amd64
Components: main
SHA256:
 $(sha256sum <Packages | cut -d' ' -f1) $(stat -c %s Packages) Packages
RELEASE
        # apt keeps the server's Last-Modified as the time of its lists.
        touch -d "@$LAB_EPOCH" ./*
    )
}
