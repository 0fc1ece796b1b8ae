#!/bin/sh
# Prints the directory that prometheus and promtool are in. Where they are not installed, Debian's package
# is unpacked under target/: installing it would start a service.
set -eu

for directory in $(dirname "$(command -v promtool || echo /)") target/prometheus/usr/bin; do
    if [ -x "$directory/prometheus" ] && [ -x "$directory/promtool" ]; then
        echo "$directory"
        exit
    fi
done

mkdir -p target/prometheus
cd target/prometheus
apt-get download prometheus >&2 || {
    apt-get update >&2
    apt-get download prometheus >&2
}
dpkg-deb --extract prometheus_*.deb .
echo target/prometheus/usr/bin
