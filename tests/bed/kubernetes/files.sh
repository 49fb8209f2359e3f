# shellcheck shell=bash
# The files that the Kubernetes servers start from: certificate, tokens, kubeconfigs, settings. They are written into the
# bed's folder, which the node sees as /mnt/bed.
# The part sets the addresses.
# shellcheck disable=SC2154

# These networks exist in the node alone, so that every bed has the same.
service_network=10.96.0.0/16
service_address=10.96.0.1
pod_network=10.244.0.0/16

# The users of the token file: a file's name, the user's name, its group. The controllers share one account: to make one
# for each takes them seconds.
kubernetes_users=(
    "admin admin system:masters"
    "controller-manager system:kube-controller-manager system:masters"
    "scheduler system:kube-scheduler"
    "proxy system:kube-proxy"
    "kubelet system:node:localhost system:nodes"
)

# write_files HOME CGROUP: with node_address set.
write_files() (
    umask 077
    cd "$1/bed" || exit 1
    write_certificate >certificate.log 2>&1 || { cat certificate.log >&2 && exit 1; }
    for user in "${kubernetes_users[@]}"; do
        # shellcheck disable=SC2086
        write_user $user || exit 1
    done
    cp admin.kubeconfig "$1/"
    echo "$node_address $bed_address $service_network $pod_network" >network
    printf '127.0.0.1 localhost\n::1 localhost\n' >hosts
    : >resolv.conf
    write_containerd >containerd.toml && write_cni >cni.conflist && write_kubelet "$2" >kubelet.yaml && write_proxy >proxy.yaml
)

# The bed's own authority, the API server's certificate, and the key that signs service accounts' tokens.
write_certificate() {
    local curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -x509 -days 3650)
    cat >openssl.conf <<END
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, DNS:kubernetes, DNS:kubernetes.default.svc, IP:127.0.0.1, IP:$service_address, IP:$node_address
END
    openssl req "${curve[@]}" -config openssl.conf -extensions authority -subj /CN=relay-bed -keyout ca.key -out ca.crt &&
        openssl req "${curve[@]}" -config openssl.conf -extensions server -subj /CN=kube-apiserver -CA ca.crt -CAkey ca.key \
            -keyout server.key -out server.crt &&
        openssl ecparam -name prime256v1 -genkey -noout -out accounts.key
}

# write_user FILE USER [GROUP]: a line of the token file, and a kubeconfig.
write_user() {
    local token
    token="$(random_hex)"
    echo "$token,$2,$1,${3:-}" >>tokens.csv
    cat >"$1.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters:
  - name: relay-bed
    cluster: {server: "https://$node_address:6443", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
  - name: $1
    user: {token: $token}
contexts:
  - name: relay-bed
    context: {cluster: relay-bed, user: $1}
current-context: relay-bed
END
}

# restrict_oom_score_adj and disable_apparmor: what a container may not do, and what would stay behind on this machine.
write_containerd() {
    cat <<END
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:bed"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$(cni_plugins)"
conf_dir = "/run/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
END
}

# A pair of interfaces for each pod, and routes: all of a pod's packets pass the node's packet filter, where Services are made.
write_cni() {
    cat <<END
{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [{"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_network"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]
}
END
}

# It listens on the node's loopback alone, where only the API server reaches it. Nothing is evicted for want of space.
write_kubelet() {
    cat <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$1
failCgroupV1: false
failSwapOn: false
resolvConf: /mnt/bed/resolv.conf
volumePluginDir: /var/lib/kubelet/plugins
maxPods: 250
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
END
}

# Conntrack's limits are the whole machine's, so they stay as they are.
write_proxy() {
    cat <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: localhost
clusterCIDR: $pod_network
clientConnection: {kubeconfig: /mnt/bed/proxy.kubeconfig}
iptables: {minSyncPeriod: 100ms}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
}
