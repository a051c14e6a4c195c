"""The fields of Argo Rollouts' kinds: Rollout, AnalysisTemplate and ClusterAnalysisTemplate.

Source: argoproj/argo-rollouts, pkg/apis/rollouts/v1alpha1 (types.go, analysis_types.go) and
docs/features/specification.
"""

from __future__ import annotations

from rolloutsim.policy.shape import Fields, Leaf, ListOf, MapOf, Shape

__all__ = ["ANALYSIS", "ANALYSIS_TEMPLATE", "BACKGROUND", "METRIC", "ROLLOUT", "TEMPLATE_ARGUMENT"]

TEXT, INTEGER, BOOLEAN, DURATION = Leaf.TEXT, Leaf.INTEGER, Leaf.BOOLEAN, Leaf.DURATION
INTEGER_OR_TEXT, ANYTHING = Leaf.INTEGER_OR_TEXT, Leaf.ANYTHING
TEXTS, LABELS = ListOf(TEXT), MapOf(TEXT)

METADATA = Fields({"labels": LABELS, "annotations": LABELS})
EXPRESSION = Fields({"key": TEXT, "operator": TEXT, "values": TEXTS}, required=("key", "operator"))
SELECTOR = Fields({"matchLabels": LABELS, "matchExpressions": ListOf(EXPRESSION)})
CONTAINERS = ListOf(Fields({"name": TEXT}, open=True))
POD = Fields({"restartPolicy": TEXT, "containers": CONTAINERS}, open=True)
POD_TEMPLATE = Fields({"metadata": Fields({"labels": LABELS}, open=True), "spec": POD}, open=True)
FIELD_REF = Fields({"fieldPath": TEXT}, required=("fieldPath",))

# --- analysis -------------------------------------------------------------------------------------

DRY_RUN = ListOf(Fields({"metricName": TEXT}, required=("metricName",)))
RETENTION = ListOf(Fields({"metricName": TEXT, "limit": INTEGER}, required=("metricName", "limit")))

ROLLOUT_ARGUMENT = Fields(
    {
        "name": TEXT,
        "value": TEXT,
        "valueFrom": Fields({"podTemplateHashValue": TEXT, "fieldRef": FIELD_REF}),
    },
    required=("name",),
)
TEMPLATE_ARGUMENT = Fields(
    {
        "name": TEXT,
        "value": TEXT,
        "valueFrom": Fields(
            {
                "secretKeyRef": Fields({"name": TEXT, "key": TEXT}, required=("name", "key")),
                "fieldRef": FIELD_REF,
            }
        ),
    },
    required=("name",),
)
TEMPLATE_REFERENCES = ListOf(
    Fields({"templateName": TEXT, "clusterScope": BOOLEAN}, required=("templateName",))
)
ANALYSIS_FIELDS: dict[str, Shape] = {
    "templates": TEMPLATE_REFERENCES,
    "args": ListOf(ROLLOUT_ARGUMENT),
    "dryRun": DRY_RUN,
    "measurementRetention": RETENTION,
    "analysisRunMetadata": METADATA,
}
ANALYSIS = Fields(ANALYSIS_FIELDS)
BACKGROUND = Fields({**ANALYSIS_FIELDS, "startingStep": INTEGER})

