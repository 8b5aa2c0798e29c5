#!/usr/bin/env bash
# The same house by curl alone: register, a channel, messages, idempotency,
# roles, history, reactions, edits, marks and a one-use socket ticket.
#
#   cargo run --release                 (in one terminal)
#   examples/tour.sh [http://127.0.0.1:8080]
set -euo pipefail

server=${1:-http://127.0.0.1:8080}
api=$server/api/v1
suffix=$(date +%s)-$$

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# call TOKEN METHOD PATH [BODY] [KEY]: one request; the answer is shown and kept in $answer.
call() {
    local token=$1 method=$2 path=$3 body=${4:-} key=${5:-} status
    local arguments=(-sS -X "$method" "$api$path" -H 'content-type: application/json')
    [ -z "$token" ] || arguments+=(-H "authorization: Bearer $token")
    [ -z "$key" ] || arguments+=(-H "idempotency-key: $key")
    [ -z "$body" ] || arguments+=(-d "$body")
    printf '  %s %s %s\n' "$method" "$path" "$body"
    answer=$(curl "${arguments[@]}" -w '\n%{http_code}')
    status=${answer##*$'\n'}
    answer=${answer%$'\n'*}
    printf '  %s %.200s\n' "$status" "$answer"
    [[ $status == 2* ]]
}

# field PATH: one field of $answer, e.g. `field data.user.id`.
field() {
    node -pe 'process.argv[2].split(".").reduce((value, name) => value[name], JSON.parse(process.argv[1]))' -- "$answer" "$1"
}

step "Is it there?"
curl -sS -o /dev/null -w '  GET /livez %{http_code}\n' "$server/livez"
curl -sS -o /dev/null -w '  GET /readyz %{http_code}\n' "$server/readyz"

step "Alice and Bob register"
call '' POST /auth/register "{\"username\": \"alice-$suffix\", \"email\": \"alice-$suffix@example.com\", \"password\": \"correct horse battery\", \"displayName\": \"Alice\"}"
alice=$(field data.accessToken)
call '' POST /auth/register "{\"username\": \"bob-$suffix\", \"email\": \"bob-$suffix@example.com\", \"password\": \"staple of the day\", \"displayName\": \"Bob\"}"
bob=$(field data.accessToken)
bob_id=$(field data.user.id)

step "Alice opens a public channel, Bob joins"
call "$alice" POST /conversations "{\"kind\": \"channel\", \"title\": \"By curl\", \"slug\": \"curl-$suffix\", \"visibility\": \"public\"}"
channel=$(field data.id)
call "$bob" POST "/conversations/$channel/join"

step "Alice makes Bob a moderator; Bob may not make himself the owner (403)"
call "$alice" PATCH "/conversations/$channel/participants/$bob_id" '{"role": "moderator"}'
call "$bob" PATCH "/conversations/$channel/participants/$bob_id" '{"role": "owner"}' || true

step "Alice sends; the same key again changes nothing (201, then 200)"
call "$alice" POST "/conversations/$channel/messages" '{"text": "Hello Bob!"}' "key-$suffix"
message=$(field data.id)
seq=$(field data.seq)
call "$alice" POST "/conversations/$channel/messages" '{"text": "Hello Bob!"}' "key-$suffix"

step "Bob reacts, Alice edits, Bob reads up to it"
call "$bob" POST "/messages/$message/reactions" '{"emoji": "🎺"}'
call "$alice" PATCH "/messages/$message" '{"text": "Hello Bob, can you hear the fanfare?"}' "edit-$suffix"
call "$bob" POST "/conversations/$channel/read" "{\"seq\": $seq}"

step "The history, and Bob's list with its unread counts"
call "$bob" GET "/conversations/$channel/messages?limit=10"
call "$bob" GET /conversations

step "A ticket opens one WebSocket, once: ws://…/ws?ticket=…"
call "$bob" POST /auth/ticket

step "That was the tour. With WebSocket: node examples/two-minute-tour.mjs"
