#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# ./dev on a miniature project: building, running, judging tests, and making a root with everything that can go wrong on the way. Nothing is downloaded and
# nothing is installed: apt, mmdebstrap and sudo are replaced by functions.
set -uo pipefail

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0 status=0

result() {   # result NAME CONDITION...: one TAP line, with the last output if it is not ok
  local name=$1
  shift
  number=$((number + 1))
  if "$@"; then
    echo "ok $number - $name"
  else
    echo "not ok $number - $name"
    printf '%s\n' "$output" | tail -n 20 | sed 's/^/# /'
    status=1
  fi
}

says() { grep -qF -- "$1" <<<"$output"; }
last_line_is() { [ "$(tail -n 1 <<<"$output")" = "$1" ]; }
code_is() { [ "$code" -eq "$1" ]; }
there() { [ -e "$1" ]; }
both() { "$1" "$2" && "$3" "$4"; }

# The project: as much of the tree as ./dev needs, and two programs to test.
project=$work/project
mkdir -p "$project/scripts" "$project/tests" "$work/cache"
cp -r "$top/dev" "$project/"
cp -r "$top/scripts/dev" "$project/scripts/"
cp -r "$top/tests/runner" "$top/tests/vm" "$project/tests/"
cat >"$project/meson.build" <<'MESON'
project('mini')
sh = find_program('sh')
test('good', sh, args: ['-c', 'echo fine'], suite: 'unit')
test('shy', sh, args: ['-c', 'echo no camera here; exit 77'], suite: 'hardware')
test('bad', sh, args: ['-c', 'exit 3'], suite: 'broken')
test('heavy', sh, args: ['-c', 'echo heavy'], suite: 'image')
meson.add_devenv({'MINI': 'from meson.build'})
MESON

dev() {   # dev ARGS...: in the project, as if inside a root; sets output (stdout and stderr) and code
  output=$(cd "$work" && env -u HL_CWD -u CC -u CXX -u HL_SANITIZER_PRELOAD HL_SUITE="${suite:-trixie}" HL_DEV_INSIDE="${place:-here}" HL_CACHE="$work/cache" "$project/dev" "$@" 2>&1 </dev/null)
  code=$?
}

dev help
result 'help' both says './dev test [SUITE...]' code_is 0
dev brew
result 'an unknown command is refused' both says "there is no command 'brew'" code_is 1
dev run
result 'run wants a command' both says 'run: which command?' code_is 1
dev bench
result 'a part that is not there is named' both says 'tests/bench/run is not there' code_is 1

dev test unit
result 'a green suite' both last_line_is '1 passed, 0 failed, 0 skipped' code_is 0
dev test broken unit
result 'a red suite' both last_line_is '1 passed, 1 failed, 0 skipped' code_is 1
dev test unit hardware
result 'a skip without leave fails' both last_line_is '1 passed, 0 failed, 1 skipped' code_is 1
result 'and says so' says 'shy: no camera here   NOT ALLOWED'
echo 'shy: build machines have no camera' >"$project/tests/skips.txt"
dev test unit hardware
result 'a listed skip passes' both last_line_is '1 passed, 0 failed, 1 skipped' code_is 0
dev test hardware
result 'skips alone are no success' both says 'nothing was tested' code_is 1
dev test soup
result 'an unknown suite is refused, and the others named' both says 'there is no suite soup; there are: broken hardware image unit' code_is 1
dev test
result 'a suite on request is not run with the others' both last_line_is '1 passed, 1 failed, 1 skipped' code_is 1
dev test image
result 'but when it is named' both last_line_is '1 passed, 0 failed, 0 skipped' code_is 0
dev test --list
result 'the suites are listed' says 'unit: good'

