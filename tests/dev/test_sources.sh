#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Where ./dev finds the Debian archive in the host's apt sources (scripts/dev/sources.sh). Addresses here are examples; none is contacted.
set -uo pipefail

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
HL_TOP=$top
HL_SUITE=trixie
. "$top/scripts/dev/common.sh"
. "$top/scripts/dev/sources.sh"
unset HL_DEBIAN_MIRROR HL_DEBIAN_SECURITY_MIRROR

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0 status=0

# expect NAME EXPECTED ACTUAL: one TAP line.
expect() {
  number=$((number + 1))
  if [ "$2" = "$3" ]; then
    echo "ok $number - $1"
  else
    echo "not ok $number - $1"
    diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | sed 's/^/# /'
    status=1
  fi
}

fresh() {
  rm -rf "$work/apt"
  mkdir -p "$work/apt/sources.list.d"
}

lines() { root_sources "$work/apt" 2>/dev/null; }
complaint() { root_sources "$work/apt" 2>&1 >/dev/null; }

fresh
cat >"$work/apt/sources.list" <<'LIST'
# the main archive
deb http://mirror.example/debian bookworm main contrib   # comment
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian/ bookworm-updates main
deb http://security.example/debian-security bookworm-security main
LIST
expect 'one-line entries' 'deb http://mirror.example/debian trixie main
deb http://mirror.example/debian trixie-updates main
deb http://security.example/debian-security trixie-security main' "$(lines)"

fresh
touch "$work/key.gpg"
cat >"$work/apt/sources.list.d/debian.sources" <<LIST
# a stanza with two suites, and options
Types: deb deb-src
# a comment in the middle
URIs: https://mirror.example/debian/
Suites: bookworm
  bookworm-updates
Components: main contrib
Signed-By: $work/key.gpg
Architectures: amd64 i386

Types: deb
URIs: https://security.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /nonexistent/key.gpg
LIST
expect 'deb822 entries with options; a keyring that is not there is dropped' "deb [arch=amd64,i386 signed-by=$work/key.gpg] https://mirror.example/debian trixie main
deb [arch=amd64,i386 signed-by=$work/key.gpg] https://mirror.example/debian trixie-updates main
deb https://security.example/debian-security trixie-security main" "$(lines)"

fresh
printf 'Types: deb\r\nURIs: http://crlf.example/debian\r\nSuites: trixie trixie-updates\r\nComponents: main\r\n' >"$work/apt/sources.list.d/debian.sources"
expect 'line ends of another system' 'deb http://crlf.example/debian trixie main
deb http://crlf.example/debian trixie-updates main' "$(lines)"

fresh
cat >"$work/apt/sources.list.d/a-vendor.sources" <<'LIST'
Types: deb
URIs: https://vendor.example/debian/12/prod
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEXampleExampleExample
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: https://switched-off.example/debian
Suites: bookworm bookworm-updates
Components: main
Enabled: no
LIST
cat >"$work/apt/sources.list.d/b-other.list" <<'LIST'
deb [arch=amd64 signed-by=/etc/apt/keyrings/x.gpg] https://docker.example/linux/debian bookworm stable
deb https://cloud.example/apt tools-bookworm main
LIST
cat >"$work/apt/sources.list.d/c-debian.list" <<'LIST'
deb [ trusted=yes check-valid-until=no lang=en ] http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
LIST
expect 'third-party repositories are passed over' 'deb [trusted=yes check-valid-until=no] http://mirror.example/debian trixie main
deb [trusted=yes check-valid-until=no] http://mirror.example/debian trixie-updates main' "$(lines)"
expect 'a missing security archive is said' '[dev] warning: no security archive in the host'"'"'s apt sources: the root goes without (HL_DEBIAN_SECURITY_MIRROR=URL names one)' "$(complaint)"

fresh
cat >"$work/apt/sources.list.d/vendor.sources" <<'LIST'
Types: deb
URIs: https://vendor.example/debian/12/prod
Suites: bookworm
Components: main
LIST
expect 'a third-party repository alone is no archive' '' "$(lines)"

fresh
cat >"$work/apt/sources.list.d/ubuntu.sources" <<'LIST'
Types: deb
URIs: http://archive.example/ubuntu
Suites: noble noble-updates noble-security
Components: main universe
LIST
expect 'an Ubuntu host has no Debian archive' '' "$(lines)"
expect 'HL_DEBIAN_MIRROR names one' 'deb http://my.example/debian trixie main
deb http://my.example/debian trixie-updates main
deb http://mysec.example/debian-security trixie-security main' \
  "$(HL_DEBIAN_MIRROR=http://my.example/debian/ HL_DEBIAN_SECURITY_MIRROR=http://mysec.example/debian-security/ lines)"

fresh
mkdir -p "$work/etc/apt/mirrors"
printf '# cloud image\nhttps://listed.example/debian\thelpful:1\nhttps://second.example/debian\n' >"$work/etc/apt/mirrors/debian.list"
printf 'https://listed.example/debian-security\n' >"$work/etc/apt/mirrors/debian-security.list"
cat >"$work/apt/sources.list.d/debian.sources" <<'LIST'
Types: deb
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: bookworm bookworm-updates bookworm-backports
Components: main

Types: deb
URIs: mirror+file:///etc/apt/mirrors/debian-security.list
Suites: bookworm-security
Components: main
LIST
expect 'a mirror list on disk' 'deb https://listed.example/debian trixie main
deb https://listed.example/debian trixie-updates main
deb https://listed.example/debian-security trixie-security main' "$(HL_SOURCES_SYSROOT=$work lines)"

fresh
cat >"$work/apt/sources.list" <<'LIST'
deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main
deb tor+http://onion.example/debian bookworm main
deb http://old.example/debian bullseye main
deb http://old.example/debian bullseye-updates main
deb http://security.example/debian bullseye/updates main
LIST
expect 'cdrom and tor are passed over; the old name of the security suite' 'deb http://old.example/debian trixie main
deb http://old.example/debian trixie-updates main
deb http://security.example/debian trixie-security main' "$(lines)"

HL_SUITE=sid
expect 'sid is one suite, without updates and a security archive of its own' 'deb http://old.example/debian sid main' "$(lines)"
expect 'and lacks none' '' "$(complaint)"
HL_SUITE=trixie

fresh
expect 'no sources at all' '' "$(lines)"

echo "1..$number"
exit $status
