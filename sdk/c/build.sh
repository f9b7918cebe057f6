#!/bin/sh
# Builds a C plugin to a component: build.sh [PROJECT] [OUT]
#
# PROJECT (the current folder if not given) holds plugin.c, with whatever other .c files, and wit/; OUT is
# build/plugin.wasm in it if not given. CC is the compiler, CFLAGS are put behind its flags.
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
need "${CC:-clang}" "apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32"
# Runs a talkative tool; says what it said only if it fails.
quiet() {
    "$@" >build/tool.log 2>&1 || {
        cat build/tool.log >&2
        exit 1
    }
}
need wit-bindgen "cargo install --locked wit-bindgen-cli@0.63.0 --no-default-features --features c,go"
need wasm-tools "cargo install --locked wasm-tools@1.263.0 --no-default-features --features component"

# Which world it is for follows from whether the plugin has queries.
world=described-subscriber-plugin
queries=
if grep -q '\.queries' ./*.c; then
    world=described-projection-plugin
    queries=-DTM_QUERIES
fi
bound=$(echo "$world" | tr - _)
rm -rf build/bindings
mkdir -p build/bindings "$(dirname "$out")"
quiet wit-bindgen c wit -w "$world" --out-dir build/bindings
${CC:-clang} --target=wasm32-wasi -mexec-model=reactor -std=c11 -Os -Wall -Wextra -s -I "$sdk" -I build/bindings \
    -include "$bound.h" "-DTM_WORLD=$bound" $queries \
    -o build/core.wasm ./*.c "$sdk"/*.c build/bindings/*.c build/bindings/*_component_type.o ${CFLAGS:-}
# The adapter is for a plugin that prints or asks for the time; without stdio the component asks for nothing of WASI.
wasm-tools component new build/core.wasm --adapt "wasi_snapshot_preview1=$sdk/wasi_preview1_reactor.wasm" -o "$out"
