# shellcheck shell=bash
# A Redis of the bed's own: loopback and the address for pods, a free port, a password of its own, nothing on disk.

redis_missing() { command -v redis-server >/dev/null && command -v redis-cli >/dev/null || echo redis-server; }

redis_start() {
    local bed="$1" home="$1/redis" password port pid tries
    [ -z "$(redis_missing)" ] || bed_fail "redis-server or redis-cli is missing; run tests/bed/install"
    password="$(random_hex)"
    mkdir -m 700 "$home"
    for tries in 1 2 3 4 5; do
        port="$(free_port)"
        (umask 077 && redis_settings "$home" "$port" "$password" >"$home/redis.conf")
        redis_launch "$home" &
        pid=$!
        record "$bed" redis "$pid" TERM || continue
        export RELAY_TEST_REDIS_URL="redis://default:$password@127.0.0.1:$port/0"
        [ -z "$bed_address" ] || export RELAY_TEST_POD_REDIS_URL="redis://default:$password@$bed_address:$port/0"
        until_fails 30 redis_waits "$pid" || bed_fail "Redis does not answer:" "$home/log"
        ! start_time "$pid" >/dev/null || return 0
        echo "bed: Redis ended at once on port $port (try $tries)" >&2
    done
    bed_fail "Redis does not start:" "$home/log"
}

redis_settings() {
    cat <<END
bind 127.0.0.1${bed_address:+ $bed_address}
port $2
requirepass $3
dir $1
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
END
}

redis_launch() {
    cd "$1" || exit 1
    exec setsid setpriv --pdeathsig TERM -- redis-server "$1/redis.conf" </dev/null >>"$1/log" 2>&1
}

is_ready_redis() { [ "$(redis-cli -u "$RELAY_TEST_REDIS_URL" --no-auth-warning ping 2>/dev/null)" = PONG ]; }

redis_waits() { start_time "$1" >/dev/null && ! is_ready_redis; }
