# shellcheck shell=bash
# A bed's cgroup: one folder in every mounted hierarchy, be it cgroup v1, v2 or both. The node's processes are born in
# it, and pods below it, so that its end is proof that nothing of them runs any more.

# Where cgroup hierarchies are mounted, one a line: v1 has one a controller, v2 one in all.
cgroup_mounts() { awk '{ for (i = 7; i <= NF; i++) if ($i == "-") { if ($(i + 1) ~ /^cgroup2?$/) print $5; break } }' /proc/self/mountinfo; }

# cgroup_name DIR: of the bed in DIR.
cgroup_name() { echo "relay-bed-${1##*.}"; }

# The controllers that the kubelet asks for, in a v2 hierarchy; a v1 hierarchy has none of its own to hand down. Those that
# were off at its root stay on: another bed, or whoever made a cgroup since, may count on their files there.
hand_down_controllers() {
    [ -f "$1/cgroup.subtree_control" ] || return 0
    local controller
    for controller in cpu cpuset memory pids hugetlb; do
        ! grep -qw "$controller" "$1/cgroup.controllers" || echo "+$controller" >"$1/cgroup.subtree_control" || return 1
    done
}

# make_cgroup NAME: fails, with a word on why, where this machine does not let us.
make_cgroup() {
    local mount found='' file
    while read -r mount; do
        found=1
        mkdir -p "$mount/$1" || return 1
        # A new cpuset of v1 is empty, and nothing can run in it.
        for file in cpuset.cpus cpuset.mems; do
            if [ -f "$mount/$file" ] && [ ! -f "$mount/cgroup.controllers" ]; then cat "$mount/$file" >"$mount/$1/$file" || return 1; fi
        done
        if [ -f "$mount/cgroup.controllers" ]; then
            # Processes may not stand where controllers are handed down, so the servers get a leaf.
            mkdir -p "$mount/$1/servers"
            hand_down_controllers "$mount" && hand_down_controllers "$mount/$1" || return 1
        fi
    done < <(cgroup_mounts)
    [ -n "$found" ] || { echo "no cgroup hierarchy is mounted" >&2 && return 1; }
}

# enter_cgroup NAME PID
enter_cgroup() {
    local mount
    while read -r mount; do
        if [ -d "$mount/$1/servers" ]; then echo "$2" >"$mount/$1/servers/cgroup.procs"; else echo "$2" >"$mount/$1/cgroup.procs"; fi || return 1
    done < <(cgroup_mounts)
}

# Removes what is empty of it, deepest first; fails when nothing is left to remove.
shrink_cgroup() {
    local mount left=1
    while read -r mount; do
        [ -d "$mount/$1" ] || continue
        find "$mount/$1" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        [ ! -d "$mount/$1" ] || left=0
    done < <(cgroup_mounts)
    return "$left"
}

# remove_cgroup NAME: whatever still runs in it is killed.
remove_cgroup() {
    local mount pids
    until_fails 5 shrink_cgroup "$1" && return 0
    while read -r mount; do
        [ -d "$mount/$1" ] || continue
        mapfile -t pids < <(find "$mount/$1" -name cgroup.procs -exec cat {} + | sort -u)
        [ "${#pids[@]}" = 0 ] || kill -s KILL -- "${pids[@]}" 2>/dev/null || true
    done < <(cgroup_mounts)
    until_fails 10 shrink_cgroup "$1" || echo "bed: the cgroup $1 cannot be removed" >&2
}
