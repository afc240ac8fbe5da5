# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages that the simulator reads and writes (talos-api 5 and 6), field order as recorded.

C(MESSAGES) are the RPCs'; C(SPECS) the C(proto_spec) of resource types, whose field names are those of C(yaml_spec).
Number 0: shown in YAML only.
"""

from __future__ import annotations

from tests.simulator.protobuf import Schema

_FAMILY = {'inet4': 2, 'inet6': 10}
_SCOPE = {'global': 0, 'site': 200, 'link': 253, 'host': 254, 'nowhere': 255}

ENUMS = {
    'filter': {'ALL': 0, 'CONNECTED': 1, 'LISTENING': 2},
    'tcpState': {'RESERVED': 0, 'ESTABLISHED': 1, 'SYN_SENT': 2, 'SYN_RECV': 3, 'FIN_WAIT1': 4, 'FIN_WAIT2': 5, 'TIME_WAIT': 6, 'CLOSE': 7,
                 'CLOSEWAIT': 8, 'LASTACK': 9, 'LISTEN': 10, 'CLOSING': 11},
    'driver': {'CONTAINERD': 0, 'CRI': 1},
    'sensitivity': {'non-sensitive': 0, 'sensitive': 1},
    'namespace': {'NS_UNKNOWN': 0, 'NS_SYSTEM': 1, 'NS_CRI': 2},
    'volumePhase': {'waiting': 0, 'failed': 1, 'missing': 2, 'located': 3, 'provisioned': 4, 'prepared': 5, 'ready': 6, 'closed': 7},
    'volumeType': {'partition': 0, 'disk': 1, 'tmpfs': 2, 'directory': 3, 'symlink': 4, 'overlay': 5, 'external': 6},
    'operator': {'dhcp4': 0, 'dhcp6': 1, 'vip': 2},
    'layer': {'default': 0, 'cmdline': 1, 'platform': 2, 'operator': 3, 'configuration': 4},
    'imageCache': {'unknown': 0, 'disabled': 1, 'preparing': 2, 'ready': 3},
    'imageCopy': {'unknown': 0, 'skipped': 1, 'pending': 2, 'ready': 3},
    'dnsProtocol': {'Do53': 0, 'DoT': 1, 'DoH': 2},
    'alarm': {'NONE': 0, 'NOSPACE': 1, 'CORRUPT': 2},
    'applyMode': {'REBOOT': 0, 'AUTO': 1, 'NO_REBOOT': 2, 'STAGED': 3, 'TRY': 4},
    'fileType': {'REGULAR': 0, 'DIRECTORY': 1, 'SYMLINK': 2},
    'peerState': {'unknown': 0, 'up': 1, 'down': 2},
    'event': {'CREATED': 0, 'UPDATED': 1, 'DESTROYED': 2, 'BOOTSTRAPPED': 3, 'ERRORED': 4, 'NOOP': 5},
    'labelOp': {'EXISTS': 0, 'EQUAL': 1, 'NOT_EXISTS': 2, 'IN': 3, 'LT': 4, 'LTE': 5, 'LT_NUMERIC': 6, 'LTE_NUMERIC': 7},
    'machineType': {'unknown': 0, 'init': 1, 'controlplane': 2, 'worker': 3},
    'stage': {'unknown': 0, 'booting': 1, 'installing': 2, 'maintenance': 3, 'running': 4, 'rebooting': 5, 'shutting down': 6,
              'resetting': 7, 'upgrading': 8},
    'family': _FAMILY,
    'scope': _SCOPE,
    'addressFlags': {'': 0, 'permanent': 128},
    'sort': {'v1': 0, 'v2': 1},
    'linkType': {'netrom': 0, 'ether': 1, 'loopback': 772, 'nohdr': 65534},
    'linkFlags': {'UP,LOOPBACK,RUNNING,LOWER_UP': 65609, 'UP,BROADCAST,RUNNING,MULTICAST,LOWER_UP': 69699,
                  'UP,POINTOPOINT,RUNNING,NOARP,LOWER_UP': 65745, 'BROADCAST,NOARP': 130},
    'operState': {'unknown': 0, 'down': 2, 'up': 6},
    'port': {'TwistedPair': 0, 'Other': 255},
    'duplex': {'Half': 0, 'Full': 1, 'Unknown': 255},
    'table': {'unspec': 0, 'RoutingTable(180)': 180, 'main': 254, 'local': 255},
    'routeType': {'unspec': 0, 'unicast': 1, 'local': 2, 'broadcast': 3, 'anycast': 4, 'multicast': 5},
    'routeFlags': {'': 0},
    'protocol': {'unspec': 0, 'redirect': 1, 'kernel': 2, 'boot': 3, 'static': 4, 'ra': 9},
}

MESSAGES = Schema(
    """
    Timestamp = seconds:int=1 nanos:int=2
    RpcStatus = code:int=1 message:string=2
    Metadata = hostname:string=1 error:string=2 status:RpcStatus=3
    Data = metadata:Metadata=1 bytes:bytes=2
    Duration = seconds:int=1 nanos:int=2
    Empty =

    VersionInfo = tag:string=1 sha:string=2 built:string=3 go_version:string=4 os:string=5 arch:string=6
    PlatformInfo = name:string=1 mode:string=2
    FeaturesInfo = rbac:bool=1
    Version = version:VersionInfo=2 platform:PlatformInfo=3 features:FeaturesInfo=4
    VersionResponse = messages:[]Version=1
    Hostname = hostname:string=2
    HostnameResponse = messages:[]Hostname=1

    ServiceEvent = msg:string=1 state:string=2 ts:Timestamp=3
    ServiceEvents = events:[]ServiceEvent=1
    ServiceHealth = unknown:bool=1 healthy:bool=2 last_message:string=3 last_change:Timestamp=4
    ServiceInfo = id:string=1 state:string=2 events:ServiceEvents=3 health:ServiceHealth=4
    ServiceList = services:[]ServiceInfo=2
    ServiceListResponse = messages:[]ServiceList=1

    NetstatFeature = pid:bool=1
    NetstatL4 = tcp:bool=1 tcp6:bool=2 udp:bool=3 udp6:bool=4 udplite:bool=5 udplite6:bool=6 raw:bool=7 raw6:bool=8
    NetstatNamespaces = hostnetwork:bool=1 netns:[]string=2 allnetns:bool=3
    NetstatRequest = filter:enum.filter=1 feature:NetstatFeature=2 l4proto:NetstatL4=3 netns:NetstatNamespaces=4
    NetstatProcess = pid:int=1 name:string=2
    ConnectRecord = l4proto:string=1 localip:string=2 localport:int=3 remoteip:string=4 remoteport:int=5 state:enum.tcpState=6 \
