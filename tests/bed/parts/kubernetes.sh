# shellcheck shell=bash
# A Kubernetes of the bed's own: one node in namespaces of its own for processes, mounts and the network, tied to this
# machine by one pair of interfaces. Its process 1 is kubernetes/node; with it ends whatever runs in there, the pods too,
# and the kernel takes back mounts, interfaces and packet filters. What remains is a cgroup, removed by kubernetes_clear.

# tests/bed/run sets `here`.
# shellcheck disable=SC2154
# shellcheck source=tests/bed/cgroups.sh
. "$here/cgroups.sh"
# shellcheck source=tests/bed/kubernetes/files.sh
. "$here/kubernetes/files.sh"

cni_plugins() {
    local dir
    for dir in /usr/lib/cni /opt/cni/bin; do
        if [ -x "$dir/ptp" ] && [ -x "$dir/host-local" ]; then echo "$dir" && return 0; fi
    done
    return 1
}

# A shell for images must need nothing beside it.
is_static() {
    local told
    # Its status says nothing: ldd fails for what is static.
    told="$(LC_ALL=C ldd "$(command -v "$1" || echo /none)" 2>&1 || true)"
    [[ "$told" == *"not a dynamic"* || "$told" == *"statically"* ]]
}

kubernetes_missing() {
    [ -z "$(kubernetes_impossible)" ] || return 0
    command -v containerd >/dev/null || echo containerd
    command -v runc >/dev/null || echo runc
    cni_plugins >/dev/null || echo containernetworking-plugins
    command -v iptables >/dev/null || echo iptables
    command -v ip >/dev/null || echo iproute2
    command -v openssl >/dev/null || echo openssl
    is_static busybox || echo busybox-static
}

# What a person must install, in a few words: Go, unless all that it builds is there.
kubernetes_asks() {
    [ -z "$(kubernetes_impossible)" ] || return 0
    local asks
    asks="$("$here/tools" --asks kubernetes)"
    # Both ask for the same.
    if [ -n "$asks" ]; then echo "$asks"; else "$here/tools" --asks helm; fi
}

# The cgroup by which it is tried whether cgroups can be made here. Its name says whose trial it is.
trial_prefix() {
    local space
    space="$(pid_space)"
    echo "relay-bed-try.${space//[^0-9]/}"
}
trial_name() { echo "$(trial_prefix).$$.$(start_time $$)"; }

# Trials of this user whose process was killed within them. Pids of another container mean nothing here.
kubernetes_sweep() {
    local mount dir pid start
    while read -r mount; do
        for dir in "$mount/$(trial_prefix)".*; do
            if [ ! -d "$dir" ] || [ ! -O "$dir" ]; then continue; fi
            IFS=. read -r _ _ pid start <<<"${dir##*/}"
            is_process "$pid" "$start" || remove_cgroup "${dir##*/}"
        done
    done < <(cgroup_mounts)
}

# kubernetes_tear_down: of an interrupted trial of this bed's own.
kubernetes_tear_down() { remove_cgroup "$(trial_name)"; }

# Why this machine cannot run it, in a few words; nothing when it can.
kubernetes_impossible() {
    [ "$(uname -s)" = Linux ] || { echo "it needs Linux" && return 0; }
    [ "$(id -u)" = 0 ] || { echo "it needs root" && return 0; }
    local name why
    name="$(trial_name)"
    unshare --net --mount --pid --fork --kill-child --mount-proc true 2>/dev/null || { echo "this container may not make namespaces" && return 0; }
    unshare --net --mount sh -c 'mount -t tmpfs tmpfs /run && { ! command -v ip >/dev/null || ip link add probe type veth; }' \
        >/dev/null 2>&1 || { echo "this container may not mount, or not make interfaces" && return 0; }
    if ! why="$( (make_cgroup "$name") 2>&1)"; then
        echo "this container may not make cgroups (${why##*$'\n'})"
    fi
    remove_cgroup "$name" >/dev/null 2>&1
}

# What is built once, before there is a bed: programs and images, in RELAY_CACHE and in cargo's target folder.
kubernetes_build() {
    local static="$RELAY_CACHE/images"
    in_group "$here/tools" kubernetes >/dev/null || bed_fail "Kubernetes could not be built"
    in_group "$here/tools" helm >/dev/null || bed_fail "helm could not be built"
    kubernetes_tools="$("$here/tools" kubernetes)"
    RELAY_TEST_KUBECTL="$kubernetes_tools/kubectl"
    RELAY_TEST_HELM="$("$here/tools" helm)/helm"
    export RELAY_TEST_KUBECTL RELAY_TEST_HELM
    # A bed within a bed takes the images of the outer one.
    [ -z "${RELAY_BED_IMAGES:-}" ] || return 0
    static="$static-$(cat "$here/images" "$here/kubernetes/pause.c" "$(command -v busybox)" | sha256sum | cut -c1-16)"
    if [ ! -d "$static" ]; then
        mkdir -p "$static.$$"
        in_group "$here/images" base "$static.$$" || bed_fail "the images could not be made"
        mv -T "$static.$$" "$static" 2>/dev/null || rm -rf "$static.$$"
    fi
    kubernetes_static="$static"
    in_group "$here/relay-static" || bed_fail "the relay image's binary could not be built"
}

