# One image for every part: what it runs is decided by the command, `manage.py up` by default.
FROM python:3.13-slim-trixie AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
COPY requirements.lock requirements-embedded.lock ./
RUN /venv/bin/pip install --require-hashes --only-binary :all: -r requirements.lock -r requirements-embedded.lock

FROM python:3.13-slim-trixie

# Python graders run in boxes that bubblewrap builds, behind a filter of system calls that libseccomp writes. They
# are off unless PYTHON_GRADERS is set and the container may make namespaces (docs/operating.md).
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap libseccomp2 \
  && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin portal \
  && install -d -o portal -g portal -m 0700 /data /files
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY portal portal
COPY completions completions
COPY datasets datasets
COPY templates templates
COPY static static

ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data STATIC_ROOT=/app/collected
# Collected while the image is built, so that a start has nothing to write outside /data.
RUN DATA_DIR=/tmp/build python manage.py collect && rm -rf /tmp/build

USER portal
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:8000/healthz', timeout=4)"]
# Start it with `--init` (compose.yaml does) and give it time to stop: a step of work may need 45 seconds.
STOPSIGNAL SIGTERM
CMD ["python", "manage.py", "up", "--host", "0.0.0.0"]
