#!/bin/sh
# What the tests need of the system: installed where it is missing and apt-get can do it, otherwise said in one line.
# Never fails: a test that then can not run says so itself.
set -u

sudo=""
if [ "$(id -u)" != 0 ]; then sudo="sudo -n"; fi

install() {
    command -v apt-get > /dev/null && $sudo true 2> /dev/null || return 1
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" > /dev/null 2>&1 && return
    $sudo apt-get update -qq > /dev/null 2>&1
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" > /dev/null 2>&1
}

fuzzer_links() {
    echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p == 0 && n > 0; }' |
        clang -x c -fsanitize=fuzzer,address,undefined -o /dev/null - > /dev/null 2>&1
}

missing=""
for pair in gcc:gcc nm:binutils clang:clang strace:strace pgrep:procps; do
    command -v "${pair%:*}" > /dev/null || install "${pair#*:}" || missing="$missing ${pair%:*}"
done
if command -v clang > /dev/null && ! fuzzer_links; then
    version=$(clang -dumpversion)
    install "libclang-rt-${version%%.*}-dev" && fuzzer_links || missing="$missing libFuzzer"
fi
if [ -n "$missing" ]; then echo "tests/system.sh: not there, and could not be installed:$missing"; fi
exit 0