uid:int=12 inode:int=14 ref:int=15 pointer:int=16 process:NetstatProcess=17 netns:string=18
    Netstat = connectrecord:[]ConnectRecord=2
    NetstatResponse = messages:[]Netstat=1

    EtcdMemberStatus = protocol_version:string=1 db_size:int=2 db_size_in_use:int=3 leader:int=4 raft_index:int=5 raft_term:int=6 \
raft_applied_index:int=7 errors:[]string=8 is_learner:bool=9 member_id:int=10 storage_version:string=11
    EtcdStatus = member_status:EtcdMemberStatus=2
    EtcdStatusResponse = messages:[]EtcdStatus=1
    EtcdMemberListRequest = query_local:bool=1
    EtcdMember = id:int=2 hostname:string=3 peer_urls:[]string=4 client_urls:[]string=5 is_learner:bool=6
    EtcdMembers = legacy_members:[]string=2 members:[]EtcdMember=3
    EtcdMemberListResponse = messages:[]EtcdMembers=1
    EtcdMemberAlarm = member_id:int=1 alarm:enum.alarm=2
    EtcdAlarm = member_alarms:[]EtcdMemberAlarm=2
    EtcdAlarmListResponse = messages:[]EtcdAlarm=1
    EtcdRemoveMemberByIDRequest = member_id:int=1
    EtcdForfeitLeadership = member:string=2
    EtcdForfeitLeadershipResponse = messages:[]EtcdForfeitLeadership=1
    EmptyResponse = messages:[]Empty=1

    BootstrapRequest = recover_etcd:bool=1 recover_skip_hash_check:bool=2
    ApplyConfigurationRequest = data:bytes=1 mode:enum.applyMode=4 dry_run:bool=5 try_mode_timeout:Duration=6
    ApplyConfiguration = warnings:[]string=2 mode:enum.applyMode=3 mode_details:string=4
    ApplyConfigurationResponse = messages:[]ApplyConfiguration=1
    GenerateClientConfigurationRequest = roles:[]string=1 crt_ttl:Duration=2
    GenerateClientConfiguration = ca:bytes=2 crt:bytes=3 key:bytes=4 talosconfig:bytes=5
    GenerateClientConfigurationResponse = messages:[]GenerateClientConfiguration=1
    ServiceRequest = id:string=1
    ServiceAnswer = resp:string=2
    ServiceResponse = messages:[]ServiceAnswer=1
    RebootRequest = mode:int=1
    Actor = actor_id:string=2
    ActorResponse = messages:[]Actor=1
    ResetPartition = label:string=1 wipe:bool=2
    ResetRequest = graceful:bool=1 reboot:bool=2 system_partitions_to_wipe:[]ResetPartition=3 user_disks_to_wipe:[]string=4 mode:int=5

    MountStat = filesystem:string=1 size:int=2 available:int=3 mounted_on:string=4
    Mounts = stats:[]MountStat=2
    MountsResponse = messages:[]Mounts=1
    DiskUsageRequest = recursion_depth:int=1 all:bool=2 threshold:int=3 paths:[]string=4
    DiskUsageInfo = name:string=2 size:int=3 error:string=4 relative_name:string=5
    ContainersRequest = namespace:string=1 driver:enum.driver=2
    ContainerInfo = namespace:string=1 id:string=2 image:string=3 pid:int=4 status:string=5 pod_id:string=6 name:string=7 \
