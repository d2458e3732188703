"""When an evaluation is run by itself."""

from collections.abc import Mapping
from typing import Any

from django import forms

from datasets.evaluate.schedules import When
from datasets.models import Schedule
from portal.zones import zone_of

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class ScheduleForm(forms.Form):
    """Every so often, at a time of a zone."""

    every = forms.ChoiceField(choices=Schedule.Every.choices, label="How often")
    at = forms.TimeField(
        label="At", input_formats=["%H:%M"], widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    zone = forms.CharField(max_length=64, label="Time zone", help_text="As in Europe/Oslo.")
    weekday = forms.TypedChoiceField(
        choices=list(enumerate(_DAYS)), coerce=int, label="Weekday", help_text="Where it is run every week."
    )
    day = forms.IntegerField(
        min_value=1,
        max_value=31,
        label="Day of the month",
        help_text="Where it is run every month; one that is shorter takes its last day.",
    )

    def clean_zone(self) -> str:
        zone = str(self.cleaned_data["zone"])
        if zone_of({"portal-zone": zone}) != zone:
            raise forms.ValidationError("This is not a time zone. Write one as in Europe/Oslo, or UTC.")
        return zone

    def when(self) -> When:
        data = self.cleaned_data
        return When(data["every"], data["at"], data["zone"], data["weekday"], data["day"])


def schedule_form(
    data: Mapping[str, Any] | None, schedule: Schedule | None, cookies: Mapping[str, str]
) -> ScheduleForm:
    """The form as the schedule is; a new one is every Monday at six of the reader's zone."""
    initial: dict[str, Any] = {
        "every": "week",
        "at": "06:00",
        "zone": zone_of(cookies),
        "weekday": 0,
        "day": 1,
    }
    if schedule is not None:
        initial = {"every": schedule.every, **When.of(schedule).as_dict()}
    return ScheduleForm(data, initial=initial)


def in_words(when: When) -> str:
    """When it is run, as a sentence without its end."""
    at = f"at {when.at:%H:%M} ({when.zone})"
    if when.every == Schedule.Every.WEEK:
        return f"Every {_DAYS[when.weekday]} {at}"
    if when.every == Schedule.Every.MONTH:
        on = "the last day" if when.day == 31 else f"day {when.day}"  # the longest month
        return f"On {on} of every month {at}"
    return f"Every day {at}"