output=$(cd "$work" && env -u HL_CWD HL_SUITE=trixie HL_DEV_INSIDE=here HL_CACHE="$work/cache" "$project/dev" run -- sh -c 'echo "$MINI in $PWD with $1"' _ 'a  b' 2>/dev/null </dev/null)
result 'run: environment, directory, arguments, and nothing else on stdout' [ "$output" = "from meson.build in $work with a  b" ]
dev run -- sh -c 'exit 7'
result 'run: exit status' code_is 7
mkfifo "$work/pid"
HL_SUITE=trixie HL_DEV_INSIDE=here HL_CACHE="$work/cache" "$project/dev" run -- sh -c 'echo $$ >"$0"; exec sleep 60' "$work/pid" >/dev/null 2>&1 </dev/null &
child=$!
read -r -t 60 running <>"$work/pid"
output="pid $child, command $running"
result 'run becomes the command' [ "$child" = "$running" ]
kill -TERM "$child"
code=0
wait "$child" 2>/dev/null || code=$?
result 'run: a signal ends the command' code_is 143

touch "$project/build/mine"
place=elsewhere dev build
result 'a build directory of another root is made anew' both says 'configured elsewhere' code_is 0
result 'from nothing' [ ! -e "$project/build/mine" ]
mkdir -p "$project/build-release"
touch "$project/build-release/precious"
dev build --release
result 'a directory that is no build directory is left alone' both says 'is not a build directory' there "$project/build-release/precious"

# Another Debian.
dev --suite woody build
result 'an unknown suite of Debian is refused' both says "there is no suite 'woody'" code_is 1
suite=sid dev vm -- true
result 'no virtual machine of sid' both says 'made of the Debian 13 root' code_is 1
dev --suite sid build
result 'a root is not left for another' both says "this is the Debian 13 root, and '--suite sid' wants the Debian sid one" code_is 1
suite=sid dev build
result 'sid has a build directory of its own' both code_is 0 there "$project/build-sid/build.ninja"
suite=sid dev test unit
result 'and is tested there' both last_line_is '1 passed, 0 failed, 0 skipped' says "$project/build-sid"
dev clean
result 'which clean knows' [ ! -e "$project/build-sid" ]

