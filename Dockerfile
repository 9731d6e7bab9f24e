# Both stages have the same base: the environment made in the first one points to its interpreter.
# Any base will do that has Python 3.11 or later as python3, with venv, and CA certificates.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# The date in the wheels built here: always the same, so that the wheels are too.
ENV SOURCE_DATE_EPOCH=1577836800
WORKDIR /build
RUN ["python3", "-m", "venv", "tools"]
RUN ["python3", "-m", "venv", "--without-pip", "/opt/ecsgateway"]
COPY requirements/build.txt requirements/run.txt requirements/
# Without build isolation, since pip would fetch the build backends unlocked.
# The secret "ca", if given, is the CA bundle pip trusts. It is mounted for this step alone.
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && tools/bin/pip install --require-hashes --only-binary :all: --requirement requirements/build.txt \
    && tools/bin/pip wheel --require-hashes --no-build-isolation --wheel-dir wheels --requirement requirements/run.txt
COPY pyproject.toml README.md ./
COPY protos protos
COPY src src
# Byte code is marked as never to be checked against its source: the check compares file times,
# which a reproducible image overwrites, and the user it runs as could not write it anew.
RUN tools/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir wheels . \
    && tools/bin/pip --python /opt/ecsgateway/bin/python install --no-index --no-deps --no-compile wheels/*.whl \
    && tools/bin/pip --python /opt/ecsgateway/bin/python check \
    && tools/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/ecsgateway/lib

FROM ${BASE}
ARG BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ecsgateway" \
      org.opencontainers.image.description="A gRPC gateway to the Alibaba Cloud ECS operation DescribeImageSharePermission." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
ENV PATH=/opt/ecsgateway/bin:${PATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/ecsgateway /opt/ecsgateway
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /
EXPOSE 50051
# No HEALTHCHECK: an OCI image cannot hold one. Kubernetes probes the gRPC health service.
ENTRYPOINT ["ecsgateway"]
CMD ["serve", "--listen", "0.0.0.0:50051"]
