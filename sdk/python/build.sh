#!/bin/sh
# Builds a Python plugin to a component: build.sh [PROJECT] [OUT]
#
# PROJECT (the current folder if not given) holds plugin.py and wit/; OUT is build/plugin.wasm in it if not
# given. It needs `componentize-py`; see README.md beside this file. TIDEMILL_WORLD, or else `world = ".."` in dev.toml, is
# the world that it is built for; without them it follows from the names that plugin.py exports.
set -eu
sdk=$(cd "$(dirname "$0")" && pwd)
cd "${1:-.}"
out=${2:-build/plugin.wasm}
command -v componentize-py >/dev/null || {
    echo "componentize-py is missing: python3 -m venv .venv && . .venv/bin/activate && pip install componentize-py==0.25.1" >&2
    exit 1
}
mkdir -p "$(dirname "$out")"
# Whether a line of the plugin begins so: what it exports, it says at the left margin.
exports() { grep -Eq "^$1" plugin.py; }
world=${TIDEMILL_WORLD:-$([ ! -f dev.toml ] || sed -n 's/^world *= *"\([^"]*\)".*/\1/p' dev.toml)}
if [ -z "$world" ]; then
    sends=
    if grep -q 'ctx\.dispatch(' plugin.py; then sends=dispatching-; fi
    world=described-${sends}subscriber-plugin
    if exports '.*Projection.*='; then world=described-${sends}projection-plugin; fi
    if exports 'Aggregate\b.*='; then world=described-aggregate-plugin; fi
    if exports 'Upcaster *='; then world=upcaster-plugin; fi
    if exports 'Validator *='; then world=validator-plugin; fi
fi
# Sockets are among what CPython asks for, and no plugin has them: so nothing is asked for.
componentize-py -q -d wit -w "$world" componentize --stub-wasi plugin -p . -p "$sdk" -o "$out"
