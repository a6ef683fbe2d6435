#!/usr/bin/env bash
# Builds grpcurl, at a pinned version, into the folder given; the tests drive the services with it.
set -euo pipefail
version=v1.9.3
bin=$1
[ -x "$bin/grpcurl-$version" ] || {
    GOBIN="$bin" go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$version"
    mv "$bin/grpcurl" "$bin/grpcurl-$version"
}
echo "$bin/grpcurl-$version"
