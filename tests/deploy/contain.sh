#!/bin/bash
# Makes a container out of this machine, in namespaces of its own, and becomes its command: nobody,
# with nothing to write to but memory.
#
# Given by the environment: what install.sh wants, SECRETS (their folder). Given by the arguments:
# the user as UID:GID, and the command with its environment, as env(1) takes it.
. "$(dirname "$0")/install.sh"

IFS=: read -r uid gid <<< "$1"
shift
mkdir /run/secrets /var/lib/hamgate
mount --bind "$SECRETS" /run/secrets
mount -t tmpfs -o mode=1777 tmpfs /tmp
for place in $(findmnt --noheadings --list --output TARGET); do
  case $place in
    /proc* | /dev* | /sys*) ;;
    *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;;
  esac
done
mount -o remount,bind,rw /tmp
mount -t tmpfs -o "uid=$uid,gid=$gid,mode=0700" tmpfs /var/lib/hamgate
cd /var/lib/hamgate
exec env -i setpriv --reuid="$uid" --regid="$gid" --clear-groups --no-new-privs \
  --inh-caps=-all --bounding-set=-all -- env "$@"
