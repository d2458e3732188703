"""How services refuse a fine-tuning job that is well formed: the account, the region, or room for it.

A fault of the kind "refuse" with one of these as `why` brings each about; nothing is created.
"""

from portal.sandbox.call import Call
from portal.sandbox.personality import TUNE, ApiError


def check(call: Call) -> None:
    """Raise what the fault asks for, in the words of the surface."""
    why = str(call.faults.option("refuse", "why", ""))
    if not why:
        return
    azure = call.personality.azure
    if why == "right":
        raise call.personality.forbidden(TUNE, call.method, call.request.path)
    refusals = {
        "closed": ApiError(
            403,
            "forbidden" if azure else "fine_tuning_not_available",
            "Fine-tuning is no longer available to this organization. New fine-tuning jobs can no longer be"
            " created; existing fine-tuned models remain available for inference.",
        ),
        "region": ApiError(
            400,
            "invalidPayload" if azure else "model_not_available",
            "The specified base model is not available for fine-tuning in the region 'westeurope'.",
            param="model",
        ),
        "jobs": ApiError(
            429 if azure else 400,
            "quotaExceeded" if azure else "daily_rate_limit_exceeded",
            "The resource has reached its limit of 20 queued fine-tuning jobs."
            if azure
            else "This fine-tune request has been rate-limited. Your organization has reached the maximum of"
            " 3 active fine-tuning jobs.",
        ),
        "training_type": ApiError(
            400,
            "invalidPayload",
            "The specified base model does not support fine-tuning with the training type 'Standard'.",
            param="trainingType",
        ),
    }
    if why not in refusals:
        raise ApiError(400, "invalidPayload", f"The sandbox knows no refusal {why!r}.")
    raise refusals[why]
