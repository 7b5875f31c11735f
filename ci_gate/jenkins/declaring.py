"""Parameters that jobs lack, added to their configuration (``ci-gate jenkins --declare-parameters``).

Jenkins drops undeclared parameters silently (gearman-jenkins.md 6.3 and 11.1). Here a job's config.xml is read, and
written back with a text parameter for each that is missing; everything else stays as it was.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable

PARAMETERS = (
    "ZUUL_UUID", "ZUUL_PROJECT", "ZUUL_PIPELINE", "ZUUL_URL", "ZUUL_VOTING", "BASE_LOG_PATH", "LOG_PATH", "ZUUL_BRANCH",
    "ZUUL_CHANGE", "ZUUL_PATCHSET", "ZUUL_CHANGES", "ZUUL_CHANGE_IDS", "ZUUL_REF", "ZUUL_COMMIT", "ZUUL_REFNAME",
    "ZUUL_OLDREV", "ZUUL_NEWREV", "ZUUL_SHORT_OLDREV", "ZUUL_SHORT_NEWREV",
)  # fmt: skip
HOLDER = "hudson.model.ParametersDefinitionProperty"
TEXT = "hudson.model.StringParameterDefinition"
DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>\s*")
HOSTILE = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


class ConfigError(Exception):
    """A job's configuration that cannot be changed; the text says why."""


def with_parameters(config: str, names: Iterable[str]) -> str:
    """The config.xml with these declared, after those that are. Raises ConfigError."""
    declaration = DECLARATION.match(config)
    if HOSTILE.search(config):
        raise ConfigError("its config.xml has a document type, which Jenkins never writes")
    try:
        # XML 1.1, as Jenkins declares it, is more than the parser reads; the text itself is the same in both.
        root = ET.fromstring(config[declaration.end() :] if declaration else config)  # noqa: S314 - no entities, see above
    except ET.ParseError as problem:
        raise ConfigError(f"its config.xml cannot be read: {problem}") from problem
    properties = root.find("properties")
    if properties is None:
        properties = ET.SubElement(root, "properties")
    holder = properties.find(HOLDER)
    if holder is None:
        holder = ET.SubElement(properties, HOLDER)
    definitions = holder.find("parameterDefinitions")
    if definitions is None:
        definitions = ET.SubElement(holder, "parameterDefinitions")
    there = {each.findtext("name") for each in definitions}
    for name in names:
        if name not in there:
            definition = ET.SubElement(definitions, TEXT)
            ET.SubElement(definition, "name").text = name
            ET.SubElement(definition, "description").text = "given by the gate"
            ET.SubElement(definition, "defaultValue").text = ""
    head = declaration.group(0) if declaration else ""
    return head + ET.tostring(root, encoding="unicode")
