"""The schemas of the kinds that the emulator serves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rolloutsim.lab.schema import (
    ANY,
    BOOL,
    INT,
    INT_OR_STRING,
    STRING,
    STRING_MAP,
    STRINGS,
    Node,
    atomic,
    bounded,
    defaults_to,
    listed,
    mapped,
    strings,
    struct,
)

__all__ = ["META", "SHAPES", "shaped"]

PORT = bounded(1, 65535)
COUNT = bounded(0)

META = struct(
    **strings("name generateName namespace uid resourceVersion creationTimestamp deletionTimestamp selfLink"),
    generation=INT,
    deletionGracePeriodSeconds=INT,
    labels=STRING_MAP,
    annotations=STRING_MAP,
    ownerReferences=listed(
        struct(**strings("apiVersion kind name uid"), controller=BOOL, blockOwnerDeletion=BOOL), "uid"
    ),
    finalizers=listed(STRING, is_set=True),
    managedFields=ANY,
)

SELECTOR = atomic(
    struct(
        matchLabels=STRING_MAP,
        matchExpressions=listed(struct(**strings("key operator"), values=STRINGS)),
    )
)

PROBE = struct(
    httpGet=struct(
        path=defaults_to(STRING, "/"),
        port=INT_OR_STRING,
        host=STRING,
        scheme=defaults_to(STRING, "HTTP"),
        httpHeaders=ANY,
    ),
    exec=ANY,
    grpc=ANY,
    tcpSocket=ANY,
    initialDelaySeconds=COUNT,
    periodSeconds=defaults_to(COUNT, 10),
    timeoutSeconds=defaults_to(COUNT, 1),
    successThreshold=defaults_to(COUNT, 1),
    failureThreshold=defaults_to(COUNT, 3),
    terminationGracePeriodSeconds=COUNT,
)

CONTAINER = struct(
    **strings("name image workingDir imagePullPolicy restartPolicy"),
    terminationMessagePath=defaults_to(STRING, "/dev/termination-log"),
    terminationMessagePolicy=defaults_to(STRING, "File"),
    command=STRINGS,
    args=STRINGS,
    ports=listed(
        struct(
            containerPort=PORT,
            hostPort=PORT,
            **strings("name hostIP"),
            protocol=defaults_to(STRING, "TCP"),
        ),
        "containerPort",
        "protocol",
    ),
    env=listed(struct(name=STRING, value=STRING, valueFrom=ANY), "name"),
    envFrom=listed(ANY),
    resources=defaults_to(
        struct(limits=mapped(INT_OR_STRING), requests=mapped(INT_OR_STRING), claims=ANY), {}
    ),
    resizePolicy=ANY,
    restartPolicyRules=ANY,
    volumeMounts=listed(ANY, "mountPath"),
    volumeDevices=listed(ANY, "devicePath"),
    livenessProbe=PROBE,
    readinessProbe=PROBE,
    startupProbe=PROBE,
    lifecycle=ANY,
    securityContext=ANY,
    stdin=BOOL,
    stdinOnce=BOOL,
    tty=BOOL,
)

POD_SPEC = struct(
    **strings(
        "nodeName serviceAccountName serviceAccount hostname subdomain priorityClassName preemptionPolicy "
        "runtimeClassName hostnameOverride"
    ),
    restartPolicy=defaults_to(STRING, "Always"),
    dnsPolicy=defaults_to(STRING, "ClusterFirst"),
    schedulerName=defaults_to(STRING, "default-scheduler"),
    terminationGracePeriodSeconds=defaults_to(COUNT, 30),
    activeDeadlineSeconds=COUNT,
    containers=listed(CONTAINER, "name"),
    initContainers=listed(CONTAINER, "name"),
    ephemeralContainers=listed(ANY, "name"),
    volumes=listed(ANY, "name"),
    imagePullSecrets=listed(ANY, "name"),
    hostAliases=listed(ANY, "ip"),
    topologySpreadConstraints=listed(ANY, "topologyKey", "whenUnsatisfiable"),
    nodeSelector=atomic(STRING_MAP),
    securityContext=defaults_to(ANY, {}),
    affinity=ANY,
    tolerations=listed(ANY),
    readinessGates=listed(ANY),
    schedulingGates=listed(ANY, "name"),
    resourceClaims=listed(ANY, "name"),
    priority=INT,
    automountServiceAccountToken=BOOL,
    enableServiceLinks=BOOL,
    hostNetwork=BOOL,
    hostPID=BOOL,
    hostIPC=BOOL,
    hostUsers=BOOL,
    shareProcessNamespace=BOOL,
    setHostnameAsFQDN=BOOL,
    dnsConfig=ANY,
    os=ANY,
    overhead=ANY,
    resources=ANY,
    schedulingGroup=ANY,
)

TEMPLATE = struct(metadata=META, spec=POD_SPEC)

ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}

DEPLOYMENT_SPEC = struct(
    replicas=defaults_to(COUNT, 1),
    selector=SELECTOR,
    template=TEMPLATE,
    strategy=defaults_to(
        struct(
            type=STRING,
            rollingUpdate=struct(maxSurge=INT_OR_STRING, maxUnavailable=INT_OR_STRING),
        ),
        ROLLING,
    ),
    minReadySeconds=COUNT,
    revisionHistoryLimit=defaults_to(COUNT, 10),
    progressDeadlineSeconds=defaults_to(COUNT, 600),
    paused=BOOL,
)

SERVICE_SPEC = struct(
    selector=atomic(STRING_MAP),
    type=defaults_to(STRING, "ClusterIP"),
    sessionAffinity=defaults_to(STRING, "None"),
    internalTrafficPolicy=defaults_to(STRING, "Cluster"),
    ports=listed(
        struct(
            **strings("name appProtocol"),
            protocol=defaults_to(STRING, "TCP"),
            port=PORT,
            targetPort=INT_OR_STRING,
            nodePort=bounded(0, 65535),
        ),
        "port",
        "protocol",
    ),
    **strings(
        "clusterIP externalName externalTrafficPolicy ipFamilyPolicy loadBalancerIP loadBalancerClass "
        "trafficDistribution"
    ),
    clusterIPs=STRINGS,
    externalIPs=STRINGS,
    ipFamilies=STRINGS,
    loadBalancerSourceRanges=STRINGS,
    healthCheckNodePort=INT,
    publishNotReadyAddresses=BOOL,
    allocateLoadBalancerNodePorts=BOOL,
    sessionAffinityConfig=ANY,
)

INGRESS_BACKEND = struct(
    service=struct(name=STRING, port=atomic(struct(name=STRING, number=PORT))), resource=ANY
)
INGRESS_SPEC = struct(
    ingressClassName=STRING,
    defaultBackend=INGRESS_BACKEND,
    tls=listed(ANY),
    rules=listed(
        struct(
            host=STRING,
            http=struct(
                paths=listed(struct(path=STRING, pathType=STRING, backend=INGRESS_BACKEND)),
            ),
        )
    ),
)

GATEWAY_GROUP = "gateway.networking.k8s.io"
PARENT = struct(
    group=defaults_to(STRING, GATEWAY_GROUP),
    kind=defaults_to(STRING, "Gateway"),
    **strings("name namespace sectionName"),
    port=PORT,
)
ROUTE_BACKEND = struct(
    group=defaults_to(STRING, ""),
    kind=defaults_to(STRING, "Service"),
    **strings("name namespace"),
    port=PORT,
    weight=bounded(0, 1_000_000, 1),
    filters=listed(ANY),
)
ANY_PATH = {"path": {"type": "PathPrefix", "value": "/"}}
NAMED = struct(type=defaults_to(STRING, "Exact"), name=STRING, value=STRING)
ROUTE_RULE = struct(
    name=STRING,
    matches=defaults_to(
        listed(
            struct(
                path=defaults_to(
                    struct(type=defaults_to(STRING, "PathPrefix"), value=defaults_to(STRING, "/")),
                    ANY_PATH["path"],
                ),
                headers=listed(NAMED, "name"),
                queryParams=listed(NAMED, "name"),
                method=STRING,
            )
        ),
        [ANY_PATH],
    ),
    filters=listed(ANY),
    backendRefs=listed(ROUTE_BACKEND),
    timeouts=struct(request=STRING, backendRequest=STRING),
    retry=ANY,
    sessionPersistence=ANY,
)
ROUTE_SPEC = struct(
    parentRefs=listed(PARENT),
    hostnames=STRINGS,
    rules=defaults_to(listed(ROUTE_RULE), [{"matches": [ANY_PATH]}]),
    useDefaultGateways=STRING,
)
SAME_NAMESPACE = {"namespaces": {"from": "Same"}}
GATEWAY_SPEC = struct(
    gatewayClassName=STRING,
    listeners=listed(
        struct(
            **strings("name hostname protocol"),
            port=PORT,
            tls=ANY,
            allowedRoutes=defaults_to(
                struct(namespaces=defaults_to(ANY, {"from": "Same"}), kinds=ANY), SAME_NAMESPACE
            ),
        ),
        "name",
    ),
    addresses=listed(ANY),
    infrastructure=ANY,
    allowedListeners=ANY,
    tls=ANY,
    defaultScope=STRING,
)

HPA_SPEC = struct(
    scaleTargetRef=atomic(struct(**strings("apiVersion kind name"))),
    minReplicas=defaults_to(COUNT, 1),
    maxReplicas=bounded(1),
    metrics=listed(ANY),
    behavior=ANY,
)

LEASE_SPEC = struct(
    **strings("holderIdentity acquireTime renewTime strategy preferredHolder"),
    leaseDurationSeconds=INT,
    leaseTransitions=INT,
)

RULE = struct(
    apiGroups=STRINGS, resources=STRINGS, verbs=STRINGS, resourceNames=STRINGS, nonResourceURLs=STRINGS
)
BINDING: Mapping[str, Node] = {
    "roleRef": atomic(struct(**strings("apiGroup kind name"))),
    "subjects": listed(struct(**strings("kind name namespace apiGroup"))),
}


def shaped(**fields: Node) -> Node:
    """A kind's schema from what it has besides apiVersion, kind and metadata."""
    return struct(apiVersion=STRING, kind=STRING, metadata=META, **fields)


