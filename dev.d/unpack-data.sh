#!/bin/bash
# dev.d/unpack-data.sh DESTINATION LIST - fetches the packages named in LIST and unpacks them.
# SPDX-License-Identifier: GPL-3.0-or-later
# Unpacked only: no maintainer script runs. Of a dependency only the real kernel image is followed.
set -euo pipefail

destination=$1 list=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

names=$(sed -e 's/#.*//' "$list")
for name in $names; do
    names+=" $(apt-cache depends "$name" | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p')"
done
cd "$work"
# shellcheck disable=SC2086
apt-get -q -o APT::Sandbox::User=root download $names
for deb in ./*.deb; do
    dpkg-deb --fsys-tarfile "$deb" |
        tar -x -C "$destination" --keep-directory-symlink --no-same-owner \
            --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*'
done
