#!/bin/sh
# Builds a C plugin to a component: build.sh [PROJECT] [OUT]
#
# PROJECT (the current folder if not given) holds plugin.c, with whatever other .c files, and wit/; OUT is
# build/plugin.wasm in it if not given. TIDEMILL_CC, or a CC that is a clang, is the compiler; CFLAGS are put behind its
# flags. TIDEMILL_WORLD, or else `world = ".."` in dev.toml, is the world that it is built for; without them it follows from
# whether the plugin has queries.
set -eu
sdk=$(cd "$(dirname "$0")" && pwd)
cd "${1:-.}"
out=${2:-build/plugin.wasm}
missing() {
    echo "$1 is missing: $2" >&2
    exit 1
}
need() { command -v "$1" >/dev/null || missing "$1" "$2"; }
# All of them are needed, whichever is found missing first.
packages="apt-get install clang lld wasi-libc libclang-rt-dev-wasm32"
# Other compilers make no WebAssembly: a CC that is no clang is meant for other things.
cc=${TIDEMILL_CC:-clang}
if [ -z "${TIDEMILL_CC:-}" ] && ${CC:-false} --version 2>/dev/null | grep -q clang; then cc=$CC; fi
need "${cc%% *}" "$packages"
target="--target=wasm32-wasi -mexec-model=reactor"
need "$($cc $target -print-prog-name=wasm-ld)" "$packages"
$cc $target -x c -include stdlib.h -E /dev/null >/dev/null 2>&1 || missing "the libc of WebAssembly" "$packages"
[ -f "$($cc $target -print-libgcc-file-name)" ] ||
    missing "clang's runtime for WebAssembly" "$packages, or for the last the one with clang's version in its name"
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
    if grep -q '^[^/*]*\.queries *=' ./*.c; then world=described-projection-plugin; fi
fi
case $world in
*projection*) queries=-DTM_QUERIES ;;
*) queries= ;;
esac
bound=$(echo "$world" | tr - _)
rm -rf build/bindings
mkdir -p build/bindings "$(dirname "$out")"
quiet wit-bindgen c wit -w "$world" --out-dir build/bindings
$cc $target -std=c11 -Os -Wall -Wextra -s -I "$sdk" -I build/bindings \
    -include "$bound.h" "-DTM_WORLD=$bound" $queries \
    -o build/core.wasm ./*.c "$sdk"/*.c build/bindings/*.c build/bindings/*_component_type.o ${CFLAGS:-}
# The adapter is for a plugin that prints or asks for the time; without stdio the component asks for nothing of WASI.
wasm-tools component new build/core.wasm --adapt "wasi_snapshot_preview1=$sdk/wasi_preview1_reactor.wasm" -o "$out"
