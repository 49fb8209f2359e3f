#!/bin/bash
# Checks the infrastructure in nine steps. By default it starts the services of docker-compose.yml and leaves them running.
#
# With RELAY_INFRA=local it uses servers that run already, in a throw-away database that it always drops:
#   RELAY_INFRA_POSTGRES_URL   a user who may create databases, as postgres://user:password@host:port/postgres
#   RELAY_INFRA_REDIS_URL      as redis://default:password@host:port/0
# RELAY_INFRA_WAIT             seconds to wait for each server (default 60)
set -euo pipefail

cd "$(dirname "$0")"

mode="${RELAY_INFRA:-docker}"
wait_seconds="${RELAY_INFRA_WAIT:-60}"
tables=(workflows runs tasks dependencies task_runs artifacts)
declare -A expected=([workflows]=5 [runs]=6 [tasks]=5 [dependencies]=4 [task_runs]=13 [artifacts]=5)
unique="$$_$(date +%s%N)"
queue="relay:infra_test:$unique"
database="relay_infra_$unique"
made_database=no made_workflow=no made_queue=no

green='' red='' plain=''
if [ -t 1 ]; then green=$'\033[0;32m' red=$'\033[0;31m' plain=$'\033[0m'; fi

tick() { echo "${green}✓ $1${plain}"; }

fail() {
    echo "${red}✗ test_infra: $1${plain}" >&2
    exit 1
}

# host_of URL: host and port alone, since a URL may hold a password and output is kept in logs.
host_of() {
    local rest="${1#*://}"
    rest="${rest%%[/?]*}"
    echo "${rest##*@}"
}

# in_database URL NAME: the same URL, for another database.
in_database() {
    local rest="${1#*://}" query=''
    case "$rest" in *\?*) query="?${rest#*\?}" rest="${rest%%\?*}" ;; esac
    echo "${1%%://*}://${rest%%/*}/$2$query"
}

choose_mode() {
    case "$wait_seconds" in '' | *[!0-9]*) fail "RELAY_INFRA_WAIT is '$wait_seconds'; it takes whole seconds." ;; esac
    case "$mode" in
        docker) choose_compose ;;
        local) check_local ;;
        *) fail "RELAY_INFRA is '$mode'; it takes 'docker' (the default) or 'local'." ;;
    esac
}

choose_compose() {
    if docker compose version >/dev/null 2>&1; then
        compose=(docker compose)
    elif docker-compose version >/dev/null 2>&1; then
        compose=(docker-compose)
    else
        fail "neither 'docker compose' nor 'docker-compose' is here. Install one, or set RELAY_INFRA=local to use running servers."
    fi
    postgres_at="localhost:${RELAY_POSTGRES_PORT:-5432}"
    redis_at="localhost:${RELAY_REDIS_PORT:-6379}"
}

check_local() {
    local name
    for name in RELAY_INFRA_POSTGRES_URL RELAY_INFRA_REDIS_URL; do
        [ -n "${!name:-}" ] || fail "RELAY_INFRA=local needs $name; the head of this file shows its form."
    done
    case "$RELAY_INFRA_POSTGRES_URL" in
        postgres://* | postgresql://*) ;;
        *) fail "RELAY_INFRA_POSTGRES_URL must begin with postgres:// or postgresql://." ;;
    esac
    command -v psql >/dev/null || fail "psql is missing. Install it (Debian: postgresql-client)."
    command -v redis-cli >/dev/null || fail "redis-cli is missing. Install it (Debian: redis-tools)."
    admin_url="$RELAY_INFRA_POSTGRES_URL"
    database_url="$(in_database "$admin_url" "$database")"
    postgres_at="$(host_of "$admin_url")"
    redis_at="$(host_of "$RELAY_INFRA_REDIS_URL")"
    export PGCONNECT_TIMEOUT="${PGCONNECT_TIMEOUT:-5}"
}

# sql ARGS...: psql on the database under test, its answer as bare text.
sql() {
    case "$mode" in
        docker) "${compose[@]}" exec -T postgres psql -U relay -d relay -X -qtA -v ON_ERROR_STOP=1 "$@" </dev/null ;;
        local) psql -X -qtA -v ON_ERROR_STOP=1 -d "$database_url" "$@" </dev/null ;;
    esac
}

admin_sql() { psql -X -qtA -v ON_ERROR_STOP=1 -d "$admin_url" -c "$1" </dev/null; }

redis() {
    case "$mode" in
        docker) "${compose[@]}" exec -T redis redis-cli "$@" </dev/null ;;
        local) redis-cli -u "$RELAY_INFRA_REDIS_URL" --no-auth-warning "$@" </dev/null ;;
    esac
}

# Over TCP: while the image applies its files, its server listens on the Unix socket alone.
ask_postgres() {
    case "$mode" in
        docker) "${compose[@]}" exec -T postgres pg_isready -h 127.0.0.1 -U relay -d relay </dev/null 2>&1 ;;
        local) admin_sql 'SELECT 1' 2>&1 ;;
    esac
}

ask_redis() {
    local answer
    answer="$(redis ping 2>&1)" || true
    [ "$answer" = PONG ] || {
        echo "$answer"
        return 1
    }
}

# wait_for WHAT WHERE COMMAND: asks until it answers, for at most $wait_seconds.
wait_for() {
    local deadline=$((SECONDS + wait_seconds)) said
    until said="$("$3")"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$1 at $2 did not answer within $wait_seconds s: ${said:-no message}"
        sleep 0.2
    done
}

