# SPDX-License-Identifier: LGPL-2.1-or-later
# Re-entering this script in the root. Sourced by ../../dev.
#
# Inside, the system directories are the root's (read-only), everything else (the checkout, the cache, /home, /tmp, /dev, /proc, /sys) is the host's, at the
# same path, with the same user. As root: a mount namespace and chroot. As a user: bubblewrap; where the kernel denies user namespaces, sudo makes the mount
# namespace and drops back to the user before anything of ours runs.
# shellcheck shell=bash

# Host variables that would mislead the programs of another system.
HL_UNSET=(LD_LIBRARY_PATH LD_PRELOAD PYTHONPATH PYTHONHOME PKG_CONFIG_PATH PKG_CONFIG_LIBDIR PERL5LIB GI_TYPELIB_PATH XDG_DATA_DIRS XDG_CONFIG_DIRS
  GST_PLUGIN_SYSTEM_PATH GST_PLUGIN_SYSTEM_PATH_1_0 GST_PLUGIN_SCANNER GST_PLUGIN_SCANNER_1_0 GST_REGISTRY GST_REGISTRY_1_0 LANGUAGE BASH_ENV ENV TMPDIR)

# Files of the host that the inside needs: who the user is, and how names resolve.
HL_HOST_FILES=(/etc/passwd /etc/group /etc/hosts /etc/resolv.conf /etc/localtime /etc/machine-id)

enter_root() {
  local command=(/usr/bin/env --default-signal=INT,QUIT "HL_DEV_INSIDE=root-${HL_ROOT##*/root-}" "HL_CWD=$PWD" "HL_CACHE=$HL_CACHE" "HL_SUITE=$HL_SUITE" LC_ALL=C.UTF-8
    PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin SHELL=/bin/bash "$HL_TOP/dev" "${HL_ARGS[@]}")
  local name
  for name in "${HL_UNSET[@]}"; do unset "$name"; done
  visible_directories
  if is_root; then
    check_mounts
    exec unshare --mount --propagation private /bin/bash "$HL_TOP/scripts/dev/enter-chroot.sh" "$HL_ROOT" 0 0 "${HL_VISIBLE[@]}" -- "${command[@]}"
  elif have bwrap && bwrap --ro-bind / / true 2>/dev/null; then
    enter_bubblewrap "${command[@]}"
  else
    enter_sudo "${command[@]}"
  fi
}

# Directories of the host that keep their place inside: everything at the top that is not the system's, and the checkout, the cache and the current directory
# should they lie in a system directory.
visible_directories() {
  HL_VISIBLE=()
  local dir
  for dir in /*; do
    case $dir in
      /bin | /boot | /dev | /etc | /lib | /lib32 | /lib64 | /libx32 | /libo32 | /lost+found | /proc | /run | /sbin | /sys | /usr | /var | /.*) continue ;;
    esac
    if [ -d "$dir" ] && [ -r "$dir" ] && [ -x "$dir" ]; then HL_VISIBLE+=("$dir"); fi
  done
  for dir in "$HL_TOP" "$HL_CACHE" "$PWD"; do
    case $dir/ in
      /etc/* | /usr/* | /var/* | /run/*) HL_VISIBLE+=("$dir"); [ "${dir#/run/}" != "$dir" ] || [ -d "$HL_ROOT$dir" ] || as_root mkdir -p "$HL_ROOT$dir" ;;
    esac
  done
}

enter_bubblewrap() {
  local arguments=(--die-with-parent --ro-bind "$HL_ROOT/usr" /usr --ro-bind "$HL_ROOT/etc" /etc --ro-bind "$HL_ROOT/var" /var --tmpfs /var/tmp)
  local path target
  for path in bin sbin lib lib32 lib64 libx32; do
    if [ -L "$HL_ROOT/$path" ]; then arguments+=(--symlink "$(readlink "$HL_ROOT/$path")" "/$path"); fi
  done
  arguments+=(--dev-bind /dev /dev --bind /proc /proc --bind /sys /sys --tmpfs /run --bind-try /run/user /run/user --ro-bind-try /run/udev /run/udev)
  for path in "${HL_HOST_FILES[@]}"; do
    target=$(readlink -f "$path") && [ -e "$target" ] && [ -f "$HL_ROOT$path" ] && [ ! -L "$HL_ROOT$path" ] && arguments+=(--ro-bind "$target" "$path")
  done
  for path in "${HL_VISIBLE[@]}"; do arguments+=(--bind "$path" "$path"); done
  arguments+=(--chdir /)

  if [ -t 0 ] || [ "${HL_ARGS[0]:-}" = shell ]; then
    # The terminal sends its signals to every process of the group, and bubblewrap hands back the exit status.
    exec bwrap "${arguments[@]}" -- "$@"
  fi
  forward_signals "${arguments[@]}" -- "$@"
}

# bubblewrap itself forwards no signal. Without a terminal, stay and do it: the command runs in a session of its own, so that a signal sent to our process group
# (timeout(1) does both) reaches it once, from here.
forward_signals() {
  local info pid status signal
  info=$(mktemp)
  setsid bwrap --info-fd 9 "$@" 9>"$info" <&0 &
  pid=$!
  for signal in INT TERM HUP QUIT USR1 USR2; do
    # shellcheck disable=SC2064
    trap "forward $signal '$info'" $signal
  done
  while :; do
    status=0
    wait "$pid" || status=$?
    kill -0 "$pid" 2>/dev/null || break
  done
  rm -f "$info"
  exit "$status"
}

forward() {
  local child now=${EPOCHREALTIME/[.,]/}
  if [ $((now - ${HL_LAST_SIGNAL:-0})) -lt 200000 ]; then return 0; fi
  HL_LAST_SIGNAL=$now
  child=$(sed -n 's/.*"child-pid": *\([0-9]*\).*/\1/p' "$2")
  [ -z "$child" ] || kill "-$1" "$child" 2>/dev/null || true
}

# sudo gives a clean environment: carry over what our commands and GStreamer read.
enter_sudo() {
  local kept=() name
  is_root || need_sudo
  while IFS= read -r name; do
    case $name in
      HOME | USER | LOGNAME | TERM | CI | CC | CXX | CFLAGS | CXXFLAGS | LDFLAGS | DISPLAY | WAYLAND_DISPLAY | XAUTHORITY | SOURCE_DATE_EPOCH) ;;
      HL_* | GST_* | G_* | XDG_* | GTEST_* | CK_* | MESON_* | NINJA_* | ASAN_* | LSAN_* | TSAN_* | UBSAN_* | HABANA_* | ORT_* | OMP_*) ;;
      *) continue ;;
    esac
    kept+=("$name=${!name}")
  done < <(compgen -e)
  exec sudo unshare --mount --propagation private /bin/bash "$HL_TOP/scripts/dev/enter-chroot.sh" "$HL_ROOT" "$(id -u)" "$(id -g)" "${HL_VISIBLE[@]}" -- \
    /usr/bin/env -i "${kept[@]}" "$@"
}
