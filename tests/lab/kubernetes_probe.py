"""Which of 49 semantics of the Kubernetes API a server has, asked over plain HTTP.

Each check was tried on a real kube-apiserver 1.36, where all of them hold. ``run(url, token)`` asks any
server, in a namespace of its own that it deletes afterwards.
"""

from __future__ import annotations

import contextlib
import copy
import json
import ssl
import threading
import time
import uuid

import httpx

NS = "probe-" + uuid.uuid4().hex[:6]


class _Target:
    url: str
    headers: dict[str, str]
    verify: ssl.SSLContext | bool
    client: httpx.Client


T = _Target()


def client():
    return httpx.Client(base_url=T.url, headers=T.headers, verify=T.verify, timeout=15, trust_env=False)


def rq(m, p, body=None, ct="application/json", s=None, **params):
    r = (s or T.client).request(
        m,
        p,
        params=params,
        content=None if body is None else json.dumps(body),
        headers={"Content-Type": ct, "Accept": "application/json"},
    )
    try:
        j = r.json()
    except ValueError:
        j = {"_raw": r.text[:200]}
    return r.status_code, j


MP, SMP, JP, SSA = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
)
core, apps, coord, net = (
    f"/api/v1/namespaces/{NS}",
    f"/apis/apps/v1/namespaces/{NS}",
    f"/apis/coordination.k8s.io/v1/namespaces/{NS}",
    f"/apis/networking.k8s.io/v1/namespaces/{NS}",
)
gw = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NS}"


def cm(name, data=None, labels=None):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NS, "labels": labels or {}},
        "data": data or {"a": "1"},
    }


def svc(name, sel):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NS},
        "spec": {"selector": sel, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }


def dep(name):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NS},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]},
            },
        },
    }


def lease(name, holder):
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": NS},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
    }


CHECKS = []


def case(f):
    CHECKS.append(f)
    return f


def reason(j):
    return j.get("reason")


def rv(o):
    return (o.get("metadata") or {}).get("resourceVersion")


@case
def create_sets_server_fields():
    st, o = rq("POST", core + "/configmaps", cm("c1"))
    m = o.get("metadata", {})
    return st == 201 and all(
        k in m for k in ("resourceVersion", "uid", "creationTimestamp")
    ), f"{st} keys={sorted(m)}"


@case
def duplicate_create_409_AlreadyExists():
    st, o = rq("POST", core + "/configmaps", cm("c1"))
    return (st, reason(o)) == (409, "AlreadyExists"), f"{st} {reason(o)}"


@case
def get_missing_404_NotFound():
    st, o = rq("GET", core + "/configmaps/none")
    return (st, reason(o)) == (404, "NotFound") and o.get("kind") == "Status", f"{st} {reason(o)}"


@case
def put_current_rv_ok():
    st, o = rq("GET", core + "/configmaps/c1")
    o["data"] = {"a": "2"}
    st, n = rq("PUT", core + "/configmaps/c1", o)
    return st == 200 and rv(n) != rv(o) and n["data"] == {"a": "2"}, f"{st}"


@case
def put_stale_rv_409_Conflict():
    st, o = rq("GET", core + "/configmaps/c1")
    rq("PATCH", core + "/configmaps/c1", {"data": {"z": "1"}}, MP)
    o["data"] = {"a": "3"}
    st, n = rq("PUT", core + "/configmaps/c1", o)
    return (st, reason(n)) == (409, "Conflict"), f"{st} {reason(n)}"


@case
def put_replaces_whole_object():
    st, o = rq("GET", core + "/configmaps/c1")
    o["data"] = {"only": "1"}
    st, n = rq("PUT", core + "/configmaps/c1", o)
    return st == 200 and n.get("data") == {"only": "1"}, f"{st} {n.get('data')}"


@case
def put_without_rv_configmap_unconditional_ok():
    o = cm("c1", {"u": "1"})
    st, n = rq("PUT", core + "/configmaps/c1", o)
    return st == 200, f"{st} {reason(n)}"


