#!/usr/bin/env bash
# Unpacks Debian's SoftHSM2, a PKCS#11 device in software, into the folder given, without installing it or being root;
# tests of keys in a device use it. Prints the library's path.
set -euo pipefail
folder=$1
[ -e "$folder/usr/bin/softhsm2-util" ] || {
    packages=$(mktemp -d)
    trap 'rm -rf "$packages"' EXIT
    cd "$packages"
    apt-get download --quiet --quiet softhsm2 libsofthsm2 >&2 || {
        apt-get update --quiet --quiet >&2
        apt-get download --quiet --quiet softhsm2 libsofthsm2 >&2
    }
    mkdir -p "$folder"
    # The program last: it is what tells that everything is there.
    for package in libsofthsm2_*.deb softhsm2_*.deb; do
        dpkg-deb --extract "$package" "$folder"
    done
}
ls "$folder"/usr/lib/*/softhsm/libsofthsm2.so
