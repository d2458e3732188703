from django.db import migrations, models

KINDS = [
    ("azure_v1", "Azure OpenAI (v1)"),
    ("azure_dated", "Azure OpenAI (dated API version)"),
    ("openai", "OpenAI"),
    ("compatible", "OpenAI-compatible"),
    ("files", "Files"),
]
AUTHS = [
    ("key", "API key"),
    ("entra_default", "Microsoft Entra ID: default chain"),
    ("entra_secret", "Microsoft Entra ID: client secret"),
    ("entra_managed", "Microsoft Entra ID: managed identity"),
    ("entra_workload", "Microsoft Entra ID: workload identity"),
    ("none", "Nothing"),
]


class Migration(migrations.Migration):
    dependencies = [("portal", "0002_audit_names")]

    operations = [
        migrations.RemoveConstraint(model_name="connection", name="connection_kind_is_known"),
        migrations.RemoveConstraint(model_name="connection", name="connection_auth_is_known"),
        migrations.AlterField(
            model_name="connection",
            name="kind",
            field=models.CharField(choices=KINDS, max_length=16),
        ),
        migrations.AlterField(
            model_name="connection",
            name="auth",
            field=models.CharField(choices=AUTHS, default="key", max_length=16),
        ),
        migrations.AlterField(
            model_name="connection", name="base_url", field=models.CharField(blank=True, max_length=300)
        ),
        migrations.AddConstraint(
            model_name="connection",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", [kind for kind, _ in KINDS])), name="connection_kind_is_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="connection",
            constraint=models.CheckConstraint(
                condition=models.Q(("auth__in", [auth for auth, _ in AUTHS])), name="connection_auth_is_known"
            ),
        ),
    ]
