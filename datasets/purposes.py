"""What of this app can be done with a selection of completions; importing registers it."""

from completions.purposes import purpose

purpose(
    "evaluate", "Evaluate", "flask-conical", url="datasets:evaluate_start", asks=True, place="last", order=80
)
purpose(
    "distill", "Distill", "graduation-cap", url="datasets:distill_start", asks=True, place="last", order=90
)
purpose("relabel", "Relabel", "sparkles", url="datasets:relabel_start", asks=True, order=20)
