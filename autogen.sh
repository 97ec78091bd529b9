#!/bin/sh
# Makes configure. Needed once after a clone, and after a change to configure.ac or m4/.
cd "$(dirname "$0")" || exit 1
for tool in autoreconf automake libtoolize; do
	command -v $tool >/dev/null && continue
	echo "autogen.sh: $tool not found. On Debian and Ubuntu: apt-get install autoconf automake libtool" >&2
	exit 1
done
exec autoreconf -fi
