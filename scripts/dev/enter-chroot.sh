#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# enter-chroot.sh ROOT UID GID DIR... -- CMD...: runs CMD in ROOT, with the DIRs of the host at the same paths. Must run as root, in a mount namespace of its own:
# every mount here disappears with it.
set -euo pipefail

root=$1 uid=$2 gid=$3
shift 3

mount --bind "$root" "$root"
while [ "$1" != -- ]; do
  mkdir -p "$root$1"
  mount --rbind "$1" "$root$1"
  shift
done
shift
mount -o remount,bind,ro "$root"
mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/var/tmp"
for path in /run/user /run/udev; do
  if [ -d "$path" ]; then
    mkdir -p "$root$path"
    mount --rbind "$path" "$root$path"
  fi
done
for path in /etc/passwd /etc/group /etc/hosts /etc/resolv.conf /etc/localtime /etc/machine-id; do
  target=$(readlink -f "$path") || continue
  if [ -f "$target" ] && [ -f "$root$path" ] && [ ! -L "$root$path" ]; then mount --bind "$target" "$root$path"; fi
done
if [ "$uid" -eq 0 ]; then exec chroot "$root" "$@"; fi
exec chroot "$root" setpriv --reuid "$uid" --regid "$gid" --init-groups -- "$@"
