#!/usr/bin/env bash
# The library as those get it who install it: `cargo cinstall` into a prefix of its own, which a
# project of CMake and one of pkg-config then use; the C tests under valgrind; the size.
#
# Needs cargo-c, cmake, pkg-config, valgrind and a C compiler. Builds under target/.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-$PWD/../target}/install-c"
prefix="$(mktemp -d)"
trap 'rm -rf "$prefix"' EXIT
build="$prefix/build"
mkdir -p "$build"
cc="${CC:-cc}"
warnings=(-Wall -Wextra -Werror -pedantic -std=c11 -D_POSIX_C_SOURCE=200809L -pthread -g)

# --libdir: the same place on every system
cargo cinstall --locked --profile dist --prefix "$prefix" --libdir "$prefix/lib" \
    --target-dir "$target"
test -f "$prefix/include/chatproto.h"
cmp include/chatproto.h "$prefix/include/chatproto.h"
test -f "$prefix/lib/libchatproto.a"
library="$prefix/lib/libchatproto.so"

soname="$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')"
test -e "$prefix/lib/$soname"

export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib"
read -ra flags <<<"$(pkg-config --cflags --libs chatproto)"
read -ra static_flags <<<"$(pkg-config --cflags --libs --static chatproto)"
test "$(pkg-config --modversion chatproto)" = \
    "$(sed -n 's/#define CHATPROTO_VERSION "\(.*\)"/\1/p' include/chatproto.h)"
frame='{"from":{"name":"a","ip":"b"},"to":"c","msg":"d"}'
for example in client poll server decode; do
    "$cc" "${warnings[@]}" "examples/$example.c" "${flags[@]}" -o "$build/$example"
done
test "$(echo "$frame" | "$build/decode")" = '"a" to "c": "d"'
# the first folder that has one is taken, and this has the static one only
mkdir "$build/static"
cp "$prefix/lib/libchatproto.a" "$build/static"
"$cc" "${warnings[@]}" examples/decode.c -L"$build/static" "${static_flags[@]}" \
    -o "$build/decode-static"
test "$(echo "$frame" | LD_LIBRARY_PATH='' "$build/decode-static")" = '"a" to "c": "d"'

for static in OFF ON; do
    cmake -S tests/cmake -B "$build/cmake-$static" -DCMAKE_PREFIX_PATH="$prefix" \
        -DEXAMPLES="$PWD/examples" -Dchatproto_USE_STATIC_LIBS="$static" >"$build/cmake.log" ||
        { cat "$build/cmake.log"; exit 1; }
    cmake --build "$build/cmake-$static" >"$build/cmake.log" || { cat "$build/cmake.log"; exit 1; }
    test "$(echo "$frame" | "$build/cmake-$static/decode")" = '"a" to "c": "d"'
done

vectors="$(find "${CARGO_TARGET_DIR:-../target}/tmp" -name vectors.txt 2>/dev/null | head -n 1)"
for test in core utils network strange_servers vectors; do
    "$cc" "${warnings[@]}" -DIS_SANITIZED=1 "tests/$test.c" "${flags[@]}" -o "$build/test-$test"
    arguments=()
    if [ "$test" = vectors ]; then
        [ -n "$vectors" ] || { echo "vectors.txt is made by cargo test -p chatproto-c"; exit 1; }
        arguments=("$vectors")
    fi
    valgrind --quiet --error-exitcode=1 --leak-check=full --errors-for-leak-kinds=definite,indirect \
        --show-leak-kinds=definite,indirect --fair-sched=yes "$build/test-$test" "${arguments[@]}"
done

strip -o "$build/stripped.so" "$library"
size="$(stat -c %s "$build/stripped.so")"
# 25 kB of it are the client's side of WebSocket: the URL, HTTP, SHA-1, base64 and masked frames
[ "$size" -le 2080000 ] || { echo "$soname has $size bytes stripped, more than 2080000" >&2; exit 1; }
echo "the installed library works: $soname, $size bytes stripped"