network_namespace:string=8 internal_id:string=9 uid:string=10
    Containers = containers:[]ContainerInfo=2
    ContainersResponse = messages:[]Containers=1
    ImageListRequest = namespace:enum.namespace=1
    ImageListResponse = name:string=2 digest:string=3 size:int=4 created_at:Timestamp=5
    ContainerdInstance = driver:enum.driver=1 namespace:enum.namespace=2
    ImageServiceListRequest = containerd:ContainerdInstance=1
    ImageServiceListResponse = name:string=1 digest:string=2 size:int=3 created_at:Timestamp=4 labels:map<string>=5

    ListRequest = root:string=1 recurse:bool=2 recursion_depth:int=3 types:[]enum.fileType=4 report_xattrs:bool=5
    FileInfo = metadata:Metadata=1 name:string=2 size:int=3 mode:int=4 modified:int=5 is_dir:bool=6 error:string=7 link:string=8 \
relative_name:string=9 uid:int=10 gid:int=11
    ReadRequest = path:string=1
    LogsRequest = namespace:string=1 id:string=2 driver:enum.driver=3 follow:bool=4 tail_lines:int=5
    DmesgRequest = follow:bool=1 tail:bool=2
    LogsContainer = ids:[]string=2
    LogsContainersResponse = messages:[]LogsContainer=1

    MemInfo = memtotal:int=1 memfree:int=2 memavailable:int=3 buffers:int=4 cached:int=5 active:int=7 inactive:int=8 anonpages:int=19 \
mapped:int=20 slab:int=22
    CPUInfo = processor:int=1 vendor_id:string=2 cpu_family:string=3 model:string=4 model_name:string=5 stepping:string=6 microcode:string=7 \
cpu_mhz:double=8 cache_size:string=9 physical_id:string=10 siblings:int=11 core_id:string=12 cpu_cores:int=13 apic_id:string=14 \
initial_apic_id:string=15 fpu:string=16 fpu_exception:string=17 cpu_id_level:int=18 wp:string=19 flags:[]string=20 bugs:[]string=21 \
bogo_mips:double=22 cl_flush_size:int=23 cache_alignment:int=24 address_sizes:string=25 power_management:string=26
    CPUsInfo = cpu_info:[]CPUInfo=2
    CPUsInfoResponse = messages:[]CPUsInfo=1
    LoadAvg = load1:double=2 load5:double=3 load15:double=4
    LoadAvgResponse = messages:[]LoadAvg=1
    NetDev = name:string=1 rx_bytes:int=2 rx_packets:int=3 rx_errors:int=4 rx_dropped:int=5 tx_bytes:int=10 tx_packets:int=11 tx_errors:int=12 \
