# SPDX-License-Identifier: LGPL-2.1-or-later
# Choosing where to build, and making a Debian root. Sourced by ../../dev.
# shellcheck shell=bash

HL_ROOT_RECIPE=1                      # raise it when make_root changes what a root contains

# Files and directories that enter.sh binds over: they must exist in the root.
HL_ROOT_MOUNT_POINTS=(etc/resolv.conf etc/hosts etc/localtime etc/machine-id)

# prepare_machine COMMAND: returns if this host is the place to build. Otherwise makes the root if need be and re-enters the script there with the
# arguments of the whole invocation (HL_ARGS), never to return.
prepare_machine() {
  local sections mode=${HL_DEV_MODE:-auto}
  read -ra sections <<<"$(sections_for "$1")"
  make_cache
  [ "$mode-$HL_SUITE" != native-sid ] || die "HL_DEV_MODE=native, and --suite sid is a root" "unset HL_DEV_MODE"
  if wants_root "$1"; then mode=root; fi
  case $mode in
    native)
      host_suffices "${sections[@]}" ||
        die "HL_DEV_MODE=native, but this host's archive does not offer GStreamer >= 1.26, GCC >= 14 and the packages of scripts/dev/packages.txt" "unset HL_DEV_MODE"
      use_host "${sections[@]}"
      return
      ;;
    auto)
      if host_suffices "${sections[@]}"; then
        use_host "${sections[@]}"
        return
      fi
      ;;
    root) ;;
    *) die "HL_DEV_MODE is '$mode'" "set it to native or root, or unset it" ;;
  esac
  HL_ROOT=$HL_CACHE/root-$(root_key "${sections[@]}")
  [ -d "$HL_ROOT" ] || make_root "${sections[@]}"
  enter_root
}

# What a root weighs with its downloads, before they are deleted.
root_mb() { case $HL_SUITE in trixie) echo 2900 ;; *) echo 3700 ;; esac; }

# wants_root COMMAND: whatever the host offers. The virtual machine's file system is the root's.
wants_root() { [ "$1" = vm ] || [ "$HL_SUITE" != trixie ]; }

# root_key SECTION...: what a root is made of, as 12 hex digits.
root_key() {
  { echo "$HL_SUITE $HL_ROOT_RECIPE $(uname -m)"; packages "$@" | sort; } | sha256sum | cut -c 1-12
}

# The root is built in ROOT.new and renamed when complete: a root that exists is whole. One builder at a time; a second one waits and finds it done.
make_root() {
  lock_maker
  if [ ! -d "$HL_ROOT" ]; then
    have apt-get || die "this host has neither GStreamer >= 1.26 with GCC >= 14 nor apt to make a $(suite_title) root with" \
      "use a Debian or Ubuntu machine, or a container with Debian 13"
    prepare_maker
    remove_root "$HL_ROOT.new"        # left by an interrupted run
    check_disk "$(($(root_mb) + 1100))" "the $(suite_title) root"
    local sources=()
    mapfile -t sources < <(root_sources /etc/apt)
    install_root_tools "${sources[@]}"
    build_root "${sources[@]}" -- "$@"
    as_root mv "$HL_ROOT.new" "$HL_ROOT"
    say "the root is ready: $HL_ROOT"
    mention_old_roots
  fi
  unlock_maker
}

# lock_maker, unlock_maker: between them, no other ./dev makes anything with mmdebstrap.
lock_maker() {
  exec {HL_MAKER_LOCK}>"$HL_CACHE/root.lock"
  if ! flock -n "$HL_MAKER_LOCK"; then
    say "another ./dev is making the root: waiting for it"
    flock "$HL_MAKER_LOCK"
  fi
}

unlock_maker() { exec {HL_MAKER_LOCK}>&-; }

# Before mmdebstrap: it may do its work, and no other is at work. A killed ./dev may leave one, which holds root.maker.lock.
prepare_maker() {
  is_root || need_sudo
  check_mounts
  as_root flock --nonblock "$HL_CACHE/root.maker.lock" true ||
    { say "an abandoned set-up is still running: waiting for its end"; as_root flock "$HL_CACHE/root.maker.lock" true; }
  rm -f "$HL_CACHE/root.maker.pid"
}

mention_old_roots() {
  local dir
  for dir in "$HL_CACHE"/root-*; do
    [ -d "$dir" ] && [ "$dir" != "$HL_ROOT" ] || continue
    say "there are roots of other package lists beside it; ./dev clean removes those that this checkout does not use"
    return
  done
}

# Seen before minutes are spent: a container that forbids mounts can neither make a root nor enter one.
check_mounts() {
  as_root unshare --mount --propagation private true 2>/dev/null || die_no_mounts
}

die_no_mounts() {
  die "this container may not mount file systems, and its own GStreamer is too old to build here" \
    "start it with --privileged, or with --cap-add SYS_ADMIN and no seccomp and AppArmor confinement" \
    "or use a Debian 13 container: there nothing needs to be mounted"
}

# check_disk MB WHAT
check_disk() {
  local free
  free=$(df -Pm "$HL_CACHE" | awk 'NR == 2 { print $4 }')
  [ "$free" -ge "$1" ] ||
    die "$HL_CACHE has $free MB free, $2 needs $1 MB while it is made" \
      "free some space (./dev clean removes old roots), or set XDG_CACHE_HOME to a directory on a larger disk"
}

install_root_tools() {
  local tools=(mmdebstrap debian-archive-keyring)
  is_root || tools+=(bubblewrap)
  case "$*" in *https://*) tools+=(ca-certificates) ;; esac
  install_packages "${tools[@]}"
}

