"""Addresses of review queues, below /completions/."""

from django.urls import path

from completions.views import queue_work, queues

urlpatterns = [
    path("queues/", queues.index, name="queues"),
    path("queues/new/<uuid:frozen>/", queues.new, name="queue_new"),
    path("queues/add/<uuid:frozen>/", queues.add, name="queue_add"),
    path("queues/<int:pk>/", queues.queue, name="queue"),
    path("queues/<int:pk>/close/", queues.close, name="queue_close"),
    path("queues/<int:pk>/work/", queue_work.work, name="queue_work"),
    path("queues/<int:pk>/next/", queue_work.begin, name="queue_next"),
    path("queues/<int:pk>/tasks/<int:number>/", queue_work.submit, name="queue_submit"),
    path("queues/<int:pk>/tasks/<int:number>/leave/", queue_work.leave, name="queue_leave"),
    path("queues/<int:pk>/items/<int:number>/", queues.adjudicate, name="queue_item"),
    path("queues/<int:pk>/items/<int:number>/send-back/", queues.send_back, name="queue_send_back"),
]
