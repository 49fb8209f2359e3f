# shellcheck shell=bash
# A Postgres of the bed's own: loopback and the address for pods, a free port, a password of its own, its data in the bed's folder.

# The newest of Debian's versioned folders, else the one that PATH knows; at least version 15.
postgres_bin() {
    local dir
    for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5,5Vr) "$(pg_config --bindir 2>/dev/null)" "$(dirname "$(command -v postgres || echo none)")"; do
        if [ ! -x "$dir/postgres" ] || [ ! -x "$dir/initdb" ] || [ ! -x "$dir/psql" ]; then continue; fi
        [ "$("$dir/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')" -ge 15 ] && echo "$dir" && return 0
    done
    return 1
}

postgres_missing() {
    postgres_bin >/dev/null || echo postgresql
    # Tests of TLS make certificates.
    command -v openssl >/dev/null || echo openssl
}

# Postgres refuses to run as root; then it runs as the user that its package made. DIES: it ends when the bed is killed.
postgres_as() {
    local dies="$1"
    shift
    if [ "$(id -u)" = 0 ]; then
        exec setsid setpriv --reuid=postgres --regid=postgres --init-groups --pdeathsig "$dies" -- "$@"
    else
        exec setsid setpriv --pdeathsig "$dies" -- "$@"
    fi
}

postgres_start() {
    local bed="$1" home="$1/postgres" bin password port pid tries
    bin="$(postgres_bin)" || bed_fail "no Postgres of version 15 or newer here; run tests/bed/install"
    password="$(random_hex)"
    mkdir -m 700 "$home"
    (umask 077 && echo "$password" >"$home/password")
    [ "$(id -u)" != 0 ] || chown -R postgres:postgres "$home"
    (cd / && postgres_as KILL test -w "$home") || bed_fail "Postgres' user cannot reach $home; set TMPDIR to a folder that it may enter"
    # Its data goes to the disk at each commit, as in production; only the making of the empty cluster does not wait for it.
    (cd "$home" && postgres_as KILL "$bin/initdb" --pgdata=data --username=postgres --pwfile=password --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C --no-sync >initdb.log 2>&1) || bed_fail "initdb failed:" "$home/initdb.log"
    rm "$home/password"
    # Pods' packets come from the node.
    [ -z "$node_address" ] || echo "host all all $node_address/32 scram-sha-256" >>"$home/data/pg_hba.conf"
    for tries in 1 2 3 4 5; do
        port="$(free_port)"
        postgres_launch "$home" "$bin" "$port" &
        pid=$!
        record "$bed" postgres "$pid" INT QUIT || continue
        export RELAY_TEST_POSTGRES_URL="postgres://postgres:$password@127.0.0.1:$port/postgres"
        [ -z "$bed_address" ] || export RELAY_TEST_POD_POSTGRES_URL="postgres://postgres:$password@$bed_address:$port/postgres"
        until_fails 30 postgres_waits "$pid" "$bin" "$port" || bed_fail "Postgres does not answer:" "$home/log"
        if start_time "$pid" >/dev/null; then
            PATH="$bin:$PATH"
            return 0
        fi
        echo "bed: Postgres ended at once on port $port (try $tries)" >&2
    done
    bed_fail "Postgres does not start:" "$home/log"
}

postgres_launch() {
    local home="$1" bin="$2" port="$3"
    cd "$home" || exit 1
    postgres_as INT "$bin/postgres" -D "$home/data" -c listen_addresses="127.0.0.1${bed_address:+,$bed_address}" -c port="$port" -c unix_socket_directories= \
        -c max_connections=300 -c dynamic_shared_memory_type=mmap -c timezone=UTC -c log_min_messages=warning \
        </dev/null >>"$home/log" 2>&1
}

is_ready_postgres() { "$1/pg_isready" -q -h 127.0.0.1 -p "$2" -t 1; }

# Still alive and not yet answering: worth waiting for.
postgres_waits() { start_time "$1" >/dev/null && ! is_ready_postgres "$2" "$3"; }
