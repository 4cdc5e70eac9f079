"""Does with Helm what the tests say: one request as JSON on stdin, one answer as JSON on stdout.

The library is Helm's own code without its command line. An error of Helm's is an answer too.
"""

import json
import sys

import helm_python as helm

request = json.load(sys.stdin)
helm.disable_logging()
chart = request["chart"]
values = request.get("values")
namespace = request.get("namespace", "sealos-system")


def releases():
    return helm.Config(kubeconfig_path=request["kubeconfig"], namespace=namespace)


def manifest():
    rendered = helm.Chart.load(chart).render(values, name=request["name"], namespace=namespace)
    notes = [text for name, text in rendered.items() if name.endswith("NOTES.txt")]
    return {"manifests": [text for name, text in rendered.items() if name.endswith(".yaml")], "notes": notes}


def lint():
    return helm.lint(chart, values, strict=True, namespace=namespace)


def validate():
    helm.Chart.load(chart).validate_schema(values)
    return {}


def install():
    return releases().install(chart, request["name"], values, timeout=60)


def upgrade():
    return releases().upgrade(chart, request["name"], values, timeout=60)


def rollback():
    releases().rollback(request["name"], timeout=60)
    return {}


def uninstall():
    return releases().uninstall(request["name"], timeout=60)


commands = {f.__name__: f for f in (manifest, lint, validate, install, upgrade, rollback, uninstall)}
try:
    answer = {"done": commands[request["do"]]()}
except helm.HelmError as error:
    answer = {"error": str(error)}
json.dump(answer, sys.stdout, default=str)
