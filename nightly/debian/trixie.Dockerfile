# Debian 13, from the archive as it was at the epoch. Only the packages of that day come into the image, nothing of the base.
ARG BASE=docker.io/library/debian:trixie-slim@sha256:3a39a0592364683e6bab97937b72cad5a8fa6dcbbee90edb3bb48c7f8e94f258

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH
ARG ARCHIVE=http://snapshot.debian.org/archive
RUN --mount=type=bind,target=/context /context/bootstrap /rootfs "$ARCHIVE"

FROM scratch
COPY --from=build /rootfs/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["bash"]
