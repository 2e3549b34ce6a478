# syntax=docker/dockerfile:1
# imagemill with all extras, pinned by hash, as an ordinary user. Settings come from IMAGEMILL_... variables; see docker-compose.yml.

FROM python:3.11-slim AS build
RUN python -m venv /opt/imagemill
WORKDIR /source
COPY requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/imagemill/bin/pip install --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY jobs jobs
COPY worker worker
COPY migrations migrations
RUN /opt/imagemill/bin/pip install --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/imagemill imagemill \
    && install --directory --owner=imagemill --group=imagemill --mode=0750 /var/lib/imagemill
COPY --from=build /opt/imagemill /opt/imagemill
ENV PATH=/opt/imagemill/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    IMAGEMILL_DATA_DIR=/var/lib/imagemill
WORKDIR /var/lib/imagemill
USER imagemill
CMD ["imagemill", "--help"]
