"""The Kubernetes manifests: built by kubectl, then held against the schemas and to what we promise.

There is no cluster here: that a controller does what these objects ask of it is not shown.
KEDA's ScaledObject has no schema here; that its fields exist was read in KEDA's documentation.
"""

import functools
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.files import DEPLOY, VARIABLES, run

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATIONS = ("base", "overlays/single-node", "overlays/production")
_OLDEST_VERSION, _NEWEST_VERSION = "1.32", "1.37"
_CUSTOM = {"ScaledObject"}

Manifest = dict[str, Any]

every_kustomization = pytest.mark.parametrize("name", KUSTOMIZATIONS)


@functools.cache
def build(name: str) -> tuple[Manifest, ...]:
    """Give all objects of a kustomization, as `kubectl apply -k` would send them."""
    return tuple(yaml.safe_load_all(run("kubectl", "kustomize", FOLDER / name)))


def of_kind(name: str, *kinds: str) -> list[Manifest]:
    return [one for one in build(name) if one["kind"] in kinds]


def named(name: str, kind: str, object_name: str) -> Manifest:
    (found,) = [one for one in of_kind(name, kind) if one["metadata"]["name"] == object_name]
    return found


def pods(name: str) -> Iterator[tuple[str, Manifest]]:
    """Give the name and the template of everything that makes pods."""
    for one in of_kind(name, "Deployment", "StatefulSet", "Job"):
        yield one["metadata"]["name"], one["spec"]["template"]


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", [])
    )


@every_kustomization
@pytest.mark.parametrize("version", [_OLDEST_VERSION, _NEWEST_VERSION])
def test_every_object_is_as_kubernetes_has_it(name: str, version: str) -> None:
    for one in build(name):
        if one["kind"] not in _CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)


@every_kustomization
def test_every_pod_is_restricted(name: str) -> None:
    """As the Pod Security Standard "restricted" wants it, and with a file system of stone."""
    for who, template in pods(name):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"], who
        assert pod["securityContext"]["runAsUser"] > 0, who
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, who
        assert pod["automountServiceAccountToken"] is False, who
        assert pod["enableServiceLinks"] is False, who
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, who
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), who
            assert "memory" in container["resources"]["limits"], who


