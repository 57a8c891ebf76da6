# Sourced by what makes a host or a container out of this machine, in a mount namespace of its own:
# installs Hamgate into /opt/hamgate. What is written goes to memory and is gone with the namespace.
# Given by the environment: PYTHON (its prefix), PACKAGES (site-packages with what requirements.lock
# names), WHEEL (of Hamgate).
set -euo pipefail

mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/packages /mnt/python
mount --bind "$PACKAGES" /mnt/packages
mount --bind "$PYTHON" /mnt/python
cp "$WHEEL" /mnt/

layer() { # lower folder, where: what is written there is kept in memory
  mkdir -p "/mnt/upper$2" "/mnt/work$2"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper$2,workdir=/mnt/work$2" "$2"
}
layer /etc /etc
layer /var /var
mount -t tmpfs -o mode=755 tmpfs /opt
mount -t tmpfs -o mode=755 tmpfs /run

# Python, where one who may not look into home folders finds it.
mkdir /opt/python
mount --bind /mnt/python /opt/python
echo /opt/python/lib > /etc/ld.so.conf.d/python.conf
ldconfig

# An environment, what the lock file names, the wheel.
/opt/python/bin/python3 -m venv --without-pip /opt/hamgate
site=$(echo /opt/hamgate/lib/python3.*/site-packages)
layer /mnt/packages "$site"
rm -f "$site"/*hamgate*.pth
rm -rf "$site"/hamgate-*.dist-info
/opt/python/bin/python3 -m zipfile -e /mnt/*.whl "$site"
printf '#!/opt/hamgate/bin/python\nfrom service.cli import main\nmain()\n' > /opt/hamgate/bin/hamgate
chmod 755 /opt/hamgate/bin/hamgate
# As pip would: who may not write here would else compile it anew at each start.
/opt/hamgate/bin/python -m compileall -q "$site"/{service,classifier,workers}
