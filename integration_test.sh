#!/usr/bin/env bash
# Shows on real processes what KVS promises: basic functions, authentication, cluster formation, replication, conflict
# resolution.
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

# write_guarded NAME SEEDS [LINE...]: a configuration with accounts, which finds its data directory by its name.
write_guarded() {
    local name="$1" seeds="$2"
    shift 2
    printf '%s\n' "node_id: $name" "port: 0" "seed_nodes: [$seeds]" "auth_enabled: true" \
        "backup_enabled: false" "rate_limiting_enabled: false" "$@" > "$name.yaml"
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

# put STATUS URL BODY [CURL-ARGUMENTS...]
put() {
    local wanted="$1" url="$2" body="$3"
    shift 3
    status "$wanted" -X PUT "$url" -H 'Content-Type: application/json' -d "$body" "$@"
}

# post STATUS URL BODY [CURL-ARGUMENTS...]: the answer is in the file of that name.
post() {
    local wanted="$1" url="$2" body="$3"
    shift 3
    status "$wanted" -X POST "$url" -H 'Content-Type: application/json' -d "$body" "$@"
}

# bearing TOKEN COMMAND...: with a token.
bearing() {
    local token="$1"
    shift
    "$@" -H "Authorization: Bearer $token"
}

# member NAME: a text member of the last answer.
member() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" answer
}

# create_user NICKNAME: creates it on the node at $guarded; its uuid is in NICKNAME.uuid, a token of one hour in
# NICKNAME.token.
create_user() {
    bearing "$root" post 201 "$guarded/auth/users" "{\"nickname\":\"$1\"}" || return 1
    member uuid > "$1.uuid"
    bearing "$root" post 201 "$guarded/auth/tokens" \
        "{\"user_uuid\":\"$(cat "$1.uuid")\",\"scopes\":[\"read\",\"write\",\"delete\"],\"ttl\":\"1h\"}" || return 1
    member token > "$1.token"
    [ -s "$1.uuid" ] && [ -s "$1.token" ]
}

# is_private FILE: whether nobody but its owner may read it.
is_private() {
    case "$(ls -l "$1")" in -rw-------*) ;; *) ls -l "$1"; return 1 ;; esac
}

# fails COMMAND...: whether it does not succeed.
fails() {
    if "$@"; then
        echo "it succeeded"
        return 1
    fi
}