@case
def put_without_rv_lease_422():
    rq("POST", coord + "/leases", lease("l0", "x"))
    st, n = rq("PUT", coord + "/leases/l0", lease("l0", "y"))
    return st == 422, f"{st} {reason(n)} {str(n.get('message'))[:80]}"


@case
def mergepatch_stale_rv_in_body_409():
    st, o = rq("GET", core + "/configmaps/c1")
    rq("PATCH", core + "/configmaps/c1", {"data": {"z": "2"}}, MP)
    st, n = rq(
        "PATCH", core + "/configmaps/c1", {"metadata": {"resourceVersion": rv(o)}, "data": {"z": "3"}}, MP
    )
    return (st, reason(n)) == (409, "Conflict"), f"{st} {reason(n)}"


@case
def mergepatch_null_deletes_key():
    rq("PATCH", core + "/configmaps/c1", {"data": {"k": "v"}}, MP)
    st, n = rq("PATCH", core + "/configmaps/c1", {"data": {"k": None}}, MP)
    return st == 200 and "k" not in n.get("data", {}), f"{st} {n.get('data')}"


@case
def noop_patch_keeps_rv():
    _, a = rq("PATCH", core + "/configmaps/c1", {"data": {"n": "1"}}, MP)
    _st, b = rq("PATCH", core + "/configmaps/c1", {"data": {"n": "1"}}, MP)
    return rv(a) is not None and rv(a) == rv(b), f"{rv(a)} {rv(b)}"


@case
def change_bumps_rv():
    _, a = rq("PATCH", core + "/configmaps/c1", {"data": {"n": "2"}}, MP)
    _st, b = rq("PATCH", core + "/configmaps/c1", {"data": {"n": "3"}}, MP)
    return rv(a) is not None and rv(a) != rv(b), f"{rv(a)} {rv(b)}"


@case
def mergepatch_replaces_list():
    rq("POST", apps + "/deployments", dep("d1"))
    st, n = rq(
        "PATCH",
        apps + "/deployments/d1",
        {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x:2"}]}}}},
        MP,
    )
    return st == 200 and len(n["spec"]["template"]["spec"]["containers"]) == 1, f"{st}"


@case
def strategicmerge_merges_containers_by_name():
    rq("POST", apps + "/deployments", dep("d2"))
    st, n = rq(
        "PATCH",
        apps + "/deployments/d2",
        {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x:2"}]}}}},
        SMP,
    )
    c = {
        k["name"]: k.get("image")
        for k in n.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    }
    return st == 200 and c == {"a": "x:2", "b": "y:1"}, f"{st} {c}"


@case
def strategicmerge_patch_delete_directive():
    st, n = rq(
        "PATCH",
        apps + "/deployments/d2",
        {"spec": {"template": {"spec": {"containers": [{"name": "b", "$patch": "delete"}]}}}},
        SMP,
    )
    c = [k["name"] for k in n.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])]
    return st == 200 and c == ["a"], f"{st} {c}"


@case
def strategicmerge_rejected_for_CRD_415():
    rq(
        "POST",
        gw + "/httproutes",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "r0", "namespace": NS},
            "spec": {"rules": [{"backendRefs": [{"name": "a", "port": 80, "weight": 1}]}]},
        },
    )
    st, n = rq("PATCH", gw + "/httproutes/r0", {"metadata": {"labels": {"a": "b"}}}, SMP)
    return st == 415, f"{st} {reason(n)}"


@case
def jsonpatch_replace_ok():
    st, n = rq(
        "PATCH",
        apps + "/deployments/d2",
        [
            {"op": "replace", "path": "/spec/replicas", "value": 0},
            {"op": "add", "path": "/metadata/labels", "value": {"q": "w"}},
        ],
        JP,
    )
    return st == 200 and (n.get("metadata", {}).get("labels") or {}).get("q") == "w", f"{st}"


