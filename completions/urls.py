"""Addresses below /completions/."""

from django.urls import include, path

from completions.views import bar, drawer, facets, labels, palette, pane, review, saved_views, selection

app_name = "completions"
urlpatterns = [
    path("", pane.pane, name="pane"),
    path("news/", pane.news, name="news"),
    path("count/", pane.count, name="count"),
    path("columns/", pane.columns, name="columns"),
    path("facets/", facets.facets, name="facets"),
    path("facet/", facets.facet, name="facet"),
    path("timeline/", facets.timeline, name="timeline"),
    path("suggest/", bar.suggest, name="suggest"),
    path("filter/", bar.editor, name="editor"),
    path("select/", selection.select, name="freeze"),
    path("select/<uuid:frozen>/", selection.question, name="frozen"),
    path("palette/", palette.palette, name="palette"),
    path("save-view/", saved_views.new, name="view_new"),
    path("view-counts/", saved_views.counts, name="view_counts"),
    path("views/<int:pk>/", saved_views.edit, name="view"),
    path("views/<int:pk>/save/", saved_views.save, name="view_save"),
    path("views/<int:pk>/move/", saved_views.move, name="view_move"),
    path("views/<int:pk>/delete/", saved_views.delete, name="view_delete"),
    path("views/<int:pk>/restore/", saved_views.restore, name="view_restore"),
    path("review/<int:pk>/", review.review, name="review"),
    path("review/<int:pk>/undo/", review.undo, name="review_undo"),
    path("review/<int:pk>/panel/", review.panel, name="review_panel"),
    path("review/<int:pk>/history/", review.history, name="review_history"),
    path("review/<int:pk>/row/", review.row, name="review_row"),
    path("<slug:connection>/labels/", labels.index, name="labels"),
    path("<slug:connection>/labels/new/", labels.new, name="label_new"),
    path("<slug:connection>/labels/<int:pk>/", labels.edit, name="label"),
    path("<slug:connection>/labels/<int:pk>/move/", labels.move, name="label_move"),
    path("<slug:connection>/labels/<int:pk>/retire/", labels.retire, name="label_retire"),
    path("<slug:connection>/labels/<int:pk>/restore/", labels.restore, name="label_restore"),
    path("", include("completions.bulk_urls")),
    path("", include("completions.change_urls")),
    path("", include("completions.correct_urls")),
    path("", include("completions.queue_urls")),
    path("", include("completions.sync_urls")),
    path("", include("completions.belonging_urls")),
    path("", include("completions.transfer_urls")),
    path("<slug:connection>/by-number/<int:number>/", drawer.by_number, name="by_number"),
    # An id from upstream may hold a slash; what this portal links to is then the number.
    path("<slug:connection>/<path:upstream_id>/", drawer.drawer, name="drawer"),
]
