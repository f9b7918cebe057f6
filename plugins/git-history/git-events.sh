#!/bin/sh
# Writes one CommitMade event per commit of a git repository, oldest first, as NDJSON.
#
#   git-events.sh REPO [NAME] | tidemill append
#
# REPO is any work tree or bare repository; NAME (the folder's name, if not given) names the stream
# `repo-NAME`. Needs git and any awk. Event ids are made from commit hashes, so importing again, under
# the same name, adds only what is new. Whatever is not UTF-8 becomes the replacement character; of a
# commit's files the first 2,000 are named, and all are counted in `files_total`.
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: git-events.sh REPO [NAME]" >&2
    exit 2
fi
repo=$1
git -C "$repo" rev-parse --git-dir >/dev/null
top=$(git -C "$repo" rev-parse --show-toplevel 2>/dev/null || git -C "$repo" rev-parse --absolute-git-dir)
name=${2:-$(basename "$top" .git)}

# Each commit is a line that begins with byte 1 and its hash, then one line each for author, address,
# date and subject, then its files, in C quotes where they hold anything unusual.
git -C "$repo" -c core.quotePath=true -c log.showSignature=false -c diff.relative=false -c log.showRoot=true \
    log --reverse --name-only --no-renames --no-color --no-show-signature --encoding=UTF-8 \
    --format='tformat:%x01%H%n%aN%n%aE%n%aI%n%s' |
LC_ALL=C NAME=$name awk '
BEGIN {
    for (i = 1; i < 256; i++) ord[sprintf("%c", i)] = i
    for (i = 1; i < 32; i++) control[sprintf("%c", i)] = sprintf("\\u%04x", i)
    control["\""] = "\\\""; control["\\"] = "\\\\"; control[sprintf("%c", 127)] = "\\u007f"
    escape["a"] = 7; escape["b"] = 8; escape["t"] = 9; escape["n"] = 10; escape["v"] = 11
    escape["f"] = 12; escape["r"] = 13; escape["\""] = 34; escape["\\"] = 92
    hex = "0123456789abcdef"
    mark = sprintf("%c", 1)
    stream = json("repo-" name_of(ENVIRON["NAME"]))
}

# A stream name holds no control characters, no "*", and at most 255 bytes.
function name_of(text) {
    gsub(/[[:cntrl:]*]/, "_", text)
    return substr(text, 1, 200)
}

function lower_bound(first) { return first == 224 ? 160 : first == 240 ? 144 : 128 }
function upper_bound(first) { return first == 237 ? 159 : first == 244 ? 143 : 191 }

# How many bytes the well-formed UTF-8 character at i has; 0 if it is none.
function width(text, i,    first, need, k, byte) {
    first = ord[substr(text, i, 1)]
    if (first < 128) return 1
    need = (first >= 194 && first <= 223) ? 2 : (first >= 224 && first <= 239) ? 3 : (first >= 240 && first <= 244) ? 4 : 0
    for (k = 1; k < need; k++) {
        byte = ord[substr(text, i + k, 1)] + 0
        if (byte < (k == 1 ? lower_bound(first) : 128) || byte > (k == 1 ? upper_bound(first) : 191)) return 0
    }
    return need
}

# The text as a JSON string.
function json(text,    out, i, n, w, c) {
    if (text !~ /[^] !#-[^-~]/) return "\"" text "\""
    n = length(text)
    for (i = 1; i <= n; i += w) {
        w = width(text, i)
        c = substr(text, i, w ? w : 1)
        if (!w) { out = out "\357\277\275"; w = 1 }
        else out = out (c in control ? control[c] : c)
    }
    return "\"" out "\""
}

# A file name as it is, out of the C quotes that git puts around unusual ones.
function unquote(text,    out, i, n, c) {
    if (text !~ /^".*"$/) return text
    n = length(text) - 1
    for (i = 2; i <= n; i++) {
        c = substr(text, i, 1)
        if (c != "\\") { out = out c; continue }
        c = substr(text, ++i, 1)
        if (c in escape) out = out sprintf("%c", escape[c])
        else {
            out = out sprintf("%c", c * 64 + substr(text, i + 1, 1) * 8 + substr(text, i + 2, 1))
            i += 2
        }
    }
    return out
}

# A version 8 UUID of the first 32 digits of the hash.
function uuid(hash) {
    return substr(hash, 1, 8) "-" substr(hash, 9, 4) "-8" substr(hash, 14, 3) "-" \
        substr("89ab", (index(hex, substr(hash, 17, 1)) - 1) % 4 + 1, 1) substr(hash, 18, 3) "-" substr(hash, 21, 12)
}

function flush() {
    if (hash == "") return
    printf "{\"id\":\"%s\",\"type\":\"CommitMade\",\"stream\":%s,\"data\":{\"hash\":\"%s\",\"author\":%s,\"email\":%s," \
        "\"authored_at\":%s,\"subject\":%s,\"files\":[%s],\"files_total\":%d}}\n", \
        uuid(hash), stream, hash, author, email, date, subject, files, files_total
}

substr($0, 1, 1) == mark && line >= 5 || NR == 1 { flush(); hash = substr($0, 2); files = ""; files_total = bytes = 0; line = 1; next }
line == 1 { author = json($0); line++; next }
line == 2 { email = json($0); line++; next }
line == 3 { date = json($0); line++; next }
line == 4 { subject = json(substr($0, 1, 4000)); line++; next }
$0 == "" { next }
{
    if (++files_total > 2000 || bytes > 500000) next
    file = json(unquote($0))
    bytes += length(file)
    files = files (files == "" ? "" : ",") file
}
END { flush() }
'
