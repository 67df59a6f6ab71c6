#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A report that cannot be written is a failure, and is told. Usage: test_doctor_output.sh HL-DOCTOR
doctor=$1
number=0
status=0

# check NAME COMMAND...
check() {
  local name=$1
  shift
  number=$((number + 1))
  if "$@"; then echo "ok $number - $name"; else echo "not ok $number - $name"; status=1; fi
}

# Standard output is full (ENOSPC); standard error goes to the variable `said`.
is_told() {
  local said code
  said=$("$doctor" "$@" 2>&1 >/dev/full)
  code=$?
  echo "# exit status $code: $said"
  [ $code -eq 1 ] && [[ $said == "hl-doctor: cannot write to standard output: ENOSPC"* ]]
}

check 'the table' is_told /dev/null
check 'JSON' is_told --json /dev/null
check 'the help' is_told --help
echo "1..$number"
exit $status
