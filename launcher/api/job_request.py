"""The body of POST /v1/fine_tuning/jobs as a value, by OpenAI's openapi.yml 2.3.0, CreateFineTuningJobRequest.

A field that the API does not have is refused, and so is one that this server cannot obey.
"""

import json
import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launcher.after.serve.documents import RequestRefused

_Auto = Literal["auto"]
_Epochs = _Auto | Annotated[int, Field(ge=1, le=50)]
_Batch = _Auto | Annotated[int, Field(ge=1, le=256)]
_Multiplier = _Auto | Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
_Beta = _Auto | Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)]
_MOST_METADATA = 16


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Hyperparameters(_Strict):
    """Values, or `auto` for those that the server chooses."""

    n_epochs: _Epochs = "auto"
    batch_size: _Batch = "auto"
    learning_rate_multiplier: _Multiplier = "auto"


class _WithBeta(Hyperparameters):
    beta: _Beta = "auto"


class _Supervised(_Strict):
    hyperparameters: Hyperparameters = Hyperparameters()


class _Preferences(_Strict):
    hyperparameters: _WithBeta = _WithBeta()


class _Method(_Strict):
    type: Literal["supervised", "dpo"]
    supervised: _Supervised | None = None
    dpo: _Preferences | None = None


class FineTuneRequest(_Strict):
    """What a request asks."""

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    method: _Method | None = None
    hyperparameters: Hyperparameters | None = None
    integrations: Annotated[list[Any], Field(max_length=0)] | None = None
    metadata: (
        Annotated[
            dict[
                Annotated[str, Field(max_length=64)],
                Annotated[str, Field(max_length=512)],
            ],
            Field(max_length=_MOST_METADATA),
        ]
        | None
    ) = None

    @property
    def method_name(self) -> str:
        """The API's name of the method."""
        return self.method.type if self.method else "supervised"

    def asked_hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters of the method; RequestRefused if they are given twice."""
        named: _Supervised | _Preferences | None = (
            getattr(self.method, self.method_name, None) if self.method else None
        )
        if self.hyperparameters is not None:
            if named is not None:
                raise RequestRefused(
                    "hyperparameters is the old place of method.TYPE.hyperparameters; give one of them",
                    param="hyperparameters",
                )
            old = self.hyperparameters.model_dump()
            return old if self.method_name == "supervised" else {**_WithBeta().model_dump(), **old}
        usual = _Supervised() if self.method_name == "supervised" else _Preferences()
        return (named or usual).hyperparameters.model_dump()

    def chosen_seed(self) -> int:
        """The seed; a random one if none was given."""
        return secrets.randbelow(1 << 31) if self.seed is None else self.seed


def parse_job_request(body: bytes) -> FineTuneRequest:
    """The request in a body; RequestRefused names the first field that is invalid."""
    try:
        given = FineTuneRequest.model_validate_json(body)
        json.dumps(given.model_dump(), ensure_ascii=False).encode()  # fails for half of a surrogate pair
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = (
            f"{where[:100]}: {first['msg']}" if where else f"the body is not a valid request: {first['msg']}"
        )
        raise RequestRefused(said, param=where[:100] or None) from None
    except UnicodeEncodeError:
        raise RequestRefused("the body holds half of a surrogate pair, which is not a character") from None
    return given
