from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise has no types
    """Names with a hash of the content, in the imports of ES modules too, so that no module loads twice."""

    support_js_module_import_aggregation = True