# build_root APT_LINE... -- SECTION...
build_root() {
  local sources=() option include log=$HL_ROOT.log
  while [ "$1" != -- ]; do [ -z "$1" ] || sources+=("$1"); shift; done
  shift
  include=$(packages "$@" | paste -sd,)
  local arguments=(--variant=apt --mode=root --format=directory "--include=$include"
    '--aptopt=APT::Install-Recommends "false"' '--aptopt=Acquire::Languages "none"' '--aptopt=Acquire::Retries "3"')
  for option in doc man info locale lintian help gtk-doc; do
    arguments+=("--dpkgopt=path-exclude=/usr/share/$option/*")
  done
  while IFS= read -r option; do arguments+=("--aptopt=$option"); done < <(host_apt_options)
  for option in "${HL_ROOT_MOUNT_POINTS[@]}"; do
    arguments+=("--customize-hook=[ -e \"\$1/$option\" ] || [ -L \"\$1/$option\" ] || touch \"\$1/$option\"")
  done
  arguments+=("$HL_SUITE" "$HL_ROOT.new")
  if [ ${#sources[@]} -eq 0 ]; then
    say "no Debian archive in this host's apt sources: using the one mmdebstrap knows (HL_DEBIAN_MIRROR=URL names another)"
  else
    printf '[dev]   %s\n' "${sources[@]}" >&2
    arguments+=("${sources[@]}")
  fi
  say "making a $(suite_title) root, once: about 600 MB to download, 2 to 5 minutes"
  run_with_progress exec_as_root "$log" root_progress bash -c "$HL_CONTAIN" "$HL_CACHE" env -u TMPDIR LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin mmdebstrap "${arguments[@]}" ||
    { tail -n 12 "$log" >&2; remove_root "$HL_ROOT.new"; explain_apt_failure "$log" "the $(suite_title) root could not be made"; }
  rm -f "$HL_CACHE/root.maker.pid"
}

# mmdebstrap, told to stop, first finishes what it is at, and leaves its mounts if killed. So it runs in namespaces of its own: killing the process named in
# root.maker.pid ends all of it and every mount, and root.maker.lock is held until then. It hands descriptors to dash by number, and dash knows none above 9: those of ours are closed.
HL_CONTAIN='for fd in /proc/self/fd/*; do [ "${fd##*/}" -le 2 ] || eval "exec ${fd##*/}>&-"; done
  echo $$ >"$0/root.maker.pid"
  exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc flock --no-fork "$0/root.maker.lock" "$@"'

stop_maker() {
  [ -s "$HL_CACHE/root.maker.pid" ] || return 1
  as_root kill -KILL "$(cat "$HL_CACHE/root.maker.pid")"
  rm -f "$HL_CACHE/root.maker.pid"
}

# How this host's apt reaches an archive (proxy, certificates, stale mirrors) holds for the root too.
host_apt_options() {
  LC_ALL=C apt-config dump 2>/dev/null | grep -E '^Acquire::(https?::(Proxy|CaInfo|CaPath|Verify)|Check-(Valid-Until|Date) |ForceIPv)' | grep -v ' "";$' | sed 's/;$//' || true
}

root_progress() { size_progress "$HL_ROOT.new" "$(root_mb)"; }

# size_progress DIR MB: a user cannot look into every directory of root's: what du sees is enough.
size_progress() { { du -smx "$1" 2>/dev/null || true; } | awk -v whole="$2" '{ size = $1 } END { printf "%5d of about %d MB", size, whole }'; }

# remove_root DIR: a root, finished or not. Nothing is mounted below it in this namespace; --one-file-system is a second belt.
remove_root() {
  [ -e "$1" ] || return 0
  case $1 in
    "$HL_CACHE"/root-* | "$HL_CACHE"/vm-*) as_root rm -rf --one-file-system -- "$1" ;;
    *) die "refusing to remove $1: not a root of ours" ;;
  esac
}

dev_clean() {
  local all=
  case ${1:-} in --all) all=1 ;; '') ;; *) die "clean does not know '$1'" "./dev clean [--all]" ;; esac
  make_cache
  local dir keep
  HL_SUITE=trixie
  keep=" root-$(root_key base) root-$(root_key base train) root-$(HL_SUITE=sid root_key base) root-$(HL_SUITE=sid root_key base train) $(vm_kit_name "root-$(root_key base)") "
  for dir in "$HL_CACHE"/root-* "$HL_CACHE"/vm-*; do
    [ -d "$dir" ] || continue
    case $keep in *" ${dir##*/} "*) [ -n "$all" ] || continue ;; esac
    say "removing $dir"
    remove_root "$dir"
  done
  for dir in "$HL_CACHE"/runtime-*.tar; do
    [ -f "$dir" ] && { [ -n "$all" ] || [ "$dir" != "$HL_CACHE/runtime-$(runtime_key).tar" ]; } || continue
    say "removing $dir"
    rm -f -- "$dir"
  done
  lock_maker
  for dir in "$HL_CACHE"/runtime.work "$HL_CACHE"/runtime-*.tar.new; do     # of an interrupted run
    [ ! -e "$dir" ] || as_root rm -rf --one-file-system -- "$dir"
  done
  unlock_maker
  rm -f "$HL_CACHE"/root-*.log "$HL_CACHE"/vm-*.log "$HL_CACHE"/runtime-*.log
  for dir in "$HL_TOP"/build "$HL_TOP"/build-{asan,tsan,release,vm} "$HL_TOP"/build-sid{,-asan,-tsan,-release}; do
    [ -f "$dir/.dev-stamp" ] || continue
    say "removing $dir"
    rm -rf -- "$dir"
  done
  if [ -n "$all" ] && [ -d "$HL_CACHE/ccache" ]; then
    say "removing $HL_CACHE/ccache"
    rm -rf -- "$HL_CACHE/ccache"
  fi
}
