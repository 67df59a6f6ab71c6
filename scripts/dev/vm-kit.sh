#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# vm-kit.sh KIT: what a virtual machine over the Debian 13 root needs beyond it, unpacked into the directory KIT: QEMU, the newest kernel of trixie-backports with its
# headers and modules, test drivers that Debian does not build, an initramfs, and a few tools. Runs inside the root, as whoever calls; nothing is installed. KIT is made in
# KIT.new and renamed when complete: a kit that exists is whole.
set -euo pipefail

HL_TOP=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
for part in common sources packages; do
  # shellcheck source=/dev/null
  . "$HL_TOP/scripts/dev/$part.sh"
done

HL_KERNEL_AT_LEAST=7.2
HL_QEMU_AT_LEAST=1:10.1

# The drivers that tests want and Debian leaves out: module, and where the kernel source has it (a directory with a Makefile of its own, or one file).
HL_EXTRA_MODULES=(
  'v4l2-mem2mem drivers/media/v4l2-core/v4l2-mem2mem.c'
  'vim2m drivers/media/test-drivers/vim2m.c'
  'vicodec drivers/media/test-drivers/vicodec'
  'vkms drivers/gpu/drm/vkms'
)
# What the guest loads before it sees a file system.
HL_BOOT_MODULES=(9pnet_virtio 9p overlay)
# Where the modules lie that the guest loads: unpacked here, which is quicker than on an emulated processor.
HL_GUEST_MODULES=(net/9p fs/9p fs/netfs fs/overlayfs fs/configfs drivers/media/common drivers/media/v4l2-core drivers/media/mc drivers/media/cec drivers/media/rc
  drivers/media/test-drivers 'drivers/gpu/drm/*.ko.xz' drivers/gpu/drm/display drivers/gpu/drm/tiny drivers/gpu/drm/vgem drivers/gpu/drm/virtio drivers/accel/habanalabs)

kit=$1.new
tree=$kit/root                        # what the guest sees over the root
work=$kit/work

step() { printf 'I: %s\n' "$*"; }

# apt with a state of its own: it knows what the root has, writes only below the kit, and takes from backports what this file names and nothing else.
configure_apt() {
  mkdir -p "$work/lists/partial" "$work/archives/partial"
  if [ -n "${HL_DEBIAN_MIRROR:-}" ]; then root_sources /etc/apt; else cat /etc/apt/sources.list; fi | grep '^deb ' >"$work/sources.list"
  sed -n "s/ $HL_SUITE main\$/ $HL_SUITE-backports main/p" "$work/sources.list" >"$work/backports.list"
  cat "$work/backports.list" >>"$work/sources.list"
  local name
  for name in 'linux-binary-*' 'linux-modules-*' 'linux-headers-*' 'linux-kbuild-*' 'linux-source-*' 'linux-base*' 'qemu-*' seabios; do
    printf 'Package: %s\nPin: release n=%s-backports\nPin-Priority: 600\n\n' "$name" "$HL_SUITE"
  done >"$work/preferences"
  cat >"$work/apt.conf" <<CONF
Dir::State "$work"; Dir::State::Lists "$work/lists"; Dir::State::status "/var/lib/dpkg/status"; Dir::State::extended_states "$work/extended_states";
Dir::Cache "$work"; Dir::Cache::archives "$work/archives"; Dir::Log "$work";
Dir::Etc::SourceList "$work/sources.list"; Dir::Etc::SourceParts "/dev/null"; Dir::Etc::Preferences "$work/preferences"; Dir::Etc::PreferencesParts "/dev/null";
Debug::NoLocking "true"; APT::Sandbox::User ""; APT::Install-Recommends "false"; Acquire::Languages "none"; Acquire::Retries "3";
APT::Update::Error-Mode "any";
CONF
  export APT_CONFIG=$work/apt.conf
}

# The newest kernel's version as its packages are named, for instance 7.2.12+deb13.
newest_kernel() {
  local version
  version=$(apt-cache search --names-only '^linux-binary-[0-9][^-]*-amd64$' | sed -n 's/^linux-binary-\([^ ]*\)-amd64 .*/\1/p' | sort -V | tail -n 1)
  version_at_least "$version" "$HL_KERNEL_AT_LEAST" ||
    die "the archive's $HL_SUITE-backports has no kernel >= $HL_KERNEL_AT_LEAST (newest: ${version:-none})" "HL_DEBIAN_MIRROR=URL names another archive"
  echo "$version"
}