def _with_status(spec: Node) -> Node:
    status = Node("object", fields={"conditions": listed(ANY, "type")}, open=True)
    return shaped(spec=spec, status=status)


DATA: Mapping[str, Node] = {"data": STRING_MAP, "immutable": BOOL}

SHAPES: Mapping[str, Node] = MappingProxyType(
    {
        "ConfigMap": shaped(binaryData=STRING_MAP, **DATA),
        "Secret": shaped(stringData=STRING_MAP, type=defaults_to(STRING, "Opaque"), **DATA),
        "Service": _with_status(SERVICE_SPEC),
        "Pod": _with_status(POD_SPEC),
        "Deployment": _with_status(DEPLOYMENT_SPEC),
        "ReplicaSet": _with_status(
            struct(
                replicas=defaults_to(COUNT, 1), selector=SELECTOR, template=TEMPLATE, minReadySeconds=COUNT
            )
        ),
        "Ingress": _with_status(INGRESS_SPEC),
        "HTTPRoute": _with_status(ROUTE_SPEC),
        "Gateway": _with_status(GATEWAY_SPEC),
        "GatewayClass": _with_status(struct(controllerName=STRING, description=STRING, parametersRef=ANY)),
        "HorizontalPodAutoscaler": _with_status(HPA_SPEC),
        "Lease": shaped(spec=LEASE_SPEC),
        "Role": shaped(rules=listed(RULE)),
        "ClusterRole": shaped(rules=listed(RULE), aggregationRule=ANY),
        "RoleBinding": shaped(**BINDING),
        "ClusterRoleBinding": shaped(**BINDING),
    }
)
"""By kind. A kind that is not here is open below its metadata."""
