# SPDX-License-Identifier: LGPL-2.1-or-later
# The virtual machine: its kit (scripts/dev/vm-kit.sh) and entering it (tests/vm). Sourced by ../../dev.
# shellcheck shell=bash

HL_VM_MB=900                          # what the kit weighs with its downloads, for the progress line
HL_VM_NEEDS_MB=1300

# vm_kit_name: the kit goes with one root and one list of packages.
vm_kit_name() {
  { echo "$1"; packages vm | sort; cat "$HL_TOP/scripts/dev/vm-kit.sh" "$HL_TOP/tests/vm/guest/init"; } | sha256sum | sed -E 's/^(.{12}).*/vm-\1/'
}

# make_vm_kit: sets HL_VM_KIT, and makes it if it is not there. One maker at a time, which holds vm.lock until it has ended, even if its ./dev has not.
make_vm_kit() {
  local free lock
  [ "$(uname -m)" = x86_64 ] || die "the virtual machine is an x86-64 one, and this machine is $(uname -m)"
  make_cache
  HL_VM_KIT=$HL_CACHE/$(vm_kit_name "$HL_DEV_INSIDE") lock=$HL_CACHE/vm.lock
  [ ! -d "$HL_VM_KIT" ] || return 0
  flock --nonblock "$lock" true || { say "another ./dev is setting the virtual machine up: waiting for it"; flock "$lock" true; }
  if [ ! -d "$HL_VM_KIT" ]; then
    free=$(df -Pm "$HL_CACHE" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$HL_VM_NEEDS_MB" ] ||
      die "$HL_CACHE has $free MB free, setting the virtual machine up takes $HL_VM_NEEDS_MB MB" "free some space (./dev clean removes what is no longer used)"
    say "setting the virtual machine up, once: about 330 MB to download, 1 or 2 minutes"
    run_with_progress exec_as_group "$HL_VM_KIT.log" vm_kit_progress flock "$lock" "$HL_TOP/scripts/dev/vm-kit.sh" "$HL_VM_KIT" || explain_vm_kit_failure "$HL_VM_KIT.log"
  fi
  say "the virtual machine is ready: Linux $(cat "$HL_VM_KIT/kernel-release")"
}

vm_kit_progress() { size_progress "$HL_VM_KIT.new" "$HL_VM_MB"; }

# explain_vm_kit_failure LOG: never returns. The maker has its own words for what it understood.
explain_vm_kit_failure() {
  rm -rf -- "$HL_VM_KIT.new"
  if grep -q '^\[dev\] error' "$1"; then
    sed -n '/^\[dev\] error/,$p' "$1" >&2
    exit 1
  fi
  tail -n 12 "$1" >&2
  explain_apt_failure "$1" "the virtual machine could not be set up"
}

# build_guest_modules: tests/vm/modules against the kit's kernel, into $HL_BUILD/guest-modules, where the guest finds them. Says nothing when nothing has changed.
build_guest_modules() {
  local source=$HL_TOP/tests/vm/modules output=$HL_BUILD/guest-modules tree=$HL_VM_KIT/root release log
  release=$(cat "$HL_VM_KIT/kernel-release")
  mkdir -p "$output"
  (
    flock 9
    if [ "$(cat "$output/.kit" 2>/dev/null)" = "$HL_VM_KIT" ] &&
      [ -z "$(find "$source" "$HL_TOP"/tests/gaudi-emulator/card/*regs.h -newer "$output/.kit" -print -quit)" ]; then
      exit 0
    fi
    say "building the guest's modules for Linux $release"
    echo "$HL_VM_KIT" >"$output/.kit.new"       # as old as the build's start: what is edited meanwhile is newer
    log=$output/build.log
    # Paths of the kit: its tools are unpacked, not installed. Without BTF, which only tracing would read and which takes longer than all the rest.
    if ! PATH=$tree/usr/bin:$tree/usr/sbin:$PATH LD_LIBRARY_PATH=$tree/usr/lib/x86_64-linux-gnu make -j"$(nproc)" -C "$tree/usr/src/linux-headers-$release" \
      M="$source" MO="$output" CONFIG_DEBUG_INFO_BTF_MODULES= KCFLAGS=-Werror modules >"$log" 2>&1 9>&-; then
      cat "$log" >&2
      die "the guest's modules (tests/vm/modules) could not be built for Linux $release" "the compiler's messages are above"
    fi
    mv "$output/.kit.new" "$output/.kit"
  ) 9>"$output/.lock"
}

# Said before a root is made.
check_vm_suite() {
  [ "$HL_SUITE" = trixie ] || die "the virtual machine is made of the Debian 13 root, with the kernel and QEMU of its backports" "./dev vm ..., without --suite"
}

# dev_vm [--release] ...: the rest is for tests/vm/vm.py. --prepare only sets up and builds; --suite TEST... is how `./dev test vm` comes here.
dev_vm() {
  case ${1:-} in --release | --asan | --tsan) take_variant "$1"; shift ;; *) take_variant ;; esac
  case $HL_VARIANT in asan | tsan) die "vm has no --$HL_VARIANT" "./dev vm [--release] ..." ;; esac
  case ${1:---help} in -h | --help) exec "$HL_TOP/tests/vm/vm.py" --help ;; esac
  make_vm_kit
  # A build directory that belongs to the host is left to it.
  if grep -q '^host-' "$HL_BUILD/.dev-stamp" 2>/dev/null; then HL_BUILD=$HL_TOP/build-vm; fi
  build quiet
  build_guest_modules
  case $1 in --prepare) return ;; esac
  plugin_environment
  gst-inspect-1.0 --exists hlinfer || true      # brings the registry up to date: in the guest, scanning all plugins takes half a minute
  leave_to "$HL_TOP/tests/vm/vm.py" --kit "$HL_VM_KIT" "$@"
}
