# Debian 12, from the archive as it was at the epoch. Only the packages of that day come into the image, nothing of the base.
ARG BASE=docker.io/library/debian:bookworm-slim@sha256:abd67ffcfa541b485a3dff59865ab629aa048a6c613e639d36e7456b0b229241

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH
ARG ARCHIVE=http://snapshot.debian.org/archive
RUN --mount=type=bind,target=/context /context/bootstrap /rootfs "$ARCHIVE"

FROM scratch
COPY --from=build /rootfs/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["bash"]