@case
def jsonpatch_failed_test_op_422():
    st, n = rq(
        "PATCH",
        apps + "/deployments/d2",
        [
            {"op": "test", "path": "/spec/replicas", "value": 99},
            {"op": "replace", "path": "/spec/replicas", "value": 5},
        ],
        JP,
    )
    return st == 422, f"{st} {reason(n)}"


@case
def unknown_patch_type_415():
    st, n = rq("PATCH", core + "/configmaps/c1", {"data": {}}, "application/json")
    return st == 415, f"{st} {reason(n)}"


def ssa(name, spec_sel, fm, **q):
    return rq(
        "PATCH",
        core + "/services/" + name,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": NS},
            "spec": spec_sel,
        },
        SSA,
        fieldManager=fm,
        **q,
    )


P = [{"name": "http", "port": 80, "protocol": "TCP"}]


@case
def ssa_creates_with_managedFields():
    st, o = ssa("s1", {"selector": {"app": "x", "color": "blue"}, "ports": P}, "m1")
    mf = o.get("metadata", {}).get("managedFields") or []
    return st == 201 and any(
        f["manager"] == "m1" and f["operation"] == "Apply" for f in mf
    ), f"{st} {[(f['manager'], f['operation']) for f in mf]}"


@case
def ssa_conflict_other_manager_409_causes():
    st, o = ssa("s1", {"selector": {"color": "green"}}, "m2")
    c = [x.get("field") for x in (o.get("details") or {}).get("causes", [])]
    return (st == 409 and c == [".spec.selector"]) or (st == 409 and bool(c)), f"{st} {reason(o)} causes={c}"


@case
def ssa_force_takes_ownership():
    st, o = ssa("s1", {"selector": {"app": "x", "color": "green"}}, "m2", force="true")
    return st == 200 and o["spec"]["selector"].get("color") == "green", f"{st} {reason(o)}"


@case
def ssa_dropping_field_removes_it():
    rq(
        "PATCH",
        core + "/configmaps/ssa",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "ssa", "namespace": NS},
            "data": {"a": "1", "b": "2"},
        },
        SSA,
        fieldManager="m",
    )
    st, o = rq(
        "PATCH",
        core + "/configmaps/ssa",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "ssa", "namespace": NS},
            "data": {"a": "1"},
        },
        SSA,
        fieldManager="m",
    )
    return st == 200 and o.get("data") == {"a": "1"}, f"{st} {o.get('data')}"


@case
def ssa_without_fieldManager_rejected():
    st, o = rq(
        "PATCH",
        core + "/configmaps/ssa",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa", "namespace": NS}, "data": {}},
        SSA,
    )
    return st in (400, 422), f"{st} {reason(o)}"


@case
def status_subresource_isolated():
    rq("POST", apps + "/deployments", dep("d3"))
    st, n = rq("PATCH", apps + "/deployments/d3", {"status": {"observedGeneration": 7}}, MP)
    a = (n.get("status") or {}).get("observedGeneration") != 7
    st2, n2 = rq(
        "PATCH",
        apps + "/deployments/d3/status",
        {"status": {"observedGeneration": 7}, "spec": {"replicas": 9}},
        MP,
    )
    b = st2 == 200 and n2.get("spec", {}).get("replicas") != 9
    return a and b, f"{st} {st2} main_ignores_status={a} status_ignores_spec={b}"


@case
def generation_bumps_on_spec_only():
    _, a = rq("GET", apps + "/deployments/d3")
    rq("PATCH", apps + "/deployments/d3", {"metadata": {"labels": {"x": "y"}}}, MP)
    _, b = rq("GET", apps + "/deployments/d3")
    rq("PATCH", apps + "/deployments/d3", {"spec": {"minReadySeconds": 3}}, MP)
    _st, c = rq("GET", apps + "/deployments/d3")
    g = [x.get("metadata", {}).get("generation") for x in (a, b, c)]
    return None not in g and g[0] == g[1] and g[2] == g[1] + 1, f"{g}"


