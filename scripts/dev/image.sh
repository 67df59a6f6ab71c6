# SPDX-License-Identifier: LGPL-2.1-or-later
# ./dev image: the Debian 13 system with the plugin in it, as an OCI archive and as a root file system. Sourced by ../../dev.
#
# The system (packages.txt, section [runtime]) is made on the host, by root, as a tar file in the cache: no installed root of ours is opened to writing. Everything else happens where the
# plugin is built, by whoever calls: scripts/dev/image.py puts the two together, in tar files, so that no file needs another's owner.
# shellcheck shell=bash

HL_RUNTIME_RECIPE=1                   # raise it when make_runtime changes what the system contains
HL_RUNTIME_MB=1400                    # what it weighs with its downloads, for the progress line
HL_RUNTIME_NEEDS_MB=4000              # while it is made: unpacked, with the downloaded packages, and as a tar file

# What belongs to the machine that made the system, or to nobody: apt's lists, caches and sources (they name the archive that was used here), logs, ids, the resolver of this network.
# mmdebstrap itself removes apt.conf.d/00mmdebstrap behind this, and fails where it is gone.
HL_RUNTIME_CLEAN='find "$1"/etc/apt -mindepth 1 -depth ! -name apt.conf.d ! -name 00mmdebstrap -delete
  rm -rf "$1"/var/lib/apt "$1"/var/cache/apt "$1"/var/cache/debconf/*-old "$1"/var/cache/ldconfig/aux-cache "$1"/var/lib/dpkg/*-old "$1"/var/log/* "$1"/run/* "$1"/tmp/*
  rm -f "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/machine-id "$1"/var/lib/dbus/machine-id "$1"/usr/share/info/dir
  : >"$1"/etc/machine-id'

dev_image() {
  if [ "${1:-}" = --pack ]; then pack_image "$2"; return; fi
  local fresh=
  if [ "${1:-}" = --fresh ]; then fresh=1; shift; fi
  [ $# -eq 0 ] || die "image does not know '$1'" "./dev image [--fresh]"
  [ "$HL_SUITE" = trixie ] || die "the image is made of Debian 13" "./dev image, without --suite"
  ! inside || die "an image is made from outside of the Debian 13 root" "leave this shell, then ./dev image"
  make_cache
  export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(image_date)}
  HL_RUNTIME=$HL_CACHE/runtime-$(runtime_key).tar
  [ -z "$fresh" ] || rm -f -- "$HL_RUNTIME"
  [ -f "$HL_RUNTIME" ] || make_runtime
  "$HL_TOP/dev" image --pack "$HL_RUNTIME"
}

# image_for_tests ARG...: `./dev test image` makes what it tests, while it still stands outside of the root. Other roots and sanitizers have no suite of that name, which the runner says.
image_for_tests() {
  [ "$HL_SUITE" = trixie ] || return 0
  case " $* " in *' --asan '* | *' --tsan '*) return 0 ;; esac
  case " $* " in *' image '*) inside || dev_image ;; esac
}

# The time of the last commit: the same checkout gives the same image.
image_date() { git -C "$HL_TOP" log -1 --format=%ct 2>/dev/null || stat -c %Y "$HL_TOP/meson.build"; }

runtime_key() {
  { echo "$HL_SUITE $HL_RUNTIME_RECIPE $(uname -m) $HL_RUNTIME_CLEAN"; packages runtime | sort; } | sha256sum | cut -c 1-12
}

# make_runtime: HL_RUNTIME is written under another name and renamed when complete: one that exists is whole.
make_runtime() {
  lock_maker
  if [ ! -f "$HL_RUNTIME" ]; then
    have apt-get || die "making the Debian 13 system takes apt, and this host has none" "run ./dev image on a Debian or Ubuntu machine: what it makes runs anywhere"
    prepare_maker
    check_disk "$HL_RUNTIME_NEEDS_MB" "the Debian 13 system"
    local sources=()
    mapfile -t sources < <(root_sources /etc/apt)
    install_root_tools "${sources[@]}"
    remove_runtime_work               # left by an interrupted run
    bootstrap_runtime "${sources[@]}"
    as_root chown "$(id -u):$(id -g)" "$HL_RUNTIME.new"
    mv "$HL_RUNTIME.new" "$HL_RUNTIME"
    remove_runtime_work
    say "the system is ready: $HL_RUNTIME"
  fi
  unlock_maker
}

# bootstrap_runtime APT_LINE...: neither apt nor documents other than licences get in; devices come from whoever runs the image.
bootstrap_runtime() {
  local option log=$HL_RUNTIME.log arguments
  arguments=(--variant=essential --mode=root --format=tar "--include=$(packages runtime | paste -sd,)" --skip=output/dev "--customize-hook=$HL_RUNTIME_CLEAN"
    '--aptopt=APT::Install-Recommends "false"' '--aptopt=Acquire::Languages "none"' '--aptopt=Acquire::Retries "3"'
    '--dpkgopt=path-exclude=/usr/share/doc/*' '--dpkgopt=path-include=/usr/share/doc/*/copyright')
  for option in man info locale lintian help gtk-doc; do
    arguments+=("--dpkgopt=path-exclude=/usr/share/$option/*")
  done
  while IFS= read -r option; do arguments+=("--aptopt=$option"); done < <(host_apt_options)
  arguments+=("$HL_SUITE" "$HL_RUNTIME.new")
  for option in "$@"; do [ -z "$option" ] || arguments+=("$option"); done
  say "making the Debian 13 system of the image, once: about 300 MB to download, 2 to 4 minutes"
  mkdir -p "$HL_CACHE/runtime.work"
  run_with_progress exec_as_root "$log" runtime_progress bash -c "$HL_CONTAIN" "$HL_CACHE" env TMPDIR="$HL_CACHE/runtime.work" SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
    LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin mmdebstrap "${arguments[@]}" ||
    { tail -n 12 "$log" >&2; remove_runtime_work; explain_apt_failure "$log" "the Debian 13 system of the image could not be made"; }
  rm -f "$HL_CACHE/root.maker.pid"
}

runtime_progress() { size_progress "$HL_CACHE/runtime.work" "$HL_RUNTIME_MB"; }

remove_runtime_work() { as_root rm -rf --one-file-system -- "$HL_CACHE/runtime.work" "$HL_RUNTIME.new"; }

# pack_image RUNTIME: in the place where the plugin is built.
pack_image() {
  local stage
  take_variant --release
  build quiet image-contents
  stage=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf -- '$stage'" EXIT
  meson install -C "$HL_BUILD" --no-rebuild --quiet --destdir "$stage" || die "the plugin could not be installed into the image" "./dev build --release shows whether it builds"
  mkdir -p "$HL_TOP/out/image"
  python3 "$HL_TOP/scripts/dev/image.py" --runtime "$1" --stage "$stage" --build "$HL_BUILD" --out "$HL_TOP/out/image" ||
    die "the image could not be written" "the message is above; it takes 2 GB in $HL_TOP/out"
}
