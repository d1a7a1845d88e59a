# Built in two stages: the first has a compiler's worth of tools, the second only what runs.
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/dateline
COPY requirements/run.txt requirements/run.txt
RUN /opt/dateline/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY workers workers
COPY feeds feeds
RUN python -m pip wheel --no-cache-dir --disable-pip-version-check --no-deps --wheel-dir dist . \
    && /opt/dateline/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps dist/*.whl

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin dateline \
    && install -d -o dateline -g dateline -m 0700 /data
COPY --from=build /opt/dateline /opt/dateline
ENV PATH=/opt/dateline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATELINE_DATA_DIR=/data \
    DATELINE_LISTEN=0.0.0.0:8600
USER dateline
WORKDIR /data
VOLUME /data
EXPOSE 8600
STOPSIGNAL SIGTERM
# Alive, not ready: a container whose database is away for a moment must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8600/healthz', timeout=4)"]
# All of it in one container. docker-compose.yml runs the parts apart instead.
CMD ["dateline", "up"]
