"""The same network inside MLServer, which speaks the Open Inference Protocol (V2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri

from countersign.attesting.served import Served


class Runtime(MLModel):  # type: ignore[misc]  # MLServer carries no types here
    """MLServer's runtime for one bundle; its `uri` is the bundle's folder."""

    async def load(self) -> bool:
        self._served = Served(Path(await get_model_uri(self.settings)))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        channels: Any = NumpyCodec.decode_input(payload.inputs[0])
        answer = self._served.predict(np.asarray(channels))
        return InferenceResponse(
            model_name=self.name, id=payload.id, outputs=[NumpyCodec.encode_output("probability", answer)]
        )