OTHER_PROVIDERS = (
    "kayenta",
    "datadog",
    "wavefront",
    "newRelic",
    "cloudWatch",
    "graphite",
    "influxdb",
    "skywalking",
)
HEADERS = ListOf(Fields({"key": TEXT, "value": TEXT}, required=("key",)))
PROVIDER = Fields(
    {
        "prometheus": Fields(
            {
                "address": TEXT,
                "query": TEXT,
                "authentication": ANYTHING,
                "timeout": INTEGER,
                "insecure": BOOLEAN,
                "headers": HEADERS,
                "rangeQuery": Fields({"start": TEXT, "end": TEXT, "step": DURATION}),
            },
            required=("query",),
        ),
        "web": Fields(
            {
                "method": TEXT,
                "url": TEXT,
                "headers": HEADERS,
                "body": TEXT,
                "jsonBody": ANYTHING,
                "timeoutSeconds": INTEGER,
                "jsonPath": TEXT,
                "insecure": BOOLEAN,
                "authentication": ANYTHING,
            },
            required=("url",),
        ),
        "job": Fields({"metadata": METADATA, "spec": ANYTHING}, required=("spec",)),
        **dict.fromkeys(OTHER_PROVIDERS, ANYTHING),
        "plugin": MapOf(ANYTHING),
    }
)
METRIC = Fields(
    {
        "name": TEXT,
        "interval": DURATION,
        "initialDelay": DURATION,
        "count": INTEGER_OR_TEXT,
        "successCondition": TEXT,
        "failureCondition": TEXT,
        "failureLimit": INTEGER_OR_TEXT,
        "inconclusiveLimit": INTEGER_OR_TEXT,
        "consecutiveErrorLimit": INTEGER_OR_TEXT,
        "consecutiveSuccessLimit": INTEGER_OR_TEXT,
        "provider": PROVIDER,
    },
    required=("name",),
)
ANALYSIS_TEMPLATE = Fields(
    {
        "metrics": ListOf(METRIC),
        "args": ListOf(TEMPLATE_ARGUMENT),
        "dryRun": DRY_RUN,
        "measurementRetention": RETENTION,
        "templates": TEMPLATE_REFERENCES,
    }
)

# --- strategies -----------------------------------------------------------------------------------

