#!/bin/sh
# What the tests need beyond Python: a browser. (PostgreSQL and Valkey come as Python packages.) Installed only as root
# on Debian; elsewhere the tests that need it say why they are skipped.
set -eu
if command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1; then
  exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing Debian packages: chromium chromium-driver fonts-noto-cjk"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null
  apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-noto-cjk >/dev/null
else
  echo "no Chromium here: browser tests are skipped (install chromium and chromium-driver)"
fi
