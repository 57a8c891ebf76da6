#!/bin/bash
# Makes a host out of this one, in namespaces of its own, and becomes its systemd.
#
# Everything written goes to memory and is gone with the host. Given by the environment: PYTHON
# (its prefix), PACKAGES (site-packages with what requirements.lock names), WHEEL (of Hamgate), ETC
# (what lies in /etc before the install), UNITS (deploy/systemd), LOGS.
set -euo pipefail

mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/logs /mnt/etc.given /mnt/units /mnt/packages /mnt/python /mnt/empty
mount --bind "$LOGS" /mnt/logs
mount --bind "$ETC" /mnt/etc.given
mount --bind "$UNITS" /mnt/units
mount --bind "$PACKAGES" /mnt/packages
mount --bind "$PYTHON" /mnt/python
cp "$WHEEL" /mnt/

layer() { # lower folder, where: what is written there is kept in memory
  mkdir -p "/mnt/upper$2" "/mnt/work$2"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper$2,workdir=/mnt/work$2" "$2"
}
layer /etc /etc
layer /var /var
mount -t tmpfs tmpfs /opt
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/systemd

# Python, where a unit that may not look into home folders finds it.
mkdir /opt/python
mount --bind /mnt/python /opt/python
echo /opt/python/lib > /etc/ld.so.conf.d/python.conf
ldconfig

# The install: an environment, what the lock file names, the wheel.
/opt/python/bin/python3 -m venv --without-pip /opt/hamgate
site=$(echo /opt/hamgate/lib/python3.*/site-packages)
layer /mnt/packages "$site"
rm -f "$site"/*hamgate*.pth
rm -rf "$site"/hamgate-*.dist-info
/opt/python/bin/python3 -m zipfile -e /mnt/*.whl "$site"
printf '#!/opt/hamgate/bin/python\nfrom service.cli import main\nmain()\n' > /opt/hamgate/bin/hamgate
chmod 755 /opt/hamgate/bin/hamgate

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
