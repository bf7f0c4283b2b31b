#!/bin/bash
# Unpacks Debian packages into a tree without installing them: nothing of this machine changes, no service starts.
#
#   packages.sh OUTPUT SOURCES_LIST PACKAGE...
set -euo pipefail

output=$(realpath -m "$1")
sources=$(realpath "$2")
shift 2
work=$(mktemp -d "$(dirname "$output")/packages.XXXXXX")
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/lists/partial" "$work/archives" "$output"
apt_options=(-o "Dir::Etc::sourcelist=$sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
apt_options+=(-o "Dir::Cache::pkgcache=$work/pkgcache.bin" -o "Dir::Cache::srcpkgcache=$work/srcpkgcache.bin")
apt-get "${apt_options[@]}" -q update
cd "$work/archives"
apt-get "${apt_options[@]}" -q download "$@"
for package in ./*.deb; do
    dpkg-deb --extract "$package" "$output"
    dpkg-deb --show --showformat '${Package} ${Version}\n' "$package" >> "$output/versions"
done
