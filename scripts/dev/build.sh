# SPDX-License-Identifier: LGPL-2.1-or-later
# Building, testing and running, in the place where that is possible. Sourced by ../../dev; everything here may also be done by hand with Meson.
# shellcheck shell=bash

# take_variant ARGS...: sets HL_VARIANT from a leading --asan, --tsan or --release, and HL_REST to the other arguments.
take_variant() {
  HL_VARIANT=default HL_REST=()
  while [ $# -gt 0 ]; do
    case $1 in
      --asan | --tsan | --release) HL_VARIANT=${1#--} ;;
      --) shift; break ;;
      *) break ;;
    esac
    shift
  done
  HL_REST=("$@")
  HL_BUILD=$HL_TOP/build
  [ "$HL_SUITE" = trixie ] || HL_BUILD=$HL_BUILD-$HL_SUITE
  [ "$HL_VARIANT" = default ] || HL_BUILD=$HL_BUILD-$HL_VARIANT
}

meson_options() {
  case $HL_VARIANT in
    default) echo --buildtype=debugoptimized ;;
    release) echo --buildtype=release ;;
    asan) echo --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false ;;
    tsan) echo --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false ;;
  esac
}

# build [quiet [TARGET...]]: configures and compiles, everything or the targets. Output goes to stderr; `quiet` says nothing unless it fails.
build() {
  local quiet=${1:-}
  [ $# -eq 0 ] || shift
  make_cache
  export CCACHE_DIR=${CCACHE_DIR:-$HL_CACHE/ccache} CCACHE_BASEDIR=$HL_TOP CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-3G} CCACHE_NOHASHDIR=1
  local stamp log
  stamp="$HL_DEV_INSIDE $(meson_options) CC=${CC:-} CXX=${CXX:-} CFLAGS=${CFLAGS:-} CXXFLAGS=${CXXFLAGS:-} LDFLAGS=${LDFLAGS:-}"
  [ -w "$HL_TOP" ] || die "$HL_TOP is not writable for $(id -un)" "run ./dev as the owner of the checkout"
  # A directory configured with another compiler or other libraries is not to be trusted.
  if [ -d "$HL_BUILD" ] && [ "$(cat "$HL_BUILD/.dev-stamp" 2>/dev/null)" != "$stamp" ]; then
    if [ -e "$HL_BUILD/meson-private" ] || [ -e "$HL_BUILD/.dev-stamp" ] || [ -z "$(ls -A "$HL_BUILD")" ]; then
      say "$HL_BUILD was configured elsewhere: starting it over"
      rm -rf -- "$HL_BUILD" || die "cannot remove $HL_BUILD" "it was probably made by another user: remove it, for instance with sudo"
    else
      die "$HL_BUILD exists and is not a build directory" "move it away"
    fi
  fi
  if [ ! -f "$HL_BUILD/build.ninja" ]; then
    mkdir -p "$HL_BUILD"
    printf '%s\n' "$stamp" >"$HL_BUILD/.dev-stamp"
    say "configuring ${HL_BUILD##*/}"
    # shellcheck disable=SC2046
    meson setup $(meson_options) "$HL_BUILD" "$HL_TOP" >"$HL_BUILD/configure.log" 2>&1 ||
      { tail -n 30 "$HL_BUILD/configure.log" >&2; die "meson setup failed" "the whole log is in $HL_BUILD/meson-logs/meson-log.txt"; }
  fi
  if [ -n "$quiet" ]; then
    log=$(mktemp)
    ninja -C "$HL_BUILD" "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; die "the build failed" "the compiler's messages are above"; }
    rm -f "$log"
  else
    ninja -C "$HL_BUILD" "$@" >&2 || die "the build failed" "the compiler's messages are above"
  fi
}

# The environment of a program that uses the built plugin: what meson.build declares with add_devenv(), and what the sanitizers need.
plugin_environment() {
  local dump
  dump=$(meson devenv -C "$HL_BUILD" --dump --dump-format=export) || die "meson devenv failed in $HL_BUILD" "./dev build"
  set +u
  eval "$dump"
  set -u
  : "${GST_REGISTRY:=$HL_BUILD/gst-registry.bin}"
  export GST_REGISTRY HL_BUILD_DIR=$HL_BUILD
  sanitizer_environment
}

sanitizer_environment() {
  export HL_SANITIZER_PRELOAD=
  case $HL_VARIANT in
    asan)
      export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:fast_unwind_on_malloc=0:strict_string_checks=1:detect_stack_use_after_return=1}
      export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
      export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$HL_TOP/tests/runner/lsan.supp:print_suppressions=0}
      HL_SANITIZER_PRELOAD=$(sanitizer_library asan)
      ;;
    tsan)
      export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1:suppressions=$HL_TOP/tests/runner/tsan.supp}
      HL_SANITIZER_PRELOAD=$(sanitizer_library tsan)
      ;;
  esac
  if [ -n "$HL_SANITIZER_PRELOAD" ]; then
    # A C program that loads C++ later: the runtime must see libstdc++ at its start, to find __cxa_throw.
    HL_SANITIZER_PRELOAD="$HL_SANITIZER_PRELOAD $("${CXX:-g++}" -print-file-name=libstdc++.so.6)"
    preloading_programs
  fi
}

