# shellcheck shell=bash
# What pages are opened with, beside Debian's Chromium: axe-core, and a client of the DevTools protocol, from npm's registry. Their
# sums are in the lock file, and no script of theirs is run.

up_page() {
    local place
    place=$(cached page "$(key_of "$LAB_DIR/page/package-lock.json")" page_tools)
    ln -sfn "$place" "$LAB_STATE/page"
}

page_tools() {
    local place=$1
    cp "$LAB_DIR/page/package.json" "$LAB_DIR/page/package-lock.json" "$place/"
    (cd "$place" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}