@case
def scale_subresource():
    st, o = rq("PATCH", apps + "/deployments/d3/scale", {"spec": {"replicas": 0}}, MP)
    return st == 200 and o.get("kind") == "Scale", f"{st} {o.get('kind')}"


def race(n, f):
    res = [None] * n
    b = threading.Barrier(n)

    def w(i):
        with client() as s:
            with contextlib.suppress(Exception):
                rq("GET", "/version", s=s)
            b.wait()
            try:
                res[i] = f(i, s)
            except Exception as e:
                res[i] = repr(e)[:60]

    t = [threading.Thread(target=w, args=(i,)) for i in range(n)]
    [x.start() for x in t]
    [x.join() for x in t]
    return res


@case
def lease_create_race_one_winner():
    r = race(16, lambda i, s: rq("POST", coord + "/leases", lease("race", f"id{i}"), s=s)[0])
    _st, _o = rq("GET", coord + "/leases/race")
    return r.count(201) == 1 and r.count(
        409
    ) == 15, f"201x{r.count(201)} 409x{r.count(409)} other={[x for x in r if x not in (201, 409)][:2]}"


@case
def lease_renew_race_PUT_same_rv_one_winner():
    _st, o = rq("GET", coord + "/leases/race")

    def f(i, s):
        n = copy.deepcopy(o)
        n.setdefault("spec", {})["holderIdentity"] = f"new{i}"
        return rq("PUT", coord + "/leases/race", n, s=s)[0]

    r = race(16, f)
    return (
        r.count(200) == 1 and r.count(409) == 15,
        f"200x{r.count(200)} 409x{r.count(409)}",
    )


@case
def lease_takeover_race_mergepatch_rv_one_winner():
    _st, o = rq("GET", coord + "/leases/race")
    r = race(
        16,
        lambda i, s: rq(
            "PATCH",
            coord + "/leases/race",
            {"metadata": {"resourceVersion": rv(o)}, "spec": {"holderIdentity": f"p{i}"}},
            MP,
            s=s,
        )[0],
    )
    return r.count(200) == 1 and r.count(409) == 15, f"200x{r.count(200)} 409x{r.count(409)}"


@case
def label_selectors_all_ops():
    for n, labels in (("la", {"app": "a", "tier": "x"}), ("lb", {"app": "b"}), ("lc", {"tier": "y"})):
        rq("POST", core + "/configmaps", cm(n, labels=labels))
    exp = {
        "app=a": ["la"],
        "app==b": ["lb"],
        "app!=a,tier": ["lc"],
        "app in (a,b)": ["la", "lb"],
        "app notin (a),app": ["lb"],
        "tier": ["la", "lc"],
        "!app,tier": ["lc"],
        "app=a,tier=x": ["la"],
    }
    bad = {}
    for q, e in exp.items():
        _st, o = rq("GET", core + "/configmaps", labelSelector=q)
        g = sorted(i["metadata"]["name"] for i in o.get("items", []))
        if g != e:
            bad[q] = g[:6]
    return not bad, f"wrong={list(bad)}"


@case
def field_selector_metadata_name():
    st, o = rq("GET", core + "/configmaps", fieldSelector="metadata.name=la")
    return [i["metadata"]["name"] for i in o.get("items", [])] == [
        "la"
    ], f"{st} {len(o.get('items', []))} items"


@case
def list_has_kind_and_rv():
    _st, o = rq("GET", core + "/configmaps")
    return o.get("kind") == "ConfigMapList" and str(rv(o)).isdigit(), f"{o.get('kind')} rv={rv(o)}"


@case
def list_pagination():
    _, o = rq("GET", core + "/configmaps", limit=2)
    t = o.get("metadata", {}).get("continue")
    if not t:
        return False, f"items={len(o.get('items', []))} continue={t}"
    _st, p = rq("GET", core + "/configmaps", limit=2, **{"continue": t})
    return len(o["items"]) == 2 and bool(p.get("items")), f"{len(o['items'])}+{len(p.get('items', []))}"