tx_dropped:int=13
    NetworkDeviceStats = total:NetDev=2 devices:[]NetDev=3
    NetworkDeviceStatsResponse = messages:[]NetworkDeviceStats=1
    Memory = meminfo:MemInfo=2
    MemoryResponse = messages:[]Memory=1
    CPUStat = user:double=1 nice:double=2 system:double=3 idle:double=4 iowait:double=5
    SystemStat = boot_time:int=2 cpu_total:CPUStat=3 cpu:[]CPUStat=4 process_running:int=9
    SystemStatResponse = messages:[]SystemStat=1
    Time = server:string=2 localtime:Timestamp=3 remotetime:Timestamp=4
    TimeResponse = messages:[]Time=1

    cosi.Metadata = namespace:string=1 type:string=2 id:string=3 version:string=4 owner:string=5 phase:string=6 created:Timestamp=7 \
updated:Timestamp=8 labels:map<string>=10 annotations:map<string>=11
    cosi.Spec = proto_spec:bytes=1 yaml_spec:string=2
    cosi.Resource = metadata:cosi.Metadata=1 spec:cosi.Spec=2
    cosi.LabelTerm = key:string=1 op:enum.labelOp=2 value:[]string=3 invert:bool=5
    cosi.LabelQuery = terms:[]cosi.LabelTerm=1
    cosi.IDQuery = regexp:string=1
    cosi.Get = namespace:string=1 type:string=2 id:string=3 options:Empty=4
    cosi.GetResponse = resource:cosi.Resource=1
    cosi.ListOptions = label_query:[]cosi.LabelQuery=1 id_query:cosi.IDQuery=2
    cosi.List = namespace:string=1 type:string=2 options:cosi.ListOptions=3
    cosi.ListResponse = resource:cosi.Resource=1
    cosi.WatchOptions = bootstrap_contents:bool=1 tail_events:int=2 label_query:[]cosi.LabelQuery=3 id_query:cosi.IDQuery=4 \
aggregated:bool=5 start_from_bookmark:?bytes=6 bootstrap_bookmark:bool=7
    cosi.Watch = namespace:string=1 type:string=2 id:?string=3 options:cosi.WatchOptions=4 api_version:int=5
    cosi.Event = resource:cosi.Resource=1 event_type:enum.event=2 old:cosi.Resource=3 error:?string=4 bookmark:?bytes=5
    cosi.WatchResponse = event:[]cosi.Event=1
    """.replace('\\\n', ''),
    ENUMS,
)

SPECS = Schema(
    """
    MachineTypes = value:enum.machineType=1
    Condition = name:string=1 reason:string=2
    Stage = ready:bool=1 unmetConditions:[]Condition=2
    MachineStatuses = stage:enum.stage=1 status:Stage=2
    Diagnostics = message:string=1 details:[]string=2
    ControlPlane = port:int=1
    Members = nodeId:string=1 addresses:[]ip=2 hostname:string=3 machineType:enum.machineType=4 operatingSystem:string=5 \
controlPlane:ControlPlane=6
    Affiliates = nodeId:string=1 addresses:[]ip=2 hostname:string=3 nodename:string=4 operatingSystem:string=5 \
machineType:enum.machineType=6 controlPlane:ControlPlane=8
    Identities = nodeId:string=1
    Infos = clusterId:string=1 clusterName:string=2
    DiscoveryEndpoint = name:string=1 endpoint:string=2 insecure:bool=3
    DiscoveryConfigs = discoveryEnabled:bool=1 registryKubernetesEnabled:bool=2 registryServiceEnabled:bool=3 serviceEndpoint:string=4 \