# Programs that load the plugin, as found by the shell scripts of the tests: they get the runtime, the script's other tools do not (LeakSanitizer has opinions on sed).
preloading_programs() {
  local directory=$HL_BUILD/sanitized-bin program path
  mkdir -p "$directory"
  for program in python3 gst-launch-1.0 gst-inspect-1.0 gst-discoverer-1.0 gst-play-1.0 gst-device-monitor-1.0 gst-validate-1.0; do
    path=$(PATH=/usr/local/bin:/usr/bin:/bin command -v "$program") || continue
    printf '#!/bin/sh\nexec env LD_PRELOAD="%s" %s "$@"\n' "$HL_SANITIZER_PRELOAD" "$path" >"$directory/$program"
    chmod +x "$directory/$program"
  done
  export HL_SANITIZER_PATH=$directory
}

# A plugin built with a sanitizer needs its runtime in programs that are not: gst-launch-1.0, python3. clang links the runtime statically; preloading GCC's into such
# a program would mix the two, so that only GCC builds get one.
sanitizer_library() {
  case ${CXX:-g++} in
    *clang*) ;;
    *) "${CXX:-g++}" "-print-file-name=lib$1.so" ;;
  esac
}

dev_build() {
  take_variant "$@"
  [ ${#HL_REST[@]} -eq 0 ] || die "build does not know '${HL_REST[0]}'" "./dev build [--asan|--tsan|--release]"
  build
  say "built in $HL_BUILD"
}

dev_test() {
  take_variant "$@"
  case " ${HL_REST[*]} " in *' --list '* | *' --help '* | *' -h '*) build quiet ;; *) build ;; esac
  cd "$HL_TOP"
  sanitizer_environment
  exec python3 "$HL_TOP/tests/runner/run.py" --build "$HL_BUILD" --variant "$HL_VARIANT" --debian "$HL_SUITE" "${HL_REST[@]}"
}

dev_run() {
  take_variant "$@"
  [ ${#HL_REST[@]} -gt 0 ] || die "run: which command?" "./dev run -- gst-inspect-1.0 hlinfer"
  build quiet
  plugin_environment
  leave_to "${HL_REST[@]}"
}

dev_shell() {
  take_variant "$@"
  build quiet
  plugin_environment
  say "the plugin is built and found; leave with exit"
  leave_to "${HL_REST[@]:-bash}"
}

# leave_to CMD...: becomes CMD, in the user's directory.
leave_to() {
  cd "${HL_CWD:-$PWD}"
  exec "$HL_TOP/tests/runner/sanitized" "$@"
}

# Programs of the tree that run against the built plugin.
dev_demo() { run_program examples/demo/run "$@"; }
dev_bench() { run_program tests/bench/run "$@"; }

# dev_camera_demo ARGS...: with a camera of this machine, or the one that is named; without one, in the virtual machine, whose camera looks at a film. --emulated: there, with an
# emulated Gaudi that a capture card writes to peer to peer.
dev_camera_demo() {
  local width=640 height=480 frames=60 argument film=$HL_TOP/out/camera-demo/film
  take_variant
  build quiet
  plugin_environment
  local program=$HL_BUILD/examples/camera-demo/camera-demo
  if [ "${1:-}" = --emulated ]; then
    shift
    make_film "$film.yuyv" $width $height $frames YUY2
    [ $# -gt 0 ] || set -- --frames 100
    exec "$HL_TOP/dev" vm --gaudi2 --gaudi-option=--film --gaudi-option="$film.yuyv:YUYV:${width}x$height" -- "$HL_TOP/examples/camera-demo/in-gaudi-vm" --size ${width}x$height "$@"
  fi
  for argument in "$@"; do
    case $argument in -c* | -s* | -l | -h | --camera* | --source* | --list | --help*) leave_to "$program" "$@" ;; esac
  done
  if "$program" --list >&2; then leave_to "$program" "$@"; fi
  say "no camera here: taking the virtual machine's, which looks at a film of $frames frames"
  make_film "$film.nv12" $width $height $frames NV12
  [ $# -gt 0 ] || set -- --frames 100
  exec "$HL_TOP/dev" vm -- "$HL_TOP/examples/camera-demo/in-vm" "$film.nv12" $width $height "$@"
}

# make_film FILE WIDTH HEIGHT FRAMES FORMAT: for the virtual cameras.
make_film() {
  mkdir -p "${1%/*}"
  "$HL_TOP/examples/camera-demo/film.py" "$1" "$2" "$3" "$4" "$(date +%Y%m%d)" "$5" || die "the film for the virtual camera could not be made"
}

dev_train() { run_program examples/models/train "$@"; }

run_program() {
  local program=$HL_TOP/$1
  shift
  take_variant                        # the default build; every argument is the program's
  [ -x "$program" ] || die "${program#"$HL_TOP"/} is not there yet" "this checkout does not have that part: update it"
  build quiet
  plugin_environment
  leave_to "$program" "$@"
}