fetch() {
  step 'reading the package lists'
  apt-get -q update
  kernel=$(newest_kernel)
  release=$kernel-amd64
  source_package=linux-source-$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$kernel")
  version_at_least "$(candidates qemu-system-x86 | sed 's/.* //')" "$HL_QEMU_AT_LEAST" || die "the archive's $HL_SUITE-backports has no QEMU >= ${HL_QEMU_AT_LEAST#*:}"
  step "downloading Linux $kernel, QEMU and tools"
  # shellcheck disable=SC2046
  apt-get -q -y --no-install-recommends --no-upgrade --download-only install \
    "linux-binary-$release" "linux-modules-$release" "linux-headers-$release" $(packages vm)
  step 'downloading the kernel source'
  (cd "$work" && apt-get -q download "$source_package=$(candidates "linux-binary-$release" | sed 's/.* //')")
}

unpack() {
  local package
  step 'unpacking'
  mkdir -p "$tree"
  ln -s usr/lib "$tree/lib"
  for package in "$work"/archives/*.deb; do
    # A package that the root has in another version is of no use beside it.
    case ${package##*/} in linux-libc-dev_*) continue ;; esac
    dpkg -x "$package" "$tree"
  done
  rm -rf "$work/archives"
  export PATH=$tree/usr/bin:$tree/usr/sbin:$PATH LD_LIBRARY_PATH=$tree/usr/lib/x86_64-linux-gnu
}

# build_modules: those of HL_EXTRA_MODULES that this kernel does not bring itself, from Debian's source of the same version, against its headers.
build_modules() {
  local modules=$tree/usr/lib/modules/$release headers=$tree/usr/src/linux-headers-$release entry name path paths=() objects=() options=() wanted=()
  for entry in "${HL_EXTRA_MODULES[@]}"; do
    read -r name path <<<"$entry"
    [ -z "$(find "$modules/kernel" -name "$name.ko*")" ] || continue
    wanted+=("$name")
    paths+=("*/$path")
    case $path in *.c) objects+=("${path%.c}.o") ;; *) objects+=("$path/") ;; esac
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  step "building ${wanted[*]}"
  mkdir "$work/source"
  dpkg --fsys-tarfile "$work"/linux-source-*.deb | tar -x --wildcards -O '*.tar.xz' >"$work/source.tar.xz"
  rm "$work"/linux-source-*.deb
  xz -T0 -dc "$work/source.tar.xz" | tar -x -C "$work/source" --strip-components=1 --wildcards "${paths[@]}"
  rm "$work/source.tar.xz"
  # The headers expect to lie in /usr/src.
  sed -i "s,/usr/src/,$tree/usr/src/,g" "$headers/Makefile"
  printf 'obj-m := %s\n' "${objects[*]}" >"$work/source/Kbuild"
  # Their Makefiles ask for the configuration that would have built them.
  options=(CONFIG_DRM_VKMS=m CONFIG_VIDEO_VICODEC=m)
  make -j"$(nproc)" -C "$headers" M="$work/source" "${options[@]}" modules
  sed -i "s,$tree/usr/src/,$1/root/usr/src/,g" "$headers/Makefile"
  mkdir "$modules/extra"
  for name in "${wanted[@]}"; do
    find "$work/source" -name "$name.ko" -exec strip --strip-debug -o "$modules/extra/$name.ko" {} \;
    [ -s "$modules/extra/$name.ko" ] || die "the kernel module $name was not built"
  done
}

unpack_modules() {
  local path
  step 'unpacking modules'
  for path in "${HL_GUEST_MODULES[@]}"; do
    # shellcheck disable=SC2086
    find "$tree/usr/lib/modules/$release/kernel"/$path -name '*.ko.xz' -exec xz -d {} + 2>/dev/null || true
  done
  depmod -b "$tree" "$release"
}

make_initramfs() {
  local image=$work/initramfs path
  step 'making the initramfs'
  mkdir -p "$image"/{bin,proc,sys,dev,share,modules}
  cp "$tree/usr/bin/busybox" "$image/bin/"
  install -m 755 "$HL_TOP/tests/vm/guest/init" "$image/init"
  modprobe -d "$tree" -S "$release" -a --show-depends "${HL_BOOT_MODULES[@]}" | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
    while read -r path; do
      cp "$path" "$image/modules/"
      basename "$path" >>"$image/modules/order"
    done
  [ -s "$image/modules/order" ] || die "the kernel's modules ${HL_BOOT_MODULES[*]} were not found"
  (cd "$image" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$kit/initramfs"
  ln -s "root/usr/lib/modules/$release/vmlinuz" "$kit/vmlinuz"
  printf '%s\n' "$release" >"$kit/kernel-release"
}

rm -rf -- "$kit"
mkdir -p "$work"
configure_apt
fetch
unpack "$1"
build_modules "$1"
unpack_modules
make_initramfs
rm -rf -- "$work"
mv "$kit" "$1"
step 'ready'