# Always: whatever this run made and did not take away again itself.
clean_up() {
    local status=$?
    trap - EXIT
    [ "$made_queue" = no ] || redis DEL "$queue" >/dev/null 2>&1 || true
    case "$mode" in
        docker) [ "$made_workflow" = no ] || sql -c "DELETE FROM workflows WHERE id = 'test_workflow'" >/dev/null 2>&1 || true ;;
        local)
            [ "$made_database" = no ] || admin_sql "DROP DATABASE IF EXISTS \"$database\" WITH (FORCE)" >/dev/null 2>&1 ||
                echo "test_infra: could not drop the database $database at $postgres_at" >&2
            ;;
    esac
    exit "$status"
}

start_services() {
    [ "$mode" = local ] || "${compose[@]}" up -d >&2 || fail "'${compose[*]} up -d' failed."
}

# What the image does by itself on an empty volume.
apply_schema() {
    local file
    # Set before the command: an interrupt between the two must not leave the database behind.
    made_database=yes
    admin_sql "CREATE DATABASE \"$database\"" >/dev/null || fail "cannot create a database at $postgres_at."
    for file in postgres/init.sql migrations/001_init.sql; do
        PGOPTIONS='-c client_min_messages=warning' sql -f "$file" >/dev/null || fail "$file failed on the empty database."
    done
}

verify_tables() {
    local found
    found="$(sql -c "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'
        AND table_name IN ('workflows', 'runs', 'tasks', 'dependencies', 'task_runs', 'artifacts')")"
    [ "$found" = 6 ] || fail "expected 6 tables, found $found."
}

verify_columns() {
    local table count wrong=()
    for table in "${tables[@]}"; do
        count="$(sql -c "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '$table'")"
        echo "  - $table: $count columns"
        [ "$count" = "${expected[$table]}" ] || wrong+=("$table has $count columns, expected ${expected[$table]}")
    done
    [ "${#wrong[@]}" = 0 ] || fail "$(printf '%s; ' "${wrong[@]}")was this database made from migrations/001_init.sql alone?"
}

verify_queue() {
    local item
    made_queue=yes
    redis LPUSH "$queue" '{"test": "data"}' >/dev/null
    item="$(redis RPOP "$queue")"
    [ "$item" = '{"test": "data"}' ] || fail "pushed an item to a Redis list and got back: $item"
}

create_workflow() {
    local count
    count="$(sql -c "INSERT INTO workflows (id, name, definition)
        VALUES ('test_workflow', 'Test Workflow', '{\"name\": \"Test\", \"tasks\": []}');
        SELECT COUNT(*) FROM workflows WHERE id = 'test_workflow'")" || fail "cannot insert the workflow 'test_workflow'; if one is left over, delete it."
    # Only now: a row of this id that someone else made is not ours to delete.
    made_workflow=yes
    [ "$count" = 1 ] || fail "inserted one workflow, found $count."
}

delete_workflow() {
    sql -c "DELETE FROM workflows WHERE id = 'test_workflow'" >/dev/null || fail "cannot delete the test workflow."
    made_workflow=no
}

# The variables of the local mode are printed by name: their values may hold a password.
# shellcheck disable=SC2016
say_where() {
    echo "Services running:"
    echo "  PostgreSQL: $postgres_at"
    echo "  Redis:      $redis_at"
    echo ""
    if [ "$mode" = local ]; then
        echo "Connect to PostgreSQL:"
        echo '  psql "$RELAY_INFRA_POSTGRES_URL"'
        echo ""
        echo "Connect to Redis:"
        echo '  redis-cli -u "$RELAY_INFRA_REDIS_URL"'
        echo ""
        echo "Stop services:"
        echo "  nothing to stop: they ran before, and the throw-away database is dropped"
    else
        echo "Connect to PostgreSQL:"
        echo "  ${compose[*]} exec postgres psql -U relay -d relay"
        echo ""
        echo "Connect to Redis:"
        echo "  ${compose[*]} exec redis redis-cli"
        echo ""
        echo "Stop services:"
        echo "  ${compose[*]} down"
    fi
    echo ""
}

banner() {
    echo "=========================================="
    echo "$1"
    echo "=========================================="
    echo ""
}

choose_mode
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

banner "Relay Infrastructure Test"

echo "Step 1: Starting Docker services..."
start_services

echo "Step 2: Waiting for PostgreSQL..."
wait_for PostgreSQL "$postgres_at" ask_postgres
[ "$mode" = docker ] || apply_schema
tick "PostgreSQL ready"
echo ""

echo "Step 3: Waiting for Redis..."
wait_for Redis "$redis_at" ask_redis
tick "Redis ready"
echo ""

echo "Step 4: Verifying database schema..."
verify_tables
tick "All 6 tables created"
echo ""

echo "Step 5: Testing table structure..."
verify_columns
echo ""

echo "Step 6: Testing Redis connection..."
[ "$(redis ping)" = PONG ] || fail "Redis at $redis_at does not answer PING."
tick "Redis responding"
echo ""

echo "Step 7: Testing Redis queue operations..."
verify_queue
tick "Redis queue working"
echo ""

echo "Step 8: Creating test data..."
create_workflow

echo "Step 9: Cleaning up test data..."
delete_workflow
echo ""

banner "${green}✓ All infrastructure tests passed!${plain}"
say_where
