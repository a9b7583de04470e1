#!/usr/bin/env bash
# Shows on real processes what KVS promises: basic functions, cluster formation, replication, conflict resolution.
#
#   ./integration_test.sh            builds the release binary, then tests it
#   KVS_BIN=path ./integration_test.sh   tests that binary
#
# Prints a line per check and ends with 0 when all passed, with 1 when one failed, with 2 when it could not begin. It runs
# in a folder and a home of its own, on ports that the system gives, and leaves nothing behind.
set -u

project="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
command -v curl > /dev/null || { echo "this test needs curl" >&2; exit 2; }

if [ -z "${KVS_BIN:-}" ]; then
    (cd "$project" && cargo build --release --bin kvs) || exit 2
    KVS_BIN="$project/target/release/kvs"
fi
[ -x "$KVS_BIN" ] || { echo "$KVS_BIN is no program" >&2; exit 2; }
KVS_BIN="$(cd "$(dirname "$KVS_BIN")" && pwd)/$(basename "$KVS_BIN")"

folder="$(mktemp -d "${TMPDIR:-/tmp}/kvs-test.XXXXXX")" || exit 2
export HOME="$folder/home"
for name in $(compgen -v KVS_); do
    [ "$name" = KVS_BIN ] || unset "$name"
done
mkdir "$HOME" && cd "$folder" || exit 2

passed=0
failed=0
started=""

# Ends what still runs: in order if it can be (3 says that it does not run), else by the process that its start named.
clean_up() {
    local name
    for name in $started; do
        kvs stop "$name" > /dev/null 2>&1
        case $? in 0 | 3) ;; *) kill -9 "$(cat "$name.pid")" 2> /dev/null ;; esac
    done
    cd / && rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

kvs() {
    "$KVS_BIN" "$@"
}

# check TEXT COMMAND...: one line, by whether the command succeeds.
check() {
    local text="$1"
    shift
    if "$@" > last-output 2>&1; then
        passed=$((passed + 1))
        echo "PASS  $text"
    else
        failed=$((failed + 1))
        echo "FAIL  $text"
        sed 's/^/      /' last-output | head -n 20
    fi
}

# eventually COMMAND...: tries for ten seconds.
eventually() {
    local try
    for try in $(seq 100); do
        "$@" && return 0
        sleep 0.1
    done
    echo "not within ten seconds: $*"
    return 1
}

# write_config NAME SEEDS [LINE...]: a configuration without accounts, on a port that the system chooses.
write_config() {
    local name="$1" seeds="$2"
    shift 2
    printf '%s\n' "node_id: $name" "port: 0" "data_dir: ./data-$name" "seed_nodes: [$seeds]" \
        "auth_enabled: false" "backup_enabled: false" "rate_limiting_enabled: false" "$@" > "$name.yaml"
}

# start NAME: starts a node in the background and notes its address and its process.
start() {
    local said
    said="$(kvs start "$1" --json)" || return 1
    case " $started " in *" $1 "*) ;; *) started="$started $1" ;; esac
    printf '%s' "$said" | sed -n 's/.*"address":"\([^"]*\)".*/\1/p' > "$1.address"
    printf '%s' "$said" | sed -n 's/.*"pid":\([0-9]*\).*/\1/p' > "$1.pid"
    [ -s "$1.address" ] && [ -s "$1.pid" ]
}

at() {
    echo "http://$(cat "$1.address")"
}

# status STATUS CURL-ARGUMENTS...: whether the answer has this status.
status() {
    local wanted="$1" found
    shift
    found="$(curl -s -o answer -w '%{http_code}' "$@")"
    [ "$found" = "$wanted" ] || { echo "expected $wanted, got $found: $(cat answer)"; return 1; }
}

# answer_has TEXT CURL-ARGUMENTS...: whether the answer holds the text.
answer_has() {
    local text="$1"
    shift
    curl -s "$@" > answer
    grep -qF -- "$text" answer || { echo "no $text in: $(cat answer)"; return 1; }
}

put() {
    status "$1" -X PUT "$2" -H 'Content-Type: application/json' -d "$3"
}

root_of() {
    curl -s "$(at "$1")/sync/merkle/root"
}

roots_are_equal() {
    local first other name
    first="$(root_of "$1")"
    shift
    for name in "$@"; do
        other="$(root_of "$name")"
        [ -n "$first" ] && [ "$first" = "$other" ] || { echo "$first is not $other"; return 1; }
    done
}

members_are() {
    local name="$1" count="$2"
    answer_has "\"member_count\":$count" "$(at "$name")/health"
}

