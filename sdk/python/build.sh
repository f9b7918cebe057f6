#!/bin/sh
# Builds a Python plugin to a component: build.sh [PROJECT] [OUT]
#
# PROJECT (the current folder if not given) holds plugin.py and wit/; OUT is build/plugin.wasm in it if not
# given. It needs `componentize-py` (pip install componentize-py).
set -eu
sdk=$(cd "$(dirname "$0")" && pwd)
cd "${1:-.}"
out=${2:-build/plugin.wasm}
command -v componentize-py >/dev/null || {
    echo "componentize-py is missing: pip install componentize-py==0.25.1" >&2
    exit 1
}
mkdir -p "$(dirname "$out")"
# Which world it is for follows from the last line of the plugin.
world=described-subscriber-plugin
if grep -q '^Subscriber, Projection, Description' plugin.py; then world=described-projection-plugin; fi
if grep -q '^Aggregate, Description' plugin.py; then world=described-aggregate-plugin; fi
# Sockets are among what CPython asks for, and no plugin has them: so nothing is asked for.
componentize-py -q -d wit -w "$world" componentize --stub-wasi plugin -p . -p "$sdk" -o "$out"
