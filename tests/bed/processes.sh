# shellcheck shell=bash
# Which processes are the bed's, and how they end. A pid alone proves nothing: it may belong to somebody else by now.
# So a record holds pid and start time; a server must also stand in the bed's folder, and a process of the command must
# carry the bed's mark in its environment.

boot_id() { cat /proc/sys/kernel/random/boot_id; }
pid_space() { readlink /proc/self/ns/pid; }

# start_time PID: in clock ticks since boot; fails when there is no such process, or only a zombie is left of it.
start_time() {
    local stat fields
    stat="$(cat "/proc/$1/stat" 2>/dev/null)" || return 1
    # The name in parentheses may hold anything; state is the first field after it, start time the twentieth.
    read -ra fields <<<"${stat##*) }"
    [ "${fields[0]}" != Z ] && [ "${fields[0]}" != X ] && echo "${fields[19]}"
}

# is_process PID START: still the very same process?
is_process() { [ "$(start_time "$1")" = "$2" ]; }

# within PATH DIR: is PATH the folder DIR or in it?
within() { [[ "$1" == "$2" || "$1" == "$2"/* ]]; }

# until_fails SECONDS COMMAND...: asks every 50 ms until COMMAND fails; gives up, with status 1, after SECONDS.
until_fails() {
    local deadline=$((SECONDS + $1))
    shift
    while "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

# record DIR NAME PID SIGNAL...: notes a server; the signals end it, each tried in its turn, then KILL.
record() {
    local dir="$1" name="$2" pid="$3" start
    shift 3
    start="$(start_time "$pid")" || return 1
    echo "$name $pid $start $*" >>"$dir/servers"
}

# A recorded server's process is running and stands in this bed's folder.
is_server() {
    local cwd
    is_process "$2" "$3" && cwd="$(readlink "/proc/$2/cwd" 2>/dev/null)" && within "$cwd" "$1"
}

# is_running_server DIR NAME: the server of that name in this bed.
is_running_server() {
    local name pid start
    while read -r name pid start _; do
        [ "$name" != "$2" ] || ! is_process "$pid" "$start" || return 0
    done <"$1/servers"
    return 1
}

# stop_servers DIR: the last started ends first.
stop_servers() {
    local dir="$1" name pid start signals signal
    [ -f "$dir/servers" ] || return 0
    while read -r name pid start signals; do
        for signal in $signals KILL; do
            is_server "$dir" "$pid" "$start" || break
            kill -s "$signal" -- "$pid" 2>/dev/null || true
            until_fails 10 is_process "$pid" "$start" || true
        done
        is_process "$pid" "$start" && echo "bed: $name (process $pid) does not end" >&2
    done < <(tac "$dir/servers")
    return 0
}

# marked DIR: processes whose environment names this bed: what the command started, in whatever group or session.
marked() {
    local environ pid
    # The mark is whole only up to its end or a slash: one bed's name may begin another's.
    grep -lzE "^(RELAY_BED|TMPDIR)=${1//./\\.}(/.*)?\$" /proc/[0-9]*/environ 2>/dev/null | while read -r environ; do
        pid="${environ#/proc/}" pid="${pid%/environ}"
        if [ "$pid" != "$$" ] && start_time "$pid" >/dev/null; then echo "$pid"; fi
    done
}

any_marked() { [ -n "$(marked "$1")" ]; }

# stop_marked DIR: TERM first, so that a nested bed or a worker ends its own; then KILL.
stop_marked() {
    local dir="$1" signal pids
    for signal in TERM KILL; do
        mapfile -t pids < <(marked "$dir")
        [ "${#pids[@]}" -gt 0 ] || return 0
        kill -s "$signal" -- "${pids[@]}" 2>/dev/null || true
        until_fails 5 any_marked "$dir" || true
    done
    any_marked "$dir" && echo "bed: processes that do not end: $(marked "$dir" | tr '\n' ' ')" >&2
    return 0
}