serviceEndpointInsecure:bool=5 serviceEncryptionKey:bytes=6 serviceClusterID:string=7 serviceEndpoints:[]DiscoveryEndpoint=8
    Nodenames = nodename:string=1 hostnameVersion:string=2 skipNodeRegistration:bool=3
    NodeIPConfigs = validSubnets:[]string=1 excludeSubnets:[]string=2
    NodeIPs = addresses:[]ip=1
    HostnameStatuses = hostname:string=1 domainname:string=2
    NodeAddresses = addresses:[]prefix=1 sortAlgorithm:enum.sort=2
    NodeAddressFilters = includeSubnets:[]prefix=1 excludeSubnets:[]prefix=2
    AddressStatuses = address:prefix=1 local:ip=2 broadcast:ip=3 linkIndex:int=6 linkName:string=7 family:enum.family=8 \
scope:enum.scope=9 flags:enum.addressFlags=10 priority:int=0
    LinkStatuses = index:int=1 type:enum.linkType=2 linkIndex:int=3 flags:enum.linkFlags=4 hardwareAddr:mac=5 permanentAddr:string=0 \
broadcastAddr:mac=6 mtu:int=7 queueDisc:string=8 masterIndex:int=9 operationalState:enum.operState=10 kind:string=11 slaveKind:string=12 \
busPath:string=13 driver:string=15 driverVersion:string=16 firmwareVersion:string=17 linkState:bool=22 speedMbit:int=23 port:enum.port=24 \
duplex:enum.duplex=25
    RouteStatuses = family:enum.family=1 dst:prefix=2 src:ip=3 gateway:ip=4 outLinkIndex:int=5 outLinkName:string=6 table:enum.table=7 \
priority:int=8 scope:enum.scope=9 type:enum.routeType=10 flags:enum.routeFlags=11 protocol:enum.protocol=12
    NfTablesChains =
    TimeStatuses = synced:bool=1 epoch:int=2 syncDisabled:bool=3 spikeDetected:bool=4 consecutiveSpikes:int=5
    Duration = seconds:int=1 nanos:int=2
    AdjtimeStatuses = offset:Duration=1 frequencyAdjustmentRatio:double=2 maxError:Duration=3 estError:Duration=4 status:string=5 constant:int=6 \
syncStatus:bool=7 state:string=8
    Disks = dev_path:string=14 size:int=1 pretty_size:string=15 io_size:int=2 sector_size:int=3 readonly:bool=4 cdrom:bool=13 modalias:string=7 \
bus_path:string=9 sub_system:string=10 transport:string=11 rotational:bool=12
    SystemDisks = diskID:string=1 devPath:string=2
    PlatformMetadatas = platform:string=1 hostname:string=2 region:string=3 zone:string=4 instanceType:string=5 instanceId:string=6 providerId:string=7
    SecurityStates = secureBoot:bool=1 ukiSigningKeyFingerprint:string=2 pcrSigningKeyFingerprint:string=3 bootedWithUKI:bool=5
    ExtensionStatuses =
    OOMActions =
    UnattendedInstallStatuses =
    ImageCacheConfigs = status:enum.imageCache=1 roots:[]string=2 copyStatus:enum.imageCopy=3
    NetworkStatuses = addressReady:bool=1 connectivityReady:bool=2 hostnameReady:bool=3 etcFilesReady:bool=4
    NameServer = addr:ip=1 protocol:enum.dnsProtocol=2 tlsServerName:string=3
    ResolverStatuses = dnsServers:[]ip=1 searchDomains:[]string=2 nameServers:[]NameServer=4
    DNSUpstreams = addr:string=0 healthy:string=0
    HostDNSConfigs = enabled:bool=1 listenAddresses:[]ipport=2 serviceHostDNSAddress:ip=3 resolveMemberNames:bool=4
    TimeServerStatuses = timeServers:[]string=1 useNTS:bool=2
    ProbeStatuses =
    DHCP4Operator = routeMetric:int=1
    VIPOperator = ip:ip=1 gratuitousARP:bool=2
    OperatorSpecs = operator:enum.operator=1 linkName:string=2 requireUp:bool=3 dhcp4:DHCP4Operator=4 vip:VIPOperator=6 layer:enum.layer=7
    KubeSpanPeerStatuses = endpoint:string=0 label:string=2 state:enum.peerState=3 receiveBytes:int=4 transmitBytes:int=5 \
