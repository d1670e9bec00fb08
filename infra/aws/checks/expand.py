"""Prints what the SAM template expands to, as JSON, without an account or a network.

Must never change a property: two places hold what only a deploy knows, the packages' bucket and the state machine's
file, and both are filled in the way a deploy would.
"""

import json
import logging
import os
import pathlib
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# What `sam package` would have uploaded. The name is never looked up.
PACKAGES = "s3://packages"
# The translator wants one, for nothing that ends up in the template.
REGION = "eu-west-1"


class NoManagedPolicies:
    """Our roles are written out, so no name of an AWS-managed policy has to be resolved."""

    def load(self):
        return {}


def expand(path):
    template = yaml_parse(path.read_text(encoding="utf-8"))
    definitions = {}
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            package = pathlib.PurePosixPath(properties["CodeUri"])
            properties["CodeUri"] = f"{PACKAGES}/{package.parent.name}/{package.name}"
        if resource["Type"] == "AWS::Serverless::StateMachine":
            file = path.parent / properties.pop("DefinitionUri")
            definitions[name] = json.loads(file.read_text(encoding="utf-8"))
            properties["Definition"] = definitions[name]
    expanded = transform(template, {}, NoManagedPolicies(), passthrough_metadata=True)
    # As an object again, not as text in pieces: so that the linters can read it.
    for name, definition in definitions.items():
        properties = expanded["Resources"][name]["Properties"]
        properties.pop("DefinitionString")
        properties["Definition"] = definition
    return expanded


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    os.environ["AWS_DEFAULT_REGION"] = REGION
    json.dump(expand(pathlib.Path(sys.argv[1])), sys.stdout, indent=1)