@case
def dry_run_create_not_persisted():
    st, _o = rq("POST", core + "/configmaps", cm("dry"), dryRun="All")
    st2, _ = rq("GET", core + "/configmaps/dry")
    return st == 201 and st2 == 404, f"{st} then GET {st2}"


@case
def dry_run_patch_not_persisted():
    st, o = rq("PATCH", core + "/configmaps/la", {"data": {"dry": "1"}}, MP, dryRun="All")
    _st2, g = rq("GET", core + "/configmaps/la")
    return st == 200 and "dry" in o.get("data", {}) and "dry" not in g.get("data", {}), f"{st}"


@case
def invalid_object_422_Invalid():
    b = svc("bad", {"a": "b"})
    b["spec"]["ports"][0]["port"] = 99999
    st, o = rq("POST", core + "/services", b)
    return (st, reason(o)) == (422, "Invalid"), f"{st} {reason(o)}"


@case
def field_validation_strict_400():
    b = svc("strict", {"a": "b"})
    b["spec"]["nonsense"] = 1
    st, o = rq("POST", core + "/services", b, fieldValidation="Strict")
    return st == 400, f"{st} {reason(o)} {str(o.get('message'))[:80]}"


@case
def unknown_field_pruned_on_CR():
    st, o = rq(
        "POST",
        gw + "/httproutes",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "r1", "namespace": NS},
            "spec": {
                "zzz": 1,
                "rules": [
                    {
                        "backendRefs": [
                            {"name": "a", "port": 80, "weight": 95},
                            {"name": "b", "port": 80, "weight": 5},
                        ]
                    }
                ],
            },
        },
    )
    return st == 201 and "zzz" not in o.get("spec", {}), f"{st} {str(o.get('message'))[:80]}"


@case
def httproute_defaults_applied():
    _st, o = rq("GET", gw + "/httproutes/r1")
    b = (o.get("spec", {}).get("rules") or [{}])[0]
    return b.get("matches") == [{"path": {"type": "PathPrefix", "value": "/"}}] and b.get(
        "backendRefs", [{}]
    )[0].get("kind") == "Service", f"{b.get('matches')}"


@case
def httproute_weight_validation_422():
    st, o = rq(
        "PATCH",
        gw + "/httproutes/r1",
        [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": -1}],
        JP,
    )
    return st == 422, f"{st} {reason(o)}"


@case
def httproute_jsonpatch_weight_with_rv_test():
    st, o = rq("GET", gw + "/httproutes/r1")
    st, _n = rq(
        "PATCH",
        gw + "/httproutes/r1",
        [
            {"op": "test", "path": "/metadata/resourceVersion", "value": rv(o)},
            {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 50},
        ],
        JP,
    )
    ok = st == 200
    st2, n2 = rq(
        "PATCH",
        gw + "/httproutes/r1",
        [
            {"op": "test", "path": "/metadata/resourceVersion", "value": rv(o)},
            {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 40},
        ],
        JP,
    )
    return ok and st2 in (409, 422), f"{st} then stale {st2} {reason(n2)}"


@case
def ingress_annotation_mergepatch():
    ing = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "i",
            "namespace": NS,
            "annotations": {"nginx.ingress.kubernetes.io/canary": "true"},
        },
        "spec": {
            "rules": [
                {
                    "host": "h",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "s", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ]
        },
    }
    rq("POST", net + "/ingresses", ing)
    st, o = rq(
        "PATCH",
        net + "/ingresses/i",
        {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary-weight": "25"}}},
        MP,
    )
    return st == 200 and o["metadata"]["annotations"] == {
        "nginx.ingress.kubernetes.io/canary": "true",
        "nginx.ingress.kubernetes.io/canary-weight": "25",
    }, f"{st}"


@case
def delete_precondition_uid_mismatch_409():
    st, o = rq(
        "DELETE",
        core + "/configmaps/lb",
        {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "nope"}},
    )
    return st == 409, f"{st} {reason(o)}"


