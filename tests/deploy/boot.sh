#!/bin/bash
# Makes a host out of this machine, in namespaces of its own, and becomes its systemd.
#
# Given by the environment: what install.sh wants, ETC (what lies in /etc before the install), UNITS
# (deploy/systemd), LOGS, ALSO (other units to start).
. "$(dirname "$0")/install.sh"

mkdir /mnt/logs /mnt/etc.given /mnt/units /mnt/empty
mount --bind "$LOGS" /mnt/logs
mount --bind "$ETC" /mnt/etc.given
mount --bind "$UNITS" /mnt/units
mkdir -p /run/lock /run/systemd

# The units and their user, as the README has it.
cp -r /mnt/etc.given/. /etc/
rm -f /etc/nginx/sites-enabled/default
install -D -m 0644 /mnt/units/hamgate.sysusers.conf /etc/sysusers.d/hamgate.conf
systemd-sysusers
cp -r /mnt/units/hamgate* /etc/systemd/system/
# There is no journal here.
printf '[Service]\nStandardOutput=append:/mnt/logs/%%n\nStandardError=inherit\n' \
  > /etc/systemd/system/hamgate-.service.d/99-log.conf

# What this machine starts with has no place on that host.
for wants in /usr/lib/systemd/system/*.wants; do mount --bind /mnt/empty "$wants"; done
rm -rf /etc/systemd/system/*.wants
cat > /etc/systemd/system/everything.target <<UNIT
[Unit]
Wants=hamgate.target $ALSO
UNIT

mount -t cgroup2 cgroup2 /sys/fs/cgroup
# As systemd has it where it is no guest: it hands credentials to units by mounts that propagate.
mount --make-rshared /
export container=other
exec /lib/systemd/systemd --system --unit=everything.target --log-target=console --log-level=notice
