from django.urls import URLPattern, URLResolver

app_name = "completions"
urlpatterns: list[URLPattern | URLResolver] = []
