# SPDX-License-Identifier: LGPL-2.1-or-later
# Where the host's apt gets Debian from. No archive is named in this tree: addresses come from the host. Sourced by ../../dev and by tests/dev.
# shellcheck shell=bash

HL_TAB=$'\t'

# apt_entries DIR: every enabled binary entry of an apt configuration directory (sources.list and sources.list.d/*.{list,sources}), one per line:
#   URI <tab> suite <tab> components <tab> options     (options as in a one-line entry, without brackets: "signed-by=... arch=...")
apt_entries() {
  local dir=$1 file
  for file in "$dir/sources.list" "$dir"/sources.list.d/*.list; do
    [ -r "$file" ] && apt_entries_oneline <"$file"
  done
  for file in "$dir"/sources.list.d/*.sources; do
    [ -r "$file" ] && apt_entries_deb822 <"$file"
  done
  return 0
}

# deb [ option=value ... ] URI suite component...
apt_entries_oneline() {
  awk '
    { sub(/\r$/, ""); sub(/[ \t]*#.*/, "") }
    $1 != "deb" { next }
    {
      line = $0; options = ""
      sub(/^[ \t]*deb[ \t]+/, "", line)
      if (line ~ /^\[/) {
        end = index(line, "]")
        if (!end) next
        options = substr(line, 2, end - 2); line = substr(line, end + 1)
        gsub(/^[ \t]+|[ \t]+$/, "", options)
      }
      count = split(line, word, /[ \t]+/); first = word[1] == "" ? 2 : 1
      if (count < first + 1) next
      components = ""
      for (i = first + 2; i <= count; i++) if (word[i] != "") components = components (components == "" ? "" : " ") word[i]
      printf "%s\t%s\t%s\t%s\n", word[first], word[first + 1], components, options
    }'
}

# Stanzas of "Field: value", continued by indented lines. A key block embedded in Signed-By is not an option of a one-line entry: it is left out.
apt_entries_deb822() {
  awk '
    function add(name) { if (field[name] != "") options = options (options == "" ? "" : " ") name "=" field[name] }
    function flush_stanza(   n, m, i, j, uri, suite, value) {
      if (field["uris"] != "" && field["suites"] != "" && tolower(field["enabled"]) != "no" && (" " field["types"] " ") ~ / deb /) {
        options = ""
        if (field["signed-by"] !~ /^\//) field["signed-by"] = ""
        gsub(/ +/, ",", field["signed-by"])
        gsub(/ +/, ",", field["architectures"]); field["arch"] = field["architectures"]
        add("arch"); add("signed-by"); add("trusted"); add("check-valid-until")
        n = split(field["uris"], uri, / +/); m = split(field["suites"], suite, / +/)
        for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) printf "%s\t%s\t%s\t%s\n", uri[i], suite[j], field["components"], options
      }
      split("", field); name = ""
    }
    { sub(/\r$/, "") }
    /^#/ { next }
    /^[ \t]*$/ { flush_stanza(); next }
    /^[ \t]/ { value = $0 }
    /^[^ \t]/ { name = tolower($0); sub(/[ \t]*:.*/, "", name); value = $0; sub(/^[^:]*:/, "", value); field[name] = "" }
    {
      gsub(/[ \t]+/, " ", value); gsub(/^ | $/, "", value)
      if (value != "") field[name] = field[name] (field[name] == "" ? "" : " ") value
    }
    END { flush_stanza() }'
}

