# SPDX-License-Identifier: LGPL-2.1-or-later
# Messages, paths and privileges. Sourced by ../../dev, which sets HL_TOP.
# shellcheck shell=bash

# Which Debian the root is made of: `trixie`, Debian 13 with GStreamer 1.26 and GCC 14, or `sid`, with GStreamer 1.28 and GCC 16. enter.sh hands it on.
HL_SUITE=${HL_SUITE:-trixie}
HL_CACHE=${HL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/gst-habana}

# Everything this script says goes to stderr: the stdout of `./dev run -- CMD` is CMD's alone.
say() { printf '[dev] %s\n' "$*" >&2; }
warn() { printf '[dev] warning: %s\n' "$*" >&2; }

# die WHAT [REMEDY...]
die() {
  printf '[dev] error: %s\n' "$1" >&2
  shift
  local remedy
  for remedy in "$@"; do printf '[dev]   what to do: %s\n' "$remedy" >&2; done
  exit 1
}

# choose_suite NAME: --suite. A root that we stand in already is not exchanged.
choose_suite() {
  case $1 in
    trixie | sid) ;;
    *) die "there is no suite '$1'" "./dev --suite sid COMMAND, or trixie, which is what it does without --suite" ;;
  esac
  [[ ${HL_DEV_INSIDE:-host-} == host-* ]] || [ "$1" = "$HL_SUITE" ] || die "this is the $(suite_title) root, and '--suite $1' wants the $(HL_SUITE=$1 suite_title) one" "leave it first (exit)"
  HL_SUITE=$1
}

suite_title() {
  case $HL_SUITE in
    trixie) echo 'Debian 13' ;;
    *) echo "Debian $HL_SUITE" ;;
  esac
}

have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

# True if this process already stands where it may build; enter.sh sets the variable.
inside() { [ -n "${HL_DEV_INSIDE:-}" ]; }

# as_root CMD...: directly as root, otherwise through sudo. Asks for the password once, and only if somebody is there to type it.
as_root() {
  if is_root; then
    "$@"
    return
  fi
  need_sudo
  sudo "$@"
}

# The same for a background process: $! is then the program or its sudo, which relays signals, and not a shell around it.
exec_as_root() {
  if is_root; then exec "$@"; fi
  exec sudo "$@"
}

# As whoever we are, in a process group of its own: killed with all its children.
exec_as_group() { exec setsid "$@"; }

need_sudo() {
  if is_root || sudo -n true 2>/dev/null; then return; fi
  have sudo || die "this step needs root, and sudo is not installed" "run ./dev once as root, or install sudo and allow it to $(id -un)"
  [ -t 0 ] || die "this step needs root, and sudo wants a password with nobody here to type it" \
    "run ./dev once at a terminal, or as root, or allow $(id -un) to use sudo without a password"
  say "sudo is needed to install packages; it may ask for your password"
  sudo -v || die "sudo refused" "run ./dev as root, or ask whoever administers this machine"
}

make_cache() {
  mkdir -p "$HL_CACHE" 2>/dev/null && [ -w "$HL_CACHE" ] ||
    die "cannot write to the cache directory $HL_CACHE" "set XDG_CACHE_HOME to a directory you own, with 4 GB free"
  HL_CACHE=$(cd -- "$HL_CACHE" && pwd -P)
  case $HL_CACHE/ in
    "$HL_TOP"/*) die "the cache directory $HL_CACHE lies inside the checkout" "set XDG_CACHE_HOME to a directory outside it" ;;
  esac
}

# os_field KEY: a field of os-release, empty if absent. HL_OS_RELEASE names another file (for the tests).
os_field() {
  sed -n "s/^$1=//p" "${HL_OS_RELEASE:-/etc/os-release}" 2>/dev/null | tr -d "\"'" | head -n 1
}

# run_with_progress START LOG MEASURE CMD...: START (exec_as_root or exec_as_group) becomes CMD, its output goes to LOG; how far it is (what the function MEASURE prints) and what it
# is doing, to stderr.
run_with_progress() {
  local begin=$1 log=$2 measure=$3 pid status=0 start=$SECONDS tick=0
  shift 3
  : >"$log"
  $begin "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  # shellcheck disable=SC2064
  trap "interrupted $pid" INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    tick=$((tick + 1))
    if [ -t 2 ]; then
      printf '\r\033[K[dev] %4d s  %s  %.70s' $((SECONDS - start)) "$($measure)" "$(last_step "$log")" >&2
    elif [ $((tick % 15)) -eq 0 ]; then
      say "$((SECONDS - start)) s  $($measure)  $(last_step "$log")"
    fi
  done
  wait "$pid" || status=$?
  trap - INT TERM
  [ ! -t 2 ] || printf '\r\033[K' >&2
  say "$((SECONDS - start)) s"
  return $status
}

# interrupted PID: what exec_as_group started leads a process group, and all of it has to go: `flock`, killed alone, leaves its command running.
interrupted() {
  trap '' INT TERM
  stop_maker || kill -- "-$1" 2>/dev/null || as_root kill "$1" 2>/dev/null || true
  wait "$1" || true
  die 'interrupted' 'run the same command again: it starts over cleanly'
}

last_step() { { grep -aE '^(I: |Setting up|Unpacking|Get:)' "$1" 2>/dev/null || true; } | tail -n 1 | tr -d '\r' | cut -c 1-70; }
