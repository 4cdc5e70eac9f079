#!/usr/bin/env bash
# Installs what the tests need that cargo does not bring: a real Prometheus, etcd and Kubernetes API server.
#
#   prometheus, promtool, etcd   Debian packages
#   kube-apiserver               where KUBEBUILDER_ASSETS is set, the one in that folder (the envtest convention);
#                                otherwise built once from Debian's own source package with Debian's Go, and kept in
#                                ${XDG_CACHE_HOME:-~/.cache}/ripcord, outside the tree
#
# Safe to run again: what is there is left alone.
set -euo pipefail

cache="${RIPCORD_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ripcord}"
assets="${KUBEBUILDER_ASSETS:-$cache/kubernetes}"
apt_updated=

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

need_apt() {
    command -v apt-get >/dev/null || {
        say "This system has no apt-get. Install $* by hand (and set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd), then run make test again."
        exit 1
    }
}

apt_install() {
    need_apt "$@"
    if [ -z "$apt_updated" ]; then
        say "Updating the package lists"
        as_root apt-get update -qq
        apt_updated=1
    fi
    say "Installing $*"
    # A policy-rc.d that says 101 keeps the packages' services from starting: the tests start their own.
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        ours=1
    fi
    local status=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 || status=$?
    if [ -n "$ours" ]; then as_root rm -f "$policy"; fi
    return "$status"
}

missing=()
command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
command -v etcd >/dev/null || [ -x "$assets/etcd" ] || missing+=(etcd-server)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
[ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"

# One that was built before this script mended it dies at the first custom resource: it is built anew.
mended="$assets/kube-apiserver.mended"
if [ -x "$assets/kube-apiserver" ] && { [ -n "${KUBEBUILDER_ASSETS:-}" ] || [ -e "$mended" ]; }; then
    say "kube-apiserver: $assets/kube-apiserver"
    exit 0
fi
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS holds no kube-apiserver. Unset it to have one built, or point it at a folder that has one."
    exit 1
fi

# The binary is built where nobody else writes and moved into place whole, so that a build cut off leaves nothing half-made.
need_apt dpkg-dev golang-1.19-go rsync
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
apt_install dpkg-dev golang-1.19-go rsync

# Debian ships the sources beside the binaries: the same archives as configured here, with "deb-src" for "deb".
mkdir -p "$build/apt/parts" "$build/apt/lists/partial"
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$list" ] || continue
    sed -n 's/^deb\( .*debian.*\)$/deb-src\1/p' "$list" >> "$build/apt/parts/sources.list"
done
for list in /etc/apt/sources.list.d/*.sources; do
    [ -f "$list" ] || continue
    grep -qi 'debian-archive-keyring' "$list" || continue
    sed 's/^Types:.*/Types: deb-src/' "$list" > "$build/apt/parts/$(basename "$list")"
done
apt_src=(-o "Dir::Etc::sourcelist=$build/apt/parts/sources.list" -o "Dir::Etc::sourceparts=$build/apt/parts"
    -o "Dir::State::Lists=$build/apt/lists" -o "APT::Sandbox::User=root")
[ -s "$build/apt/parts/sources.list" ] || rm -f "$build/apt/parts/sources.list"
say "Fetching the source of kube-apiserver"
as_root apt-get "${apt_src[@]}" update -qq
mkdir -p "$build/go/src/k8s.io"
(cd "$build" && apt-get "${apt_src[@]}" source -qq kubernetes golang-github-modern-go-reflect2 >&2)
unpacked=$(find "$build" -maxdepth 1 -type d -name 'kubernetes-*' | head -n 1)
[ -n "$unpacked" ] || { say "The source package kubernetes unpacked to no folder kubernetes-*; set KUBEBUILDER_ASSETS instead."; exit 1; }
mv "$unpacked" "$build/go/src/k8s.io/kubernetes"

# The reflect2 that it brings (1.0.1) calls Go's runtime as it was before 1.18: the API server dies of a fault when it decodes a custom
# resource. Debian's own (1.0.2) does not.
reflect2=$(find "$build" -maxdepth 1 -type d -name '*reflect2-*' | head -n 1)
[ -n "$reflect2" ] || { say "The source package of reflect2 unpacked to no folder *reflect2-*; set KUBEBUILDER_ASSETS instead."; exit 1; }
vendored="$build/go/src/k8s.io/kubernetes/vendor/github.com/modern-go/reflect2"
rm -f "$vendored"/*.go "$vendored"/*.s
cp "$reflect2"/*.go "$reflect2"/*.s "$vendored/"
rm -f "$vendored"/*_test.go

say "Building kube-apiserver (about five minutes on two cores)"
(
    cd "$build/go/src/k8s.io/kubernetes"
    export PATH="/usr/lib/go-1.19/bin:$PATH" GOPATH="$build/go" GO111MODULE=off CGO_ENABLED=0 GOCACHE="$build/gocache" GOFLAGS=
    make WHAT=cmd/kube-apiserver GOLDFLAGS="-s -w" >&2
)
mkdir -p "$assets"
built=$(find "$build/go/src/k8s.io/kubernetes/_output" -type f -name kube-apiserver | head -n 1)
install -m 755 "$built" "$assets/.kube-apiserver.new"
mv "$assets/.kube-apiserver.new" "$assets/kube-apiserver"
touch "$mended"
say "kube-apiserver: $assets/kube-apiserver"