# Making a root. The functions of the script, with the world replaced.
root_run() {   # root_run SCRIPT: in a fresh shell with ./dev's functions; sets output and code
  output=$(HL_TOP=$project HL_CACHE=$work/cache bash -c '
    set -euo pipefail
    for part in common sources packages root enter build vm image; do . "$HL_TOP/scripts/dev/$part.sh"; done
    HL_ROOT=$HL_CACHE/root-test HL_ARGS=(build)
    have() { :; }
    need_sudo() { :; }
    install_packages() { :; }
    root_sources() { echo "deb http://mirror.example/debian trixie main"; }
    check_disk() { :; }
    check_mounts() { :; }
    as_root() { "$@"; }
    exec_as_root() { fake_mmdebstrap "$@"; }
    '"$1" 2>&1 </dev/null)
  code=$?
}
failing_with() { root_run "fake_mmdebstrap() { mkdir -p \$HL_ROOT.new; echo '$1'; return 1; }; make_root base"; }
no_root() { [ ! -e "$work/cache/root-test" ] && [ ! -e "$work/cache/root-test.new" ]; }

failing_with 'E: Failed to fetch http://mirror.example/debian  Could not resolve host'
result 'archive unreachable: the remedy' both says 'HL_DEBIAN_MIRROR' code_is 1
result 'nothing half-made is left' no_root
failing_with 'E: You do not have enough free space in /var/cache/apt/archives/.'
result 'disk full: the remedy' says 'XDG_CACHE_HOME'
failing_with 'W: GPG error: NO_PUBKEY 0123456789'
result 'unknown signature: the remedy' says 'debian-archive-keyring'
failing_with 'mount: /proc: permission denied.'
result 'mounts forbidden: the remedy' says '--privileged'
failing_with 'E: something nobody foresaw'
result 'anything else: the log is shown' both says 'something nobody foresaw' code_is 1

mkdir -p "$work/cache/root-test.new/half"
root_run 'fake_mmdebstrap() { mkdir "$HL_ROOT.new" && touch "$HL_ROOT.new/whole"; }; make_root base'
result 'what an interrupted run left is swept away' [ -e "$work/cache/root-test/whole" ]
result 'and does not survive into the root' [ ! -e "$work/cache/root-test/half" ]
root_run 'fake_mmdebstrap() { echo again; }; make_root base'
result 'a root is made once' both code_is 0 there "$work/cache/root-test/whole"
rm -rf "$work/cache/root-test"

root_run 'check_disk() { unset -f df; }; eval "$(sed -n "/^check_disk()/,/^}/p" "$HL_TOP/scripts/dev/root.sh")"
  df() { printf "head\n/dev/x 1000 1 12 99%% /\n"; }; fake_mmdebstrap() { :; }; make_root base'
result 'too little disk is seen before anything is fetched' both says '12 MB free' code_is 1
root_run 'remove_root "$HL_TOP"'
result 'nothing but a root is ever removed' both says 'refusing to remove' there "$project/dev"
mkdir -p "$work/cache"/root-stale
root_run 'for HL_SUITE in trixie sid; do mkdir "$HL_CACHE/root-$(root_key base)"; done; dev_clean'
result 'clean removes roots that are no longer used' both says 'root-stale' code_is 0
result 'and neither of those in use' [ "$(find "$work/cache" -maxdepth 1 -type d -name 'root-*' | wc -l)" = 2 ]
root_run 'dev_clean --all'
result 'which --all removes as well' [ -z "$(find "$work/cache" -maxdepth 1 -type d -name 'root-*')" ]
root_run 'uname() { echo x86_64; }; HL_SUITE=sid; echo "$(HL_SUITE=trixie root_key base) $(root_key base)"'
result 'the key of a root depends on its suite' [ "${output% *}" != "${output#* }" ]
root_run 'HL_SUITE=sid HL_DEV_MODE=native; prepare_machine build'
result 'native and sid exclude each other' both says 'HL_DEV_MODE=native' code_is 1
root_run 'eval "$(sed -n "/^need_sudo()/,/^}/p" "$HL_TOP/scripts/dev/common.sh")"; is_root() { false; }; sudo() { false; }; have() { false; }; need_sudo'
result 'no sudo: the remedy' both says 'run ./dev once as root, or install sudo' code_is 1

# The image: the system in it is made like a root, into one file.
HL_RUNTIME_RUN='HL_RUNTIME=$HL_CACHE/runtime-test.tar SOURCE_DATE_EPOCH=1700000000
  fake_mmdebstrap() { local argument; for argument in "$@"; do case $argument in *.tar.new) echo "$*" >"$argument" ;; esac; done; }'
no_runtime() { [ -z "$(find "$work/cache" -maxdepth 1 -name 'runtime*' ! -name '*.log')" ]; }
root_run "$HL_RUNTIME_RUN"'
  fake_mmdebstrap() { touch "$HL_RUNTIME.new"; echo "E: Failed to fetch http://mirror.example/debian  Could not resolve host"; return 1; }; make_runtime'
result 'image: archive unreachable: the remedy' both says 'HL_DEBIAN_MIRROR' code_is 1
result 'image: nothing half-made is left' no_runtime
root_run "$HL_RUNTIME_RUN"'
  have() { [ "$1" != apt-get ]; }; make_runtime'
result 'image: a host without apt: the remedy' both says 'what it makes runs anywhere' code_is 1
root_run "$HL_RUNTIME_RUN"'
  mkdir -p "$HL_CACHE/runtime.work/half"; touch "$HL_RUNTIME.new"; make_runtime; cat "$HL_RUNTIME"'
result 'image: the system is made' both says 'SOURCE_DATE_EPOCH=1700000000' says 'gstreamer1.0-plugins-bad'
result 'image: what an interrupted run left is swept away' [ ! -e "$work/cache/runtime.work" ]
root_run "$HL_RUNTIME_RUN"'
  touch "$HL_RUNTIME"; fake_mmdebstrap() { echo again; return 1; }; make_runtime'
