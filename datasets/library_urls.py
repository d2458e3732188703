"""Where the grader library lives; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import library, library_carry, library_edit, library_evaluations

_ON = "evaluations/library/on/<slug:connection>/"
_ONE = "evaluations/library/<int:pk>/"
_EVALUATION = "evaluations/<int:pk>/graders/"

urlpatterns = [
    path("evaluations/library/", library.index, name="libraries"),
    path(_ON, library.of_connection, name="library"),
    path(f"{_ON}import/", library_carry.bring, name="library_import"),
    path(f"{_ON}export/", library_carry.hand_out, name="library_export"),
    path(f"{_ON}new/", library_edit.choose, name="library_choose"),
    path(f"{_ON}new/<slug:start>/", library_edit.new, name="library_new"),
    path(_ONE, library.grader, name="library_grader"),
    path(f"{_ONE}change/", library_edit.change, name="library_change"),
    path(f"{_ONE}change/json/", library_edit.change_json, name="library_change_json"),
    path(f"{_ONE}copy/", library.grader_copy, name="library_copy"),
    path(f"{_ONE}archive/", library.grader_archive, name="library_archive"),
    path(f"{_ONE}delete/", library.grader_delete, name="library_delete"),
    path(f"{_ONE}export/", library_carry.hand_out_one, name="library_export_one"),
    path(f"{_EVALUATION}take/", library_evaluations.take, name="library_take"),
    path(f"{_EVALUATION}export/", library_carry.hand_out_evaluation, name="evaluation_graders_export"),
    path(f"{_EVALUATION}<int:grader>/renew/", library_evaluations.renew, name="library_renew"),
    path(f"{_EVALUATION}<int:grader>/keep/", library_evaluations.keep, name="library_keep"),
]