lastHandshakeTime:string=0 lastUsedEndpoint:string=0 lastEndpointChange:string=0
    SiderolinkStatuses = host:string=1 connected:bool=2 linkName:string=3 grpcTunnel:bool=4
    KubePrismEndpoint = host:string=1 port:int=2
    KubePrismEndpoints = endpoints:[]KubePrismEndpoint=1
    KubePrismConfigs = host:string=1 port:int=2 endpoints:[]KubePrismEndpoint=3
    KubePrismStatuses = host:string=1 healthy:bool=2
    SecretStatuses = ready:bool=1 version:string=2
    ConfigStatuses = ready:bool=1 version:string=2
    KubeletStatuses = image:string=1
    ControllerManagerConfigs = enabled:bool=1 image:string=2 cloudProvider:string=3 podCIDRs:[]string=4 serviceCIDRs:[]string=5 \
extraVolumes:[]Empty=7 environmentVariables:map<string>=8 resources:PodResources=9 extraArgs:map<Values>=10 args:[]string=11 \
nodeCIDRMaskSizeIPv4:int=12 nodeCIDRMaskSizeIPv6:int=13
    ControllerManagerConfigs-1.12 = enabled:bool=1 image:string=2 cloudProvider:string=3 podCIDRs:[]string=4 serviceCIDRs:[]string=5 \
extraArgs:map<string>=6 extraVolumes:[]Empty=7 environmentVariables:map<string>=8 resources:PodResources=9
    SchedulerConfigs = enabled:bool=1 image:string=2 extraVolumes:[]Empty=4 environmentVariables:map<string>=5 resources:PodResources=6 \
config:struct=7 extraArgs:map<Values>=8 args:[]string=9
    SchedulerConfigs-1.12 = enabled:bool=1 image:string=2 extraArgs:map<string>=3 extraVolumes:[]Empty=4 environmentVariables:map<string>=5 \
resources:PodResources=6 config:struct=7
    BootstrapManifestsConfigs = string:string=1 clusterDomain:string=2 podCIDRs:[]string=3 proxyEnabled:bool=4 proxyImage:string=5 \
proxyArgs:[]string=6 coreDNSEnabled:bool=7 coreDNSImage:string=8 dnsServiceIP:string=9 dnsServiceIPv6:string=10 flannelEnabled:bool=11 \
flannelImage:string=12 podSecurityPolicyEnabled:bool=14 talosAPIServiceEnabled:bool=15 flannelExtraArgs:[]string=16 \
flannelKubeServiceHost:string=17 flannelKubeServicePort:string=18 flannelKubeNetworkPoliciesEnabled:bool=19 \
flannelKubeNetworkPoliciesImage:string=20 cniName:string=21
    StaticPods = pod:struct=1 apiVersion:string=0 kind:string=0 metadata:struct=0 spec:struct=0 status:struct=0
    Manifest = object:struct=1
    Manifests = items:[]Manifest=1 value:struct=0
    ManifestStatuses = manifestsApplied:[]string=1
    SystemInformations = manufacturer:string=1 productName:string=2 version:string=3 serialnumber:string=4 uuid:string=5 wakeUpType:string=6 \
skuNumber:string=7
    EtcdMembers = memberID:string=1
    Values = values:[]string=1
    EtcdSpecs = name:string=1 advertisedAddresses:[]ip=2 listenPeerAddresses:[]ip=5 listenClientAddresses:[]ip=6 image:string=3 \
extraArgs:map<Values>=7
    EtcdSpecs-1.12 = name:string=1 advertisedAddresses:[]ip=2 listenPeerAddresses:[]ip=5 listenClientAddresses:[]ip=6 image:string=3 \
extraArgs:map<string>=4
    MachineConfigs = yaml:bytes=1
    EtcdConfigs = advertiseValidSubnets:[]string=1 advertiseExcludeSubnets:[]string=2 image:string=3 listenValidSubnets:[]string=5 \
listenExcludeSubnets:[]string=6 extraArgs:map<Values>=7
    EtcdConfigs-1.12 = advertiseValidSubnets:[]string=1 advertiseExcludeSubnets:[]string=2 image:string=3 extraArgs:map<string>=4 \
