from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "datasets"
    verbose_name = "Datasets, fine-tunes and evaluations"

    def ready(self) -> None:
        # Importing registers the handlers of their operations, and what can be gone to by typing.
        from datasets import (  # noqa: F401
            contamination_run,
            dependents,
            palette,
            personal_scan,
            purposes,
            receiving,
            removal,
            spent,
            successors,
            system_checks,
            uses,
        )
        from datasets.build import build  # noqa: F401
        from datasets.evaluate import (  # noqa: F401
            comparison_kept,
            provider,
            provider_cancel,
            run,
            slices_kept,
        )
        from datasets.evaluate import removal as evaluation_removal  # noqa: F401
        from datasets.finetune import cancel, deploy, elsewhere, follow, launch, pause, undeploy  # noqa: F401
        from datasets.relabel import judging  # noqa: F401
        from datasets.relabel import run as relabelling  # noqa: F401