@every_kustomization
def test_what_an_object_names_is_there(name: str) -> None:
    maps = {one["metadata"]["name"] for one in of_kind(name, "ConfigMap")}
    for who, template in pods(name):
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        claims = {
            claim["metadata"]["name"]
            for one in of_kind(name, "StatefulSet")
            if one["metadata"]["name"] == who
            for claim in one["spec"]["volumeClaimTemplates"]
        }
        for container in template["spec"]["containers"]:
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == set(volumes) | claims, who
            for source in container.get("envFrom", []):
                assert source["configMapRef"]["name"] in maps, who
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, who
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind(name, "Service")}
    for ingress in of_kind(name, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                ports = {port["name"] for port in services[backend["name"]]["ports"]}
                assert backend["port"]["name"] in ports
    targets = {(one["kind"], one["metadata"]["name"]) for one in build(name)}
    for scaled in of_kind(name, "ScaledObject"):
        assert ("Deployment", scaled["spec"]["scaleTargetRef"]["name"]) in targets


@every_kustomization
def test_every_selector_selects_something(name: str) -> None:
    labels = [template["metadata"]["labels"] for _, template in pods(name)]
    selectors = [
        *(one["spec"]["selector"] for one in of_kind(name, "Deployment", "StatefulSet")),
        *(one["spec"]["selector"] for one in of_kind(name, "PodDisruptionBudget")),
        *({"matchLabels": one["spec"]["selector"]} for one in of_kind(name, "Service")),
        *(one["spec"]["podSelector"] for one in of_kind(name, "NetworkPolicy")),
        *(
            constraint["labelSelector"]
            for _, template in pods(name)
            for constraint in template["spec"].get("topologySpreadConstraints", [])
        ),
    ]

    assert all(any(selects(selector, one) for one in labels) for selector in selectors)


@every_kustomization
def test_ports_that_have_names_are_open(name: str) -> None:
    for service in of_kind(name, "Service"):
        open_ports = {
            port["name"]
            for _, template in pods(name)
            if selects({"matchLabels": service["spec"]["selector"]}, template["metadata"]["labels"])
            for container in template["spec"]["containers"]
            for port in container["ports"]
        }
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= open_ports


@every_kustomization
def test_our_settings_exist(name: str) -> None:
    for one in of_kind(name, "ConfigMap"):
        if one["metadata"]["name"].startswith("hamgate"):
            assert set(one["data"]) <= VARIABLES
    for who, template in pods(name):
        for container in template["spec"]["containers"]:
            if container["image"].startswith("hamgate:"):
                assert {entry["name"] for entry in container["env"]} <= VARIABLES, who


def test_web_is_asked_whether_it_lives_and_is_ready() -> None:
    (web,) = named("base", "Deployment", "hamgate-web")["spec"]["template"]["spec"]["containers"]

    assert web["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert web["startupProbe"]["httpGet"]["path"] == "/livez"
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"


def allowed_targets(name: str, labels: dict[str, str]) -> list[Manifest]:
    """Give the rules by which a pod with these labels may reach others."""
    return [
        rule
        for policy in of_kind(name, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get("egress", [])
    ]


def labels_of(name: str, object_name: str) -> dict[str, str]:
    labels: dict[str, str] = dict(pods(name))[object_name]["metadata"]["labels"]
    return labels


@every_kustomization
def test_nothing_is_reachable_unless_it_is_said(name: str) -> None:
    denied = named(name, "NetworkPolicy", "default-deny")["spec"]

    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@every_kustomization
def test_web_reaches_names_database_and_valkey_only(name: str) -> None:
    rules = allowed_targets(name, labels_of(name, "hamgate-web"))
    ports = {port["port"] for rule in rules for port in rule["ports"]}

    assert ports == {53, 5432, 6379}
    assert not any("ipBlock" in target for rule in rules for target in rule["to"])


@every_kustomization
@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.31.255.255", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fd00::1", False),
        ("fe80::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::1", False),
    ],
)
def test_workers_reach_strangers_by_https_and_nobody_inside(
    name: str, address: str, reached: bool
) -> None:
    rules = allowed_targets(name, labels_of(name, "hamgate-worker"))
    outward = [rule for rule in rules if any("ipBlock" in target for target in rule["to"])]
    blocks = [target["ipBlock"] for rule in outward for target in rule["to"]]

    assert {port["port"] for rule in outward for port in rule["ports"]} == {443, 8443}
    assert any(_within(address, block) for block in blocks) is reached


def _within(address: str, block: Manifest) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed in ipaddress.ip_network(block["cidr"]) and not any(
        parsed in ipaddress.ip_network(network) for network in block.get("except", [])
    )


def test_workers_are_counted_by_what_waits_and_by_nothing_else() -> None:
    scaled = named("overlays/production", "ScaledObject", "hamgate-worker")["spec"]
    worker = named("overlays/production", "Deployment", "hamgate-worker")["spec"]
    (trigger,) = scaled["triggers"]

    assert "hamgate_oldest_due_seconds" in trigger["metadata"]["query"]
    assert "replicas" not in worker
    assert scaled["minReplicaCount"] >= 2


def test_one_valkey_is_configured_as_the_other() -> None:
    """Kustomize reads nothing outside of its own folder."""
    ours = FOLDER / "overlays" / "single-node" / "valkey.conf"

    assert ours.read_bytes() == (DEPLOY / "compose" / "valkey.conf").read_bytes()


def test_one_version_is_deployed_everywhere() -> None:
    version = run("hamgate", "--version").split()[1]
    files = [DEPLOY / "Dockerfile", DEPLOY / "compose" / "compose.yaml", FOLDER / "base"]
    texts = [
        path.read_text() if path.is_file() else (path / "kustomization.yaml").read_text()
        for path in files
    ]

    assert all(version in text for text in texts), [str(Path(path)) for path in files]
