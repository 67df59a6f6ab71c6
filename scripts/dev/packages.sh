# SPDX-License-Identifier: LGPL-2.1-or-later
# The package list, and building on the host itself. Sourced by ../../dev.
# shellcheck shell=bash

# packages SECTION...: the names in these sections of packages.txt.
packages() {
  awk -v wanted=" $* " '
    { sub(/#.*/, ""); gsub(/[ \t\r]/, "") }
    /^\[.*\]$/ { section = substr($0, 2, length($0) - 2); next }
    $0 != "" && index(wanted, " " section " ") { print }' "$HL_TOP/scripts/dev/packages.txt"
}

# sections_for COMMAND
sections_for() {
  case $1 in
    train) echo base train ;;
    *) echo base ;;
  esac
}

# candidates NAME...: "NAME VERSION" for each package that apt could install or has installed.
candidates() {
  LC_ALL=C apt-cache policy "$@" 2>/dev/null |
    awk '/^[^ ]/ { name = $1; sub(/:$/, "", name) } $1 == "Candidate:" && $2 != "(none)" { print name, $2 }'
}

version_at_least() { [ -n "$1" ] && dpkg --compare-versions "$1" ge "$2"; }

# host_suffices SECTION...: this host's own archive has all that is needed, new enough.
host_suffices() {
  have apt-get && have dpkg || return 1
  case " $(os_field ID) $(os_field ID_LIKE) " in *" debian "* | *" ubuntu "*) ;; *) return 1 ;; esac
  local wanted offered name
  mapfile -t wanted < <(packages "$@")
  offered=$(candidates "${wanted[@]}")
  # A fresh machine has no package lists. Fetch them only where they may change the answer: it is known for Debian 12 and Ubuntu 24.04.
  if ! grep -q '^libgstreamer1.0-dev ' <<<"$offered"; then
    case $(os_field ID)-$(os_field VERSION_ID) in debian-1[0-2] | ubuntu-1* | ubuntu-2[0-4].*) return 1 ;; esac
    say "fetching the host's package lists"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2 || return 1
    offered=$(candidates "${wanted[@]}")
  fi
  version_at_least "$(sed -n 's/^libgstreamer1.0-dev //p' <<<"$offered")" 1.26 &&
    version_at_least "$(sed -n 's/^g++ //p' <<<"$offered")" 4:14 || return 1
  for name in "${wanted[@]}"; do
    if ! grep -qF "$name " <<<"$offered"; then
      say "the host's archive has no $name: using a Debian 13 root instead"
      return 1
    fi
  done
}

not_installed() {
  local installed name
  installed=$(dpkg-query -W -f '${Status} ${Package}\n' "$@" 2>/dev/null || true)
  for name in "$@"; do
    grep -qxF "install ok installed $name" <<<"$installed" || printf '%s\n' "$name"
  done
}

# install_packages NAME...: with apt on the host, no recommended packages. Names that are installed already cost nothing.
install_packages() {
  local missing log
  mapfile -t missing < <(not_installed "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing on this machine: ${missing[*]}"
  need_sudo
  log=$(mktemp)
  # The lists may be absent or older than the archive: try, refresh them, try again.
  apt_install "$log" "${missing[@]}" ||
    { as_root apt-get -q update >>"$log" 2>&1 && apt_install "$log" "${missing[@]}"; } ||
    { tail -n 15 "$log" >&2; explain_apt_failure "$log" "apt-get could not install ${missing[*]}"; }
  rm -f "$log"
}

apt_install() {
  local log=$1
  shift
  run_with_progress exec_as_root "$log" "unpacked_packages $log" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"
}

unpacked_packages() { awk '/^Unpacking/ { n++ } / newly installed/ { whole = $3 + $1 } END { printf "%d of %d packages", n, whole }' "$1"; }

# explain_apt_failure LOG WHAT: never returns.
explain_apt_failure() {
  local log=$1 what=$2
  if grep -qiE 'no space left|not have enough free space|disk full' "$log"; then
    die "$what: the disk is full" "free 4 GB, or set XDG_CACHE_HOME to a directory on a larger disk"
  elif grep -qiE 'NO_PUBKEY|not signed|signatures? (were|could) ' "$log"; then
    die "$what: the archive's signature could not be checked" "update the package debian-archive-keyring (apt-get install debian-archive-keyring) and run this again"
  elif grep -qiE 'could not resolve|temporary failure|unable to connect|connection (refused|timed out|failed)|network is unreachable|failed to fetch|could not connect' "$log"; then
    die "$what: the package archive cannot be reached" "check the network and the proxy (apt's Acquire::http::Proxy is honoured)" \
      "or name another mirror: HL_DEBIAN_MIRROR=URL ./dev ..."
  elif grep -qiE 'could not get lock|is another process using it' "$log"; then
    die "$what: another package manager is running" "wait for it to end and run this again"
  elif grep -qiE 'mount.*(permission denied|operation not permitted)|unshare.*(permission denied|operation not permitted)' "$log"; then
    die_no_mounts
  fi
  die "$what" "the lines above say why; the whole log is in $log"
}

use_host() {
  # shellcheck disable=SC2046
  install_packages $(packages "$@")
  HL_DEV_INSIDE=host-$(dpkg-query -W -f '${Version}+' libgstreamer1.0-dev g++)
  export HL_DEV_INSIDE
}
