#!/bin/bash
# Builds the Kubernetes binaries of a base image from Debian's source package.
#
#   kubernetes.sh OUTPUT SOURCES_LIST STAMP...
#
# OUTPUT        directory that receives one sub-directory of static binaries per stamp
# SOURCES_LIST  apt sources file with a deb-src entry, outside /etc
# STAMP         version the binaries report (v1.20.2). A second stamp names the same code: it exists to
#               exercise upgrades, and only the final link step is repeated for it.
set -euo pipefail

output=$(realpath -m "$1")
sources=$(realpath "$2")
shift 2
# Kept when the build fails, with the source and everything compiled so far: the next run resumes.
work="${output%.partial}.work"
export GOPATH="$work/go" GO111MODULE=off CGO_ENABLED=0 GOFLAGS=
export GOCACHE="$work/go-cache" GOTMPDIR="$work"
final="$GOPATH/src/k8s.io/kubernetes"

fetch_source() {
    # Our own lists directory: the machine's package lists stay as they are.
    rm -rf "$work"
    mkdir -p "$work/lists/partial" "$work/source"
    apt_options=(-o "Dir::Etc::sourcelist=$sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
    apt-get "${apt_options[@]}" -q update
    cd "$work/source"
    apt-get "${apt_options[@]}" -q source kubernetes
    tree=$(find "$work/source" -mindepth 1 -maxdepth 1 -type d -name 'kubernetes-*')

    # The vendored reflect2 crashes on Go 1.18 and later; Debian carries a release that does not.
    rm -rf "$tree/vendor/github.com/modern-go/reflect2"
    cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 "$tree/vendor/github.com/modern-go/reflect2"

    mkdir -p "$(dirname "$final")"
    mv "$tree" "$final"
}

[ -d "$final" ] || fetch_source
cd "$final"

for stamp in "$@"; do
    numbers=${stamp#v}
    export KUBE_GIT_VERSION="$stamp" KUBE_GIT_MAJOR="${numbers%%.*}" KUBE_GIT_TREE_STATE=clean
    rest=${numbers#*.}
    export KUBE_GIT_MINOR="${rest%%.*}" KUBE_GIT_COMMIT=debian SOURCE_DATE_EPOCH=0
    make WHAT="cmd/kubeadm cmd/kubelet cmd/kubectl cmd/kube-proxy cmd/kube-scheduler cmd/kube-controller-manager cmd/kube-apiserver"
    mkdir -p "$output/$stamp"
    for binary in kubeadm kubelet kubectl kube-proxy kube-scheduler kube-controller-manager kube-apiserver; do
        strip -o "$output/$stamp/$binary" "_output/local/go/bin/$binary"
    done
done

cd /
rm -rf "$work"