# restart NAME: stops a node and starts it from its configuration as that is now.
restart() {
    kvs stop "$1" > /dev/null && start "$1" && guarded="$(at "$1")"
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
check "after kill -9 it starts again" eventually start single
check "and holds what it answered for" answer_has '"kept"' "$(at single)/kv/kept"
check "it is stopped in order" kvs stop single

echo "Authentication"
write_guarded guarded ""
check "a node with accounts starts without being set up" start guarded
guarded="$(at guarded)"
root="$(cat data-guarded/root.token)"
check "it left a token of root where only its owner can read it" is_private data-guarded/root.token
for route in /health /ready /members/; do
    check "$route is open to everybody" status 200 "$guarded$route"
done
admin_reads="/auth/users /auth/tokens /sync/merkle/root /cluster/convergence /cluster/tombstones /backup"
for route in $admin_reads /metrics /auth/whoami; do
    check "GET $route refuses strangers" status 401 "$guarded$route"
    check "and takes a good token" bearing "$root" status 200 "$guarded$route"
done
for route in "POST /auth/users" "POST /auth/groups" "POST /auth/tokens" "POST /members/join" "POST /members/leave" \
    "DELETE /members/leave" "POST /members/forget" "POST /backup"; do
    check "$route refuses strangers" status 401 -X "${route% *}" "$guarded${route#* }"
done
check "a stranger is told what to bring" eval "curl -si $guarded/kv/a | grep -i '^www-authenticate: Bearer'"
check "a token that somebody made up is refused" bearing "${root%????}AAAA" status 401 "$guarded/kv/a"
check "and so is a name without a token" status 401 -H "X-User: root" -H "X-Forwarded-For: 127.0.0.1" "$guarded/kv/a"
check "root says who it is" bearing "$root" answer_has '"admin"' "$guarded/auth/whoami"
check "a backup is made for root" bearing "$root" status 201 -X POST "$guarded/backup"

check "kvs finds the token of root by itself" kvs put notes/first '"by root"' --config guarded
check "and reads with it" kvs get notes/first --config guarded
check "it sends it to no address that was named instead" fails kvs get notes/first --url "$guarded"
check "a token can be named with the address" kvs get notes/first --url "$guarded" --token "$root"

check "root creates the user john and a token for it" create_user john
check "and jane" create_user jane
john="$(cat john.token)"
jane="$(cat jane.token)"
check "john writes" bearing "$john" put 201 "$guarded/kv/people/john" '{"age":30}'
check "john reads" bearing "$john" answer_has '{"age":30}' "$guarded/kv/people/john"
check "jane reads what is john's" bearing "$jane" answer_has '{"age":30}' "$guarded/kv/people/john"
check "jane does not write over it" bearing "$jane" put 403 "$guarded/kv/people/john" '{"age":0}'
check "nor delete it" bearing "$jane" status 403 -X DELETE "$guarded/kv/people/john"
for route in /auth/users /sync/merkle/root /cluster/convergence /cluster/tombstones /backup; do
    check "john is no administrator: $route" bearing "$john" status 403 "$guarded$route"
done
check "john sees the list of his own tokens" bearing "$john" answer_has "$(cat john.uuid)" "$guarded/auth/tokens"
check "and of nobody else's" fails grep -qF "$(cat jane.uuid)" answer
check "john may not make an administrator" bearing "$john" post 403 "$guarded/auth/users" '{"nickname":"joe"}'
bearing "$root" post 201 "$guarded/auth/tokens" \
    "{\"user_uuid\":\"$(cat john.uuid)\",\"scopes\":[\"read\"],\"paths\":[\"people\"]}" > /dev/null
narrow="$(member token)"
check "a token for reading one subtree reads there" bearing "$narrow" status 200 "$guarded/kv/people/john"
check "and nowhere else" bearing "$narrow" status 404 "$guarded/kv/notes/first"
check "and writes nothing" bearing "$narrow" put 403 "$guarded/kv/people/john" '1'

check "a stranger does not read" status 401 "$guarded/kv/people/john"
check "nor write" put 401 "$guarded/kv/anonymous/a" '1'
check "nor delete" status 401 -X DELETE "$guarded/kv/people/john"
write_guarded guarded "" "allow_anonymous_read: true"
check "the node starts again, open to readers" restart guarded
check "a stranger reads" answer_has '{"age":30}' "$guarded/kv/people/john"
check "and does not write" put 401 "$guarded/kv/anonymous/a" '1'
check "nor delete" status 401 -X DELETE "$guarded/kv/people/john"
write_guarded guarded "" "allow_anonymous_read: true" "allow_anonymous_write: true"
check "the node starts again, open to writers" restart guarded
check "a stranger writes" put 201 "$guarded/kv/anonymous/a" '1'
check "but not over what is john's" put 401 "$guarded/kv/people/john" '1'
check "a stranger never deletes" status 401 -X DELETE "$guarded/kv/anonymous/a"
check "nor by a batch" post 401 "$guarded/kv/_batch" '{"ops":[{"op":"delete","path":"anonymous/a"}]}'
check "nor is it an administrator" status 401 "$guarded/auth/users"
check "john deletes what is open to all" bearing "$john" status 204 -X DELETE "$guarded/kv/anonymous/a"

write_guarded guarded2 "\"$(cat guarded.address)\""
check "a second node joins with accounts on" start guarded2
check "john reads there" eventually bearing "$john" answer_has '{"age":30}' "$(at guarded2)/kv/people/john"
check "john's tokens are revoked" \
    bearing "$root" status 204 -X DELETE "$guarded/auth/users/$(cat john.uuid)/tokens"
check "and refused" bearing "$john" status 401 "$guarded/kv/people/john"
check "on the other node too" eventually bearing "$john" status 401 "$(at guarded2)/kv/people/john"
check "jane still reads" bearing "$jane" status 200 "$guarded/kv/people/john"
check "after a start they are still refused" restart guarded
check "as before" bearing "$john" status 401 "$guarded/kv/people/john"
check "no token is in a log" fails grep -rqF -e "$john" -e "$jane" -e "$root" "$HOME/.kvs/logs"
for name in guarded guarded2; do
    check "$name is stopped in order" kvs stop "$name"
done

echo "Rate limit"
write_guarded limited "" "rate_limit_requests: 3" "rate_limit_window: 1h"
sed -i.before 's/^rate_limiting_enabled: .*/rate_limiting_enabled: true/' limited.yaml
check "a node with a limit starts" start limited
limited="$(at limited)"
for number in 1 2 3; do
    check "a stranger's request $number is answered" status 401 "$limited/kv/a"
done
check "the next is one too many" status 429 "$limited/kv/a"
check "and is told when to come back" eval "curl -si $limited/kv/a | grep -i '^retry-after: [1-9]'"
check "whatever address it says it has" status 429 -H "X-Forwarded-For: 203.0.113.9" "$limited/kv/a"
check "its health is not limited" status 200 "$limited/health"
check "nor is root" bearing "$(cat data-limited/root.token)" status 404 "$limited/kv/a"
check "it is stopped in order" kvs stop limited

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
check "node2 starts again" eventually start node2
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
        eventually grep -q 'conflicts were resolved' "$HOME/.kvs/logs/kvs_$name.yaml.log"
done
check "both hold the same: equal roots" eventually roots_are_equal conflict1 conflict2

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
