"""Files upstream that an upload left behind."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("datasets", "0003_whole_distill")]

    operations = [
        migrations.AddField(
            model_name="uploadedfile",
            name="leftovers",
            field=models.JSONField(
                default=list,
                help_text="Ids of files upstream that this upload left behind: broken or doubled ones.",
            ),
        ),
    ]