kubernetes_start() {
    local bed="$1" home="$1/kubernetes" cgroup pid
    cgroup="$(cgroup_name "$bed")"
    mkdir -m 700 "$home" "$home/bed" "$home/images"
    kubernetes_images "$home/images"
    make_cgroup "$cgroup" || bed_fail "the cgroup for Kubernetes cannot be made"
    kubernetes_launch "$home" "$cgroup" &
    pid=$!
    record "$bed" kubernetes "$pid" || bed_fail "the node ended at once:" "$home/node.log"
    # It ends by being killed, about which bash would say a word.
    disown "$pid"
    until_fails 10 awaits_namespace "$pid" || bed_fail "the node has no network of its own:" "$home/node.log"
    kubernetes_link "$home" "$pid"
    write_files "$home" "$cgroup" || bed_fail "the files of the Kubernetes servers cannot be written"
    # From here on the node starts its servers, while the bed starts its own.
    touch "$home/begin"
}

kubernetes_images() {
    if [ -n "${RELAY_BED_IMAGES:-}" ]; then
        cp "$RELAY_BED_IMAGES"/*.tar "$1"
    else
        cp "$kubernetes_static"/*.tar "$1"
        in_group "$here/images" relay "$("$here/relay-static" --path)" "$1/relay.tar" || bed_fail "the relay image could not be made"
    fi
    export RELAY_BED_IMAGES="$1" RELAY_TEST_IMAGE=relay:bed
    # The same program for this machine: no debug build, and built anyway.
    RELAY_TEST_PROGRAM="$("$here/relay-static" --path)"
    export RELAY_TEST_PROGRAM
}

# In a clean environment: the bed's mark is not for what runs in there, the namespace holds it together.
kubernetes_launch() {
    cd "$1" || exit 1
    enter_cgroup "$2" "$BASHPID" || exit 1
    exec env -i PATH="$PATH" HOME=/ LC_ALL=C setsid setpriv --pdeathsig KILL -- unshare --net -- \
        unshare --mount --pid --ipc --fork --kill-child=KILL --mount-proc -- \
        "$here/kubernetes/node" "$kubernetes_tools" </dev/null >>"$1/node.log" 2>&1
}

awaits_namespace() { start_time "$1" >/dev/null && [ "$(readlink "/proc/$1/ns/net")" = "$(readlink /proc/self/ns/net)" ]; }

# A pair of interfaces between this machine and the node, with a network of four addresses out of 198.18.0.0/15, which
# is set aside for tests. The interface's name stands for its network, so of two beds only one can take it.
kubernetes_link() {
    local home="$1" pid="$2" tries number network
    for tries in {1..50}; do
        number=$((RANDOM % 32768))
        network="198.$((18 + (number >> 14))).$(((number >> 6) & 255))"
        bed_address="$network.$((number % 64 * 4 + 1))"
        node_address="$network.$((number % 64 * 4 + 2))"
        ! ip -4 route show match "$bed_address" | grep -qv "^default" || continue
        ip link add "relaybed$number" type veth peer name uplink netns "$pid" 2>/dev/null || continue
        echo "relaybed$number" >"$home/link"
        ip addr add "$bed_address/30" dev "relaybed$number" && ip link set "relaybed$number" up && return 0
        break
    done
    bed_fail "the node cannot be linked to this machine's network (after $tries tries)"
}

# Waits until a pod could be made, and exports how tests find it.
kubernetes_ready() {
    until_fails 120 node_starts "$1" || true
    [ -f "$1/kubernetes/ready" ] || bed_fail "Kubernetes does not start"
    reaches_redis "$1" || bed_fail "pods cannot reach this machine at $bed_address; does a firewall hold back what comes in by relaybed*?"
    export RELAY_TEST_KUBECONFIG="$1/kubernetes/admin.kubeconfig"
}

# Redis, if this bed has it, from within the node.
reaches_redis() {
    local place="${RELAY_TEST_POD_REDIS_URL:-}" pid
    [ -n "$place" ] || return 0
    place="${place##*@}" pid="$(awk '$1 == "kubernetes" { print $2 }' "$1/servers")"
    place="${place%%/*}"
    timeout 10 nsenter -t "$pid" -n bash -c "exec 3<>/dev/tcp/${place/://}" 2>/dev/null
}

node_starts() { [ ! -f "$1/kubernetes/ready" ] && is_running_server "$1" kubernetes; }

# kubernetes_explain DIR: when the node is not up, the end of the log of the server that ended it, or of all.
kubernetes_explain() {
    local home="$1/kubernetes" log
    if [ ! -f "$home/node.log" ] || { [ -f "$home/ready" ] && is_running_server "$1" kubernetes; }; then return 0; fi
    tail -n 5 "$home/node.log" >&2
    for log in "$home/bed"/*.log; do
        if [ -f "$home/failed" ] && [ "$log" != "$home/bed/$(cat "$home/failed").log" ]; then continue; fi
        echo "bed: the end of $(basename "$log"):" >&2
        tail -n 10 "$log" >&2
    done
}

# kubernetes_clear DIR: after the node has been killed.
kubernetes_clear() {
    local link
    # The interface goes with the node's namespace, a moment later; here it goes at once.
    if read -r link 2>/dev/null <"$1/kubernetes/link"; then ip link del "$link" 2>/dev/null || true; fi
    remove_cgroup "$(cgroup_name "$1")"
}
