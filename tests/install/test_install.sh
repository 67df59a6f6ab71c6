#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test_install.sh BUILD PLUGIN_DIR DATA_DIR BIN_DIR ELEMENT...: installs into a DESTDIR and uses what is there, and nothing of the build or source tree.
set -uo pipefail

build=$1 plugin_dir=$2 data_dir=$3 bin_dir=$4
shift 4
elements=("$@")
destination=$(mktemp -d)
trap 'rm -rf "$destination"' EXIT
number=0 status=0

check() {   # check NAME CMD...
  local name=$1 output
  shift
  number=$((number + 1))
  if output=$("$@" 2>&1); then
    echo "ok $number - $name"
  else
    echo "not ok $number - $name"
    sed 's/^/# /' <<<"$output" | tail -n 30
    status=1
  fi
}

installed_files() { diff <(cd "$destination" && find . -type f -o -type l | sed 's/^\.//' | sort) <(python3 "$(dirname "$0")/planned.py" "$build" | sort); }

# The dynamic linker finds everything, and nothing in the build tree.
links_outside() {
  local libraries
  libraries=$(ldd "$destination$plugin_dir/libgsthabana.so") || return 1
  echo "$libraries"
  ! grep -qE 'not found|'"$build" <<<"$libraries"
}

gst_env() { env -u HL_DATA_DIR GST_PLUGIN_PATH="$destination$plugin_dir" GST_REGISTRY="$destination/registry.bin" HL_DEVICE=sim "$@"; }

# It judges nothing, but it runs: 3 is its word for a node that is not there.
doctor_runs() { env -u HL_DATA_DIR HL_DEVICE=sim "$destination$bin_dir/hl-doctor" /dev/no-such-node; [ $? -eq 3 ]; }

check 'meson install into a DESTDIR' meson install -C "$build" --no-rebuild --quiet --destdir "$destination"
check 'what is installed is what is planned' installed_files
check 'the plugin links' links_outside
check 'hl-doctor runs' doctor_runs
check 'gst-inspect-1.0 loads the plugin' gst_env gst-inspect-1.0 habana
for element in "${elements[@]}"; do
  check "gst-inspect-1.0 $element" gst_env gst-inspect-1.0 "$element"
done
echo "1..$number"
exit $status