takes_writes() {
    answer_has '"mode":"normal"' "$(at "$1")/health"
}

echo "Basic functions"
write_config single ""
check "a node starts in the background" start single
single="$(at single)"
check "it says that it is well" answer_has '"status":"ok"' "$single/health"
check "a value is stored" put 201 "$single/kv/users/john/profile" '{"name":"John Doe","age":30}'
check "it is read byte for byte" answer_has '"data":{"name":"John Doe","age":30}' "$single/kv/users/john/profile"
check "it is written over" put 200 "$single/kv/users/john/profile" '{"name":"John Doe","age":31}'
check "the former version is in the history" answer_has '"rule":"newer"' "$single/history/users/john/profile"
check "a value with a time to live has an end" put 201 "$single/kv/cache/a" '{"data":1,"ttl":"1h"}'
check "which is told" answer_has '"expires_at":' "$single/kv/cache/a"
check "a value of one second" put 201 "$single/kv/cache/b?ttl=1s" '1'
check "is gone after it" eventually status 404 "$single/kv/cache/b"
check "what is no JSON is refused" put 400 "$single/kv/bad" '{"a":'
check "keys are listed" answer_has '"path":"users/john/profile"' "$single/kv/_range?prefix=users/"
check "a value is deleted" status 204 -X DELETE "$single/kv/users/john/profile"
check "and is gone" status 404 "$single/kv/users/john/profile"
put 201 "$single/kv/kept" '"kept"' > /dev/null
kill -9 "$(cat single.pid)"
check "after kill -9 it starts again" start single
check "and holds what it answered for" answer_has '"kept"' "$(at single)/kv/kept"
check "it is stopped in order" kvs stop single

echo "Cluster formation"
write_config node1 ""
check "the first node starts" start node1
write_config node2 "\"$(cat node1.address)\""
check "the second joins by the first" start node2
write_config node3 "\"$(cat node1.address)\", \"$(cat node2.address)\""
check "the third joins by both" start node3
for name in node1 node2 node3; do
    check "$name knows all three" eventually members_are "$name" 3
    check "$name takes writes" eventually takes_writes "$name"
done
check "the command line lists them" answer_has '"id":"node3"' "$(at node1)/members/"
kvs members --url "$(at node1)"

echo "Replication"
check "a value written on node1" put 201 "$(at node1)/kv/test/data" '{"message":"hello world"}'
for name in node2 node3; do
    check "is on $name" eventually answer_has '"message":"hello world"' "$(at "$name")/kv/test/data"
done
check "a value that waits for all nodes" put 201 "$(at node2)/kv/test/waited?w=all" '1'
check "is on node3 when it is answered" status 200 "$(at node3)/kv/test/waited"
check "a value deleted on node3" status 204 -X DELETE "$(at node3)/kv/test/data?w=all"
check "is gone on node1" status 404 "$(at node1)/kv/test/data"
check "and on node2" status 404 "$(at node2)/kv/test/data"
kill -9 "$(cat node2.pid)"
check "with node2 killed, node1 takes writes" put 201 "$(at node1)/kv/test/missed" '"missed"'
check "and node3 has them" eventually status 200 "$(at node3)/kv/test/missed"
check "node2 starts again" start node2
check "and gets what it missed" eventually answer_has '"missed"' "$(at node2)/kv/test/missed"
check "all three hold the same: equal roots" eventually roots_are_equal node1 node2 node3
for name in node3 node2 node1; do
    check "$name is stopped in order" kvs stop "$name"
done

echo "Conflict resolution"
check "two nodes get different values of one moment" kvs debug conflict data-conflict1 data-conflict2
write_config conflict1 "" "log_level: debug"
check "the older node starts with its own" start conflict1
check "as a single node would" answer_has 'older node' "$(at conflict1)/kv/test/conflict/data"
write_config conflict2 "\"$(cat conflict1.address)\"" "log_level: debug"
check "the younger node starts and joins it" start conflict2
for name in conflict1 conflict2; do
    check "$name ends with the older node's value" \
        eventually answer_has 'older node' "$(at "$name")/kv/test/conflict/data"
    check "$name keeps the other one in the history, with the rule" \
        eventually answer_has '"rule":"older_node"' "$(at "$name")/history/test/conflict/data"
    check "$name counts the conflict" \
        eventually answer_has 'kvs_conflicts_resolved_total{rule="older_node"} 1' "$(at "$name")/metrics"
    check "$name tells it in its log" \
        eventually grep -q 'a conflict was resolved' "$HOME/.kvs/logs/kvs_$name.yaml.log"
done
check "both hold the same: equal roots" eventually roots_are_equal conflict1 conflict2

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