# resolve_uri URI: an address that apt can use from inside a new root. A mirror list on disk (Debian's cloud images have one) gives its first address.
# Fails for schemes that cannot work there (cdrom:, mirror+http:, tor+http:).
resolve_uri() {
  case $1 in
    http://* | https://* | file:/* | copy:/*) printf '%s\n' "${1%/}" ;;
    mirror+file:/*)
      local list=${1#mirror+file:} address rest
      list=/${list##+(/)}
      while read -r address rest; do
        case $address in http://* | https://*) printf '%s\n' "${address%/}"; return 0 ;; esac
      done <"${HL_SOURCES_SYSROOT:-}$list"
      return 1
      ;;
    *) return 1 ;;
  esac
}
shopt -s extglob

# debian_mirror DIR: "URI <tab> options" of the Debian archive among the entries of DIR; fails if there is none.
# Third-party repositories use Debian's suite names too, so a candidate must offer component main under the name of a Debian release, and the best one wins:
# a mirror of the archive is the one that also carries RELEASE-updates, is signed by Debian's keyring, and ends in /debian.
debian_mirror() {
  local entries uri suite components options address score best=-1 found=
  entries=$(apt_entries "$1")
  while IFS=$HL_TAB read -r uri suite components options; do
    is_debian_release "$suite" || continue
    case " $components " in *" main "*) ;; *) continue ;; esac
    address=$(resolve_uri "$uri") || continue
    score=0
    if grep -qF "$uri$HL_TAB$suite-updates$HL_TAB" <<<"$entries"; then score=$((score + 4)); fi
    case $options in *debian-archive-keyring*) score=$((score + 2)) ;; esac
    case $address in */debian) score=$((score + 1)) ;; esac
    if [ "$score" -gt "$best" ]; then
      best=$score
      found=$address$HL_TAB$(portable_options "$options")
    fi
  done < <(tabs_to_fields <<<"$entries")
  [ "$best" -gt 0 ] && printf '%s\n' "$found"
}

# The same for the security archive.
debian_security_mirror() {
  local uri suite components options address
  while IFS=$HL_TAB read -r uri suite components options; do
    case $suite in *-security | */updates) ;; *) continue ;; esac
    is_debian_release "${suite%%[-/]*}" || continue
    case " $components " in *" main "*) ;; *) continue ;; esac
    address=$(resolve_uri "$uri") || continue
    printf '%s\t%s\n' "$address" "$(portable_options "$options")"
    return 0
  done < <(apt_entries "$1" | tabs_to_fields)
  return 1
}

# read collapses empty tab-separated fields: an empty one becomes "-".
tabs_to_fields() { sed -e 's/\t\t/\t-\t/g' -e 's/\t$/\t-/'; }

is_debian_release() {
  case $1 in
    bullseye | bookworm | trixie | forky | duke | sid | oldoldstable | oldstable | stable | testing | unstable) return 0 ;;
    *) return 1 ;;
  esac
}

# portable_options OPTIONS: those that hold for another release of the same archive. A keyring that is not on this host is dropped.
portable_options() {
  local option kept=
  for option in $1; do
    case $option in
      signed-by=/*) [ -r "${option#signed-by=}" ] || continue ;;
      arch=* | trusted=* | check-valid-until=*) ;;
      *) continue ;;
    esac
    kept=$kept${kept:+ }$option
  done
  printf '%s\n' "$kept"
}

# root_sources DIR: the apt lines of the root. sid is one suite: it gets its updates and its security fixes as they come. No output means: nothing usable on this host, mmdebstrap's own default is all that is left.
root_sources() {
  local mirror options security security_options
  if [ -n "${HL_DEBIAN_MIRROR:-}" ]; then
    mirror=${HL_DEBIAN_MIRROR%/} options=
  else
    IFS=$HL_TAB read -r mirror options < <(debian_mirror "$1") || return 0
  fi
  printf 'deb %s%s %s main\n' "${options:+[$options] }" "$mirror" "$HL_SUITE"
  [ "$HL_SUITE" != sid ] || return 0
  printf 'deb %s%s %s-updates main\n' "${options:+[$options] }" "$mirror" "$HL_SUITE"
  if [ -n "${HL_DEBIAN_SECURITY_MIRROR:-}" ]; then
    printf 'deb %s %s-security main\n' "${HL_DEBIAN_SECURITY_MIRROR%/}" "$HL_SUITE"
  elif IFS=$HL_TAB read -r security security_options < <(debian_security_mirror "$1"); then
    printf 'deb %s%s %s-security main\n' "${security_options:+[$security_options] }" "$security" "$HL_SUITE"
  else
    warn "no security archive in the host's apt sources: the root goes without (HL_DEBIAN_SECURITY_MIRROR=URL names one)"
  fi
}