def watch(path, n=None, secs=3, **q):
    ev = []
    t0 = time.time()
    try:
        with T.client.stream("GET", path, params={"watch": "true", **q}, timeout=secs) as r:
            if r.status_code != 200:
                return r.status_code, [json.loads(r.read())]
            for line in r.iter_lines():
                if line:
                    ev.append(json.loads(line))
                if (n and len(ev) >= n) or time.time() - t0 > secs:
                    break
    except httpx.TimeoutException:
        return 200, ev
    return 200, ev


def names(ev):
    return [(e["type"], e["object"].get("metadata", {}).get("name")) for e in ev]


@case
def watch_resume_from_rv_only_later_events():
    _, found = rq("GET", core + "/configmaps")
    r0 = rv(found)
    rq("POST", core + "/configmaps", cm("w1", labels={"w": "1"}))
    rq("PATCH", core + "/configmaps/w1", {"data": {"a": "9"}}, MP)
    rq("DELETE", core + "/configmaps/w1")
    st, ev = watch(core + "/configmaps", 3, resourceVersion=r0)
    return names(ev)[:4] == [("ADDED", "w1"), ("MODIFIED", "w1"), ("DELETED", "w1")], f"{st} {names(ev)[:4]}"


@case
def watch_label_selector_transition_is_ADDED_DELETED():
    rq("POST", core + "/configmaps", cm("w2", labels={"t": "off"}))
    _, found = rq("GET", core + "/configmaps")
    r0 = rv(found)
    rq("PATCH", core + "/configmaps/w2", {"metadata": {"labels": {"t": "on"}}}, MP)
    rq("PATCH", core + "/configmaps/w2", {"metadata": {"labels": {"t": "off"}}}, MP)
    _st, ev = watch(core + "/configmaps", 2, resourceVersion=r0, labelSelector="t=on")
    return names(ev) == [("ADDED", "w2"), ("DELETED", "w2")], f"{names(ev)[:4]}"


@case
def watch_timeoutSeconds_closes():
    _, found = rq("GET", core + "/configmaps")
    t = time.time()
    _st, _ev = watch(core + "/configmaps", None, 6, resourceVersion=rv(found), timeoutSeconds=1)
    d = time.time() - t
    return d < 4, f"closed after {d:.1f}s"


@case
def watch_bookmark_on_timeout_or_sendInitialEvents():
    st, ev = watch(
        core + "/configmaps",
        None,
        3,
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true",
        timeoutSeconds=2,
    )
    b = [e for e in ev if e["type"] == "BOOKMARK"]
    return bool(b) and b[0]["object"]["metadata"].get("annotations", {}).get(
        "k8s.io/initial-events-end"
    ) == "true", f"{st} {len(ev)} events, {len(b)} bookmarks"


@case
def watch_too_old_rv_410():
    st, ev = watch(core + "/configmaps", 1, 3, resourceVersion="1")
    c = (ev and ev[0].get("object", {}).get("code")) or (ev and ev[0].get("code"))
    return c == 410, f"{st} {ev and ev[0].get('type')} code={c}"


def run(url, token, verify=False) -> dict[str, tuple[bool, str]]:
    """Whether each check holds, and what was seen."""
    T.url, T.headers, T.verify = url, {"Authorization": "Bearer " + token}, verify
    found = {}
    with client() as T.client:
        st, o = rq(
            "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}}
        )
        assert st == 201, o
        for check in CHECKS:
            try:
                ok, note = check()
            except Exception as e:
                ok, note = False, repr(e)
            found[check.__name__] = (bool(ok), note)
        rq("DELETE", "/api/v1/namespaces/" + NS)
    return found
