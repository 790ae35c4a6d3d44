"""A function that says when Easter is."""

import yaml
from aws_lambda_powertools.utilities.typing import LambdaContext
from dateutil.easter import easter


def handler(event: dict, context: LambdaContext | None) -> str:
    """Answers `{"year": 2026}` with YAML."""
    return yaml.safe_dump({"easter": easter(event["year"])})