listenValidSubnets:[]string=5 listenExcludeSubnets:[]string=6
    KubeletConfigs = image:string=1 clusterDNS:[]string=2 clusterDomain:string=3 extraConfig:struct=6 cloudProviderExternal:bool=7 \
defaultRuntimeSeccompEnabled:bool=8 skipNodeRegistration:bool=9 staticPodListURL:string=10 disableManifestsDirectory:bool=11 \
enableFSQuotaMonitoring:bool=12 extraArgs:map<Values>=15 allowSchedulingOnControlPlane:bool=0
    KubeletConfigs-1.12 = image:string=1 clusterDNS:[]string=2 clusterDomain:string=3 extraArgs:map<string>=4 extraConfig:struct=6 \
cloudProviderExternal:bool=7 defaultRuntimeSeccompEnabled:bool=8 skipNodeRegistration:bool=9 staticPodListURL:string=10 \
disableManifestsDirectory:bool=11 enableFSQuotaMonitoring:bool=12 allowSchedulingOnControlPlane:bool=0
    VolumeMount = targetPath:string=1 selinuxLabel:string=2 projectQuotaSupport:bool=3 parentId:string=4 fileMode:int=5 uid:int=6 gid:int=7 \
recursiveRelabel:bool=8
    VolumeLink = symlinkTargetPath:string=1 force:bool=2
    VolumeStatuses = phase:enum.volumePhase=1 location:string=2 errorMessage:string=3 preFailPhase:enum.volumePhase=6 size:int=9 filesystem:int=10 \
mountLocation:string=11 encryptionProvider:int=12 prettySize:string=13 type:enum.volumeType=16 mountSpec:VolumeMount=15 \
configuredEncryptionKeys:[]string=17 symlink:VolumeLink=18 parentID:string=19 encryptionSlot:int=0
    KubeletSpecs = image:string=1 args:[]string=2 expectedNodename:string=4 config:struct=5
    PodResources = requests:map<string>=1 limits:map<string>=2
    APIServerConfigs = image:string=1 cloudProvider:string=2 controlPlaneEndpoint:string=3 etcdServers:[]string=4 localPort:int=5 \
serviceCIDR:[]string=6 extraVolumes:[]Empty=8 environmentVariables:map<string>=9 advertisedAddress:string=11 resources:PodResources=12 \
extraArgs:map<Values>=13 startupProbesEnabled:bool=14 useAuthenticationConfig:bool=15 args:[]string=16
    APIServerConfigs-1.12 = image:string=1 cloudProvider:string=2 controlPlaneEndpoint:string=3 etcdServers:[]string=4 localPort:int=5 \
serviceCIDR:[]string=6 extraArgs:map<string>=7 extraVolumes:[]Empty=8 environmentVariables:map<string>=9 podSecurityPolicyEnabled:bool=10 \
advertisedAddress:string=11 \
resources:PodResources=12
    Empty =
    CertSANs = ips:[]ip=1 dnsNames:[]string=2 fqdn:string=3
    NodeStatuses = nodename:string=1 nodeReady:bool=2 unschedulable:bool=3 labels:map<string>=4 annotations:map<string>=5 podCIDRs:[]prefix=6
    StaticPodStatuses = podStatus:struct=1 allocatedResources:struct=0 conditions:struct=0 containerStatuses:struct=0 hostIP:string=0 \
hostIPs:struct=0 phase:string=0 podIP:string=0 podIPs:struct=0 qosClass:string=0 reason:string=0 resources:struct=0 startTime:string=0
    Versions = name:string=2 version:string=1
    PrintColumn = name:string=1 jsonPath:string=2
    ResourceDefinitions = type:string=1 displayType:string=2 defaultNamespace:string=3 aliases:[]string=4 allAliases:[]string=5 \
printColumns:[]PrintColumn=6 sensitivity:enum.sensitivity=7 skipAutomaticAliases:bool=0
    Namespaces = description:string=1
    Services = running:bool=1 healthy:bool=2 unknown:bool=3
    """.replace('\\\n', ''),
    ENUMS,
)
