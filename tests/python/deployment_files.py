"""Judge the container manifests of deploy/ by what they promise. Reads the folder from standard input.

Prints what is wrong with them, one line each.
"""

import pathlib
import sys

import yaml

# A missing role must never restart a container, nor take Cinder's own pod out of service.
LIVENESS = "/livez"
READINESS = "/readyz"


def main():
    folder = pathlib.Path(sys.stdin.read())
    files = sorted([*folder.glob("**/*.yaml"), *folder.glob("**/*.yml")])
    containers = 0
    for path in files:
        name = path.relative_to(folder)
        with path.open() as file:
            documents = list(yaml.safe_load_all(file))
        if not any(documents):
            print(f"{name}: is empty")
        for document in documents:
            for container, pod in containers_of(document):
                containers += 1
                for fault in faults_of(container, pod):
                    print(f"{name}: {fault}")
    daemons = yaml.safe_load((folder / "compose/compose.yaml").read_text())["services"]
    for service, daemon in daemons.items():
        containers += 1
        for fault in faults_of_compose(daemon):
            print(f"compose/compose.yaml: {service}: {fault}")
    if containers != 6:
        print(f"{containers} containers were found")


def containers_of(document):
    """Containers with the pod that they are in, of manifests and of patches of them."""
    if isinstance(document, list):
        for patch in document:
            if "/initContainers/" in patch["path"]:
                yield patch["value"], {}
    elif document.get("kind") == "Deployment":
        pod = document["spec"]["template"]["spec"]
        for container in pod["containers"]:
            yield container, pod


def faults_of(container, pod):
    security = {**pod.get("securityContext", {}), **container["securityContext"]}
    for setting, value in {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }.items():
        if security.get(setting) != value:
            yield f"{setting} is {security.get(setting)}"
    for probe in ("startupProbe", "livenessProbe"):
        if container[probe]["httpGet"]["path"] != LIVENESS:
            yield f"{probe} is not {LIVENESS}"
    if "restartPolicy" in container:
        if "readinessProbe" in container:
            yield "a sidecar's readiness is that of Cinder's pod"
    elif container["readinessProbe"]["httpGet"]["path"] != READINESS:
        yield f"readinessProbe is not {READINESS}"
    port = str(container["ports"][0]["containerPort"])
    listen = variable(container, "OS_KEY_MIGRATOR__LISTEN")
    if listen.rpartition(":")[2] != port:
        yield f"it listens on {listen}, and its port is {port}"
    state = variable(container, "OS_KEY_MIGRATOR__STATE_DIR")
    if state not in [mount["mountPath"] for mount in container["volumeMounts"]]:
        yield f"{state} does not outlive it"


def variable(container, name):
    return next(each["value"] for each in container["env"] if each["name"] == name)


def faults_of_compose(daemon):
    for setting, value in {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }.items():
        if daemon.get(setting) != value:
            yield f"{setting} is {daemon.get(setting)}"
    if daemon["user"].startswith(("0", "root")):
        yield "it runs as root"
    check = daemon["healthcheck"]["test"]
    if check[:3] != ["CMD", "/usr/bin/cinder-key-migrator", "healthcheck"]:
        yield f"its health check is {check}"
    if check[3:] != daemon["command"][1:]:
        yield "its health check has other options than its command"
    state = daemon["environment"]["OS_KEY_MIGRATOR__STATE_DIR"]
    if state not in [volume.split(":")[1] for volume in daemon["volumes"]]:
        yield f"{state} does not outlive it"


main()
