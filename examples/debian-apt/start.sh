#!/bin/sh
# Host keys are those of a container, not of an image: they are made at its first start.
set -e
ssh-keygen -A
exec /usr/sbin/sshd -D -e