ANTI_AFFINITY = Fields(
    {
        "preferredDuringSchedulingIgnoredDuringExecution": Fields({"weight": INTEGER}, required=("weight",)),
        "requiredDuringSchedulingIgnoredDuringExecution": Fields({}),
    }
)
STRING_MATCH = Fields({"exact": TEXT, "prefix": TEXT, "regex": TEXT})
EXPERIMENT = Fields(
    {
        "templates": ListOf(
            Fields(
                {
                    "name": TEXT,
                    "specRef": TEXT,
                    "replicas": INTEGER,
                    "metadata": METADATA,
                    "selector": SELECTOR,
                    "weight": INTEGER,
                    "service": Fields({"name": TEXT}),
                },
                required=("name", "specRef"),
            )
        ),
        "duration": DURATION,
        "analyses": ListOf(
            Fields(
                {
                    "name": TEXT,
                    "templateName": TEXT,
                    "clusterScope": BOOLEAN,
                    "args": ListOf(ROLLOUT_ARGUMENT),
                    "requiredForCompletion": BOOLEAN,
                },
                required=("name", "templateName"),
            )
        ),
        "dryRun": DRY_RUN,
        "analysisRunMetadata": METADATA,
        "scaleDownDelaySeconds": INTEGER,
    },
    required=("templates",),
)
PAUSE = Fields({"duration": INTEGER_OR_TEXT})
SET_CANARY_SCALE = Fields({"weight": INTEGER, "replicas": INTEGER, "matchTrafficWeight": BOOLEAN})
STEP = Fields(
    {
        "setWeight": INTEGER,
        "pause": PAUSE,
        "setCanaryScale": SET_CANARY_SCALE,
        "analysis": ANALYSIS,
        "experiment": EXPERIMENT,
        "setHeaderRoute": Fields(
            {"name": TEXT, "match": ListOf(Fields({"headerName": TEXT, "headerValue": STRING_MATCH}))}
        ),
        "setMirrorRoute": Fields(
            {
                "name": TEXT,
                "match": ListOf(
                    Fields({"method": STRING_MATCH, "path": STRING_MATCH, "headers": MapOf(STRING_MATCH)})
                ),
                "percentage": INTEGER,
            }
        ),
        "plugin": Fields({"name": TEXT, "config": ANYTHING}, required=("name",)),
    }
)
VIRTUAL_SERVICE = Fields(
    {
        "name": TEXT,
        "routes": TEXTS,
        "tlsRoutes": ListOf(Fields({"port": INTEGER, "sniHosts": TEXTS})),
        "tcpRoutes": ListOf(Fields({"port": INTEGER})),
    },
    required=("name",),
)
TRAFFIC_ROUTING = Fields(
    {
        "istio": Fields(
            {
                "virtualService": VIRTUAL_SERVICE,
                "virtualServices": ListOf(VIRTUAL_SERVICE),
                "destinationRule": Fields(
                    {
                        "name": TEXT,
                        "canarySubsetName": TEXT,
                        "stableSubsetName": TEXT,
                        "additionalSubsetNames": TEXTS,
                    }
                ),
            }
        ),
        "nginx": Fields(
            {
                "annotationPrefix": TEXT,
                "stableIngress": TEXT,
                "stableIngresses": TEXTS,
                "additionalIngressAnnotations": LABELS,
                "canaryIngressAnnotations": LABELS,
            }
        ),
        "alb": Fields(
            {
                "ingress": TEXT,
                "ingresses": TEXTS,
                "servicePort": INTEGER,
                "rootService": TEXT,
                "annotationPrefix": TEXT,
                "stickinessConfig": Fields({"enabled": BOOLEAN, "durationSeconds": INTEGER}),
            }
        ),
        "smi": Fields({"rootService": TEXT, "trafficSplitName": TEXT}),
        "ambassador": Fields({"mappings": TEXTS}),
        "appMesh": ANYTHING,
        "traefik": Fields({"weightedTraefikServiceName": TEXT}),
        "apisix": Fields({"route": Fields({"name": TEXT, "rules": TEXTS})}),
        "plugins": MapOf(ANYTHING),
        "managedRoutes": ListOf(Fields({"name": TEXT}, required=("name",))),
        "maxTrafficWeight": INTEGER,
    }
)
CANARY = Fields(
    {
        "steps": ListOf(STEP),
        "maxSurge": INTEGER_OR_TEXT,
        "maxUnavailable": INTEGER_OR_TEXT,
        "canaryService": TEXT,
        "stableService": TEXT,
        "trafficRouting": TRAFFIC_ROUTING,
        "analysis": BACKGROUND,
        "scaleDownDelaySeconds": INTEGER,
        "scaleDownDelayRevisionLimit": INTEGER,
        "abortScaleDownDelaySeconds": INTEGER,
        "dynamicStableScale": BOOLEAN,
        "minPodsPerReplicaSet": INTEGER,
        "replicaProgressThreshold": Fields({"type": TEXT, "value": INTEGER}, required=("type", "value")),
        "pingPong": Fields({"pingService": TEXT, "pongService": TEXT}),
        "canaryMetadata": METADATA,
        "stableMetadata": METADATA,
        "antiAffinity": ANTI_AFFINITY,
    }
)
BLUE_GREEN = Fields(
    {
        "activeService": TEXT,
        "previewService": TEXT,
        "previewReplicaCount": INTEGER,
        "autoPromotionEnabled": BOOLEAN,
        "autoPromotionSeconds": INTEGER,
        "scaleDownDelaySeconds": INTEGER,
        "scaleDownDelayRevisionLimit": INTEGER,
        "abortScaleDownDelaySeconds": INTEGER,
        "prePromotionAnalysis": ANALYSIS,
        "postPromotionAnalysis": ANALYSIS,
        "maxUnavailable": INTEGER_OR_TEXT,
        "previewMetadata": METADATA,
        "activeMetadata": METADATA,
        "antiAffinity": ANTI_AFFINITY,
    }
)
LIFECYCLE: dict[str, Shape] = {
    "replicas": INTEGER,
    "minReadySeconds": INTEGER,
    "progressDeadlineSeconds": INTEGER,
    "progressDeadlineAbort": BOOLEAN,
    "revisionHistoryLimit": INTEGER,
    "rollbackWindow": Fields({"revisions": INTEGER}),
    "paused": BOOLEAN,
}
ROLLOUT = Fields(
    {
        **LIFECYCLE,
        "selector": SELECTOR,
        "template": POD_TEMPLATE,
        "workloadRef": Fields({"apiVersion": TEXT, "kind": TEXT, "name": TEXT, "scaleDown": TEXT}),
        "strategy": Fields({"canary": CANARY, "blueGreen": BLUE_GREEN}),
        "restartAt": TEXT,
        "analysis": Fields({"successfulRunHistoryLimit": INTEGER, "unsuccessfulRunHistoryLimit": INTEGER}),
    }
)