result 'image: once' code_is 0
rm -f "$work"/cache/runtime*
dev image
result 'image: refused inside the root' both says 'from outside' code_is 1
dev image --fresh please
result 'image: an unknown option is refused' both says "image does not know 'please'" code_is 1

# Setting the virtual machine up, with a maker that does as it is told.
kit_run() {   # kit_run MAKER [SCRIPT]: MAKER is the text of vm-kit.sh, which gets the kit's directory
  printf '#!/bin/bash\n%s\n' "$1" >"$project/scripts/dev/vm-kit.sh"
  output=$(HL_TOP=$project HL_CACHE=$work/cache HL_DEV_INSIDE=root-test bash -c '
    set -euo pipefail
    for part in common sources packages root enter build vm; do . "$HL_TOP/scripts/dev/$part.sh"; done
    '"${2:-}"'
    make_vm_kit
    echo "the kit is ${HL_VM_KIT##*/} with $(ls -A "$HL_VM_KIT")"' 2>&1 </dev/null)
  code=$?
}
no_kit() { [ -z "$(find "$work/cache" -maxdepth 1 -type d -name 'vm-*')" ]; }
make_kit='mkdir -p "$1.new" && echo 7.2.12 >"$1.new/kernel-release" && mv "$1.new" "$1"'

kit_run 'mkdir -p "$1.new"; echo "E: Failed to fetch http://mirror.example/debian  Could not resolve host"; exit 100'
result 'vm: archive unreachable: the remedy' both says 'HL_DEBIAN_MIRROR' code_is 1
result 'vm: nothing half-made is left' no_kit
kit_run 'echo "dpkg-deb: error: failed to write: No space left on device"; exit 2'
result 'vm: disk full: the remedy' says 'the disk is full'
kit_run 'echo "[dev] error: no kernel >= 7.2"; echo "[dev]   what to do: another archive"; exit 1'
result 'vm: the words of the maker are handed on' both says '[dev]   what to do: another archive' code_is 1
kit_run "$make_kit" 'df() { printf "head\n/dev/x 1000 1 12 99%% /\n"; }'
result 'vm: too little disk is seen before anything is fetched' both says '12 MB free' no_kit .
kit_run "$make_kit" 'uname() { echo aarch64; }'
result 'vm: another processor is refused' both says 'this machine is aarch64' no_kit .
mkfifo "$work/started"
kit_run "exec 3>'$work/alive'; flock 3; sleep 50 & echo >'$work/started'; wait" 'me=$BASHPID; { read -r <"'"$work/started"'"; kill -INT $me; } &'
result 'vm: an interrupted set-up says so' both says 'interrupted' code_is 1
result 'vm: and leaves no process' flock --timeout 10 "$work/alive" true     # an ended process has closed its files, even one that nobody has waited for
kit_run "$make_kit"
result 'vm: a kit is made' both says 'with kernel-release' code_is 0
kit=$(sed -n 's/^the kit is \(vm-[^ ]*\) .*/\1/p' <<<"$output")
touch "$work/cache/$kit/mine"
kit_run "$(tail -n +2 "$project/scripts/dev/vm-kit.sh")"
result 'vm: once' there "$work/cache/$kit/mine"
kit_run "# another recipe"$'\n'"$make_kit"
result 'vm: another recipe makes another kit' [ "$(find "$work/cache" -maxdepth 1 -type d -name 'vm-*' | wc -l)" = 2 ]
rm -rf "$work"/cache/vm-*

packages_of() { HL_TOP=$project bash -c '. "$HL_TOP/scripts/dev/packages.sh"; packages "$@"' _ "$@"; }
output=$(packages_of base)
result 'the package list is read' both says libgstreamer1.0-dev says gstreamer1.0-plugins-ugly
result 'sections stay apart' [ "$(packages_of base | grep -c torch)-$(packages_of base train | grep -c torch)" = 0-1 ]

echo "1..$number"
exit $status
